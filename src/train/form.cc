// Parts of logits joined along their classes.
#include "train/form.h"

#include "ir/names.h"
#include "lm/language_model.h"
#include "ops/catalog.h"
#include "ops/rewrites/join_outputs.h"

namespace mw::training {

Form::Form(const lm::Model& model, const ir::Function& function, const std::string& wanted,
           const lm::Target& target)
    : source_(&function), target_(target.name) {
  if (!target.best && target.parts.size() == 1) return;
  const lm::LanguageModel language(model, wanted);
  language.entry().expect_logits("training");
  const lm::CallShape call = language.shapes().smallest();
  const int64_t axis = language.layout(call).classes;
  std::vector<std::string> names;
  names.reserve(target.parts.size());
  for (const lm::TargetPart& part : target.parts) names.push_back(part.name);
  copy_ = ir::clone(function).function;
  target_ = ir::Names(copy_->body).fresh("logits");
  ops::join_outputs(*copy_, ops::catalog(), names, axis, target_);
}

}  // namespace mw::training
