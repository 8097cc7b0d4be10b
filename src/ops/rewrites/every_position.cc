// The block's ops as far as the slice, then those that follow the same value in the other function.
#include "ops/rewrites/every_position.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "ir/names.h"
#include "ir/op_view.h"
#include "ir/rename.h"
#include "ops/weights/shared_weights.h"

namespace mw::ops {
namespace {

using ir::Operation;
using ir::Value;
using Ops = std::unordered_set<const Operation*>;

// The axis along which a slice leaves one of several positions; nothing for other ops.
std::optional<size_t> cut_axis(const Operation& op) {
  if (op.type != "slice_by_index" && op.type != "slice_by_size") return std::nullopt;
  const Value* x = op.input("x");
  if (x == nullptr || !x->type.is_static() || !op.outputs[0]->type.is_static()) return std::nullopt;
  const Shape &from = x->type.shape(), &to = op.outputs[0]->type.shape();
  std::optional<size_t> axis;
  if (from.size() != to.size()) return std::nullopt;
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] == to[i]) continue;
    if (axis || to[i] != 1) return std::nullopt;
    axis = i;
  }
  return axis;
}

// An op on the way from a weight to a value, and by which input the way comes in.
struct Step {
  const Operation* op;
  std::string input;
};

class Joiner {
 public:
  Joiner(const ir::Function& one, const ir::Function& block, const ir::Catalog& catalog)
      : one_(one),
        block_(block),
        catalog_(catalog),
        shared_(block, one),
        uses_(ir::uses_in(one.body)) {}

  std::unique_ptr<ir::Function> run() {
    if (!find_cut() || !find_same_value() || !find_head()) return nullptr;
    begin();
    ir::ValueMap map = with_arguments();
    copy_block(map);
    map[same_] = map.at(whole_);
    if (!copy_head(map)) return nullptr;
    return std::move(made_);
  }

 private:
  [[nodiscard]] bool has_effect_or_memory(const Operation& op) const {
    return !op.blocks.empty() || catalog_.at(op, block_.opset)
                                     .has_trait(ir::kReadsState | ir::kWritesState | ir::kRandom);
  }

  // The value that all results of the block are slices of.
  bool find_cut() {
    std::unordered_set<const Value*> wanted(block_.body.outputs.begin(), block_.body.outputs.end());
    for (auto at = block_.body.ops.rbegin(); at != block_.body.ops.rend(); ++at) {
      const Operation& op = **at;
      const auto is_wanted = [&](const auto& output) { return wanted.contains(output.get()); };
      if (!std::ranges::any_of(op.outputs, is_wanted)) continue;
      if (const auto axis = cut_axis(op)) {
        if (whole_ != nullptr && whole_ != op.input("x")) return false;
        whole_ = op.input("x");
        axis_ = *axis;
        continue;
      }
      if (has_effect_or_memory(op)) return false;
      for (const ir::Operand& operand : ir::operands(op)) wanted.insert(operand.value);
    }
    return whole_ != nullptr && std::ranges::none_of(block_.body.arguments, [&](const auto& value) {
             return wanted.contains(value.get());
           });
  }

  // Where the other function has that value: behind the same weight, at the same distance.
  bool find_same_value() {
    std::deque<std::pair<const Value*, std::vector<Step>>> queue = {{whole_, {}}};
    std::unordered_set<const Value*> seen;
    constexpr size_t kFarthest = 16;
    while (!queue.empty()) {
      const auto [value, way] = std::move(queue.front());
      queue.pop_front();
      const Operation* op = value->producer;
      if (op == nullptr || way.size() > kFarthest || !seen.insert(value).second) continue;
      for (const ir::Input& input : op->inputs) {
        for (const ir::Operand& operand : input.operands) {
          if (operand.value == nullptr) continue;
          std::vector<Step> longer = way;
          longer.push_back({op, input.name});
          if (const Value* found = behind(*operand.value, longer)) {
            same_ = found;
            return true;
          }
          queue.emplace_back(operand.value, std::move(longer));
        }
      }
    }
    return false;
  }

  // The value of the other function that this way from the weight leads to; null where `weight` is
  // none that both have, or the way is not there.
  const Value* behind(const Value& weight, const std::vector<Step>& way) const {
    if (weight.producer == nullptr) return nullptr;
    const std::vector<Twin> twins = shared_.twins(weight);
    if (twins.size() != 1) return nullptr;
    const Value* value = twins[0].value;
    for (auto step = way.rbegin(); step != way.rend(); ++step) {
      value = next(*value, *step);
      if (value == nullptr) return nullptr;
    }
    Shape wanted = whole_->type.shape();
    wanted[axis_] = 1;
    const bool fits = value->type.is_tensor() && value->type.has_rank() &&
                      value->type.dtype() == whole_->type.dtype() && value->type.shape() == wanted;
    return fits ? value : nullptr;
  }
  // The result of the only op of this kind that takes the value so.
  const Value* next(const Value& value, const Step& step) const {
    const auto found = uses_.find(&value);
    const Value* result = nullptr;
    if (found == uses_.end()) return nullptr;
    for (const ir::Use& use : found->second) {
      if (use.op == nullptr || use.op->type != step.op->type ||
          use.op->inputs[use.input].name != step.input) {
        continue;
      }
      if (result != nullptr || use.op->outputs.size() != 1) return nullptr;
      result = use.op->outputs[0].get();
    }
    return result;
  }

  // What the other function makes of that value, and of constants.
  bool find_head() {
    std::unordered_set<const Value*> wanted(one_.body.outputs.begin(), one_.body.outputs.end());
    for (auto at = one_.body.ops.rbegin(); at != one_.body.ops.rend(); ++at) {
      const Operation& op = **at;
      const auto is_wanted = [&](const auto& output) {
        return output.get() != same_ && wanted.contains(output.get());
      };
      if (!std::ranges::any_of(op.outputs, is_wanted)) continue;
      if (has_effect_or_memory(op)) return false;
      head_.insert(&op);
      for (const ir::Operand& operand : ir::operands(op)) wanted.insert(operand.value);
    }
    return wanted.contains(same_) &&
           std::ranges::none_of(one_.body.arguments,
                                [&](const auto& value) { return wanted.contains(value.get()); });
  }

  void begin() {
    made_ = std::make_unique<ir::Function>();
    made_->name = block_.name;
    made_->opset = block_.opset;
    made_->attributes = block_.attributes;
    for (const Value* output : one_.body.outputs) names_.take(output->name);
    for (const auto& op : block_.body.ops) {
      if (op->outputs.size() != 1) continue;
      const std::vector<Twin> twins = shared_.twins(*op->outputs[0]);
      if (twins.size() != 1) continue;
      twin_names_[op.get()] = twins[0].value->name;
      names_.take(twins[0].value->name);
    }
  }

  ir::ValueMap with_arguments() {
    ir::ValueMap map;
    for (const auto& argument : block_.body.arguments) {
      map[argument.get()] = made_->body.add_argument(argument->name, argument->type);
      names_.take(argument->name);
    }
    return map;
  }

  // What the value and the cache are made by.
  [[nodiscard]] Ops needed() const {
    Ops ops;
    std::unordered_set<const Value*> wanted = {whole_};
    for (auto at = block_.body.ops.rbegin(); at != block_.body.ops.rend(); ++at) {
      const Operation& op = **at;
      const auto is_wanted = [&](const auto& output) { return wanted.contains(output.get()); };
      const bool writes = catalog_.at(op, block_.opset).has_trait(ir::kWritesState);
      if (!writes && op.blocks.empty() && !std::ranges::any_of(op.outputs, is_wanted)) continue;
      ops.insert(&op);
      for_each_operand(op, [&](const Value* value) { wanted.insert(value); });
    }
    return ops;
  }
  template <class Visit>
  static void for_each_operand(const Operation& op, const Visit& visit) {
    for (const ir::Operand& operand : ir::operands(op)) visit(operand.value);
    for (const auto& block : op.blocks) {
      for (const auto& inner : block->ops) for_each_operand(*inner, visit);
      for (const Value* output : block->outputs) visit(output);
    }
  }

  // An op is mostly called as its result is.
  void rename(Operation& op) {
    std::unordered_map<std::string, std::string> renamed;
    ir::rename(op, [&](const std::string& name) {
      const auto [known, is_new] = renamed.try_emplace(name);
      if (is_new) known->second = names_.fresh(name);
      return known->second;
    });
  }

  void copy_block(ir::ValueMap& map) {
    const Ops ops = needed();
    for (const auto& op : block_.body.ops) {
      if (!ops.contains(op.get())) continue;
      Operation* made = ir::clone_into(*op, made_->body, map);
      if (const auto twin = twin_names_.find(op.get()); twin != twin_names_.end()) {
        ir::rename(*made, [&](const std::string&) { return twin->second; });
      } else {
        rename(*made);
      }
    }
  }

  // False where an op is not one of each position.
  bool copy_head(ir::ValueMap& map) {
    for (const auto& op : one_.body.ops) {
      if (!head_.contains(op.get())) continue;
      Operation* made = ir::clone_into(*op, made_->body, map);
      rename(*made);
      if (made->is_const()) continue;
      try {
        const auto types =
            ir::infer_results(ir::OpView(*made, catalog_.at(*made, made_->opset), made_->opset));
        for (size_t i = 0; i < types.size(); ++i) made->outputs[i]->type = types[i];
      } catch (const Error&) {
        return false;
      }
    }
    for (const Value* output : one_.body.outputs) {
      Value* made = map.at(output);
      if (!is_of_each_position(output->type, made->type)) return false;
      made->name = output->name;
      made_->body.outputs.push_back(made);
    }
    return true;
  }
  [[nodiscard]] bool is_of_each_position(const ir::Type& one, const ir::Type& every) const {
    if (!one.is_static() || !every.is_static() || one.rank() != every.rank()) return false;
    size_t differing = 0;
    for (size_t i = 0; i < one.shape().size(); ++i) {
      if (one.shape()[i] == every.shape()[i]) continue;
      ++differing;
      if (one.shape()[i] != 1 || every.shape()[i] != whole_->type.shape()[axis_]) return false;
    }
    return differing == 1;
  }

  const ir::Function &one_, &block_;
  const ir::Catalog& catalog_;
  SharedWeights shared_;
  std::unordered_map<const Value*, std::vector<ir::Use>> uses_;  // in `one`
  const Value* whole_ = nullptr;                                 // in `block`
  size_t axis_ = 0;                                              // of its positions
  const Value* same_ = nullptr;                                  // in `one`
  Ops head_;                                                     // of `one`
  std::unique_ptr<ir::Function> made_;
  ir::Names names_;
  std::unordered_map<const Operation*, std::string> twin_names_;
};

}  // namespace

std::unique_ptr<ir::Function> every_position(const ir::Function& one, const ir::Function& block,
                                             const ir::Catalog& catalog) {
  if (one.opset != block.opset) return nullptr;
  return Joiner(one, block, catalog).run();
}

}  // namespace mw::ops
