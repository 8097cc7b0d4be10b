// Finding the uses of weights that adapters can stand beside.
#include "adapters/sites.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "ir/parameter.h"

namespace mw::adapters {
namespace {

using ir::OpDef;
using ir::Operation;
using ir::Value;

using Uses = std::unordered_map<const Value*, std::vector<ir::Use>>;

// Collects the sites of one weight, or the reason why there are none.
class Finder {
 public:
  Finder(const ir::Function& function, const ir::Catalog& catalog, const Uses& uses,
         AdaptableWeight& weight)
      : opset_(function.opset), catalog_(catalog), uses_(uses), weight_(weight) {}

  void follow(const Value& value) {
    const auto found = uses_.find(&value);
    if (found == uses_.end()) return;
    for (const ir::Use& use : found->second) {
      if (use.op == nullptr) {
        refuse("it is passed to the output of a block");
      } else if (use.op->type == ir::kCastOp && is_float(use.op->outputs[0]->type.dtype())) {
        follow(*use.op->outputs[0]);
      } else {
        visit(use);
      }
    }
  }

 private:
  // A const or a compressed one, also behind casts.
  [[nodiscard]] bool is_constant(const ir::Operand& operand) const {
    const Value* value = operand.value;
    while (value != nullptr && value->producer != nullptr && value->producer->type == ir::kCastOp) {
      value = value->producer->input("x");
    }
    if (value == nullptr) return true;
    if (value->producer == nullptr) return false;
    const OpDef* def = catalog_.find(value->producer->type, opset_);
    return value->producer->is_const() || (def != nullptr && def->has_trait(ir::kConstexpr));
  }

  void refuse(std::string reason) {
    if (weight_.obstacle.empty()) weight_.obstacle = std::move(reason);
  }

  void visit(const ir::Use& use) {
    const Operation& op = *use.op;
    const std::string& input = op.inputs[use.input].name;
    const OpDef* def = catalog_.find(op.type, opset_);
    const ir::AdapterRule* rule = def == nullptr ? nullptr : def->find_adapter(input);
    if (rule == nullptr) return refuse(fmt::format("it is used as {} of {}", input, op.type));
    const std::string obstacle = rule->obstacle == nullptr ? "" : rule->obstacle(op);
    return obstacle.empty() ? beside(use, *rule) : refuse(obstacle);
  }

  void beside(const ir::Use& use, const ir::AdapterRule& rule) {
    const Operation& op = *use.op;
    const ir::Input* x = op.find_input(rule.data);
    const bool constant = x == nullptr || x->operands.empty() || is_constant(x->operands[0]);
    if (constant) return refuse(fmt::format("{} '{}' has constants only", op.type, op.name()));
    if (!rule.has_kernel && weight_.type().rank() != 2) {
      return refuse(fmt::format("{} '{}' takes it as a stack of matrices", op.type, op.name()));
    }
    const ir::Type& type = x->operands[0].value->type;
    if (!type.is_tensor() || !type.has_rank() || !is_float(type.dtype()) || op.outputs.empty() ||
        !op.outputs[0]->type.has_rank()) {
      return refuse(fmt::format("the rank of {} '{}' is not known", op.type, op.name()));
    }
    const bool outputs_first = rule.outputs_first == nullptr || rule.outputs_first(op);
    weight_.sites.push_back({use.op, use.input, &rule, outputs_first});
  }

  ir::Opset opset_;
  const ir::Catalog& catalog_;
  const Uses& uses_;
  AdaptableWeight& weight_;
};

// One weight per blob; other values are weights of their own, and so is one repeated number.
std::string key_of(const ops::ParameterInfo& info) {
  const auto tie = ir::tie_of(*info.value);
  if (!tie) return fmt::format("{}", fmt::ptr(info.value));
  return fmt::format("{} {} {}", tie->path, tie->offset, info.value->type.str());
}

}  // namespace

Shape AdaptableWeight::shape_of_a(int64_t rank) const {
  Shape shape = type().shape();
  if (!outputs_first()) std::swap(shape[0], shape[1]);
  shape[0] = rank;
  return shape;
}

Shape AdaptableWeight::shape_of_b(int64_t rank) const {
  Shape shape(type().shape().size(), 1);
  shape[0] = type().shape()[outputs_first() ? 0 : 1];
  shape[1] = rank;
  return shape;
}

int64_t AdaptableWeight::full_rank() const {
  return std::min(count_of(shape_of_a(1)), count_of(shape_of_b(1)));
}

namespace {

std::vector<AdaptableWeight> weights_among(const std::vector<ops::ParameterInfo>& infos,
                                           const ir::Function& function,
                                           const ir::Catalog& catalog) {
  std::vector<AdaptableWeight> weights;
  std::map<std::string, size_t> known;
  const Uses uses = ir::uses_in(function.body);
  for (const ops::ParameterInfo& info : infos) {
    const ir::Type& type = info.value->type;
    if (!type.is_tensor() || !is_float(type.dtype())) continue;
    const auto [place, first] = known.try_emplace(key_of(info), weights.size());
    if (first) weights.emplace_back();
    AdaptableWeight& weight = weights[place->second];
    weight.values.push_back(const_cast<Value*>(info.value));
    weight.names.push_back(info.name);
    if (!type.is_static()) {
      weight.obstacle = "its shape is not known";
    } else {
      Finder(function, catalog, uses, weight).follow(*info.value);
    }
  }
  std::set<std::string> names;
  for (AdaptableWeight& weight : weights) {
    if (!weight.sites.empty()) {
      // Branches may use a name twice.
      const bool first = names.insert(weight.name()).second;
      weight.obstacle = first ? "" : "another weight has its name";
    } else if (weight.obstacle.empty()) {
      weight.obstacle = "nothing uses it";
    }
  }
  return weights;
}

}  // namespace

std::vector<AdaptableWeight> adaptable_weights(const ir::Function& function,
                                               const ir::Catalog& catalog) {
  return weights_among(ops::parameters_of(function, catalog), function, catalog);
}

std::vector<ops::ParameterInfo> parameters_of(const ir::Function& function,
                                              const ir::Catalog& catalog) {
  std::vector<ops::ParameterInfo> infos = ops::parameters_of(function, catalog);
  std::set<const Value*> adaptable;
  for (const AdaptableWeight& weight : weights_among(infos, function, catalog)) {
    if (weight.obstacle.empty()) adaptable.insert(weight.values.begin(), weight.values.end());
  }
  for (ops::ParameterInfo& info : infos) {
    if (info.compressed && adaptable.contains(info.value)) info.reason += "; LoRA can adapt it";
  }
  return infos;
}

}  // namespace mw::adapters
