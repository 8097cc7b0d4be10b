// row_step(): operands, instructions and results over the rows of the cluster.
#include "plan/row_step.h"

#include <algorithm>
#include <unordered_map>

#include "base/error.h"
#include "plan/account.h"

namespace mw::plan {
namespace {

Lane lane_of_dtype(DType dtype) {
  if (is_float(dtype)) return Lane::kF32;
  return dtype == DType::kBool ? Lane::kBool : Lane::kI32;
}

// Stride of the innermost axis of extent > 1, among the last `axes`.
int64_t inner_stride(const Shape& shape, const Strides& strides, size_t axes) {
  for (size_t i = shape.size(); i-- > shape.size() - axes;) {
    if (shape[i] != 1) return strides[i];
  }
  return 1;
}

// The program as it is written.
class RowWriter : public RowBuilder {
 public:
  RowWriter(const BlockFacts& block, Values& values, const States& states,
            const RowCluster& cluster)
      : block_(block),
        values_(values),
        states_(states),
        cluster_(cluster),
        shape_(cluster.shape()),
        reduced_(cluster.reduced()) {
    for (size_t i = shape_.size() - reduced_; i < shape_.size(); ++i) width_ *= shape_[i];
  }

  RowStep write();

  int in(std::string_view input, size_t index) override;
  [[nodiscard]] int64_t width() const override { return width_; }
  void result(int value) override;

 private:
  struct External {
    const void* operand;  // the value, or the literal
    bool full;
    int id;
  };

  [[nodiscard]] bool full_form(const ir::Value& value) const {
    return value.type.shape() == shape_;
  }
  int constant(const Tensor& tensor);
  int external(const ir::Operand& operand, bool full);
  [[nodiscard]] int64_t stride_along_rows(const Strides& strides) const;
  [[nodiscard]] bool walks_well(const Strides& strides) const;
  bool needed_outside(const ir::Value& value) const;
  void store(const ir::Value& value, int id);
  void round_in_stores();
  bool may_overwrite(size_t input, size_t output) const;
  void share_memory(const std::vector<const ir::Value*>& stored);
  bool read_after(int value, int definition) const;
  void finish();
  Step step();

  const BlockFacts& block_;
  Values& values_;
  const States& states_;
  const RowCluster& cluster_;
  const Shape& shape_;
  const size_t reduced_;
  int64_t width_ = 1;
  std::unordered_map<const ir::Value*, int> ids_;
  std::vector<External> externals_;
  std::vector<Strides> strides_;  // of inputs then outputs, over shape_
  std::vector<Strides> output_strides_;
  const ir::OpView* op_ = nullptr;  // the member being written
  bool full_ = true;
};

int RowWriter::constant(const Tensor& tensor) {
  if (is_float(tensor.dtype())) return number(tensor.number_at(0));
  const int id = integer(static_cast<int32_t>(tensor.integer_at(0)));
  program_.values.back().lane = lane_of_dtype(tensor.dtype());
  return id;
}

int RowWriter::in(std::string_view input, size_t index) {
  const ir::Operand& operand = op_->operand(input, index);
  const auto member = ids_.find(operand.value);
  if (operand.value != nullptr && member != ids_.end()) return member->second;
  const Tensor* known = values_.frozen().tensor_of(operand);
  if (known != nullptr && known->count() == 1) return constant(*known);
  return external(operand, full_);
}

int64_t RowWriter::stride_along_rows(const Strides& strides) const {
  return inner_stride(shape_, strides, reduced_ > 0 ? reduced_ : shape_.size());
}

// A row must be one run of stride 1 or 0.
bool RowWriter::walks_well(const Strides& strides) const {
  const int64_t inner = stride_along_rows(strides);
  if (inner != 0 && inner != 1) return false;
  if (reduced_ < 2) return true;
  const auto cut = static_cast<int64_t>(shape_.size() - reduced_);
  Shape last(shape_.begin() + cut, shape_.end());
  std::vector<Strides> runs{Strides(strides.begin() + cut, strides.end())};
  coalesce(last, runs);
  return last.size() <= 1;
}

int RowWriter::external(const ir::Operand& operand, bool full) {
  const void* key = operand.value != nullptr ? static_cast<const void*>(operand.value)
                                             : static_cast<const void*>(operand.literal.get());
  for (const External& known : externals_) {
    if (known.operand == key && known.full == full) return known.id;
  }
  const Shape target = full ? shape_ : cluster_.shape_per_row();
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

void RowWriter::result(int value) {
  const ir::Value& output = *op_->operation().outputs[0];
  const Lane wanted = lane_of_dtype(output.type.dtype());
  MW_CHECK(lane(value) == wanted);
  ids_[&output] = full_form(output) ? spread(value) : value;
}

bool RowWriter::needed_outside(const ir::Value& value) const {
  if (block_.is_tapped(value)) return true;
  return std::ranges::any_of(block_.uses(&value), [&](const ir::Use& use) {
    return use.op == nullptr || !cluster_.contains(use.op);
  });
}

void RowWriter::store(const ir::Value& value, int id) {
  Where where = values_.result(value.type);
  // A result without the reduced axes has the memory of one that keeps them.
  Place rows = where.place;
  const bool full = full_form(value);
  rows.shape = full ? shape_ : cluster_.shape_per_row();
  rows.strides = row_major(rows.shape);
  program_.outputs.push_back({id, rows.ref, rows.dtype, {}, full ? 1 : 0});
  output_strides_.push_back(broadcast(rows, shape_));
  values_.put(&value, std::move(where));
}

// A store of bf16 rounds: what is rounded for nothing else need not be rounded before.
void RowWriter::round_in_stores() {
  const auto is_used = [&](int value) {
    const auto uses = [&](const auto& code) { return std::ranges::count(code.from, value) > 0; };
    return std::ranges::any_of(program_.code, uses) ||
           std::ranges::count(program_.outputs, value, &RowProgram::Operand::value) > 1;
  };
  for (auto& output : program_.outputs) {
    if (output.dtype != DType::kBF16 || is_used(output.value)) continue;
    const auto made = std::ranges::find(program_.code, output.value, &RowProgram::Instruction::to);
    if (made == program_.code.end() || made->op != RowOp::kRoundBf16) continue;
    output.value = made->from[0];
    program_.code.erase(made);
  }
}

bool RowWriter::read_after(int value, int definition) const {
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
bool RowWriter::may_overwrite(size_t i, size_t o) const {
  const auto& input = program_.inputs[i];
  const auto& output = program_.outputs[o];
  const bool alone = std::ranges::count_if(program_.inputs, [&](const auto& other) {
                       return values_.whole(other.ref.buffer) == values_.whole(input.ref.buffer);
                     }) == 1;
  return alone && input.ref.offset == 0 && input.inner == 1 && output.inner == 1 &&
         bit_width(input.dtype) == bit_width(output.dtype) && strides_[i] == output_strides_[o] &&
         !read_after(input.value, output.value);
}

// A result may take the memory of an operand that no later instruction reads: of the state that it
// is written to, or of an intermediate result.
void RowWriter::share_memory(const std::vector<const ir::Value*>& stored) {
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
void RowWriter::finish() {
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

Step RowWriter::step() {
  const bool described = block_.request().described;
  Step step;
  step.op = cluster_.members().back()->op;
  step.kind = "row";
  const auto elements = static_cast<double>(count_of(shape_));
  for (const auto& input : program_.inputs) {
    values_.touch(step.reads, input.ref.buffer);
    step.bytes += elements * static_cast<double>(input.inner) * bit_width(input.dtype) / 8;
  }
  for (const auto& output : program_.outputs) {
    values_.touch(step.writes, output.ref.buffer);
    step.bytes += elements * static_cast<double>(output.inner) * bit_width(output.dtype) / 8;
  }
  if (std::ranges::all_of(program_.code, [](const auto& code) { return is_conversion(code.op); })) {
    for (const auto& output : program_.outputs) {
      const int64_t count = output.inner == 0 ? count_of(program_.outer) : count_of(shape_);
      step.copied += bytes_of(output.dtype, count);
    }
  }
  step.flops = elements * static_cast<double>(program_.code.size());
  Account account;
  const auto reserve = [&](int64_t bytes) {
    const Place place = values_.place(Buffer::Kind::kArena, DType::kU8, {bytes});
    values_.touch(step.writes, place.ref.buffer);
    if (described) account.workspaces.push_back(place.ref.buffer);
    return place.ref;
  };
  if (described) {
    for (const Waiting::Op* member : cluster_.members()) account.ops.push_back(member->op);
    account.rows = program_;
  }
  step.kernel = block_.backend().make_rows(std::move(program_), {reserve, block_.slots()});
  if (described) step.account = std::make_shared<const Account>(std::move(account));
  return step;
}

RowStep RowWriter::write() {
  for (const Waiting::Op* member : cluster_.members()) {
    const ir::Operation& op = *member->op;
    const ir::OpView view = block_.view(op, &values_.frozen());
    op_ = &view;
    full_ = member->domain.shape == shape_;
    member->row->emit(*this, view);
    MW_CHECK(ids_.contains(op.outputs[0].get()));
  }
  std::vector<const ir::Value*> stored;
  for (const Waiting::Op* member : cluster_.members()) {
    const ir::Value* value = member->op->outputs[0].get();
    if (!needed_outside(*value)) continue;
    store(*value, ids_.at(value));
    stored.push_back(value);
  }
  round_in_stores();
  finish();
  share_memory(stored);
  return {step(), std::move(stored)};
}

}  // namespace

RowStep row_step(const BlockFacts& block, Values& values, const States& states,
                 const RowCluster& cluster) {
  return RowWriter(block, values, states, cluster).write();
}

}  // namespace mw::plan
