// with_weights(): a copy of the program whose trained constants are replaced in place.
#include "exporter/export.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "ir/op_pairs.h"
#include "ops/catalog.h"

namespace mw::exporter {
namespace {

using ir::Operation;
using ir::Value;

package::Model copy_of(const package::Model& model) {
  package::Model copy;
  copy.program = ir::clone(*model.program);
  copy.spec_version = model.spec_version;
  copy.functions = model.functions;
  copy.default_function = model.default_function;
  copy.multi_function = model.multi_function;
  copy.metadata = model.metadata;
  copy.doc_string = model.doc_string;
  copy.updatable = model.updatable;
  copy.path = model.path;
  copy.container = model.container;
  copy.weight_files = model.weight_files;
  copy.description_bytes = model.description_bytes;
  return copy;
}

// What rounding does to the change of a parameter.
std::string warning_for(const std::string& name, const Tensor& value, const Tensor& stored,
                        const Tensor& original) {
  int64_t overflowed = 0, changed = 0, vanished = 0;
  for (int64_t i = 0; i < value.count(); ++i) {
    const double v = value.number_at(i), s = stored.number_at(i), o = original.number_at(i);
    if (std::isfinite(v) && !std::isfinite(s)) ++overflowed;
    if (v != o) {
      ++changed;
      if (s == o) ++vanished;
    }
  }
  if (overflowed > 0) {
    return fmt::format("parameter '{}': {} of {} numbers overflow {}", name, overflowed,
                       value.count(), name_of(stored.dtype()));
  }
  if (changed > 0 && vanished == changed) {
    return fmt::format("parameter '{}': all {} changes are too small for {} and vanish", name,
                       changed, name_of(stored.dtype()));
  }
  return "";
}

ir::ConstantPtr constant_like(const ir::Constant& old, Tensor value) {
  if (old.blob_ref()) return ir::Constant::blob(std::move(value), *old.blob_ref());
  return ir::Constant::tensor(std::move(value));
}

// A const of its own for one use of a const that several ops share.
void split(Operation& op, const train::Lifted::Parameter& parameter, Tensor value,
           const std::vector<ir::Use>& uses) {
  const ir::Use& use = uses.at(static_cast<size_t>(parameter.use));
  const std::string name = op.outputs[0]->name + fmt::format("_trained{}", parameter.use);
  auto made = std::make_unique<Operation>();
  made->type = ir::kConstOp;
  made->parent = op.parent;
  made->attributes = {{"name", ir::Constant::string(name)},
                      {"val", ir::Constant::tensor(std::move(value))}};
  Value* out = made->add_output(name, op.outputs[0]->type);
  auto& ops = op.parent->ops;
  const auto at =
      std::find_if(ops.begin(), ops.end(), [&](const auto& o) { return o.get() == &op; });
  ops.insert(std::next(at), std::move(made));
  if (use.op != nullptr) {
    use.op->inputs[use.input].operands[use.operand].value = out;
  } else {
    use.block->outputs[use.operand] = out;
  }
}

}  // namespace

Exported with_weights(const package::Model& model, const ir::Function& function,
                      const std::vector<TrainedWeight>& weights) {
  Exported result{copy_of(model), {}};
  ir::Function* copy = result.model.program->find_function(function.name);
  MW_CHECK(copy != nullptr);
  const ir::OpPairs pairs = ir::pair_ops(function.body, copy->body);
  const auto uses = ir::uses_in(copy->body);
  for (const TrainedWeight& weight : weights) {
    const train::Lifted::Parameter& parameter = *weight.parameter;
    for (const Operation* source : parameter.consts) {
      const ir::ConstantPtr old = ir::constant_of(source->outputs[0].get());
      Tensor stored = weight.value.to(parameter.stored);
      if (bit_equal(stored, old->value())) stored = old->value();
      if (const std::string warning =
              warning_for(parameter.name, weight.value, stored, old->value());
          !warning.empty() && source == parameter.consts[0]) {
        result.warnings.push_back(warning);
      }
      if (stored.raw() == old->value().raw()) continue;
      Operation& op = *pairs.at(source);
      if (parameter.use >= 0) {
        split(op, parameter, stored.clone(), uses.at(op.outputs[0].get()));
      } else {
        ir::set_attribute(op.attributes, "val", constant_like(*old, stored.clone()));
      }
    }
  }
  return result;
}

std::vector<std::string> fuse(package::Model& model, const std::string& function,
                              const train::AdapterSet& adapters) {
  ir::Function* adapted = model.program->find_function(function);
  MW_CHECK(adapted != nullptr);
  std::vector<std::string> warnings;
  ops::fuse_adapters(*adapted, ops::catalog(), adapters.adapters, adapters.scale(),
                     [&](const ops::FusedWeight& fused) {
                       const std::string warning =
                           warning_for(fused.name, fused.exact, fused.stored, fused.original);
                       if (!warning.empty()) warnings.push_back(warning);
                     });
  model.metadata.user_defined[train::kLoraMetadata] = train::describe(adapters);
  return warnings;
}

}  // namespace mw::exporter
