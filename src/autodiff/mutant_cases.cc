// Changing one op of a gradient at a time, and comparing with the differences again.
#include "autodiff/mutant_cases.h"

#include "autodiff/activity.h"
#include "autodiff/gradient.h"
#include "base/error.h"
#include "ops/expr.h"

namespace mw::autodiff {

using ir::Operation;
using ir::Value;

namespace {

bool is_sum(const Operation& op) { return op.type == "add" || op.type == "sub"; }

bool is_wide(const Value& value) {
  return value.type.is_tensor() && value.type.dtype() == DType::kF64;
}

bool is_zero(const Tensor& tensor) { return dot_magnitude(tensor, tensor) == 0; }

std::vector<Value*> without_absent(const std::vector<Value*>& gradients) {
  std::vector<Value*> present;
  for (Value* gradient : gradients) {
    if (gradient != nullptr) present.push_back(gradient);
  }
  return present;
}

std::string sign_of(size_t output) {
  return output == 0 ? "sign" : fmt::format("sign of result {}", output);
}

// Whether a sum without one of its terms has its type still.
bool stands_without(const Operation& op, std::string_view input) {
  const Value* other = op.input(input == "x" ? "y" : "x");
  return other != nullptr && other->type == op.outputs[0]->type;
}

}  // namespace

std::string second_order_problem(Subject& subject, const std::vector<Value*>& gradients,
                                 std::mt19937_64& random) {
  const std::vector<Value*> ends = without_absent(gradients);
  if (ends.empty()) return "";
  const auto [scalar, seeds] = weighted_sum(*subject.function, ends, random);
  std::vector<Value*> seconds;
  try {
    seconds = autodiff::gradients(*subject.function, ops::catalog(), ops::gradient_ops(), seeds,
                                  subject.wrt);
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kUnsupported) return "";
    throw;
  }
  for (size_t i = 0; i < seconds.size(); ++i) {
    if (seconds[i] == nullptr) continue;
    const Tensor second = subject.evaluate({seconds[i]})[0];
    const Tensor direction = noise(subject.wrt[i]->type.shape(), random);
    const Slopes s = slopes_of(subject, subject.wrt[i], direction, scalar);
    if (!std::isfinite(s.error) || s.kink() || s.jump) continue;
    const double along = dot(second, direction);
    const double scale = 1 + std::fabs(s.central) + dot_magnitude(second, direction);
    if (!(std::fabs(along - s.central) <= 10 * kTolerance * scale)) {
      return fmt::format("second order in '{}': {} by rule, {} by differences",
                         subject.wrt[i]->name, along, s.central);
    }
  }
  return "";
}

Mutants::Mutants(Subject& subject, const std::vector<Value*>& gradients,
                 const std::set<const Operation*>& before, const std::vector<Measured>& measured)
    : subject_(subject), gradients_(gradients), measured_(measured) {
  for (const auto& op : subject.function->body.ops) {
    if (before.contains(op.get()) || op->is_const()) continue;
    ops_.push_back(op.get());
    path_ += op->type + " ";
  }
  find_telling();
}

void Mutants::find_telling() {
  std::vector<Value*> floats;
  std::set<const Value*> used(gradients_.begin(), gradients_.end());
  for (auto op = ops_.rbegin(); op != ops_.rend(); ++op) {
    const auto& outputs = (*op)->outputs;
    const std::vector<Value*> reads = values_read_by(**op);
    if (reads.empty() || std::none_of(outputs.begin(), outputs.end(), [&](const auto& output) {
          return used.contains(output.get());
        })) {
      continue;
    }
    used.insert(reads.begin(), reads.end());
    for (const auto& output : outputs) {
      if (used.contains(output.get()) && is_wide(*output)) floats.push_back(output.get());
    }
  }
  const std::vector<Tensor> tensors = subject_.evaluate(floats);
  std::map<const Value*, bool> zero;
  for (size_t i = 0; i < floats.size(); ++i) zero[floats[i]] = is_zero(tensors[i]);
  for (const Value* value : floats) {
    const Operation& op = *value->producer;
    const auto term = is_sum(op) ? zero.find(op.input("x")) : zero.end();
    const bool cancels = term != zero.end() && !term->second;
    telling_[value] = !zero[value] || cancels;
  }
}

bool Mutants::differs(size_t which, const Tensor& gradient) const {
  return std::any_of(measured_.begin(), measured_.end(), [&](const Measured& m) {
    return subject_.wrt[which] == m.value && !compare(m.slopes, gradient, m.direction).empty();
  });
}

bool Mutants::told_apart(const std::vector<Value*>& gradients) const {
  std::vector<Tensor> tensors;
  try {
    tensors = subject_.evaluate(without_absent(gradients));
  } catch (const Error&) {
    return true;
  }
  size_t next = 0;
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i] != nullptr && differs(i, tensors[next++])) return true;
  }
  return false;
}

bool Mutants::told_by_second_order(const std::vector<Value*>& gradients) const {
  auto& ops = subject_.function->body.ops;
  const size_t count = ops.size();
  std::mt19937_64 random(count);
  const bool told = !second_order_problem(subject_, gradients, random).empty();
  while (ops.size() > count) ops.pop_back();
  return told;
}

template <class Try>
void Mutants::record(Tally& tally, const std::string& change, const Try& attempt) const {
  bool& caught = tally.caught[change + " in: " + path_];
  if (!caught) caught = attempt();
}

std::string Mutants::at(size_t index) const {
  return fmt::format(" of op {} ({})", index, ops_[index]->type);
}

void Mutants::change_gradients(Tally& tally) const {
  const std::vector<Tensor> tensors = subject_.evaluate(without_absent(gradients_));
  size_t next = 0;
  for (size_t i = 0; i < gradients_.size(); ++i) {
    if (gradients_[i] == nullptr) continue;
    const Tensor& gradient = tensors[next++];
    const Tensor none(DType::kF64, gradient.shape());
    const std::string by = fmt::format(" gradient of '{}'", subject_.wrt[i]->name);
    record(tally, "without the" + by, [&] { return differs(i, none); });
    record(tally, "sign of the" + by, [&] { return differs(i, moved(none, gradient, -1)); });
  }
}

void Mutants::drop_term(Tally& tally, size_t index, const char* input) const {
  Operation& op = *ops_[index];
  if (!stands_without(op, input)) return;
  record(tally, fmt::format("without {}", input) + at(index), [&] {
    const auto saved = op.inputs;
    op.set_input(input, {{nullptr, ir::Constant::number(DType::kF64, 0)}});
    const bool told = told_apart(gradients_);
    op.inputs = saved;
    return told;
  });
}

void Mutants::flip_sum(Tally& tally, size_t index) const {
  record(tally, "sign" + at(index), [&] {
    Operation& op = *ops_[index];
    const std::string saved = op.type;
    op.type = saved == "add" ? "sub" : "add";
    const bool told = told_apart(gradients_);
    op.type = saved;
    return told;
  });
}

void Mutants::flip_result(Tally& tally, size_t index, size_t output, bool telling) const {
  record(tally, sign_of(output) + at(index), [&] {
    ir::Block& body = subject_.function->body;
    Value* out = ops_[index]->outputs[output].get();
    const auto uses = ir::uses_in(body);
    ir::Builder b(body, ops::catalog(), subject_.function->opset);
    const auto next = std::next(std::find_if(
        body.ops.begin(), body.ops.end(), [&](const auto& o) { return o.get() == ops_[index]; }));
    if (next != body.ops.end()) b.insert_before(next->get());
    Value* flipped = (-ops::Expr(b, out)).value();
    const auto redirect = [&](Value* to) {
      const auto found = uses.find(out);
      if (found == uses.end()) return;
      for (const ir::Use& use : found->second) {
        if (use.op != nullptr) {
          use.op->inputs[use.input].operands[use.operand].value = to;
        } else if (use.block != &body) {
          use.block->outputs[use.operand] = to;
        }
      }
    };
    redirect(flipped);
    std::vector<Value*> mutated = gradients_;
    std::replace(mutated.begin(), mutated.end(), out, flipped);
    const bool told = telling ? told_apart(mutated) : told_by_second_order(mutated);
    redirect(out);
    body.ops.remove_if([&](const auto& o) { return o.get() == flipped->producer; });
    return told;
  });
}

void Mutants::run(Tally& tally) {
  change_gradients(tally);
  for (size_t index = 0; index < ops_.size(); ++index) {
    const Operation& op = *ops_[index];
    for (size_t output = 0; output < op.outputs.size(); ++output) {
      const auto found = telling_.find(op.outputs[output].get());
      if (found == telling_.end()) continue;
      if (found->second && is_sum(op)) {
        drop_term(tally, index, "x");
        drop_term(tally, index, "y");
        flip_sum(tally, index);
      } else {
        flip_result(tally, index, output, found->second);
      }
    }
  }
}

}  // namespace mw::autodiff
