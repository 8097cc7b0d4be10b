// Looks for the first number of the forward pass that is not finite, by tapping every value.
#include <algorithm>
#include <limits>

#include "base/finite.h"
#include "train/trainer.h"

namespace mw::training {
namespace {

enum class Flaw : uint8_t { kNone, kNegativeInfinity, kOther };

Flaw flaw_of(const Tensor& tensor) {
  Flaw flaw = Flaw::kNone;
  for (auto at = first_not_finite(tensor); at; at = first_not_finite(tensor, *at + 1)) {
    if (tensor.number_at(*at) != -std::numeric_limits<double>::infinity()) return Flaw::kOther;
    flaw = Flaw::kNegativeInfinity;
  }
  return flaw;
}

}  // namespace

std::string Trainer::first_nonfinite(const TensorMap& inputs) const {
  std::unique_ptr<ir::Function> calls;
  if (has_text(inputs)) {
    calls = ops::unroll_calls(
        *student_, *options_.platform.catalog,
        text_->calls->of(inputs.at(text_->calls->text()).shape().back(), *student_));
  }
  const ir::Function& function = calls != nullptr ? *calls : *student_;
  exec::NaiveOptions options;
  for (const auto& op : function.body.ops) {
    for (const auto& output : op->outputs) options.taps.push_back(output->name);
  }
  const auto values =
      exec::run_naive(function, *options_.platform.catalog, inputs, cells_of_a_batch(), options);
  const auto text_of = [&](const ir::Operation& op, const ir::Value& output) {
    for (const Parameter& parameter : lifted_.parameters) {
      const bool reads = std::ranges::any_of(ir::operands(op), [&](const ir::Operand& operand) {
        return operand.value != nullptr && operand.value->name == parameter.state;
      });
      if (reads) return fmt::format("parameter '{}'", parameter.name);
    }
    return fmt::format("{} '{}'", op.type, output.name);
  };
  // Masks hold minus infinity on purpose, so that counts only where nothing else is found.
  std::string first_negative;
  for (const auto& op : function.body.ops) {
    for (const auto& output : op->outputs) {
      const auto found = values.find(output->name);
      if (found == values.end() || found->second.list) continue;
      const Flaw flaw = flaw_of(found->second.tensor);
      if (flaw == Flaw::kOther) return text_of(*op, *output);
      if (flaw != Flaw::kNone && first_negative.empty()) first_negative = text_of(*op, *output);
    }
  }
  return first_negative;
}

// Those of the parameters as they are, and the model's own as they are at the beginning of a batch.
exec::StateCells Trainer::cells_of_a_batch() const {
  exec::StateCells cells;
  for (const auto& argument : student_->body.arguments) {
    if (!argument->type.is_state()) continue;
    const bool ours = std::ranges::any_of(lifted_.parameters, [&](const Parameter& parameter) {
      return parameter.state == argument->name;
    });
    cells[argument->name] = std::make_shared<ir::StateCell>();
    cells[argument->name]->value =
        ours ? cell(argument->name) : Tensor(argument->type.dtype(), argument->type.shape());
  }
  return cells;
}

}  // namespace mw::training
