// Cases for mw.stop_gradient.
#include <gtest/gtest.h>

#include "ops/op_case.h"

namespace mw::ops {

MW_OWN_OP_CASES(stop_gradient) {
  // Not in fp64: differences are not its gradient.
  add("a matrix", {{"x", normal({2, 3})}}).tolerance(Kind::kExact).only({DType::kF32, DType::kF16});
  add("integers", {{"x", ints({1, -2, 3})}}).tolerance(Kind::kExact);
  reference([](const OpCase& c) { return std::vector<Tensor>{c["x"]}; });
}

}  // namespace mw::ops
