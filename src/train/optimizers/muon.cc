// Muon (Jordan et al. 2024) with the step sizes of Liu et al. 2025: the momentum of a matrix, made
// orthogonal by five steps of a Newton-Schulz iteration; vectors are AdamW's.
//   m = momentum m + (1 - momentum) g,  u = (1 - momentum) g + momentum m (nesterov; else m),
//   x = u / |u|;  five times: a = x x^T,  x = 3.4445 x + (-4.775 a + 2.0315 a a) x,
//   p -= lr (0.2 sqrt(max(rows, columns)) x + weight_decay p).
// A weight of more axes is a matrix of its first axis by the rest.
#include <algorithm>
#include <cmath>

#include "train/optimizers/rule.h"

namespace mw::training {

using ops::Expr;

namespace {

constexpr int kIterations = 5;

// A matrix near the orthogonal one that is closest to x; its singular values lie around 1.
Expr orthogonal(const Expr& u) {
  const bool wide = u.shape()[0] <= u.shape()[1];
  Expr x = u / (sqrt(ops::sum_of_squares(u)) + 1e-7);
  for (int i = 0; i < kIterations; ++i) {
    const Expr a = ops::matmul(x, x, !wide, wide);  // the smaller of x x^T and x^T x
    const Expr b = a * -4.775 + ops::matmul(a, a) * 2.0315;
    x = x * 3.4445 + (wide ? ops::matmul(b, x) : ops::matmul(x, b));
  }
  return x;
}

class MatrixRule : public SettingsRule<Muon> {
 public:
  using SettingsRule::SettingsRule;

  [[nodiscard]] std::vector<State> states(const Shape& parameter) const override {
    return {{"m", parameter}};
  }

  [[nodiscard]] Results update(const Operands& o) const override {
    const double momentum = s_.momentum;
    const Shape& shape = o.value.shape();
    const Expr part = o.gradient * (1 - momentum), m = o.states.at("m") * momentum + part;
    const Expr u = s_.nesterov ? part + m * momentum : m;
    const Shape matrix = {shape[0], count_of(shape) / std::max<int64_t>(shape[0], 1)};
    const double size = 0.2 * std::sqrt(static_cast<double>(std::max(matrix[0], matrix[1])));
    Expr step = ops::reshape(orthogonal(ops::reshape(u, matrix)), shape) * size;
    if (o.weight_decay != 0) step = step + o.value * o.weight_decay;
    return {o.value - step * o.learning_rate, {{"m", m}}};
  }
};

}  // namespace

template <>
class RuleOf<Muon> : public RuleByRank {
 public:
  explicit RuleOf(const Muon& s)
      : RuleByRank(std::make_unique<MatrixRule>(s),
                   make_rule(AdamW{s.learning_rate, s.beta1, s.beta2, s.epsilon, s.weight_decay})) {
  }
};
template std::unique_ptr<UpdateRule> rule_of(const Muon& settings);

}  // namespace mw::training
