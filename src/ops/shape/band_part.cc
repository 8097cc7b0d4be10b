// band_part: y[.., m, n] = x[.., m, n] where m - n <= lower and n - m <= upper, else 0; a negative
// bound does not bound.
#include <algorithm>
#include <cstring>

#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  Type x = expect_movable(op, "x");
  expect_rank(op, "x", 2, static_cast<int64_t>(kMaxRank));
  (void)op.integer("lower");
  (void)op.integer("upper");
  return x;
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const int64_t rows = x.dim(-2), columns = x.dim(-1);
  const int64_t lower = e.integer("lower"), upper = e.integer("upper");
  Tensor& y = e.out();
  if (x.count() == 0) return;
  dispatch_bits(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    for (int64_t row = 0; row < x.count() / columns; ++row) {
      const int64_t m = row % rows;
      const int64_t first = lower < 0 || lower > m ? 0 : m - lower;
      const int64_t last = upper < 0 || upper >= columns - m ? columns : m + upper + 1;
      if (first >= last) continue;
      const int64_t at = row * columns + first;
      std::memcpy(mutable_bits_of<T>(y) + at, bits_of<T>(x) + at,
                  static_cast<size_t>(last - first) * sizeof(T));
    }
  });
}

void rule(Vjp& v) { v.add("x", grad(v).op("band_part", same_inputs(v, {"lower", "upper"}))); }

}  // namespace

OpDef band_part() {
  return OpDef("band_part")
      .types("T", moved_dtypes())
      .input("x", "T")
      .input("lower", DType::kI32, kConst | kOptional, -1)
      .input("upper", DType::kI32, kConst | kOptional, -1)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
