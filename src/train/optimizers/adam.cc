// Adam (Kingma and Ba 2014) and AdamW (Loshchilov and Hutter 2017):
//   m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,
//   p -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon),
// where without bias correction nothing is divided by 1 - b^t, and weight decay is added to g, or,
// with AdamW, takes lr times the decay off p first.
#include <cmath>

#include "train/optimizers/rule.h"

namespace mw::training {

using ops::Expr;

template <class Settings, bool kDecoupled>
class AdamRule : public SettingsRule<Settings> {
 public:
  using Number = UpdateRule::Number;
  using State = UpdateRule::State;
  using Operands = UpdateRule::Operands;
  using Results = UpdateRule::Results;
  using SettingsRule<Settings>::SettingsRule;

  [[nodiscard]] std::vector<State> states(const Shape& parameter) const override {
    return {{"m", parameter}, {"v", parameter, true}};
  }
  [[nodiscard]] std::vector<Number> numbers() const override {
    const double beta1 = this->s_.beta1, beta2 = this->s_.beta2;
    if (!this->s_.bias_correction) return {};
    return {
        {"first_correction",
         [beta1](int64_t step) { return 1 / (1 - std::pow(beta1, static_cast<double>(step))); }},
        {"second_correction", [beta2](int64_t step) {
           return 1 / std::sqrt(1 - std::pow(beta2, static_cast<double>(step)));
         }}};
  }

  [[nodiscard]] Results update(const Operands& o) const override {
    const double beta1 = this->s_.beta1, beta2 = this->s_.beta2, epsilon = this->s_.epsilon;
    Expr g = o.gradient, p = o.value;
    if (o.weight_decay != 0) {
      if (kDecoupled) {
        p = p - p * (o.learning_rate * o.weight_decay);
      } else {
        g = g + p * o.weight_decay;
      }
    }
    const Expr m = o.states.at("m") * beta1 + g * (1 - beta1);
    const Expr v = o.states.at("v") * beta2 + g * g * (1 - beta2);
    if (!this->s_.bias_correction) {
      return {p - m * o.learning_rate / (sqrt(v) + epsilon), {{"m", m}, {"v", v}}};
    }
    const Expr denominator = sqrt(v) * o.numbers.at("second_correction") + epsilon;
    return {p - m * (o.learning_rate * o.numbers.at("first_correction")) / denominator,
            {{"m", m}, {"v", v}}};
  }
};

template <>
class RuleOf<Adam> : public AdamRule<Adam, false> {
  using AdamRule::AdamRule;
};
template <>
class RuleOf<AdamW> : public AdamRule<AdamW, true> {
  using AdamRule::AdamRule;
};
template std::unique_ptr<UpdateRule> rule_of(const Adam& settings);
template std::unique_ptr<UpdateRule> rule_of(const AdamW& settings);

}  // namespace mw::training
