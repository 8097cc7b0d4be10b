// Student: a loaded model in training. What the caller says is resolved against the model, batches
// are brought into the form that it takes, and a Trainer does the rest.
//
//   Student student({.model = model, .function = function, .platform = platform}, options);
//   StepResult r = student.step({{"input_ids", ids}, {"labels", labels}});
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "lm/language_model.h"
#include "train/class_labels.h"
#include "train/form.h"
#include "train/selection.h"
#include "train/student_adapters.h"
#include "train/teacher_cache.h"
#include "train/trainer.h"

namespace mw::training {

class Teacher;

// What a student is made of. Model and function outlive it.
struct StudentSource {
  const lm::Model& model;
  const ir::Function& function;  // as the file has it
  plan::Platform platform;
  int threads = 0;
  passes::Numerics numerics;
  std::shared_ptr<passes::Watch> watch = nullptr;  // of all pipelines; may be null
  std::vector<std::shared_ptr<const MappedFile>> files;
};

// What is said wrong in the model's own terms begins with its name.
class Student {
 public:
  Student(const StudentSource& source, const StudentOptions& options);
  ~Student();
  Student(const Student&) = delete;
  Student& operator=(const Student&) = delete;

  // `function`: of the teacher, as the file has it; copied. A teacher that takes what the student
  // takes is computed within the programs of training; any other runs apart, from token ids.
  // `data`: what the batches are taken from, for `options.cache`: its name and a digest each.
  void set_teacher(std::shared_ptr<const lm::Model> teacher, const ir::Function& function,
                   const DistillOptions& options, TeacherCache::Binding data = {});
  // How the teacher runs for such a batch, and why, in a sentence; "" where it runs within.
  std::string teacher_note(const TensorMap& batch);

  // Batches: inputs by name, with the labels as `labels`; or `input_ids` and `labels` alone.
  StepResult step(const TensorMap& batch);
  // batch(0) to batch(count - 1), each asked for when its turn comes.
  StepResult step(int64_t count, const std::function<TensorMap(int64_t)>& batch);
  TensorMap gradients(const TensorMap& batch, StepResult& result);
  StepResult evaluate(const TensorMap& batch);  // without the teacher
  // In one line; the batch tells the shapes.
  std::string objective(const TensorMap& batch);
  // The same of inputs alone, whatever labels are beside them.
  Objective objective_of_inputs(const TensorMap& inputs);
  TensorMap predict(const TensorMap& inputs);
  // Which op first gives a number that is not finite over a batch, whose labels do not count:
  // "softmax 'attention_3'", or nothing.
  [[nodiscard]] std::string first_nonfinite(const TensorMap& batch) const;
  // The plan of a program of training for such inputs, and labels where they are among them; see
  // Trainer::plan_text().
  [[nodiscard]] std::string plan_text(Kind program, const TensorMap& batch) const;

  [[nodiscard]] const lm::Model& model() const { return model_; }
  [[nodiscard]] const StudentOptions& options() const { return options_; }
  // All that the model has, trained or not.
  [[nodiscard]] const std::vector<mw::Parameter>& parameters() const {
    return selection_.parameters;
  }
  // Throws where it is not trained.
  [[nodiscard]] const Parameter& trained(const std::string& name) const;
  [[nodiscard]] const ClassLabels& classes() const { return classes_; }
  [[nodiscard]] Trainer& trainer() { return *trainer_; }
  [[nodiscard]] const Trainer& trainer() const { return *trainer_; }
  // Maybe none; lora() throws then.
  [[nodiscard]] const StudentAdapters& adapters() const { return *adapters_; }
  [[nodiscard]] const StudentAdapters& lora() const;

 private:
  void select_parameters(const StudentSource& source);
  // The labels of a batch, taken out of its tensors.
  std::optional<Tensor> take_labels(TensorMap& inputs) const;
  [[nodiscard]] Tensor labels_of(const Tensor& labels) const;
  [[nodiscard]] TensorMap prepared_inputs(
      const TensorMap& inputs) const;          // as the model wants them
  TensorMap prepared(const TensorMap& batch);  // the same, and the labels
  const lm::LanguageModel::LabelForm& label_form(const Shape& ids);
  const lm::LanguageModel& language() const;
  // Whether token ids of this shape go through the model in several calls.
  [[nodiscard]] bool takes_calls(const Shape& ids) const;
  // Throws: a text of `time` tokens goes through in one call.
  [[noreturn]] void fail_uncut(int64_t time) const;

  // The same, with what the teacher says of them where it runs apart.
  TensorMap taught(const TensorMap& batch);
  // Why the teacher runs apart for such inputs; "": it does not. Throws where it had to and cannot.
  const std::string& reason_apart(const TensorMap& inputs);
  [[nodiscard]] std::string difference_in_logits(const TensorMap& inputs) const;
  void expect_texts(const std::string& reason) const;
  // Token ids, and how labels of theirs lie.
  struct Asked {
    Tensor ids;
    lm::LanguageModel::LabelForm form;
  };
  Asked asked_of_teacher(const TensorMap& inputs);
  int64_t classes_of_texts();  // tokens that its logits tell apart

  template <class F>
  auto in_model(const F& f) const {
    return in_context([&] { return model_.name(); }, f);
  }

  const lm::Model& model_;
  StudentOptions options_;
  passes::Numerics numerics_;
  bool takes_labels_;  // as an input
  ClassLabels classes_;
  Form form_;
  Selection selection_;
  std::optional<StudentAdapters> adapters_;
  std::unique_ptr<Trainer> trainer_;
  mutable std::optional<lm::LanguageModel> language_;  // made when token ids alone are given
  mutable std::optional<TextCalls> calls_;             // made when they take several calls
  std::map<Shape, lm::LanguageModel::LabelForm> label_forms_;  // by the shape of the ids
  std::unique_ptr<Teacher> teacher_;
  std::map<Shapes, std::string> reasons_apart_;  // by the shapes of a batch
  int64_t text_classes_ = 0;                     // as classes_of_texts() has it; 0: not known
};

}  // namespace mw::training
