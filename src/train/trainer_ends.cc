// Outputs whose end does not tell logits from probabilities: their numbers do, before a first loss.
#include <array>

#include "base/error.h"
#include "base/probabilities.h"
#include "train/pipeline.h"
#include "train/trainer.h"

namespace mw::training {
namespace {

// Fewer may look like probabilities by chance.
constexpr int64_t kEnoughRows = 8;
// What floats of a batch are multiplied by to get more rows.
constexpr std::array<double, 3> kFactors = {1, -2, 0.5};

TensorMap scaled(const TensorMap& batch, double factor) {
  TensorMap all = batch;
  for (auto& [name, tensor] : all) {
    if (factor == 1 || !is_float(tensor.dtype())) continue;
    tensor = tensor.clone();
    for (int64_t i = 0; i < tensor.count(); ++i) {
      tensor.set_number(i, factor * tensor.number_at(i));
    }
  }
  return all;
}

// `give`: an output of `shape` for inputs. Rows are along `axis`.
template <class Give>
bool gives_probabilities(const TensorMap& inputs, const Shape& shape, int64_t axis,
                         const Give& give) {
  const bool enough = count_of(shape) / shape[static_cast<size_t>(axis)] >= kEnoughRows;
  for (const double factor : kFactors) {
    if (factor != 1 && enough) break;
    try {
      if (!hold_probabilities(give(scaled(inputs, factor)).reshaped(shape), axis)) return false;
    } catch (const Error&) {
      // The step says so; and other inputs than the batch's may be none that the model takes.
      if (factor == 1) return false;
    }
  }
  return true;
}

[[noreturn]] void reject(const std::string& output) {
  fail(
      ErrorCode::kInvalidArgument,
      "{}: expected logits or a softmax for cross entropy, got probabilities made in a way that is "
      "not known (each row lies between 0 and 1 and sums up to 1); name the output before it as "
      "the target, or make the loss an output of the model and train on that (loss output)",
      output);
}

}  // namespace

void Trainer::expect_logits(const TensorMap& batch, const Objective& objective) {
  if (recipe_.loss.loss != Loss::kCrossEntropy) return;
  const bool inside = key_of(Kind::kStep, batch).teaching == Teaching::kInside;
  if (end_is_known_ && (teachers_end_is_known_ || !inside)) return;
  TensorMap inputs = batch;
  inputs.erase(kLabels);
  for (const char* name : {kTeacherClasses, kTeacherRest}) inputs.erase(named(name));
  if (!end_is_known_ && objective.ends_unknown) {
    const EngineKey forward_key = key_of(Kind::kForward, inputs);
    const bool had_forward = engines_.contains(forward_key);
    const std::string target = recipe(has_text(inputs)).target;
    Shape shape = objective.labels;
    shape.insert(shape.begin() + *objective.class_axis, objective.classes);
    const bool found =
        gives_probabilities(inputs, shape, *objective.class_axis,
                            [&](const TensorMap& given) { return forward(given).at(target); });
    if (!had_forward) engines_.erase(forward_key);
    if (found) reject(fmt::format("output '{}'", target));
  }
  end_is_known_ = true;
  if (!inside) return;
  expect_teacher_logits(inputs, objective.classes);
  teachers_end_is_known_ = true;
}

// Its classes may lie on any axis of as many.
void Trainer::expect_teacher_logits(const TensorMap& inputs, int64_t classes) {
  Shapes shapes;
  TensorMap theirs;
  for (const auto& argument : teacher_->body.arguments) {
    const auto found = inputs.find(argument->name);
    if (found == inputs.end()) return;  // the program says so
    theirs.insert(*found);
    shapes[argument->name] = found->second.shape();
  }
  const auto specialised = [this](const Shapes& at) {
    return prediction_at(recipe_, *teacher_, at);
  };
  const auto function = specialised(shapes);
  const Target target =
      target_of(recipe_.teacher_target, output_named(*function, recipe_.teacher_target, "teacher"),
                *options_.platform.catalog);
  if (target.end.kind != ops::End::Kind::kPlain || target.end.of_layer) return;
  exec::SessionOptions session_options;
  session_options.threads = options_.threads;
  session_options.naive = is_naive();
  session_options.files = options_.files;
  session_options.watch = options_.watch;
  exec::Session session(*teacher_, specialised, options_.platform, session_options);
  exec::States states;
  const auto give = [&](const TensorMap& given) {
    const ir::Datum datum = session.run(given, &states).outputs.at(recipe_.teacher_target);
    return datum.list ? (*datum.list)[1] : datum.tensor;
  };
  for (size_t axis = 0; axis < target.shape().size(); ++axis) {
    if (target.shape()[axis] != classes) continue;
    if (!gives_probabilities(theirs, target.shape(), static_cast<int64_t>(axis), give)) continue;
    reject(fmt::format("teacher: output '{}'", recipe_.teacher_target));
  }
}

}  // namespace mw::training
