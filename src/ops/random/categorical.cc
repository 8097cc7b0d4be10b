// random_categorical: `size` draws, with replacement, from each distribution along the last axis of
// x, given as logits or as probabilities up to a factor. The results are indices in the dtype of x.
#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/random/generator.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_float(op, "x");
  Shape shape = op.shape("x");
  if (shape.empty()) op.reject("x", "expected rank 1 or more, got a scalar");
  if (shape.back() == 0) op.reject("x", "expected at least one category, got none");
  const std::string mode = op.text("mode");
  if (mode != "logits" && mode != "probs") {
    op.reject("mode", "expected logits or probs, got '{}'", mode);
  }
  const int64_t size = op.integer("size");
  if (size < 0) op.reject("size", "expected 0 or more draws, got {}", size);
  (void)op.integer("seed");
  shape.back() = size;
  return Type::tensor(op.dtype("x"), shape);
}

// Running sums of the weights of one distribution.
std::vector<double> cumulative(const Eval& e, const Tensor& x, int64_t row, bool logits) {
  const int64_t categories = x.shape().back(), first = row * categories;
  double largest = -std::numeric_limits<double>::infinity();
  for (int64_t k = 0; k < categories; ++k) largest = std::max(largest, x.number_at(first + k));
  std::vector<double> sums;
  sums.reserve(static_cast<size_t>(categories));
  double sum = 0;
  for (int64_t k = 0; k < categories; ++k) {
    const double value = x.number_at(first + k);
    // The largest itself may be infinite.
    sum += !logits ? value : value == largest ? 1 : std::exp(value - largest);
    if (!logits && !(value >= 0)) {
      e.reject("x", "expected probabilities of 0 or more, got {}", value);
    }
    sums.push_back(sum);
  }
  if (!(sum > 0) || !std::isfinite(sum)) {
    e.reject("x", "expected weights with a positive sum in row {}, got {}", row, sum);
  }
  return sums;
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const Generator generator(e.integer("seed"));
  const bool logits = e.text("mode") == "logits";
  const int64_t size = e.integer("size"), rows = x.count() / x.shape().back();
  Tensor& y = e.out();
  for (int64_t row = 0; row < rows; ++row) {
    const std::vector<double> sums = cumulative(e, x, row, logits);
    for (int64_t i = row * size; i < (row + 1) * size; ++i) {
      const double drawn = generator.uniform(i) * sums.back();
      const auto found = std::upper_bound(sums.begin(), sums.end(), drawn);
      y.set_number(i, static_cast<double>(found - sums.begin()));
    }
  }
}

}  // namespace

OpDef random_categorical() {
  return OpDef("random_categorical")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input("mode", DType::kString, kConst | kOptional, "logits")
      .input("size", DType::kI32, kConst | kOptional, 1)
      .input("seed", DType::kI32, kConst | kOptional, -1)
      .traits(kRandom)
      .infer(infer)
      .eval(evaluate)
      .no_vjp(NoGradient::kRandom);
}

}  // namespace mw::ops
