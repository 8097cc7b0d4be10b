// Stochastic gradient descent with momentum, as PyTorch and the literature since Sutskever 2013
// have it: v = momentum v + g;  p -= lr v, with Nesterov p -= lr (g + momentum v).
#include "train/optimizer.h"

namespace mw::train {
namespace {

using ops::Expr;

class SgdRule : public UpdateRule {
 public:
  explicit SgdRule(const Sgd& settings) : s_(settings) {}
  [[nodiscard]] std::vector<std::string> moments() const override {
    return s_.momentum != 0 ? std::vector<std::string>{"velocity"} : std::vector<std::string>{};
  }
  [[nodiscard]] float learning_rate() const override { return s_.learning_rate; }
  [[nodiscard]] float weight_decay() const override { return s_.weight_decay; }

  [[nodiscard]] Results update(const Operands& o) const override {
    Expr g = o.gradient;
    if (o.weight_decay != 0) g = g + o.value * o.weight_decay;
    if (s_.momentum == 0) return {o.value - g * o.learning_rate, {}};
    const Expr velocity = o.moments[0] * double{s_.momentum} + g;
    const Expr step = s_.nesterov ? g + velocity * double{s_.momentum} : velocity;
    return {o.value - step * o.learning_rate, {velocity}};
  }

 private:
  Sgd s_;
};

}  // namespace

std::unique_ptr<UpdateRule> make_sgd(const Sgd& settings) {
  return std::make_unique<SgdRule>(settings);
}

}  // namespace mw::train
