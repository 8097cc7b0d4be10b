// The axis is found by what the begin of a written slice is made of.
#include "ops/state/places.h"

#include <algorithm>
#include <vector>

namespace mw::ops {
namespace {

using ir::Operation;
using ir::Value;

// Which elements of a vector of integers a run alone tells. Of a vector that is not put together
// here: all.
std::vector<bool> varying(const ir::Operand& begin, size_t rank) {
  if (ir::constant_of(begin) != nullptr) return std::vector<bool>(rank, false);
  const Operation* op = begin.value == nullptr ? nullptr : begin.value->producer;
  if (op == nullptr || op->type != "concat") return std::vector<bool>(rank, true);
  std::vector<bool> elements;
  for (const ir::Operand& part : op->find_input("values")->operands) {
    const ir::ConstantPtr constant = ir::constant_of(part);
    const ir::Type type = constant != nullptr ? constant->type() : part.value->type;
    const bool vector = type.is_tensor() && type.has_rank() && type.shape().size() == 1;
    const int64_t count = vector ? type.shape()[0] : 1;
    if (count < 0 || count > static_cast<int64_t>(rank)) return std::vector<bool>(rank, true);
    elements.insert(elements.end(), static_cast<size_t>(count), constant == nullptr);
  }
  return elements.size() == rank ? elements : std::vector<bool>(rank, true);
}

// The slice that is written over part of the state; null where something else makes it anew.
const Operation* slice_behind(const Value* data) {
  while (data != nullptr && data->producer != nullptr) {
    const Operation* op = data->producer;
    if (op->type == "slice_update") return op;
    if (op->type != ir::kCastOp && op->type != "identity") return nullptr;
    data = op->input("x");
  }
  return nullptr;
}

}  // namespace

std::optional<int64_t> places_of(const ir::Function& function, const std::string& name) {
  const Value* state = function.find_argument(name);
  if (state == nullptr || !state->type.is_state()) return std::nullopt;
  const Shape& shape = state->type.element().shape();
  std::optional<int64_t> places;
  for (const auto& op : function.body.ops) {
    if (op->type != "write_state" || op->input("input") != state) continue;
    for (const Operation* slice = slice_behind(op->input("data")); slice != nullptr;
         slice = slice_behind(slice->input("x"))) {
      const ir::Input* begin = slice->find_input("begin");
      if (begin == nullptr || begin->operands.empty()) continue;
      const std::vector<bool> varies = varying(begin->operands[0], shape.size());
      const Value* update = slice->input("update");
      for (size_t axis = 0; axis < shape.size(); ++axis) {
        const ir::Type* type = update == nullptr ? nullptr : &update->type;
        const bool known = type != nullptr && type->is_tensor() && type->has_rank() &&
                           type->shape().size() == shape.size();
        const bool whole = known && type->shape()[axis] == shape[axis];
        if (varies[axis] && !whole) places = std::max(places.value_or(0), shape[axis]);
      }
    }
  }
  return places;
}

}  // namespace mw::ops
