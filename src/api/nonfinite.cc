// Puts the student's weights into a copy of the function and taps every value of it.
#include "api/nonfinite.h"

#include <limits>
#include <map>

#include "api/impl.h"
#include "base/error.h"
#include "base/finite.h"
#include "exec/naive.h"
#include "lm/language_model.h"
#include "ops/catalog.h"
#include "passes/precision.h"

namespace mw {
namespace {

using BlobKey = std::pair<std::string, uint64_t>;

// Consts that show one blob record share a parameter, which has the name of one of them.
void put_weights(ir::Function& function, const StudentModel& student) {
  std::map<std::string, ir::Operation*> consts;
  std::map<BlobKey, std::vector<ir::Operation*>> shared;
  for (const auto& op : function.body.ops) {
    if (op->outputs.size() != 1) continue;
    const ir::ConstantPtr constant = ir::constant_of(op->outputs[0].get());
    if (constant == nullptr) continue;
    consts[op->outputs[0]->name] = op.get();
    if (const auto& ref = constant->blob_ref()) {
      shared[{ref->path, ref->offset}].push_back(op.get());
    }
  }
  for (const auto& [name, value] : student.state()) {
    const auto found = consts.find(name);
    if (found == consts.end()) continue;
    const ir::ConstantPtr constant = ir::constant_of(found->second->outputs[0].get());
    if (constant->type().shape() != value.shape()) continue;
    const auto weight = ir::Constant::tensor(value.to(constant->type().dtype()));
    std::vector<ir::Operation*> ops = {found->second};
    if (const auto& ref = constant->blob_ref()) ops = shared.at({ref->path, ref->offset});
    for (ir::Operation* op : ops) ir::set_attribute(op->attributes, "val", weight);
  }
}

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

std::string first_nonfinite(const CoreMLModelWrapper& model, const StudentModel& student,
                            const std::string& target, const TensorMap& batch) {
  const CoreMLModelWrapper::Impl& loaded = model.impl();
  auto function = ir::clone(function_in_training(student));
  put_weights(*function, student);
  function = passes::set_precision(*function, ops::catalog(), passes::Compute::kFp32);
  TensorMap inputs = batch;
  inputs.erase("labels");
  if (inputs.size() == 1 && inputs.begin()->first == "input_ids") {
    inputs = lm::LanguageModel(loaded, target).inputs_for(inputs.begin()->second, 0);
  }
  exec::StateCells cells;
  for (const auto& argument : function->body.arguments) {
    if (!argument->type.is_state()) continue;
    cells[argument->name] = std::make_shared<ir::StateCell>();
    cells[argument->name]->value = Tensor(argument->type.dtype(), argument->type.shape());
  }
  exec::NaiveOptions options;
  for (const auto& op : function->body.ops) {
    for (const auto& output : op->outputs) options.taps.push_back(output->name);
  }
  const auto values =
      exec::run_naive(*function, ops::catalog(), loaded.prepare(inputs), cells, options);
  // Masks hold minus infinity on purpose, so that counts only where nothing else is found.
  std::string first_negative;
  for (const auto& op : function->body.ops) {
    for (const auto& output : op->outputs) {
      const auto found = values.find(output->name);
      if (found == values.end() || found->second.list) continue;
      const Flaw flaw = flaw_of(found->second.tensor);
      if (flaw == Flaw::kNone) continue;
      std::string where = fmt::format("{} '{}'", op->type, output->name);
      if (flaw == Flaw::kOther) return where;
      if (first_negative.empty()) first_negative = where;
    }
  }
  return first_negative;
}

std::string first_nonfinite(const TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (first_not_finite(tensor)) return name;
  }
  return "";
}

}  // namespace mw
