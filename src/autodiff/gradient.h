// gradients(): appends to a function the ops that compute its gradients.
//
//   x, w                                     x, w
//   y = mul(x, w)                            y = mul(x, w)
//   loss = reduce_sum(y)            =>       loss = reduce_sum(y)
//                                            y_grad = ...           d loss / d y
//                                            w_grad = mul(y_grad, x)
#pragma once

#include <vector>

#include "ir/vjp.h"

namespace mw::autodiff {

struct Seed {
  ir::Value* value = nullptr;     // of the function's body
  ir::Value* gradient = nullptr;  // of the same type; null: ones
};

// Gradients of the seeds' sum, weighted by their gradients, with respect to `wrt`: float values of
// the body, results of const ops included. Null where the seeds do not depend on a value, or where
// the derivative is zero by its form. Types must be static. Throws unsupported when a path cannot
// be differentiated, naming the op, its result, the reason and the values of `wrt` behind it.
std::vector<ir::Value*> gradients(ir::Function& function, const ir::Catalog& catalog,
                                  const ir::GradientOps& ops, const std::vector<Seed>& seeds,
                                  const std::vector<ir::Value*>& wrt);

}  // namespace mw::autodiff
