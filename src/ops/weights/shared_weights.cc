// Weights are looked up by a key, their blob or their name, and then compared.
#include "ops/weights/shared_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "ir/parameter.h"

namespace mw::ops {
namespace {

using ir::ConstantPtr;
using ir::Operation;
using ir::Use;
using ir::Value;

bool is_constexpr(const Operation& op) { return op.type.starts_with("constexpr_"); }

std::string key_of(const ir::BlobRef& ref) { return fmt::format("@{} {}", ref.offset, ref.path); }

// The first blob that a constant op is made from.
std::optional<ir::BlobRef> first_blob(const Operation& op) {
  for (const auto& [name, part] : op.attributes) {
    if (part != nullptr && part->blob_ref()) return part->blob_ref();
  }
  for (const ir::Operand& operand : ir::operands(op)) {
    if (operand.literal != nullptr && operand.literal->blob_ref()) {
      return operand.literal->blob_ref();
    }
    const Operation* producer = operand.value == nullptr ? nullptr : operand.value->producer;
    if (producer == nullptr || (!producer->is_const() && !is_constexpr(*producer))) continue;
    if (auto ref = first_blob(*producer)) return ref;
  }
  return std::nullopt;
}

std::string key_of(const Value& value) {
  const auto ref = first_blob(*value.producer);
  return ref ? key_of(*ref) : value.name;
}

bool same_part(const ConstantPtr& a, const ConstantPtr& b) {
  if (a == nullptr || b == nullptr) return a == b;
  if (a->blob_ref() || b->blob_ref()) {
    return a->type() == b->type() && a->blob_ref() == b->blob_ref();
  }
  return equal(*a, *b);
}

bool same_chain(const Operation& a, const Operation& b);

bool same_operand(const ir::Operand& a, const ir::Operand& b) {
  const ConstantPtr x = ir::constant_of(a), y = ir::constant_of(b);
  if (x != nullptr || y != nullptr) return same_part(x, y);
  const Operation *p = a.value->producer, *q = b.value->producer;
  return p != nullptr && q != nullptr && a.value->index == b.value->index && same_chain(*p, *q);
}

bool same_chain(const Operation& a, const Operation& b) {
  if (a.type != b.type || !is_constexpr(a) || a.inputs.size() != b.inputs.size()) return false;
  for (const ir::Input& input : a.inputs) {
    const ir::Input* other = b.find_input(input.name);
    if (other == nullptr || other->operands.size() != input.operands.size()) return false;
    for (size_t i = 0; i < input.operands.size(); ++i) {
      if (!same_operand(input.operands[i], other->operands[i])) return false;
    }
  }
  return std::all_of(a.attributes.begin(), a.attributes.end(), [&](const auto& row) {
    return row.first == "name" ||
           same_part(row.second, ir::find_attribute(b.attributes, row.first));
  });
}

std::string reader_of(const Use& use) {
  if (use.op == nullptr) return "output";
  return fmt::format("{} {} {}", use.op->type, use.op->inputs[use.input].name, use.operand);
}

}  // namespace

SharedWeights::Side::Side(const ir::Function& function) : uses(ir::uses_in(function.body)) {
  ir::for_each_op(function.body, [&](const Operation& op) {
    if (op.outputs.empty()) return;
    const Value& value = *op.outputs.back();
    if (op.is_const()) {
      const size_t before = parts.size();
      for (const Use& use : uses_of(value)) {
        if (use.op == nullptr || !is_constexpr(*use.op)) continue;
        parts.emplace(key_of(value), use.op->outputs.back()->name);
      }
      if (parts.size() == before) weights.emplace(key_of(value), &value);
      return;
    }
    if (is_constexpr(op)) weights.emplace(key_of(value), &value);
    const auto take = [&](const ConstantPtr& part) {
      if (part != nullptr && part->blob_ref()) parts.emplace(key_of(*part->blob_ref()), value.name);
    };
    for (const auto& [name, part] : op.attributes) take(part);
    for (const ir::Operand& operand : ir::operands(op)) take(operand.literal);
  });
  has_blobs = std::any_of(weights.begin(), weights.end(),
                          [](const auto& row) { return row.first.starts_with('@'); });
}

const std::vector<Use>& SharedWeights::Side::uses_of(const Value& value) const {
  static const std::vector<Use> kNone;
  const auto found = uses.find(&value);
  return found == uses.end() ? kNone : found->second;
}

SharedWeights::SharedWeights(const ir::Function& ours, const ir::Function& theirs)
    : ours_(ours), theirs_(theirs), related_(are_related()) {}

bool SharedWeights::are_related() const {
  if (!ours_.has_blobs && !theirs_.has_blobs) return true;
  return std::any_of(ours_.weights.begin(), ours_.weights.end(), [&](const auto& row) {
    return row.first.starts_with('@') && theirs_.weights.contains(row.first) &&
           (!row.second->producer->is_const() || ir::tie_of(*row.second));
  });
}

bool SharedWeights::is_same(const Value& ours, const Value& theirs) const {
  const ConstantPtr a = ir::constant_of(&ours), b = ir::constant_of(&theirs);
  if (a == nullptr && b == nullptr) {
    if (!same_chain(*ours.producer, *theirs.producer)) return false;
    return first_blob(*ours.producer).has_value() || is_same_by_name(ours, theirs);
  }
  if (a == nullptr || b == nullptr || !a->is_tensor() || !b->is_tensor()) return false;
  if (a->blob_ref() != b->blob_ref() || a->type().dtype() != b->type().dtype()) return false;
  if (ir::tie_of(ours)) return true;
  return is_same_by_name(ours, theirs) && bit_equal(a->value(), b->value());
}

bool SharedWeights::is_same_by_name(const Value& ours, const Value& theirs) const {
  const auto &x = ours_.uses_of(ours), &y = theirs_.uses_of(theirs);
  return related_ && ours.name == theirs.name && x.size() == y.size() &&
         std::equal(x.begin(), x.end(), y.begin(),
                    [](const Use& u, const Use& v) { return reader_of(u) == reader_of(v); });
}

std::vector<Twin> SharedWeights::twins(const Value& ours, int64_t use) const {
  std::vector<Twin> twins;
  const auto [from, to] = theirs_.weights.equal_range(key_of(ours));
  for (auto row = from; row != to; ++row) {
    if (!is_same(ours, *row->second)) continue;
    Twin twin{.value = const_cast<Value*>(row->second), .uses = theirs_.uses_of(*row->second)};
    // A single use is asked about only of a repeated number, whose readers are the same then.
    if (use >= 0) {
      twin.whole = twin.uses.size() == 1;
      twin.uses = {twin.uses.at(static_cast<size_t>(use))};
    }
    twins.push_back(std::move(twin));
  }
  return twins;
}

std::vector<std::string> SharedWeights::other_readers(const Value& ours) const {
  std::vector<std::string> names;
  const ConstantPtr constant = ir::constant_of(&ours);
  if (constant == nullptr || !constant->blob_ref()) return names;
  const auto [from, to] = theirs_.parts.equal_range(key_of(*constant->blob_ref()));
  for (auto row = from; row != to; ++row) names.push_back(row->second);
  return names;
}

}  // namespace mw::ops
