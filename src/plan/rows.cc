// Fuser: which ops join a program, the program as their rules write it, and its step.
#include "plan/rows.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "plan/account.h"

namespace mw::plan {
namespace {

constexpr size_t kMaxMembers = 40;

bool can_store(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kI32 ||
         dtype == DType::kBool;
}

bool can_load(DType dtype) {
  return can_store(dtype) || dtype == DType::kI8 || dtype == DType::kU8 || dtype == DType::kI16 ||
         dtype == DType::kU16;
}

Lane lane_of_dtype(DType dtype) {
  if (is_float(dtype)) return Lane::kF32;
  return dtype == DType::kBool ? Lane::kBool : Lane::kI32;
}

// The shape of one number per row.
Shape per_row(Shape shape, size_t reduced) {
  std::fill(shape.end() - static_cast<int64_t>(reduced), shape.end(), 1);
  return shape;
}

// Stride of the innermost axis of extent > 1, among the last `axes`.
int64_t inner_stride(const Shape& shape, const Strides& strides, size_t axes) {
  for (size_t i = shape.size(); i-- > shape.size() - axes;) {
    if (shape[i] != 1) return strides[i];
  }
  return 1;
}

// What a cluster is made of.
struct Parts {
  const BlockFacts& block;
  Values& values;
  Waiting& waiting;
  const States& states;
};

// The ops of one program, and the program as it is written.
class RowCluster : public RowBuilder {
 public:
  RowCluster(const Parts& parts, const ir::Value* wanted);

  // Pending values it needs that cannot be part of it.
  [[nodiscard]] const std::vector<const ir::Value*>& outside() const { return outside_; }
  void build();

  int in(std::string_view input, size_t index) override;
  [[nodiscard]] int64_t width() const override { return width_; }
  void result(int value) override;

 private:
  using Pending = Waiting::Op;
  struct External {
    const void* operand;  // the value, or the literal
    bool full;
    int id;
  };

  void gather(const ir::Value* wanted);
  bool joins(const ir::Value& value, const Pending& pending, bool consumer_full);
  [[nodiscard]] bool full_form(const ir::Value& value) const;
  int constant(const Tensor& tensor);
  int external(const ir::Operand& operand, bool full);
  [[nodiscard]] int64_t stride_along_rows(const Strides& strides) const;
  [[nodiscard]] bool walks_well(const Strides& strides) const;
  bool needed_outside(const ir::Value& value) const;
  void store(const ir::Value& value, int id);
  bool may_overwrite(size_t input, size_t output) const;
  void share_memory(const std::vector<const ir::Value*>& stored);
  bool read_after(int value, int definition) const;
  void finish();
  void add_step();

  const BlockFacts& block_;
  Values& values_;
  Waiting& waiting_;
  const States& states_;
  Shape shape_;
  size_t reduced_ = 0;
  int64_t width_ = 1;
  std::vector<const Pending*> members_;
  std::unordered_set<const ir::Operation*> member_ops_;
  std::vector<const ir::Value*> outside_;
  std::unordered_map<const ir::Value*, int> ids_;
  std::vector<External> externals_;
  std::vector<Strides> strides_;  // of inputs then outputs, over shape_
  std::vector<Strides> output_strides_;
  const ir::OpView* op_ = nullptr;  // the member being written
  bool full_ = true;
};

RowCluster::RowCluster(const Parts& parts, const ir::Value* wanted)
    : block_(parts.block), values_(parts.values), waiting_(parts.waiting), states_(parts.states) {
  const Pending& seed = *waiting_.find(wanted);
  shape_ = seed.domain.shape;
  reduced_ = seed.domain.reduced;
  gather(wanted);
}

bool RowCluster::full_form(const ir::Value& value) const { return value.type.shape() == shape_; }

bool RowCluster::joins(const ir::Value& value, const Pending& pending, bool consumer_full) {
  if (members_.size() >= kMaxMembers) return false;
  const RowDomain& domain = pending.domain;
  const Shape& shape = value.type.shape();
  if (domain.shape == shape_) {
    if (domain.reduced > 0 && reduced_ > 0 && domain.reduced != reduced_) return false;
    const bool full = shape == shape_;
    if (full ? !consumer_full : shape != per_row(shape_, domain.reduced)) return false;
    if (domain.reduced > 0) reduced_ = domain.reduced;
    return true;
  }
  const size_t rows_of = reduced_ > 0 ? reduced_ : 1;
  if (domain.reduced > 0 || shape_.size() < rows_of) return false;
  if (domain.shape != per_row(shape_, rows_of)) return false;
  reduced_ = rows_of;
  return true;
}

void RowCluster::gather(const ir::Value* wanted) {
  std::vector<const Pending*> open{waiting_.find(wanted)};
  members_.push_back(open[0]);
  member_ops_.insert(open[0]->op);
  while (!open.empty()) {
    const Pending* member = open.back();
    open.pop_back();
    const bool full = member->domain.shape == shape_;
    for (const ir::Operand& operand : ir::operands(*member->op)) {
      if (operand.value == nullptr) continue;
      const Pending* found = waiting_.find(operand.value);
      if (found == nullptr || member_ops_.contains(found->op)) continue;
      if (found->row == nullptr || !joins(*operand.value, *found, full)) {
        outside_.push_back(operand.value);
        continue;
      }
      members_.push_back(found);
      member_ops_.insert(found->op);
      open.push_back(found);
    }
  }
  std::sort(members_.begin(), members_.end(), [&](const Pending* a, const Pending* b) {
    return block_.order_of(a->op) < block_.order_of(b->op);
  });
}

int RowCluster::constant(const Tensor& tensor) {
  if (is_float(tensor.dtype())) return number(tensor.number_at(0));
  const int id = integer(static_cast<int32_t>(tensor.integer_at(0)));
  program_.values.back().lane = lane_of_dtype(tensor.dtype());
  return id;
}

int RowCluster::in(std::string_view input, size_t index) {
  const ir::Operand& operand = op_->operand(input, index);
  const auto member = ids_.find(operand.value);
  if (operand.value != nullptr && member != ids_.end()) return member->second;
  const Tensor* known = values_.frozen().tensor_of(operand);
  if (known != nullptr && known->count() == 1) return constant(*known);
  return external(operand, full_);
}

int64_t RowCluster::stride_along_rows(const Strides& strides) const {
  return inner_stride(shape_, strides, reduced_ > 0 ? reduced_ : shape_.size());
}

// A row must be one run of stride 1 or 0.
bool RowCluster::walks_well(const Strides& strides) const {
  const int64_t inner = stride_along_rows(strides);
  if (inner != 0 && inner != 1) return false;
  if (reduced_ < 2) return true;
  const auto cut = static_cast<int64_t>(shape_.size() - reduced_);
  Shape last(shape_.begin() + cut, shape_.end());
  std::vector<Strides> runs{Strides(strides.begin() + cut, strides.end())};
  coalesce(last, runs);
  return last.size() <= 1;
}

int RowCluster::external(const ir::Operand& operand, bool full) {
  const void* key = operand.value != nullptr ? static_cast<const void*>(operand.value)
                                             : static_cast<const void*>(operand.literal.get());
  for (const External& known : externals_) {
    if (known.operand == key && known.full == full) return known.id;
  }
  const Shape target = full ? shape_ : per_row(shape_, reduced_);
  Place place = values_.at(operand).place;
  Strides strides = broadcast(place, target);
  if (full && !walks_well(strides)) {
    place = values_.dense(operand);
    strides = broadcast(place, target);
  }
  if (full && !walks_well(strides)) {
    Place repeated = place;
    repeated.shape = shape_;
    repeated.strides = strides;
    place = values_.place(Buffer::Kind::kArena, place.dtype, shape_);
    values_.copy(repeated, place);
    strides = place.strides;
  }
  const bool one_per_row = !full || stride_along_rows(strides) == 0;
  const int id = add_value(lane_of_dtype(place.dtype),
                           one_per_row ? RowProgram::Form::kPerRow : RowProgram::Form::kFull);
  program_.inputs.push_back({id, place.ref, place.dtype, {}, one_per_row ? 0 : 1});
  strides_.push_back(std::move(strides));
  externals_.push_back({key, full, id});
  return id;
}

void RowCluster::result(int value) {
  const ir::Value& output = *op_->operation().outputs[0];
  const Lane wanted = lane_of_dtype(output.type.dtype());
  MW_CHECK(lane(value) == wanted);
  ids_[&output] = full_form(output) ? spread(value) : value;
}

bool RowCluster::needed_outside(const ir::Value& value) const {
  if (block_.is_tapped(value)) return true;
  return std::ranges::any_of(block_.uses(&value), [&](const ir::Use& use) {
    return use.op == nullptr || !member_ops_.contains(use.op);
  });
}

void RowCluster::store(const ir::Value& value, int id) {
  Where where = values_.result(value.type);
  // A result without the reduced axes has the memory of one that keeps them.
  Place rows = where.place;
  const bool full = full_form(value);
  rows.shape = full ? shape_ : per_row(shape_, reduced_);
  rows.strides = row_major(rows.shape);
  program_.outputs.push_back({id, rows.ref, rows.dtype, {}, full ? 1 : 0});
  output_strides_.push_back(broadcast(rows, shape_));
  values_.put(&value, std::move(where));
}

bool RowCluster::read_after(int value, int definition) const {
  for (const auto& instruction : program_.code) {
    if (instruction.to <= definition) continue;
    if (std::find(instruction.from.begin(), instruction.from.end(), value) !=
        instruction.from.end()) {
      return true;
    }
  }
  return false;
}

// Whether a result can be written over an operand, element by element.
bool RowCluster::may_overwrite(size_t i, size_t o) const {
  const auto& input = program_.inputs[i];
  const auto& output = program_.outputs[o];
  const bool alone =
      std::count_if(program_.inputs.begin(), program_.inputs.end(),
                    [&](const auto& other) { return other.ref.buffer == input.ref.buffer; }) == 1;
  return alone && input.ref.offset == 0 && input.inner == 1 && output.inner == 1 &&
         bit_width(input.dtype) == bit_width(output.dtype) && strides_[i] == output_strides_[o] &&
         !read_after(input.value, output.value);
}

// A result may take the memory of an operand that no later instruction reads: of the state that it
// is written to, or of an intermediate result.
void RowCluster::share_memory(const std::vector<const ir::Value*>& stored) {
  std::vector<bool> given(program_.inputs.size(), false);
  std::vector<Buffer>& buffers = values_.plan().buffers;
  const auto share = [&](size_t o, const auto& wanted) {
    for (size_t i = 0; i < program_.inputs.size(); ++i) {
      const int buffer = program_.inputs[i].ref.buffer;
      if (given[i] || !wanted(buffer) || !may_overwrite(i, o)) continue;
      given[i] = true;
      buffers[static_cast<size_t>(program_.outputs[o].ref.buffer)].shares = buffer;
      return true;
    }
    return false;
  };
  for (size_t o = 0; o < program_.outputs.size(); ++o) {
    const int state = states_.written_with(stored[o]);
    if (state >= 0 && share(o, [&](int buffer) { return buffer == state; })) continue;
    (void)share(o, [&](int buffer) {
      return buffers[static_cast<size_t>(buffer)].kind == Buffer::Kind::kArena;
    });
  }
}

// Merges axes: rows over all strides at once, the width apart when rows must stay whole.
void RowCluster::finish() {
  std::vector<Strides> all = strides_;
  all.insert(all.end(), output_strides_.begin(), output_strides_.end());
  const size_t cut = shape_.size() - reduced_;
  Shape outer(shape_.begin(), shape_.begin() + static_cast<int64_t>(cut));
  for (Strides& strides : all) strides.resize(cut);
  coalesce(outer, all);
  program_.width = width_;
  if (reduced_ == 0 && !outer.empty()) {
    program_.width = outer.back();
    outer.pop_back();
    for (Strides& strides : all) strides.pop_back();
  }
  program_.outer = std::move(outer);
  program_.whole_rows = reduced_ > 0;
  for (size_t i = 0; i < program_.inputs.size(); ++i) program_.inputs[i].outer = all[i];
  for (size_t i = 0; i < program_.outputs.size(); ++i) {
    program_.outputs[i].outer = all[program_.inputs.size() + i];
  }
}

void RowCluster::add_step() {
  Plan& plan = values_.plan();
  Step step;
  step.op = members_.back()->op;
  step.kind = "row";
  const auto note = [](std::vector<int>& list, int buffer) {
    if (std::find(list.begin(), list.end(), buffer) == list.end()) list.push_back(buffer);
  };
  const auto elements = static_cast<double>(count_of(shape_));
  for (const auto& input : program_.inputs) {
    note(step.reads, input.ref.buffer);
    step.bytes += elements * static_cast<double>(input.inner) * bit_width(input.dtype) / 8;
  }
  for (const auto& output : program_.outputs) {
    note(step.writes, output.ref.buffer);
    step.bytes += elements * static_cast<double>(output.inner) * bit_width(output.dtype) / 8;
  }
  step.flops = elements * static_cast<double>(program_.code.size());
  Account account;
  const auto reserve = [&](int64_t bytes) {
    const Place place = values_.place(Buffer::Kind::kArena, DType::kU8, {bytes});
    note(step.writes, place.ref.buffer);
    account.workspaces.push_back(place.ref.buffer);
    return place.ref;
  };
  if (plan.described) {
    for (const Pending* member : members_) account.ops.push_back(member->op);
    account.rows = program_;
  }
  step.kernel = block_.backend().make_rows(std::move(program_), {reserve, block_.slots()});
  if (plan.described) step.account = std::make_shared<const Account>(std::move(account));
  plan.steps.push_back(std::move(step));
}

void RowCluster::build() {
  for (size_t i = shape_.size() - reduced_; i < shape_.size(); ++i) width_ *= shape_[i];
  for (const Pending* member : members_) {
    const ir::Operation& op = *member->op;
    const ir::OpView view = block_.view(op, &values_.frozen());
    op_ = &view;
    full_ = member->domain.shape == shape_;
    member->row->emit(*this, view);
    MW_CHECK(ids_.contains(op.outputs[0].get()));
  }
  std::vector<const ir::Value*> stored;
  for (const Pending* member : members_) {
    const ir::Value* value = member->op->outputs[0].get();
    if (needed_outside(*value)) {
      store(*value, ids_.at(value));
      stored.push_back(value);
    }
  }
  finish();
  share_memory(stored);
  add_step();
  for (const ir::Value* value : stored) waiting_.erase(value);
}

}  // namespace

std::optional<RowDomain> Fuser::domain(const ir::OpView& view, const RowRule& rule) const {
  const ir::Operation& op = view.operation();
  if (op.outputs.size() != 1 || !has_place(op.outputs[0]->type)) return std::nullopt;
  if (!can_store(op.outputs[0]->type.dtype()) || count_of(op.outputs[0]->type.shape()) == 0) {
    return std::nullopt;
  }
  for (const ir::Operand& used : ir::operands(op)) {
    if (used.value == nullptr || values_.frozen().holds(used.value)) continue;
    if (!has_place(used.value->type) || !can_load(used.value->type.dtype())) return std::nullopt;
  }
  std::optional<RowDomain> domain = rule.domain(view);
  if (!domain || count_of(domain->shape) == 0) return std::nullopt;
  return domain;
}

void Fuser::compute(const ir::Value* wanted, Deferred& deferred) {
  while (values_.find(wanted) == nullptr) {
    RowCluster cluster({block_, values_, waiting_, states_}, wanted);
    if (cluster.outside().empty()) return cluster.build();
    for (const ir::Value* value : cluster.outside()) deferred.compute(value);
  }
}

}  // namespace mw::plan
