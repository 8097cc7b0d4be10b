// UpdateRule: how an optimiser changes one parameter, as MIL ops. One file per optimiser in
// optimizers/: it defines RuleOf its settings and makes rule_of() of it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "millwright/settings.hpp"
#include "ops/expr.h"

namespace mw::training {

class UpdateRule {
 public:
  virtual ~UpdateRule() = default;

  // What is kept of a parameter from step to step, zero at first.
  struct State {
    std::string name;
    Shape shape;
    bool is_square = false;  // a mean of squares, which is never negative
  };
  [[nodiscard]] virtual std::vector<State> states(const Shape& parameter) const = 0;
  // A number that depends on the step (1 for the first): an input of the program.
  struct Number {
    std::string name;
    std::function<double(int64_t step)> at;
  };
  [[nodiscard]] virtual std::vector<Number> numbers() const { return {}; }
  [[nodiscard]] virtual float learning_rate() const = 0;
  [[nodiscard]] virtual float weight_decay() const = 0;

  using Named = std::map<std::string, ops::Expr, std::less<>>;
  struct Operands {
    ops::Expr value, gradient, learning_rate;  // the last with the schedule's factor, a scalar
    Named states, numbers;
    double weight_decay;
  };
  struct Results {
    ops::Expr value;
    Named states;
  };
  [[nodiscard]] virtual Results update(const Operands& o) const = 0;
};

// A rule with its settings.
template <class Settings>
class SettingsRule : public UpdateRule {
 public:
  explicit SettingsRule(const Settings& settings) : s_(settings) {}
  [[nodiscard]] float learning_rate() const override { return s_.learning_rate; }
  [[nodiscard]] float weight_decay() const override { return s_.weight_decay; }

 protected:
  Settings s_;
};

// One rule for parameters of at least two axes and another for the rest. Learning rate and decay
// are those of the first.
class RuleByRank : public UpdateRule {
 public:
  RuleByRank(std::unique_ptr<UpdateRule> of_matrices, std::unique_ptr<UpdateRule> of_vectors)
      : of_matrices_(std::move(of_matrices)), of_vectors_(std::move(of_vectors)) {}
  [[nodiscard]] std::vector<State> states(const Shape& parameter) const override {
    return rule(parameter).states(parameter);
  }
  [[nodiscard]] std::vector<Number> numbers() const override;
  [[nodiscard]] float learning_rate() const override { return of_matrices_->learning_rate(); }
  [[nodiscard]] float weight_decay() const override { return of_matrices_->weight_decay(); }
  [[nodiscard]] Results update(const Operands& o) const override {
    return rule(o.value.shape()).update(o);
  }

 private:
  [[nodiscard]] const UpdateRule& rule(const Shape& parameter) const {
    return parameter.size() >= 2 ? *of_matrices_ : *of_vectors_;
  }
  std::unique_ptr<UpdateRule> of_matrices_, of_vectors_;
};

// Defined for the settings of each optimiser, in its file.
template <class Settings>
class RuleOf;
template <class Settings>
std::unique_ptr<UpdateRule> rule_of(const Settings& settings);

std::unique_ptr<UpdateRule> make_rule(const Optimizer& settings);

}  // namespace mw::training
