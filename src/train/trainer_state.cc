// What a Trainer gives and takes as its state: masters, moments and the step.
#include <cmath>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/finite.h"
#include "train/trainer.h"

namespace mw::training {
namespace {

int64_t step_in(const Tensor& value) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max() - 1;
  const bool whole = value.dtype() != DType::kString && !is_float(value.dtype());
  const int64_t step = whole ? value.integer_at(0) : -1;
  if (step >= 0 && step <= kMost) return step;
  fail(ErrorCode::kInvalidArgument,
       "training state: 'step': expected a whole number from 0 to {}, got {}", kMost,
       whole ? std::to_string(step) : name_of(value.dtype()));
}

// What Adam and its like keep of past gradients; with anything else the next step would be NaN.
void check_kept(const std::string& name, const Tensor& value, bool is_square) {
  if (!is_float(value.dtype())) {
    fail(ErrorCode::kInvalidArgument, "training state: '{}': expected floats, got {}", name,
         name_of(value.dtype()));
  }
  if (const auto at = first_not_finite(value)) {
    fail(ErrorCode::kInvalidArgument, "training state: '{}': expected finite numbers, got {}", name,
         not_finite_text(value, *at));
  }
  for (int64_t i = 0; is_square && i < value.count(); ++i) {
    if (value.number_at(i) >= 0) continue;
    fail(ErrorCode::kInvalidArgument,
         "training state: '{}': expected numbers of at least 0, got {} at {}", name,
         value.number_at(i), i);
  }
}

}  // namespace

const Tensor& Trainer::master(const Parameter& parameter) const { return cell(parameter.state); }

void Trainer::check_master(const Parameter& parameter, const Tensor& value) const {
  if (value.shape() != parameter.shape || !is_float(value.dtype())) {
    fail(ErrorCode::kInvalidArgument, "parameter '{}': expected floats of shape {}, got {} {}",
         parameter.name, to_string(parameter.shape), name_of(value.dtype()),
         to_string(value.shape()));
  }
  // A model may hold infinities from the beginning (a mask that is trained).
  const Tensor &kept = value.to(recipe_.dtype()), &before = master(parameter);
  for (auto at = first_not_finite(kept); at; at = first_not_finite(kept, *at + 1)) {
    if (kept.number_at(*at) == before.number_at(*at)) continue;
    const bool overflows = std::isfinite(value.number_at(*at));
    fail(ErrorCode::kInvalidArgument, "parameter '{}': expected finite numbers, got {}{}",
         parameter.name, not_finite_text(kept, *at),
         overflows
             ? fmt::format(", which {} is in {}", value.number_at(*at), name_of(recipe_.dtype()))
             : "");
  }
}

void Trainer::set_master(const Parameter& parameter, const Tensor& value) {
  check_master(parameter, value);
  Tensor kept = value.to(recipe_.dtype());
  cell(parameter.state) = kept.raw() == value.raw() ? kept.clone() : std::move(kept);
}

TensorMap Trainer::state() const {
  TensorMap all = snapshot();
  for (auto& [name, tensor] : all) tensor = tensor.clone();
  return all;
}

TensorMap Trainer::snapshot() const {
  TensorMap all;
  all["step"] = Tensor::scalar(static_cast<int32_t>(step_));
  for (const auto& parameter : lifted_.parameters) {
    all[parameter.name] = cell(parameter.state);
    for (const auto& kept : rule_->states(parameter.shape)) {
      all[parameter.name + "." + kept.name] = cell(recipe_.state_name(parameter, kept.name));
    }
  }
  return all;
}

void Trainer::load_state(const TensorMap& state) {
  const auto want = [&](const std::string& name, const Shape& shape) -> const Tensor& {
    const auto found = state.find(name);
    if (found == state.end()) {
      fail(ErrorCode::kInvalidArgument,
           "training state: '{}' is missing; it belongs to another model or optimiser", name);
    }
    if (found->second.shape() != shape) {
      fail(ErrorCode::kInvalidArgument, "training state: '{}': expected shape {}, got {}", name,
           to_string(shape), to_string(found->second.shape()));
    }
    return found->second;
  };
  // All is checked before anything changes.
  const int64_t step = step_in(want("step", {}));
  std::set<std::string> known = {"step"};
  for (const auto& parameter : lifted_.parameters) {
    check_master(parameter, want(parameter.name, parameter.shape));
    known.insert(parameter.name);
    for (const auto& kept : rule_->states(parameter.shape)) {
      const std::string name = parameter.name + "." + kept.name;
      check_kept(name, want(name, kept.shape), kept.is_square);
      known.insert(name);
    }
  }
  for (const auto& [name, tensor] : state) {
    if (known.contains(name)) continue;
    fail(ErrorCode::kInvalidArgument,
         "training state: '{}' is unknown; it belongs to another model or optimiser", name);
  }
  step_ = step;
  for (const auto& parameter : lifted_.parameters) {
    set_master(parameter, want(parameter.name, parameter.shape));
    for (const auto& kept : rule_->states(parameter.shape)) {
      const Tensor& value = want(parameter.name + "." + kept.name, kept.shape);
      cell(recipe_.state_name(parameter, kept.name)) = value.to(recipe_.dtype()).clone();
    }
  }
}

}  // namespace mw::training
