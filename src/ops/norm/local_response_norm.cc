// local_response_norm: y = x / (k + alpha / size * sum(x * x))^beta, the sum over `size` channels
// around each, of which size / 2 lie before it. x is [n, C, *D]; Core ML takes one of rank 3 as
// [C, H, W], as the expected values of coremltools' own smoke test show.
#include <algorithm>
#include <cmath>

#include "ops/expr.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_float(op, "x");
  expect_rank(op, "x", 3, kMaxRank);
  const int64_t size = op.integer("size");
  if (size < 1) op.reject("size", "expected 1 or more, got {}", size);
  for (const char* input : {"alpha", "beta", "k"}) (void)op.number(input);
  return op.tensor_type("x");
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const int64_t instances = x.rank() == 3 ? 1 : x.dim(0);
  const int64_t channels = x.dim(x.rank() == 3 ? 0 : 1), inner = x.count() / instances / channels;
  const int64_t size = e.integer("size"), before = size / 2, after = (size - 1) / 2;
  const double scale = e.number("alpha") / static_cast<double>(size);
  const double beta = e.number("beta"), k = e.number("k");
  dispatch_float(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    T* to = y.mutable_data<T>();
    for (int64_t n = 0; n < instances; ++n) {
      const T* instance = x.data<T>() + n * channels * inner;
      for (int64_t i = 0; i < channels * inner; ++i) {
        const int64_t channel = i / inner, position = i % inner;
        const int64_t first = std::max<int64_t>(channel - before, 0);
        const int64_t last = std::min(channel + std::min(after, channels), channels - 1);
        double sum = 0;
        for (int64_t c = first; c <= last; ++c) {
          const auto value = static_cast<double>(instance[c * inner + position]);
          sum += value * value;
        }
        const double value = static_cast<double>(instance[i]) / std::pow(k + scale * sum, beta);
        *to++ = static_cast<T>(value);
      }
    }
  });
}

// x as [instances, channels, inner].
Shape folded(const Shape& x) {
  const size_t channel = x.size() == 3 ? 0 : 1;
  return {product(x, 0, channel), x[channel], product(x, channel + 1, x.size())};
}

// With s = k + alpha / size * sum(x * x), y = x s^-beta:
// dx = g s^-beta - 2 x beta alpha / size * sum(g y / s) over the windows that hold it.
void rule(Vjp& v) {
  if (count_of(v.shape("x")) == 0) return;
  const Shape shape = folded(v.shape("x"));
  const Expr g = reshape(grad(v), shape), x = reshape(operand(v, "x"), shape);
  const Expr y = reshape(result(v), shape);
  const int64_t size = std::min(v.integer("size"), 2 * shape[1]);
  const Expr window = filled(v.builder(), Type::tensor(x.dtype(), {shape[1], shape[1]}), 1)
                          .op("band_part", {{"lower", size / 2}, {"upper", (size - 1) / 2}});
  const double scale = v.number("alpha") / static_cast<double>(v.integer("size"));
  const double beta = v.number("beta");
  const Expr sums = matmul(window, square(x)) * scale + v.number("k");
  const Expr direct = g * pow(sums, -beta);
  const Expr shared = matmul(window, g * y / sums, true) * (2 * beta * scale);
  v.add("x", reshape(direct - x * shared, v.shape("x")));
}

}  // namespace

OpDef local_response_norm() {
  return OpDef("local_response_norm")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input("size", DType::kI32, kConst)
      .input("alpha", "T", kConst | kOptional, 1e-4)
      .input("beta", "T", kConst | kOptional, 0.75)
      .input("k", "T", kConst | kOptional, 1.0)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("U", {DType::kF16, DType::kF32}).retype({"alpha", "beta", "k"}, "U");
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
