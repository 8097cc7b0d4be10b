// Adam (Kingma and Ba 2014) and AdamW (Loshchilov and Hutter 2017):
//   m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g^2,
//   p -= lr (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon),
// where weight decay is added to g, or, with AdamW, takes lr times the decay off p first.
#include <cmath>

#include "train/optimizer.h"

namespace mw::train {
namespace {

using ops::Expr;

struct Settings {
  double learning_rate, beta1, beta2, epsilon, weight_decay;
  bool decoupled;
};

class AdamRule : public UpdateRule {
 public:
  explicit AdamRule(const Settings& settings) : s_(settings) {}
  [[nodiscard]] std::vector<std::string> moments() const override { return {"m", "v"}; }
  [[nodiscard]] bool is_square(const std::string& moment) const override { return moment == "v"; }
  [[nodiscard]] std::vector<std::pair<std::string, double>> numbers(int64_t step) const override {
    const auto t = static_cast<double>(step);
    return {{"first_correction", 1 / (1 - std::pow(s_.beta1, t))},
            {"second_correction", 1 / std::sqrt(1 - std::pow(s_.beta2, t))}};
  }
  [[nodiscard]] float learning_rate() const override {
    return static_cast<float>(s_.learning_rate);
  }
  [[nodiscard]] float weight_decay() const override { return static_cast<float>(s_.weight_decay); }

  [[nodiscard]] Results update(const Operands& o) const override {
    Expr g = o.gradient, p = o.value;
    if (o.weight_decay != 0) {
      if (s_.decoupled) {
        p = p - p * (o.learning_rate * o.weight_decay);
      } else {
        g = g + p * o.weight_decay;
      }
    }
    const Expr m = o.moments[0] * s_.beta1 + g * (1 - s_.beta1);
    const Expr v = o.moments[1] * s_.beta2 + g * g * (1 - s_.beta2);
    const Expr denominator = sqrt(v) * o.numbers[1] + s_.epsilon;
    return {p - m * (o.learning_rate * o.numbers[0]) / denominator, {m, v}};
  }

 private:
  Settings s_;
};

template <class T>
Settings settings_of(const T& s, bool decoupled) {
  return {s.learning_rate, s.beta1, s.beta2, s.epsilon, s.weight_decay, decoupled};
}

}  // namespace

std::unique_ptr<UpdateRule> make_adam(const Adam& settings) {
  return std::make_unique<AdamRule>(settings_of(settings, false));
}
std::unique_ptr<UpdateRule> make_adamw(const AdamW& settings) {
  return std::make_unique<AdamRule>(settings_of(settings, true));
}

std::unique_ptr<UpdateRule> make_rule(const Optimizer& settings) {
  if (const auto* sgd = std::get_if<Sgd>(&settings)) return make_sgd(*sgd);
  if (const auto* adam = std::get_if<Adam>(&settings)) return make_adam(*adam);
  return make_adamw(std::get<AdamW>(settings));
}

}  // namespace mw::train
