// cumsum: running sums along `axis`; exclusive ones leave the element itself out, reverse ones run
// from the end.
#include "ops/elementwise/elementwise.h"
#include "ops/expr.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_numeric(op, "x");
  if (op.rank("x") == 0) op.reject("x", "expected rank 1 or more, got a scalar");
  (void)op.axis("axis", op.rank("x"));
  (void)op.flag("exclusive");
  (void)op.flag("reverse");
  return same_as_x(op);
}

template <class T>
void running_sums(const T* x, T* y, int64_t count, int64_t stride, bool exclusive) {
  using A = std::conditional_t<std::is_integral_v<T>, int64_t, double>;
  A sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const A next = wrapping<A>(sum, x[i * stride], [](auto a, auto b) { return a + b; });
    y[i * stride] = static_cast<T>(exclusive ? sum : next);
    sum = next;
  }
}

void evaluate(Eval& e) {
  const Tensor x = computable(e.in("x"));
  const auto axis = static_cast<size_t>(e.axis("axis", x.rank()));
  const bool exclusive = e.flag("exclusive"), reverse = e.flag("reverse");
  const int64_t count = x.shape()[axis];
  const int64_t outer = product(x.shape(), 0, axis);
  const int64_t inner = product(x.shape(), axis + 1, x.shape().size());
  Tensor y(x.dtype(), x.shape());
  if (count == 0) return set_narrowed(e, std::move(y));
  dispatch_number(x.dtype(), [&]<class T>(T) {
    for (int64_t o = 0; o < outer; ++o) {
      for (int64_t i = 0; i < inner; ++i) {
        const int64_t first = (o * count + (reverse ? count - 1 : 0)) * inner + i;
        running_sums(x.data<T>() + first, y.mutable_data<T>() + first, count,
                     reverse ? -inner : inner, exclusive);
      }
    }
  });
  set_narrowed(e, std::move(y));
}

// Running sums from the other end.
void rule(Vjp& v) {
  v.add("x", grad(v).op("cumsum", {{"axis", v.axis("axis", v.rank("x"))},
                                   {"exclusive", v.flag("exclusive")},
                                   {"reverse", !v.flag("reverse")}}));
}

}  // namespace

OpDef cumsum() {
  return OpDef("cumsum")
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("x", "T")
      .input("axis", DType::kI32, kConst | kOptional, 0)
      .input("exclusive", DType::kBool, kConst | kOptional, false)
      .input("reverse", DType::kBool, kConst | kOptional, false)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
