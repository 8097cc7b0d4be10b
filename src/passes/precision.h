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

// What a program is computed in. Kernels sum in fp32, reference implementations in fp64.
struct Numerics {
  DType values = DType::kF32;  // of every float inside: fp32, or fp64, which has no kernels
  bool rounds_fp16 = false;    // what the file calls fp16 is rounded to it, as on a device
  bool bf16_products = false;  // round_products.h: for programs of fp32

  [[nodiscard]] bool has_kernels() const { return values == DType::kF32; }
};
inline constexpr Numerics kFp32 = {}, kFp64 = {.values = DType::kF64},
                          kFp16 = {.rounds_fp16 = true}, kBf16 = {.bf16_products = true};

// Inputs, outputs and states keep their declared dtypes, constants their storage. Casts between
// floats inside vanish. Operands of constexpr ops are left alone; their results are cast.
std::unique_ptr<ir::Function> set_precision(const ir::Function& function,
                                            const ir::Catalog& catalog, const Numerics& numerics);

}  // namespace mw::passes
