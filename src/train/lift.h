// lift(): turns chosen constants of a function into parameters: states that are read where the
// const was.
//
//   w = const (fp16)                         state w_master: fp32
//   y = linear(x, w)                =>       w = cast(mw.read_state(w_master), "fp16")
//                                            y = linear(x, w)
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ir/op_def.h"

namespace mw::train {

// A constant to train, as it stands in the function to be lifted.
struct Candidate {
  const ir::Operation* op = nullptr;
  std::string name;
  bool whole = false;  // one parameter whatever its numbers are
};

struct Lifted {
  struct Parameter {
    std::string name;   // of the const; with a suffix where a const was split
    std::string state;  // the argument that holds it
    Shape shape;
    DType stored = DType::kF32;
    Tensor initial;  // in the dtype of the states; whoever makes the states takes it
    std::vector<const ir::Operation*> consts;  // of the source, all that show this parameter
    int64_t use = -1;  // the use of the const that this is the parameter of; -1: all
  };
  std::unique_ptr<ir::Function> function;
  std::vector<Parameter> parameters;
};

// Consts that show the same blob record are one parameter, whatever their shapes: a tie. One
// repeated number is no tie but a converter's economy: such a const becomes a parameter per use.
// `dtype` is that of the states, fp32 or fp64.
Lifted lift(const ir::Function& function, const ir::Catalog& catalog,
            const std::vector<Candidate>& candidates, DType dtype);

}  // namespace mw::train
