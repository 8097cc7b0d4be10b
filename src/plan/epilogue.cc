// Epilogue: followers, one after the other, as long as each is the only user of what is before it.
#include "plan/epilogue.h"

#include <utility>

#include "ir/apart.h"
#include "plan/account.h"

namespace mw::plan {
namespace {

// The axis of `wanted` that is axis `i` of `place`; nullopt: none.
std::optional<size_t> axis_in(const Place& wanted, const Place& place, size_t i) {
  std::optional<size_t> match;
  for (size_t k = 0; k < wanted.shape.size(); ++k) {
    if (wanted.shape[k] == place.shape[i] && wanted.strides[k] == place.strides[i]) match = k;
  }
  return match;
}

}  // namespace

bool is_apart(const ir::Value* value) {
  return value->producer != nullptr &&
         ir::find_attribute(value->producer->attributes, ir::kApart) != nullptr;
}

// Null when there are several or it leaves.
const ir::Operation* Epilogue::only_user() const {
  const ir::Use* use = is_apart(result_) ? nullptr : block_.only_use(result_);
  if (use == nullptr || use->op == nullptr) return nullptr;
  if (horizon_ != kNoHorizon && block_.order_of(use->op) >= horizon_) return nullptr;
  return use->op;
}

// The same, where its result has the type of what it uses and nobody else sees the latter.
const ir::Operation* Epilogue::sole_follower() const {
  const ir::Operation* user = only_user();
  if (user == nullptr || user->parent != &block_.block() || user->outputs.size() != 1) {
    return nullptr;
  }
  return block_.is_tapped(*result_) || !(user->outputs[0]->type == result_->type) ? nullptr : user;
}

void Epilogue::take(const ir::Operation& user, std::string text) {
  result_ = user.outputs[0].get();
  taken_.push_back({&user, std::move(text)});
}

std::optional<Tensor> Epilogue::take_bias(int64_t width) {
  const ir::Operation* user = sole_follower();
  if (user == nullptr || !block_.op_plans().of(user->type).adds) return std::nullopt;
  Frozen& frozen = values_.frozen();
  for (const ir::Operand& operand : ir::operands(*user)) {
    // An operand that comes later has not been seen: only literals and constants before this op
    // are known to be frozen.
    if (operand.value == result_ || !frozen.holds(operand)) continue;
    const Shape& shape =
        operand.literal != nullptr ? operand.literal->type().shape() : operand.value->type.shape();
    if (shape.empty() || shape.back() != width || count_of(shape) != width) continue;
    Tensor bias = operand.literal != nullptr ? operand.literal->value()
                                             : frozen.tensor(operand.value, values_.plan());
    if (bias.dtype() != DType::kF32) continue;
    take(*user, "add");
    return bias;
  }
  return std::nullopt;
}

std::optional<Activation> Epilogue::take_activation(const std::function<bool(RowOp)>& can) {
  const ir::Operation* user = sole_follower();
  if (user == nullptr) return std::nullopt;
  const ActivationRule& rule = block_.op_plans().of(user->type).activation;
  if (!rule) return std::nullopt;
  const std::optional<Activation> activation = rule(block_.view(*user, &values_.frozen()), result_);
  if (!activation || !can(activation->op)) return std::nullopt;
  take(*user, block_.request().described ? text_of(*activation) : "");
  return activation;
}

bool Epilogue::take_rounding(DType dtype) {
  const ir::Operation* user = only_user();
  if (user == nullptr || user->parent != &block_.block() || user->type != ir::kCastOp) return false;
  if (block_.is_tapped(*result_) || !(user->outputs[0]->type == result_->type.with_dtype(dtype))) {
    return false;
  }
  take(*user, block_.request().described ? std::string(name_of(dtype)) : "");
  return true;
}

Strides Epilogue::order_for_view(const Place& place) const {
  const ir::Operation* user = only_user();
  if (user == nullptr) return place.strides;
  const auto* form = block_.op_plans().form<ViewOf>(user->type);
  if (form == nullptr || user->input(form->input) != result_) return place.strides;
  const auto seen = form->results(block_.view(*user, &values_.frozen()), place);
  if (!seen || seen->size() != 1) return place.strides;
  const Place& wanted = (*seen)[0];
  if (wanted.count() != place.count() || wanted.ref.offset != place.ref.offset) {
    return place.strides;
  }
  const Strides order = row_major(wanted.shape);
  Strides strides = place.strides;
  for (size_t i = 0; i < strides.size(); ++i) {
    if (place.shape[i] == 1) continue;
    const std::optional<size_t> axis = axis_in(wanted, place, i);
    if (!axis) return place.strides;
    strides[i] = order[*axis];
  }
  // Kernels write rows.
  const bool in_rows = !strides.empty() && (strides.back() == 1 || place.shape.back() == 1);
  return in_rows ? strides : place.strides;
}

}  // namespace mw::plan
