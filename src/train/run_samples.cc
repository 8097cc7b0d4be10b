// Texts for the report of a training run, from the model as it was and as it is.
#include <fmt/format.h>

#include <chrono>

#include "lm/sample_text.h"
#include "train/run.h"

namespace mw::training {
namespace {

// What both texts together may take of a run.
constexpr double kShare = 0.05;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

// A token forward costs at most half of what it costs to train on one, and getting a model ready no
// more than a step.
int64_t Run::sample_budget(int64_t steps, int64_t tokens_per_step) {
  constexpr auto kStepsPerText = static_cast<int64_t>(2 / kShare);
  if (steps <= kStepsPerText) return 0;
  return (steps - kStepsPerText) * tokens_per_step / (kStepsPerText / 2);
}

void Run::take_samples() {
  take_sample("Before", [&] { return files_.before(); });
  take_sample("After", [&] { return files_.written(); });
}

// Decoration: where it fails, the run does not.
void Run::take_sample(const std::string& heading,
                      const std::function<std::shared_ptr<const lm::Model>()>& model) {
  const int64_t steps = position_.step - resumed_step_;
  const double limit = now() + kShare / 2 * (position_.seconds - resumed_seconds_);
  lm::SampleOptions options;
  options.budget = sample_budget(steps, examples_per_step_ * data_.seq_len);
  options.should_stop = [&] { return now() > limit || observer_.should_stop(); };
  lm::SampledText sampled;
  try {
    if (options.budget > 0) {
      const auto loaded = model();
      sampled = lm::sample_text(*loaded, loaded->tokenizer(), student_.options().target,
                                data_.prompt, options);
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

}  // namespace mw::training
