// Lion (Chen et al. 2023): the sign of a mean of gradients, and one state.
//   p -= lr (sign(b1 m + (1 - b1) g) + weight_decay p),  m = b2 m + (1 - b2) g.
#include "train/optimizers/rule.h"

namespace mw::training {

using ops::Expr;

template <>
class RuleOf<Lion> : public SettingsRule<Lion> {
 public:
  using SettingsRule::SettingsRule;

  [[nodiscard]] std::vector<State> states(const Shape& parameter) const override {
    return {{"m", parameter}};
  }

  [[nodiscard]] Results update(const Operands& o) const override {
    const double beta1 = s_.beta1, beta2 = s_.beta2;
    const Expr &g = o.gradient, &m = o.states.at("m");
    Expr direction = sign(m * beta1 + g * (1 - beta1));
    if (o.weight_decay != 0) direction = direction + o.value * o.weight_decay;
    return {o.value - direction * o.learning_rate, {{"m", m * beta2 + g * (1 - beta2)}}};
  }
};
template std::unique_ptr<UpdateRule> rule_of(const Lion& settings);

}  // namespace mw::training
