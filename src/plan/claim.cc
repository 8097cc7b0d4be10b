// Claim: places for the maker of a kernel, weights as they are stored, and followers taken over by
// the kernel before them.
#include <algorithm>

#include "base/error.h"
#include "base/printable.h"
#include "ir/apart.h"
#include "plan/lower.h"

namespace mw::plan {
namespace {

bool is_stored_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// The operand before a widening cast to fp32, or the operand itself.
const ir::Operand& before_cast(const ir::Operand& operand) {
  const ir::Operation* op = operand.value != nullptr ? operand.value->producer : nullptr;
  if (op == nullptr || op->type != ir::kCastOp || operand.value->type.dtype() != DType::kF32) {
    return operand;
  }
  const ir::Input* x = op->find_input("x");
  if (x == nullptr || x->operands.size() != 1) return operand;
  const ir::Value* source = x->operands[0].value;
  const bool widens = source != nullptr && source->type.is_tensor() &&
                      (source->type.dtype() == DType::kF16 || source->type.dtype() == DType::kBF16);
  return widens ? x->operands[0] : operand;
}

bool is_apart(const ir::Value* value) {
  return value->producer != nullptr &&
         ir::find_attribute(value->producer->attributes, ir::kApart) != nullptr;
}

}  // namespace

Claim::Claim(Lowering& lowering, const ir::OpView& op)
    : lowering_(lowering), op_(op), tail_(op.operation().outputs[0].get()) {}

bool Claim::described() const { return lowering_.block_.request().described; }

void Claim::note(const ir::Operand& operand, const Place& place) {
  if (!described()) return;
  for (const ir::Input& input : op_.operation().inputs) {
    for (size_t i = 0; i < input.operands.size(); ++i) {
      const ir::Operand& known = input.operands[i];
      if (known.value != operand.value || known.literal != operand.literal) continue;
      const std::string name =
          input.operands.size() == 1 ? input.name : fmt::format("{}{}", input.name, i);
      return account_.note_operand(name, place);
    }
  }
  account_.note_operand(operand.value != nullptr ? operand.value->name : "literal", place);
}

void Claim::took(const ir::Operation& user, const std::string& epilogue) {
  tail_ = user.outputs[0].get();
  if (!described()) return;
  account_.ops.push_back(&user);
  account_.notes.push_back(fmt::format("then {}", epilogue));
}

ConstantPool& Claim::pool() const { return *lowering_.block_.request().pool; }

Place Claim::dense(const ir::Operand& operand) {
  Place place = lowering_.values_.dense(operand);
  add_once(reads_, place.ref.buffer);
  note(operand, place);
  return place;
}

Place Claim::strided(const ir::Operand& operand) {
  const Where found = lowering_.values_.at(operand);
  MW_CHECK(found.kind == Where::Kind::kPlace);
  add_once(reads_, found.place.ref.buffer);
  note(operand, found.place);
  return found.place;
}

Place Claim::dense(std::string_view input, size_t index) {
  return dense(op_.operand(input, index));
}
Place Claim::strided(std::string_view input, size_t index) {
  return strided(op_.operand(input, index));
}

ir::OpView Claim::view(const ir::Operation& op) const {
  return lowering_.block_.view(op, &lowering_.frozen_);
}

const ir::Operation* Claim::waiting(const ir::Operand& operand) const {
  const ir::Value* value = operand.value;
  if (value == nullptr || lowering_.values_.find(value) != nullptr || is_apart(value) ||
      lowering_.waiting_.find(value) == nullptr) {
    return nullptr;
  }
  if (lowering_.block_.only_use(value) == nullptr || lowering_.block_.is_tapped(*value)) {
    return nullptr;
  }
  if (described() && std::ranges::find(asked_, value->producer) == asked_.end()) {
    asked_.push_back(value->producer);
  }
  return value->producer;
}

bool Claim::frozen(std::string_view input, size_t index) const {
  return lowering_.frozen_.holds(op_.operand(input, index));
}

// The place of result 0 such that a view that is its only use finds its elements in order.
Place Claim::result_for_view() {
  Place place = result();
  const ir::Use* use = is_apart(tail_) ? nullptr : lowering_.block_.only_use(tail_);
  const ir::Operation* user = use != nullptr ? use->op : nullptr;
  if (user == nullptr || lowering_.beyond_region(user)) return place;
  const auto* form = lowering_.block_.op_plans().form<ViewOf>(user->type);
  if (form == nullptr || user->input(form->input) != tail_) return place;
  const auto seen = form->results(view(*user), place);
  if (!seen || seen->size() != 1) return place;
  const Place& wanted = (*seen)[0];
  if (wanted.count() != place.count() || wanted.ref.offset != place.ref.offset) return place;
  const Strides order = row_major(wanted.shape);
  Strides strides = place.strides;
  for (size_t i = 0; i < strides.size(); ++i) {
    if (place.shape[i] == 1) continue;
    size_t match = wanted.shape.size();
    for (size_t k = 0; k < wanted.shape.size(); ++k) {
      if (wanted.shape[k] == place.shape[i] && wanted.strides[k] == place.strides[i]) match = k;
    }
    if (match == wanted.shape.size()) return place;
    strides[i] = order[match];
  }
  // Kernels write rows.
  if (strides.empty() || (strides.back() != 1 && place.shape.back() != 1)) return place;
  place.strides = strides;
  results_.back().second.strides = strides;
  return place;
}

Place Claim::result(size_t index) {
  const ir::Value& value = index == 0 ? *tail_ : *op_.operation().outputs.at(index);
  const ir::Type& type = value.type;
  Place place = lowering_.values_.place(Buffer::Kind::kArena, type.dtype(), type.shape());
  if (overwritten_ >= 0) {
    lowering_.values_.plan().buffers.back().shares = overwritten_;
    overwritten_ = -1;
  }
  add_once(writes_, place.ref.buffer);
  results_.emplace_back(&value, place);
  return place;
}

void Claim::overwrite(std::string_view input, size_t index) {
  const Place place = strided(input, index);
  if (place.ref.offset == 0 && place.dense()) overwritten_ = place.ref.buffer;
}

Place Claim::workspace(int64_t bytes) {
  Place place =
      lowering_.values_.place(Buffer::Kind::kArena, DType::kU8, {std::max<int64_t>(bytes, 1)});
  add_once(writes_, place.ref.buffer);
  if (described()) account_.workspaces.push_back(place.ref.buffer);
  return place;
}

int Claim::slots() const { return lowering_.block_.slots(); }

Tensor Claim::constant(std::string_view input) {
  const ir::Operand& operand = op_.operand(input);
  if (operand.literal != nullptr) return operand.literal->value();
  return lowering_.frozen_.tensor(operand.value, lowering_.values_.plan());
}

Place Claim::hold(const Tensor& tensor, std::shared_ptr<const void> owner) {
  if (owner != nullptr) lowering_.values_.plan().keeps.push_back(std::move(owner));
  Place place = lowering_.values_.constant(tensor).place;
  if (described()) account_.constants.push_back(place);
  return place;
}

std::optional<Weight> Claim::weight(std::string_view input) {
  if (!op_.has(input) || !frozen(input)) return std::nullopt;
  const ir::Operand& given = op_.operand(input);
  const ir::Operand& operand = before_cast(given);
  Weight weight;
  const ir::ConstantPtr constant = ir::constant_of(operand);
  if (constant != nullptr && constant->is_tensor() && is_stored_float(constant->type().dtype())) {
    weight.dense = constant->value();
    if (operand.value != nullptr) lowering_.values_.plan().weights.push_back(constant);
  } else if (operand.value != nullptr && operand.value->producer != nullptr) {
    const ir::Operation& producer = *operand.value->producer;
    if (const auto* form = lowering_.block_.op_plans().form<Decodes>(producer.type)) {
      weight.key = lowering_.frozen_.identity(operand, weight.sources);
      const ir::OpView view = lowering_.block_.view(producer, nullptr);
      weight.reader = pool().get<WeightReader>(weight.key + "|reader", weight.sources, [&] {
        return ConstantPool::Made{form->reader(view, operand.value->index), 0};
      });
      for (const auto& source : weight.sources) {
        if (source->is_tensor()) lowering_.values_.plan().weights.push_back(source);
      }
      weight.shape = operand.value->type.shape();
      if (described()) {
        account_.notes.push_back(fmt::format("decodes {} '{}' {}", producer.type,
                                             printable(producer.name()), to_string(weight.shape)));
      }
      return weight;
    }
  }
  if (weight.dense.empty()) weight.dense = this->constant(input);
  if (!is_stored_float(weight.dense.dtype())) return std::nullopt;
  weight.key = lowering_.frozen_.identity(operand, weight.sources);
  weight.shape = weight.dense.shape();
  return weight;
}

// The only op that uses what result 0 has become so far; null when there are several or it leaves.
const ir::Operation* Claim::sole_user() const {
  const ir::Use* use = is_apart(tail_) ? nullptr : lowering_.block_.only_use(tail_);
  const ir::Operation* user = use != nullptr ? use->op : nullptr;
  if (user == nullptr || user->parent != &lowering_.block_.block() || user->outputs.size() != 1 ||
      lowering_.beyond_region(user)) {
    return nullptr;
  }
  const ir::Type& type = user->outputs[0]->type;
  return lowering_.block_.is_tapped(*tail_) || !(type == tail_->type) ? nullptr : user;
}

std::optional<Tensor> Claim::take_bias(int64_t width) {
  const ir::Operation* user = sole_user();
  if (user == nullptr) return std::nullopt;
  if (!lowering_.block_.op_plans().of(user->type).adds) return std::nullopt;
  for (const ir::Operand& operand : ir::operands(*user)) {
    // An operand that comes later has not been seen: only literals and constants before this op
    // are known to be frozen.
    if (operand.value == tail_ || !lowering_.frozen_.holds(operand)) continue;
    const Shape& shape =
        operand.literal != nullptr ? operand.literal->type().shape() : operand.value->type.shape();
    if (shape.empty() || shape.back() != width || count_of(shape) != width) continue;
    Tensor bias = operand.literal != nullptr
                      ? operand.literal->value()
                      : lowering_.frozen_.tensor(operand.value, lowering_.values_.plan());
    if (bias.dtype() != DType::kF32) continue;
    took(*user, "add");
    return bias;
  }
  return std::nullopt;
}

std::optional<Activation> Claim::take_activation(const std::function<bool(RowOp)>& can) {
  const ir::Operation* user = sole_user();
  if (user == nullptr) return std::nullopt;
  const ActivationRule& rule = lowering_.block_.op_plans().of(user->type).activation;
  if (!rule) return std::nullopt;
  const std::optional<Activation> activation = rule(view(*user), tail_);
  if (!activation || !can(activation->op)) return std::nullopt;
  took(*user, text_of(*activation));
  return activation;
}

}  // namespace mw::plan
