// Texts for the report of a training run, from the model as it was and as it is.
#include <fmt/format.h>

#include <chrono>

#include "api/impl.h"
#include "api/training_run.h"
#include "lm/sample_text.h"

namespace mw {
namespace {

// What both texts together may take of a run.
constexpr double kShare = 0.05;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

// A token forward costs at most half of what it costs to train on one, and getting a model ready no
// more than a step.
int64_t TrainingRun::sample_budget(int64_t steps, int64_t tokens_per_step) {
  constexpr auto kStepsPerText = static_cast<int64_t>(2 / kShare);
  if (steps <= kStepsPerText) return 0;
  return (steps - kStepsPerText) * tokens_per_step / (kStepsPerText / 2);
}

void TrainingRun::take_samples() {
  take_sample("Before", [&] { return model_; });
  take_sample("After", [&] {
    LoadOptions options;
    options.function = model_.function();
    options.device = model_.impl().options.device;
    options.tokenizer = model_.tokenizer().path();
    const bool alone = settings_.adapter == settings_.output;
    if (alone) options.adapter = settings_.adapter;
    return CoreMLModelWrapper::load(alone ? model_.path() : settings_.output, options);
  });
}

// Decoration: where it fails, the run does not.
void TrainingRun::take_sample(const std::string& heading,
                              const std::function<CoreMLModelWrapper()>& model) {
  const int64_t steps = position_.step - resumed_step_;
  const double limit = now() + kShare / 2 * (position_.seconds - resumed_seconds_);
  lm::SampleOptions options;
  options.budget = sample_budget(steps, examples_per_step_ * data_.seq_len);
  options.should_stop = [&] { return now() > limit || observer_.should_stop(); };
  lm::SampledText sampled;
  try {
    if (options.budget > 0) {
      const CoreMLModelWrapper loaded = model();
      sampled = lm::sample_text(loaded.impl(), loaded.tokenizer(), settings_.target, data_.prompt,
                                options);
    }
    if (sampled.tokens_run == 0) {
      sampled.text =
          fmt::format("(no text: {} step{} leave no time for one)", steps, steps == 1 ? "" : "s");
    }
  } catch (const std::exception& e) {
    observer_.note(fmt::format("no text for the report: {}", e.what()));
    sampled.text = "(no text)";
  }
  samples_.push_back({heading, sampled.prompt, sampled.text});
}

}  // namespace mw
