// Form: the function that a student trains. Its logits are one output, also where the model gives
// them in parts.
#pragma once

#include <memory>
#include <string>

#include "lm/model.h"

namespace mw::training {

class Form {
 public:
  Form() = default;
  // `function`, which outlives this, as it is or a copy of it; `target` is an output of it as
  // `wanted` names it. Throws unsupported where the model names the likeliest tokens only.
  Form(const lm::Model& model, const ir::Function& function, const std::string& wanted,
       const lm::Target& target);

  [[nodiscard]] const ir::Function& function() const { return copy_ ? *copy_ : *source_; }
  [[nodiscard]] const std::string& target() const { return target_; }
  // An output that the model does not have: the parts together.
  [[nodiscard]] bool is_joined() const { return copy_ != nullptr; }

 private:
  const ir::Function* source_ = nullptr;
  std::unique_ptr<ir::Function> copy_;
  std::string target_;
};

}  // namespace mw::training
