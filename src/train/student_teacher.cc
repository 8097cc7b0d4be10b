// Student: whether its teacher runs within the programs of training or apart, and what it says
// then.
#include <cmath>

#include "base/error.h"
#include "base/file_digest.h"
#include "train/settings.h"
#include "train/student.h"
#include "train/teacher.h"

namespace mw::training {
namespace {

// [rows, positions, ..] with the positions first.
Tensor turned(const Tensor& given) {
  const int64_t rows = given.dim(0), positions = given.dim(1);
  const int64_t row = given.count() / (rows * positions);
  Shape shape = given.shape();
  std::swap(shape[0], shape[1]);
  Tensor tensor(DType::kF32, shape);
  for (int64_t i = 0; i < rows * positions; ++i) {
    std::copy_n(given.data<float>() + i * row, row,
                tensor.mutable_data<float>() + (i % positions * rows + i / positions) * row);
  }
  return tensor;
}

std::string tokenizer_of(const lm::Model& model) {
  try {
    return digest_of(model.tokenizer().path());
  } catch (const Error&) {
    return "none";
  }
}

}  // namespace

void Student::set_teacher(std::shared_ptr<const lm::Model> teacher, const ir::Function& function,
                          const DistillOptions& options, TeacherCache::Binding data) {
  // Its square stands in the loss.
  const float squared = options.temperature * options.temperature;
  if (!(options.temperature > 0) || squared == 0 || !std::isfinite(squared)) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected more than 0, with a square that is a float, got {}", setting("temperature"),
         options.temperature);
  }
  check(options);
  check_vocabularies(model_, *teacher);
  const lm::Target target = in_context([] { return setting("teacher"); },
                                       [&] { return teacher->target(options.target); });
  classes_.expect_same(ClassLabels(target.value));
  auto apart = in_context([] { return setting("teacher"); },
                          [&] { return std::make_unique<Teacher>(teacher, options); });
  if (!options.cache.empty()) {
    data.emplace_back("the tokenizer", tokenizer_of(model_));
    apart->keep(std::move(data));
  }
  trainer_->set_teacher(
      function, target.name, options.temperature, options.alpha,
      [this, teacher, wanted = options.target](const auto& shapes) {
        return layout_of_teacher({model_, options_.target}, {*teacher, wanted}, shapes);
      });
  teacher_ = std::move(apart);
  reasons_apart_.clear();
}

const std::string& Student::reason_apart(const TensorMap& inputs) {
  Shapes shapes;
  for (const auto& [name, tensor] : inputs) shapes[name] = tensor.shape();
  const auto known = reasons_apart_.find(shapes);
  if (known != reasons_apart_.end()) return known->second;
  std::string reason;
  if (teacher_->is_kept()) {
    reason = "what it says is kept";
  } else if (trainer_->holds_text(inputs)) {
    reason = "the student takes a window in several calls";
  } else if (teacher_->is_in_parts()) {
    reason = "its logits come in parts";
  } else {
    reason = trainer_->obstacle_within(inputs);
    if (reason.empty()) reason = difference_in_logits(inputs);
  }
  if (!reason.empty()) expect_texts(reason);
  return reasons_apart_.emplace(std::move(shapes), std::move(reason)).first->second;
}

// Between language models that take the same inputs.
std::string Student::difference_in_logits(const TensorMap& inputs) const {
  try {
    const lm::LanguageModel &ours = language(), &theirs = teacher_->language();
    const Shape& ids = inputs.at(ours.roles().ids_input().name).shape();
    const lm::CallShape call = {ids.size() == 1 ? 1 : ids[0], ids.back()};
    if (!theirs.shapes().allow(call)) {
      return fmt::format("it takes {} tokens a call", theirs.shapes().times_text());
    }
    const bool here = ours.entry().last_only(call), there = theirs.entry().last_only(call);
    if (here == there) return "";
    return fmt::format("{} logits are of the last position only", there ? "its" : "the student's");
  } catch (const Error&) {
    return "";  // what the program of the step says, in a sentence
  }
}

void Student::expect_texts(const std::string& reason) const {
  try {
    (void)language();
    (void)teacher_->language();
  } catch (const Error& e) {
    throw e.within(fmt::format("{}: {}, so it would have to run apart, from token ids",
                               setting("teacher"), reason));
  }
}

Student::Asked Student::asked_of_teacher(const TensorMap& inputs) {
  Asked asked;
  const bool calls = trainer_->holds_text(inputs);
  const std::string& name = calls ? calls_->text() : language().roles().ids_input().name;
  asked.ids = lm::rows_of(inputs.at(name)).to(DType::kI32);
  if (!calls) asked.form = label_form(asked.ids.shape());
  return asked;
}

int64_t Student::classes_of_texts() {
  if (text_classes_ == 0) text_classes_ = language().classes(language().shapes().smallest());
  return text_classes_;
}

TensorMap Student::taught(const TensorMap& batch) {
  TensorMap inputs = prepared(batch);
  if (teacher_ == nullptr || reason_apart(inputs).empty()) return inputs;
  const Asked asked = asked_of_teacher(inputs);
  Teacher::Said said = teacher_->say(asked.ids, asked.form.last_only, classes_of_texts());
  const auto add = [&](const char* name, const Tensor& tensor) {
    inputs[trainer_->input_name(name)] = asked.form.time_first ? turned(tensor) : tensor;
  };
  add(kTeacherClasses, said.classes);
  if (said.rest) add(kTeacherRest, *said.rest);
  return inputs;
}

std::string Student::teacher_note(const TensorMap& batch) {
  if (teacher_ == nullptr) return "";
  return in_model([&]() -> std::string {
    const TensorMap inputs = prepared(batch);
    const std::string& reason = reason_apart(inputs);
    if (reason.empty()) return "";
    const Asked asked = asked_of_teacher(inputs);
    const lm::CallShape shape = {asked.ids.dim(0), asked.ids.dim(1)};
    teacher_->expect(shape, asked.form.last_only, classes_of_texts());
    return fmt::format("the teacher runs apart{}: {}",
                       teacher_->manner(shape, asked.form.last_only), reason);
  });
}

}  // namespace mw::training
