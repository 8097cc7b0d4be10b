// The shape rule of ops that compute along an axis.
#include "ops/along_axis.h"

namespace mw::ops {

Type infer_along_axis(const OpView& op) {
  expect_float(op, "x");
  if (op.rank("x") == 0) op.reject("x", "expected rank 1 or more, got a scalar");
  (void)op.axis("axis", op.rank("x"));
  return same_as_x(op);
}

}  // namespace mw::ops
