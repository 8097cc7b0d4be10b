// Optimisers by their settings.
#include "train/optimizer.h"

#include <algorithm>

namespace mw::training {

std::vector<UpdateRule::Number> RuleByRank::numbers() const {
  std::vector<Number> all = of_matrices_->numbers();
  for (Number& number : of_vectors_->numbers()) all.push_back(std::move(number));
  return all;
}

std::unique_ptr<UpdateRule> make_rule(const Optimizer& settings) {
  return std::visit([](const auto& chosen) { return rule_of(chosen); }, settings);
}

}  // namespace mw::training
