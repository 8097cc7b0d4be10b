// What each file of this folder includes. After the definition of its RuleOf it makes rule_of():
//
//   template std::unique_ptr<UpdateRule> rule_of(const Lion& settings);
#pragma once

#include "train/optimizer.h"

namespace mw::training {

template <class Settings>
std::unique_ptr<UpdateRule> rule_of(const Settings& settings) {
  return std::make_unique<RuleOf<Settings>>(settings);
}

}  // namespace mw::training
