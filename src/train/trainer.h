// Trainer: runs the programs of training over one set of states.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "exec/naive.h"
#include "exec/session.h"
#include "millwright/settings.hpp"
#include "millwright/step_result.hpp"
#include "train/program.h"

namespace mw::training {

struct TrainerOptions {
  StudentOptions settings;
  std::string target;
  std::vector<Parameter> parameters;  // to be trained
  plan::Platform platform;
  int threads = 0;
  std::shared_ptr<passes::Watch> watch = nullptr;  // of all pipelines; may be null
  passes::Numerics numerics;
  std::vector<std::shared_ptr<const MappedFile>> files;
};

class Trainer {
 public:
  // `source`: the function as the file has it. Not kept.
  Trainer(const ir::Function& source, TrainerOptions options);

  // `teacher`: as the file has it; copied. `layout`: as in Recipe. Batches may also hold what a
  // teacher that runs apart says, as kTeacherClasses and kTeacherRest by their input_name().
  void set_teacher(const ir::Function& teacher, const std::string& target, double temperature,
                   double alpha, decltype(Recipe::teacher_layout) layout = nullptr);

  // Why the teacher cannot be computed from such inputs within the programs; "": it can.
  [[nodiscard]] std::string obstacle_within(const TensorMap& inputs) const;
  // What an input of the programs is called that the model does not have, as Recipe::names has it.
  [[nodiscard]] std::string input_name(const std::string& wanted) const { return named(wanted); }
  [[nodiscard]] bool holds_text(const TensorMap& inputs) const { return has_text(inputs); }

  // From now on batches may hold a text as calls.text(), [1, time], which goes through the model
  // call by call. `calls` outlives this.
  void take_texts(const TextCalls& calls);
  // A step happens or does not: when one throws, masters, moments and the step are what they were.
  // Throws invalid_argument where loss or gradients are not finite, and where no label counts.
  StepResult step(const TensorMap& batch);
  // batch(0) to batch(count - 1), each asked for when its turn comes.
  StepResult step(int64_t count, const std::function<TensorMap(int64_t)>& batch);
  // Of the mean loss, by parameter name, then "input.NAME".
  TensorMap gradients(const TensorMap& batch, StepResult& result);
  StepResult evaluate(const TensorMap& batch);
  // What is minimised over a batch like this one.
  Objective objective(const TensorMap& batch);
  // Outputs of the model with the masters as they are.
  TensorMap forward(const TensorMap& inputs);
  // What first gives a number that is not finite when the model runs op by op: "softmax
  // 'attention_3'", "parameter 'head'", or nothing.
  [[nodiscard]] std::string first_nonfinite(const TensorMap& inputs) const;

  [[nodiscard]] const std::vector<Parameter>& parameters() const { return lifted_.parameters; }
  // The master itself, not a copy.
  [[nodiscard]] const Tensor& master(const Parameter& parameter) const;
  void set_master(const Parameter& parameter, const Tensor& value);
  // Throws what set_master would.
  void check_master(const Parameter& parameter, const Tensor& value) const;
  // Masters as "NAME", moments as "NAME.MOMENT", the step as "step" (int32).
  [[nodiscard]] TensorMap state() const;
  // The same without a copy: the next step writes beside the tensors that someone still holds.
  [[nodiscard]] TensorMap snapshot() const;
  void load_state(const TensorMap& state);
  [[nodiscard]] int64_t steps_done() const { return step_; }
  // What the largest step so far takes, counted as in StudentOptions::memory; 0 before the first.
  [[nodiscard]] uint64_t step_bytes() const;
  // The plan of a program for inputs of these shapes (exec::Session::plan_text()). Labels that are
  // not among them have the shape that the target tells.
  [[nodiscard]] std::string plan_text(Kind kind, Shapes inputs);
  // Of all programs made so far.
  [[nodiscard]] uint64_t weight_bytes_held() const;

 private:
  struct Engine {
    std::unique_ptr<ir::Function> signature;
    std::unique_ptr<exec::Session> session;
    exec::RunResult result;
  };
  struct EngineKey {
    Kind kind = Kind::kForward;
    bool of_texts = false;
    Teaching teaching = Teaching::kNone;
    auto operator<=>(const EngineKey&) const = default;
  };
  Engine& engine(const EngineKey& key);
  // The one that takes these inputs.
  [[nodiscard]] EngineKey key_of(Kind kind, const TensorMap& inputs) const;
  [[nodiscard]] bool is_text(const std::string& input) const;
  template <class Map>
  [[nodiscard]] bool has_text(const Map& inputs) const {
    return text_ && inputs.contains(text_->calls->text());
  }
  [[nodiscard]] const Recipe& recipe(bool of_texts) const { return of_texts ? *text_ : recipe_; }
  void run(Kind kind, const TensorMap& inputs);
  [[nodiscard]] bool is_naive() const;
  // The batch with its labels, and what a teacher says of it, as the programs take them. Throws
  // where they do not fit the target.
  TensorMap labelled(const TensorMap& batch);
  void shape_teacher(TensorMap& inputs, const Objective& objective) const;
  // Throws where the target or the teacher's output turns out to hold probabilities.
  void expect_logits(const TensorMap& batch, const Objective& objective);
  void expect_teacher_logits(const TensorMap& inputs, int64_t classes);
  const Objective& objective_at(const Shapes& shapes);
  void clear_model_states();
  void clear_sums();
  void limit_memory(Kind kind, exec::SessionOptions& session);
  // What there is beside the working memory and the constants of a program: states, gradients that
  // are results, and the working memory of the update that follows an accumulation.
  [[nodiscard]] uint64_t bytes_beside(Kind kind) const;
  [[nodiscard]] TensorMap with_rates(TensorMap inputs) const;
  [[nodiscard]] double number(const char* name) const;  // of the last run
  StepResult finish(double loss, double count, double norm);
  [[nodiscard]] Tensor& cell(const std::string& name) const;
  [[nodiscard]] exec::StateCells cells_of_a_batch() const;
  void check_batch(const TensorMap& batch) const;

  // An input or result of the programs, as Recipe::names has it.
  [[nodiscard]] std::string named(const std::string& wanted) const {
    return recipe_.names.of(wanted);
  }

  TrainerOptions options_;
  Lifted lifted_;
  std::unique_ptr<ir::Function> student_, text_student_, teacher_;
  std::unique_ptr<UpdateRule> rule_;
  Recipe recipe_;
  std::optional<Recipe> text_;  // of texts that take several calls
  exec::States states_;
  std::map<EngineKey, Engine> engines_;
  exec::RunResult* last_ = nullptr;         // of the last run
  std::map<Shapes, Objective> objectives_;  // of the student alone
  int64_t step_ = 0;
  // As expect_logits() has it.
  bool end_is_known_ = false, teachers_end_is_known_ = false;
};

}  // namespace mw::training
