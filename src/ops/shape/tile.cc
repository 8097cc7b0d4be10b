// tile: y repeats x reps[i] times along axis i.
#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  const Type x = expect_movable(op, "x");
  expect_index_vector(op, "reps", x.rank());
  const auto reps = op.known_ints("reps");
  Shape result(x.shape().size(), kAny);
  for (size_t i = 0; reps && i < result.size(); ++i) {
    if ((*reps)[i] < 0) op.reject("reps", "expected counts of at least 0, got {}", (*reps)[i]);
    result[i] = dim_mul(x.shape()[i], (*reps)[i]);
  }
  return Type::tensor(x.dtype(), result);
}

// Walks [reps[0], extent 0, reps[1], extent 1, ...]; the repetitions do not move within x.
void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const std::vector<int64_t> reps = e.ints("reps"), strides = strides_of(x.shape());
  Shape walk;
  Layout from;
  for (size_t i = 0; i < reps.size(); ++i) {
    walk.insert(walk.end(), {reps[i], x.shape()[i]});
    from.strides.insert(from.strides.end(), {0, strides[i]});
  }
  copy_elements(walk, x, from, e.out(), {strides_of(walk)});
}

// The sum over the repetitions, each an axis of its own.
void rule(Vjp& v) {
  const std::vector<int64_t> reps = v.ints("reps");
  const Shape x = v.shape("x");
  Shape cut;
  std::vector<int64_t> axes;
  for (size_t i = 0; i < x.size(); ++i) {
    if (reps[i] != 1) {
      axes.push_back(static_cast<int64_t>(cut.size()));
      cut.push_back(reps[i]);
    }
    cut.push_back(x[i]);
  }
  v.add("x", axes.empty() ? grad(v) : reduce_sum(reshape(grad(v), cut), axes, false));
}

}  // namespace

OpDef tile() {
  return OpDef("tile")
      .types("T", moved_dtypes())
      .input("x", "T")
      .input("reps", DType::kI32)
      .traits(kMovesElements)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
