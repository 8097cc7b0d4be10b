// Kernels of the gathers: whole rows copied, or decoded from the weight that holds them.
#include <cstring>

#include "base/half.h"
#include "cpu/packed.h"
#include "cpu/parallel.h"
#include "ops/index/indices.h"
#include "ops/kernels_cpu.h"

namespace mw::ops {
namespace {

using plan::Claim;
using plan::Frame;
using plan::Kernel;
using plan::Place;
using plan::Ref;

constexpr int64_t kGrainBytes = 1 << 15;

// Positions along one axis: an operand of the run, checked before anything is copied.
class Indices {
 public:
  Indices(const OpView& op, const Place& place, int64_t extent)
      : where_(op.where()),
        ref_(place.ref),
        dtype_(place.dtype),
        count_(place.count()),
        extent_(extent) {
    const bool strict =
        op.def().find_input("validate_indices") != nullptr && op.flag("validate_indices");
    low_ = strict ? 0 : -extent;
  }
  [[nodiscard]] int64_t count() const { return count_; }
  [[nodiscard]] int64_t at(const Frame& frame, int64_t i) const {
    const int64_t value = integer_at(frame.at(ref_), dtype_, i);
    return value < 0 ? value + extent_ : value;
  }
  void check(const Frame& frame) const {
    for (int64_t i = 0; i < count_; ++i) {
      const int64_t value = integer_at(frame.at(ref_), dtype_, i);
      if (value >= low_ && value < extent_) continue;
      fail(ErrorCode::kInvalidModel, "{}: indices: expected values in [{}, {}], got {}", where_,
           low_, extent_ - 1, value);
    }
  }

 private:
  std::string where_;
  Ref ref_;
  DType dtype_;
  int64_t count_, extent_, low_ = 0;
};

// What lies before and behind an axis, each in one stride.
struct Rows {
  int64_t outer = 0, row = 0;  // bytes from one to the next
};

// nullopt: the elements of a row do not lie side by side, or the outer axes not in one stride.
std::optional<Rows> rows_of(const Place& x, size_t axis) {
  const auto at = static_cast<int64_t>(axis);
  Shape outer(x.shape.begin(), x.shape.begin() + at),
      inner(x.shape.begin() + at + 1, x.shape.end());
  std::vector<plan::Strides> before{{x.strides.begin(), x.strides.begin() + at}},
      behind{{x.strides.begin() + at + 1, x.strides.end()}};
  plan::coalesce(outer, before);
  plan::coalesce(inner, behind);
  if (outer.size() > 1 || inner.size() > 1) return std::nullopt;
  if (!inner.empty() && behind[0][0] != 1) return std::nullopt;
  return Rows{(outer.empty() ? 0 : before[0][0]) * x.item(), x.strides[axis] * x.item()};
}

// y[o, i, :] = x[o, indices[i], :]
class GatherRows : public Kernel {
 public:
  GatherRows(Indices indices, const AxisCut& cut, const Place& x, const Rows& rows, const Place& y)
      : indices_(std::move(indices)),
        cut_(cut),
        rows_(rows),
        run_(cut.inner * x.item()),
        x_(x.ref),
        y_(y.ref) {}

  void run(const Frame& frame) const override {
    indices_.check(frame);
    const std::byte* x = frame.at(x_);
    std::byte* y = frame.at(y_);
    const int64_t count = indices_.count();
    const int64_t grain = std::max<int64_t>(1, kGrainBytes / std::max<int64_t>(run_, 1));
    cpu::parallel_blocks(
        cut_.outer * count, grain, thread_count(), [&](int, int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) {
            const int64_t at = i / count * rows_.outer + indices_.at(frame, i % count) * rows_.row;
            std::memcpy(y + i * run_, x + at, static_cast<size_t>(run_));
          }
        });
  }

 private:
  Indices indices_;
  AxisCut cut_;
  Rows rows_;
  int64_t run_;
  Ref x_, y_;
};

// Rows of a weight as fp32, read where it is stored.
class GatherWeightRows : public Kernel {
 public:
  GatherWeightRows(Claim& claim, Indices indices, const plan::Weight& weight, int64_t row)
      : indices_(std::move(indices)),
        reader_(cpu::packed_reader(weight.reader)),
        row_(row),
        y_(claim.result().ref) {
    if (reader_ == nullptr) dense_ = claim.hold(weight.dense);
  }

  void run(const Frame& frame) const override {
    indices_.check(frame);
    float* y = frame.as<float>(y_);
    const int64_t grain = std::max<int64_t>(1, kGrainBytes / 4 / std::max<int64_t>(row_, 1));
    cpu::parallel_blocks(indices_.count(), grain, thread_count(),
                         [&](int, int64_t begin, int64_t end) {
                           for (int64_t i = begin; i < end; ++i) {
                             read(frame, indices_.at(frame, i), y + i * row_);
                           }
                         });
  }

 private:
  void read(const Frame& frame, int64_t row, float* to) const {
    if (reader_ != nullptr) return reader_->read(row, 1, to);
    const auto count = static_cast<size_t>(row_);
    if (dense_.dtype == DType::kF32) {
      std::memcpy(to, frame.as<float>(dense_.ref) + row * row_, count * sizeof(float));
      return;
    }
    const auto* from = frame.as<uint16_t>(dense_.ref) + row * row_;
    if (dense_.dtype == DType::kF16) return f16_to_f32(from, to, count);
    for (size_t i = 0; i < count; ++i) to[i] = bf16_to_f32(from[i]);
  }

  Indices indices_;
  std::shared_ptr<const plan::WeightReader> reader_;  // null: dense
  Place dense_;
  int64_t row_;
  Ref y_;
};

std::unique_ptr<Kernel> make_gather(Claim& claim) {
  const OpView& op = claim.op();
  const Shape x = op.shape("x");
  const int64_t axis = op.axis("axis", static_cast<int64_t>(x.size()));
  if (op.def().find_input("batch_dims") != nullptr && op.integer("batch_dims") != 0) return nullptr;
  const AxisCut cut = cut_at(x, axis);
  const Type& type = op.operation().outputs[0]->type;
  if (!is_index(op.dtype("indices")) || cut.extent == 0 || count_of(type.shape()) == 0) {
    return nullptr;
  }
  claim.set_kind("gather");
  const int64_t bytes = bytes_of(type.dtype(), count_of(type.shape()));
  claim.set_cost(0, 2.0 * static_cast<double>(bytes));
  claim.set_copied(bytes);
  if (axis == 0 && type.dtype() == DType::kF32 && claim.frozen("x")) {
    if (auto weight = claim.weight("x")) {
      Indices indices(op, claim.dense("indices"), cut.extent);
      return std::make_unique<GatherWeightRows>(claim, std::move(indices), *weight, cut.inner);
    }
  }
  if (bit_width(type.dtype()) < 8 || type.dtype() == DType::kString) return nullptr;
  Place data = claim.strided("x");
  std::optional<Rows> rows = rows_of(data, static_cast<size_t>(axis));
  if (!rows) {
    data = claim.dense("x");
    rows = rows_of(data, static_cast<size_t>(axis));
  }
  Indices indices(op, claim.dense("indices"), cut.extent);
  return std::make_unique<GatherRows>(std::move(indices), cut, data, *rows, claim.result());
}

}  // namespace

void add_index_kernels(cpu::KernelTable& table) { table["gather"].makes = {make_gather}; }

}  // namespace mw::ops
