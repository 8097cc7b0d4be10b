// Adafactor (Shazeer and Stern 2018, algorithms 4 and 5): the squares of a matrix's gradients are
// kept as their means by row and by column.
//   b = 1 - t^-decay,  R = b R + (1 - b) mean over columns of (g^2 + 1e-30),  C by rows alike,
//   u = g / sqrt(R C / mean(R));  of a vector V = b V + (1 - b) (g^2 + 1e-30) and u = g / sqrt(V),
//   p -= max(epsilon, RMS(p)) min(lr, 1 / sqrt(t)) u / max(1, RMS(u) / clip_threshold).
// Weight decay takes lr times the decay off p first. Axes before the last two are matrices beside
// one another.
#include <cmath>

#include "train/optimizers/rule.h"

namespace mw::training {

using ops::Expr;

namespace {

constexpr double kTiny = 1e-30;  // lest a row of zeros be divided by

Expr root_mean_square(const Expr& x) {
  return sqrt(ops::sum_of_squares(x) * (1 / static_cast<double>(count_of(x.shape()))));
}

Shape with_one(Shape shape, size_t axis) {
  shape[axis] = 1;
  return shape;
}

}  // namespace

template <>
class RuleOf<Adafactor> : public SettingsRule<Adafactor> {
 public:
  using SettingsRule::SettingsRule;

  [[nodiscard]] std::vector<State> states(const Shape& parameter) const override {
    const size_t rank = parameter.size();
    if (rank < 2) return {{"v", parameter, true}};
    return {{"rows", with_one(parameter, rank - 1), true},
            {"columns", with_one(parameter, rank - 2), true}};
  }
  [[nodiscard]] std::vector<Number> numbers() const override {
    const double decay = s_.decay_rate;
    return {
        {"share_of_now",
         [decay](int64_t step) { return std::pow(static_cast<double>(step), -decay); }},
        {"largest_rate", [](int64_t step) { return 1 / std::sqrt(static_cast<double>(step)); }}};
  }

  [[nodiscard]] Results update(const Operands& o) const override {
    Expr p = o.value;
    if (o.weight_decay != 0) p = p - p * (o.learning_rate * o.weight_decay);
    const Expr squares = square(o.gradient) + kTiny, now = o.numbers.at("share_of_now");
    const auto mean = [&](const char* state, const Expr& means) {
      const Expr& before = o.states.at(state);
      return before + (means - before) * now;
    };
    Named kept;
    Expr u = o.gradient;
    if (const auto rank = static_cast<int64_t>(o.value.shape().size()); rank < 2) {
      kept.emplace("v", mean("v", squares));
      u = u / sqrt(kept.at("v"));
    } else {
      const Expr rows = mean("rows", ops::reduce_mean(squares, rank - 1));
      const Expr columns = mean("columns", ops::reduce_mean(squares, rank - 2));
      kept = {{"rows", rows}, {"columns", columns}};
      u = u / sqrt(rows / ops::reduce_mean(rows, rank - 2)) / sqrt(columns);
    }
    const Expr shrink = ops::maximum(root_mean_square(u) * (1 / double{s_.clip_threshold}), 1.0);
    const Expr size = ops::maximum(root_mean_square(o.value), double{s_.epsilon});
    const Expr rate = ops::minimum(o.learning_rate, o.numbers.at("largest_rate"));
    return {p - u * (size * rate / shrink), kept};
  }
};
template std::unique_ptr<UpdateRule> rule_of(const Adafactor& settings);

}  // namespace mw::training
