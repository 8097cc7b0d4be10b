// Stochastic gradient descent with momentum, as PyTorch and the literature since Sutskever 2013
// have it: v = momentum v + g;  p -= lr v, with Nesterov p -= lr (g + momentum v).
#include "train/optimizers/rule.h"

namespace mw::training {

using ops::Expr;

template <>
class RuleOf<Sgd> : public SettingsRule<Sgd> {
 public:
  using SettingsRule::SettingsRule;

  [[nodiscard]] std::vector<State> states(const Shape& parameter) const override {
    return s_.momentum != 0 ? std::vector<State>{{"velocity", parameter}} : std::vector<State>{};
  }

  [[nodiscard]] Results update(const Operands& o) const override {
    Expr g = o.gradient;
    if (o.weight_decay != 0) g = g + o.value * o.weight_decay;
    if (s_.momentum == 0) return {o.value - g * o.learning_rate, {}};
    const Expr velocity = o.states.at("velocity") * double{s_.momentum} + g;
    const Expr step = s_.nesterov ? g + velocity * double{s_.momentum} : velocity;
    return {o.value - step * o.learning_rate, {{"velocity", velocity}}};
  }
};
template std::unique_ptr<UpdateRule> rule_of(const Sgd& settings);

}  // namespace mw::training
