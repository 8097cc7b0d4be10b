// Claim: places for the maker of a kernel, weights as they are stored, and the step in the end.
#include "plan/claim.h"

#include <algorithm>

#include "base/error.h"
#include "base/printable.h"
#include "ir/widening.h"
#include "plan/constant_pool.h"

namespace mw::plan {
namespace {

bool is_stored_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

}  // namespace

Claim::Claim(const BlockFacts& block, Values& values, Waiting& waiting, const ir::OpView& op,
             size_t horizon)
    : block_(block),
      values_(values),
      waiting_(waiting),
      op_(op),
      epilogue_(block, values, op.operation().outputs[0].get(), horizon) {}

bool Claim::described() const { return block_.request().described; }

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

ConstantPool& Claim::pool() const { return *block_.request().pool; }

Place Claim::dense(const ir::Operand& operand) {
  Place place = values_.dense(operand);
  values_.touch(reads_, place.ref.buffer);
  note(operand, place);
  return place;
}

Place Claim::strided(const ir::Operand& operand) {
  const Where found = values_.at(operand);
  MW_CHECK(found.kind == Where::Kind::kPlace);
  values_.touch(reads_, found.place.ref.buffer);
  note(operand, found.place);
  return found.place;
}

Place Claim::dense(std::string_view input, size_t index) {
  return dense(op_.operand(input, index));
}
Place Claim::strided(std::string_view input, size_t index) {
  return strided(op_.operand(input, index));
}

ir::OpView Claim::view(const ir::Operation& op) const { return block_.view(op, &values_.frozen()); }

bool Claim::is_put_off(const ir::Operand& operand) const {
  return operand.value != nullptr && values_.find(operand.value) == nullptr &&
         !is_apart(operand.value) && waiting_.find(operand.value) != nullptr;
}

const ir::Operation* Claim::waiting(const ir::Operand& operand) const {
  return is_put_off(operand) && block_.only_use(operand.value) != nullptr ? asked(*operand.value)
                                                                          : nullptr;
}

const ir::Operation* Claim::waiting_for(const ir::Operand& operand,
                                        const std::vector<const ir::Operation*>& users) const {
  if (!is_put_off(operand)) return nullptr;
  const bool theirs = std::ranges::all_of(block_.uses(operand.value), [&](const ir::Use& use) {
    return std::ranges::find(users, use.op) != users.end();
  });
  return theirs ? asked(*operand.value) : nullptr;
}

const ir::Operation* Claim::asked(const ir::Value& value) const {
  if (block_.is_tapped(value)) return nullptr;
  if (described() && std::ranges::find(asked_, value.producer) == asked_.end()) {
    asked_.push_back(value.producer);
  }
  return value.producer;
}

bool Claim::frozen(std::string_view input, size_t index) const {
  return values_.frozen().holds(op_.operand(input, index));
}

Place Claim::result_for_view() {
  Place place = result();
  place.strides = epilogue_.order_for_view(place);
  results_.back().second.strides = place.strides;
  return place;
}

Place Claim::result_as(Strides strides) {
  Place place = result();
  place.strides = std::move(strides);
  results_.back().second.strides = place.strides;
  return place;
}

Place Claim::result(size_t index) {
  const ir::Value& value = index == 0 ? *epilogue_.result() : *op_.operation().outputs.at(index);
  const ir::Type& type = value.type;
  Place place = values_.place(Buffer::Kind::kArena, type.dtype(), type.shape());
  if (overwritten_ >= 0) {
    values_.plan().buffers.back().shares = overwritten_;
    overwritten_ = -1;
  }
  values_.touch(writes_, place.ref.buffer);
  results_.emplace_back(&value, place);
  return place;
}

void Claim::overwrite(std::string_view input, size_t index) {
  const std::vector<int> before = reads_;
  const Place place = strided(input, index);
  const bool alone = std::ranges::find(before, place.ref.buffer) == before.end();
  if (alone && place.ref.offset == 0 && place.dense()) overwritten_ = place.ref.buffer;
}

Place Claim::workspace(int64_t bytes) {
  Place place = values_.place(Buffer::Kind::kArena, DType::kU8, {std::max<int64_t>(bytes, 1)});
  values_.touch(writes_, place.ref.buffer);
  if (described()) account_.workspaces.push_back(place.ref.buffer);
  return place;
}

int Claim::slots() const { return block_.slots(); }

Tensor Claim::constant(std::string_view input) {
  const ir::Operand& operand = op_.operand(input);
  if (operand.literal != nullptr) return operand.literal->value();
  return values_.frozen().tensor(operand.value, values_.plan());
}

Place Claim::hold(const Tensor& tensor, std::shared_ptr<const void> owner) {
  if (owner != nullptr) values_.plan().keeps.push_back(std::move(owner));
  Place place = values_.constant(tensor).place;
  if (described()) account_.constants.push_back(place);
  return place;
}

// What `operand` shows under another shape with the same rows, the leading axis; null: nothing.
const ir::Operand* Claim::before_view(const ir::Operand& operand) const {
  const ir::Operation* op = operand.value != nullptr ? operand.value->producer : nullptr;
  const auto* form = op != nullptr ? block_.op_plans().form<ViewOf>(op->type) : nullptr;
  if (form == nullptr || op->outputs.size() != 1) return nullptr;
  const ir::Input* x = op->find_input(form->input);
  if (x == nullptr || x->operands.size() != 1 || x->operands[0].value == nullptr) return nullptr;
  const ir::Type &from = x->operands[0].value->type, &to = operand.value->type;
  if (from.shape().empty() || to.shape().empty() || from.shape()[0] != to.shape()[0]) {
    return nullptr;
  }
  const Place whole{{}, from.dtype(), from.shape(), row_major(from.shape())};
  const auto seen = form->results(view(*op), whole);
  const bool same = seen && seen->size() == 1 && (*seen)[0].ref.offset == 0 && (*seen)[0].dense() &&
                    (*seen)[0].count() == whole.count();
  return same ? &x->operands[0] : nullptr;
}

// The compressed constant of which `operand` has the rows; null: it is of none.
const ir::Operand* Claim::decoded(const ir::Operand& operand) const {
  const ir::Operand* at = &operand;
  while (at != nullptr && at->value != nullptr && at->value->producer != nullptr) {
    if (block_.op_plans().form<Decodes>(at->value->producer->type) != nullptr) return at;
    const ir::Operand* narrow = ir::before_widening(*at);
    at = narrow != nullptr ? narrow : before_view(*at);
  }
  return nullptr;
}

std::optional<Weight> Claim::weight(std::string_view input) {
  if (!op_.has(input) || !frozen(input)) return std::nullopt;
  const ir::Operand& given = op_.operand(input);
  const ir::Operand* narrow = ir::before_widening(given);
  const ir::Operand& operand = narrow != nullptr ? *narrow : given;
  Weight weight;
  const ir::ConstantPtr constant = ir::constant_of(operand);
  if (constant != nullptr && constant->is_tensor() && is_stored_float(constant->type().dtype())) {
    weight.dense = constant->value();
    if (operand.value != nullptr) values_.plan().weights.push_back(constant);
  } else if (const ir::Operand* source = decoded(operand)) {
    const ir::Operation& producer = *source->value->producer;
    const auto* form = block_.op_plans().form<Decodes>(producer.type);
    weight.key = values_.frozen().identity(*source, weight.sources);
    const ir::OpView view = block_.view(producer, nullptr);
    weight.reader = pool().get<WeightReader>(weight.key + "|reader", weight.sources, [&] {
      return ConstantPool::Made{form->reader(view, source->value->index), 0};
    });
    for (const auto& constant : weight.sources) {
      if (constant->is_tensor()) values_.plan().weights.push_back(constant);
    }
    weight.shape = operand.value->type.shape();
    if (described()) {
      account_.notes.push_back(fmt::format("decodes {} '{}' {}", producer.type,
                                           printable(producer.name()), to_string(weight.shape)));
    }
    return weight;
  }
  if (weight.dense.empty()) {
    const bool narrows = narrow != nullptr && operand.value != nullptr;
    weight.dense =
        narrows ? values_.frozen().tensor(operand.value, values_.plan()) : this->constant(input);
  }
  if (!is_stored_float(weight.dense.dtype())) return std::nullopt;
  weight.key = values_.frozen().identity(operand, weight.sources);
  weight.shape = weight.dense.shape();
  return weight;
}

std::optional<Tensor> Claim::take_bias(int64_t width) { return epilogue_.take_bias(width); }

std::optional<Activation> Claim::take_activation(const std::function<bool(RowOp)>& can) {
  return epilogue_.take_activation(can);
}

// Ops that it asked for and that nothing has been computed of are computed by the kernel.
std::shared_ptr<const Account> Claim::take_account() {
  if (!described()) return nullptr;
  Account account = std::move(account_);
  account.ops = {&op_.operation()};
  for (const ir::Operation* op : asked_) {
    if (values_.find(op->outputs[0].get()) == nullptr) account.ops.insert(account.ops.begin(), op);
  }
  for (const Epilogue::Taken& taken : epilogue_.taken()) {
    account.ops.push_back(taken.op);
    account.notes.push_back(fmt::format("then {}", taken.text));
  }
  for (const auto& [value, place] : results_) account.results.push_back({value->name, place});
  return std::make_shared<const Account>(std::move(account));
}

Step Claim::step(std::unique_ptr<Kernel> kernel) {
  MW_CHECK(results_.size() == op_.operation().outputs.size());
  Step step;
  step.account = take_account();
  for (auto& [value, place] : results_) {
    values_.put(value, std::move(place));
    waiting_.erase(value);
  }
  step.op = &op_.operation();
  step.kind = kind_;
  step.kernel = std::move(kernel);
  step.reads = std::move(reads_);
  step.writes = std::move(writes_);
  step.flops = flops_;
  step.bytes = bytes_;
  step.copied = copied_;
  return step;
}

}  // namespace mw::plan
