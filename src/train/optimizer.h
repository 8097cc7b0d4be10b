// Optimizer: the update of one parameter, as MIL ops. One file per optimiser in optimizers/.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "millwright/settings.hpp"
#include "ops/expr.h"

namespace mw::train {

class UpdateRule {
 public:
  virtual ~UpdateRule() = default;
  // States per parameter, of its shape, zero at first.
  [[nodiscard]] virtual std::vector<std::string> moments() const = 0;
  // Is it a mean of squares, which is never negative?
  [[nodiscard]] virtual bool is_square(const std::string& moment) const {
    (void)moment;
    return false;
  }
  // Numbers that depend on the step (1 for the first), beside the learning rate: inputs of the
  // program.
  [[nodiscard]] virtual std::vector<std::pair<std::string, double>> numbers(int64_t step) const {
    (void)step;
    return {};
  }
  [[nodiscard]] virtual float learning_rate() const = 0;
  [[nodiscard]] virtual float weight_decay() const = 0;

  struct Operands {
    ops::Expr value, gradient, learning_rate;
    std::vector<ops::Expr> moments, numbers;  // in the order of moments() and numbers()
    double weight_decay;
  };
  struct Results {
    ops::Expr value;
    std::vector<ops::Expr> moments;
  };
  [[nodiscard]] virtual Results update(const Operands& o) const = 0;
};

std::unique_ptr<UpdateRule> make_sgd(const Sgd& settings);
std::unique_ptr<UpdateRule> make_adam(const Adam& settings);
std::unique_ptr<UpdateRule> make_adamw(const AdamW& settings);
std::unique_ptr<UpdateRule> make_rule(const Optimizer& settings);

}  // namespace mw::train
