// Run: validations, the best of them, and when there have been enough without a better one.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "train/run.h"

namespace mw::training {

namespace fs = std::filesystem;

bool Run::evaluation_is_due() const {
  if (data_.valid == nullptr) return false;
  return position_.step == plan_.settings.steps ||
         (plan_.settings.eval_every > 0 && position_.step % plan_.settings.eval_every == 0);
}

std::optional<double> Run::evaluate(const Dataset& dataset, const std::optional<int64_t>& batches) {
  const int64_t asked =
      batches ? std::min(dataset.size(), *batches * data_.batch_size) : dataset.size();
  double sum = 0;
  int64_t count = 0;
  for (int64_t at = 0; at < asked; at += data_.call_size) {
    if (observer_.should_stop()) return std::nullopt;
    std::vector<int64_t> examples;
    for (int64_t i = at; i < std::min(at + data_.call_size, asked); ++i) {
      examples.push_back(i);
    }
    if (dataset.can_pad()) examples.resize(static_cast<size_t>(data_.call_size), -1);
    if (data_.fixed_calls && static_cast<int64_t>(examples.size()) < data_.call_size) break;
    const StepResult result = student_.evaluate(dataset.batch(examples));
    sum += result.loss * static_cast<double>(result.tokens);
    count += result.tokens;
    observer_.evaluated(std::min(at + data_.call_size, asked), asked);
  }
  if (count == 0) {
    fail(ErrorCode::kInvalidArgument,
         "validation: expected labels that count, got none among {} examples{}", asked,
         data_.fixed_calls ? fmt::format(", of which the model takes {} at a time", data_.call_size)
                           : "");
  }
  return sum / static_cast<double>(count);
}

void Run::take_valid_loss(StepRecord& record) {
  const std::optional<double> loss = evaluate(*data_.valid, plan_.settings.eval_batches);
  if (!loss) return;
  if (!std::isfinite(*loss)) {
    std::vector<int64_t> all(static_cast<size_t>(data_.valid->size()));
    std::iota(all.begin(), all.end(), 0);
    if (const auto place = data_.valid->not_finite(all)) {
      fail(ErrorCode::kInvalidArgument, "{}", *place);
    }
    fail(ErrorCode::kInvalidArgument,
         "step {}: the validation loss is not finite; lower {} or set {}, and look at the "
         "validation data",
         position_.step, setting("learning_rate"), setting("clip_norm"));
  }
  record.valid_loss = report_.valid_loss = loss;
  position_.validated_step = position_.step;
  if (position_.best_loss && *loss >= *position_.best_loss) {
    ++position_.stale;
    return;
  }
  position_.stale = 0;
  position_.best_loss = loss;
  position_.best_step = position_.step;
  write_checkpoint(folder_ / kBestCheckpoint, {student_.trainer().snapshot(), position_});
}

bool Run::is_out_of_patience() const {
  return plan_.settings.patience && position_.stale >= *plan_.settings.patience;
}

bool Run::has_steps_left() const {
  return plan_.settings.steps > position_.step && !is_out_of_patience();
}

void Run::check_patience() const {
  if (!plan_.settings.patience) return;
  if (data_.valid == nullptr) {
    fail(ErrorCode::kInvalidArgument, "{}: expected {} beside it, got none", setting("patience"),
         setting("eval_data"));
  }
  if (plan_.settings.eval_every == 0) {
    fail(ErrorCode::kInvalidArgument, "{}: expected validations on the way, got {} 0",
         setting("patience"), setting("eval_every"));
  }
}

void Run::carry_best(const Checkpoint& checkpoint, const fs::path& from) {
  if (!position_.best_loss) return;
  const fs::path own = folder_ / kBestCheckpoint;
  const auto holds_best = [&](const Checkpoint& best) {
    return best.position.step == position_.best_step;
  };
  if (const auto best = find_checkpoint(own); best && holds_best(*best)) return;
  if (holds_best(checkpoint)) {
    write_checkpoint(own, checkpoint);
    return;
  }
  const auto beside = find_checkpoint(from.parent_path() / kBestCheckpoint);
  if (beside && holds_best(*beside)) {
    write_checkpoint(own, *beside);
    return;
  }
  observer_.note(fmt::format(
      "the best weights so far, those of step {}, are not in {}: from here on the best is sought "
      "anew",
      position_.best_step, fs::path(from).replace_filename(kBestCheckpoint).string()));
  position_.best_loss.reset();
  position_.best_step = 0;
  position_.stale = 0;
}

void Run::take_best() {
  report_.written_step = position_.step;
  if (!plan_.settings.patience || !position_.best_loss) return;
  report_.stopped_early = is_out_of_patience() && position_.step < plan_.settings.steps;
  const fs::path path = folder_ / kBestCheckpoint;
  if (position_.best_step != position_.step) {
    const Checkpoint best = read_checkpoint(path);
    if (best.position.step != position_.best_step) {
      fail(ErrorCode::kInvalidArgument,
           "{}: expected the weights of step {}, the best of this run, got those of step {}; go on "
           "from another checkpoint, or start anew with {}",
           path.string(), position_.best_step, best.position.step, setting("overwrite"));
    }
    in_context([&] { return path.string(); }, [&] { student_.trainer().load_state(best.state); });
    report_.written_step = position_.best_step;
  }
  observer_.note(fmt::format(
      "{}the weights written are those of step {}, whose validation loss of {} is the best",
      report_.stopped_early ? fmt::format("stopped after step {}: no new best in {} validations; ",
                                          position_.step, position_.stale)
                            : "",
      position_.best_step, fmt::format("{:.4f}", *position_.best_loss)));
}

}  // namespace mw::training
