// set_precision(): retypes the floats inside a function to the dtype it is computed in.
//
//   x: fp16                                  x: fp16
//   w = const (fp16)                         w = const (fp16)
//   y = linear(x, w)  -> fp16       =>       y = linear(cast(x, "fp32"), cast(w, "fp32"))
//   -> (y)                                   -> (cast(y, "fp16"))
#pragma once

#include <memory>

#include "passes/pipeline.h"

namespace mw::passes {

inline constexpr PassName kPrecision = {
    "precision",
    "retypes floats to the dtype that they are computed in, with casts at the borders"};

enum class Compute : uint8_t {
  kFp32,
  kFp64,
  kFp16,  // fp32 arithmetic, every value the file calls fp16 rounded to fp16, as a device would
};

// Inputs, outputs and states keep their declared dtypes, constants their storage. Casts between
// floats inside vanish. Operands of constexpr ops are left alone; their results are cast.
std::unique_ptr<ir::Function> set_precision(const ir::Function& function,
                                            const ir::Catalog& catalog, Compute compute);

}  // namespace mw::passes
