// lift(): turns chosen constants of a function into parameters: states that are read where the
// const was.
//
//   w = const (fp16)                         state w_master: fp32
//   y = linear(x, w)                =>       w = cast(mw.read_state(w_master), "fp16")
//                                            y = linear(x, w)
#pragma once

#include <memory>
#include <vector>

#include "ir/op_def.h"
#include "train/parameter.h"

namespace mw::training {

struct Lifted {
  std::unique_ptr<ir::Function> function;
  std::vector<Parameter> parameters;
  // Of each parameter, in the dtype of the states; whoever makes the states takes them.
  std::vector<Tensor> initial;
};

// One repeated number is a converter's economy: a const of it that is no factor becomes a parameter
// per use. What nothing uses becomes none. `dtype` is that of the states, fp32 or fp64.
Lifted lift(const ir::Function& function, const ir::Catalog& catalog,
            const std::vector<Parameter>& chosen, DType dtype);

}  // namespace mw::training
