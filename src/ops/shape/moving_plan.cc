// Positions of slices: what the reference implementations make of begin and end, without a copy.
#include "ops/shape/moving_plan.h"

#include "base/error.h"
#include "ops/index/indices.h"
#include "ops/shape/slices.h"

namespace mw::ops {
namespace {

using plan::MovingPart;
using plan::Place;

// An index vector of a run, or none where it is known.
struct Vector {
  int operand = -1;  // among MovingPart::integers
  DType dtype = DType::kI32;
  [[nodiscard]] int64_t at(std::span<const std::byte* const> integers, size_t i) const {
    return integer_at(integers[static_cast<size_t>(operand)], dtype, static_cast<int64_t>(i));
  }
};

// The vector, entered among those that are read, where it is not known; nullopt: not of integers
// that can be.
std::optional<Vector> vector_of(const OpView& op, const char* input, MovingPart& part) {
  if (op.known(input) != nullptr) return Vector{};
  if (!is_index(op.dtype(input))) return std::nullopt;
  part.integers.emplace_back(input);
  return Vector{static_cast<int>(part.integers.size()) - 1, op.dtype(input)};
}

std::vector<int64_t> byte_strides(const Place& x) {
  std::vector<int64_t> strides = x.strides;
  for (int64_t& stride : strides) stride *= x.item();
  return strides;
}

class SlicePosition : public plan::Position {
 public:
  // `counts`: the extents of the slice, squeezed axes included.
  SlicePosition(const OpView& op, const Place& x, std::vector<SliceAxis> axes, Shape counts,
                Vector begin, Vector end)
      : where_(op.where()),
        updates_(op.def().find_input("update") != nullptr),
        axes_(std::move(axes)),
        counts_(std::move(counts)),
        strides_(byte_strides(x)),
        begin_(begin),
        end_(end) {}

  [[nodiscard]] int64_t offset(std::span<const std::byte* const> integers) const override {
    int64_t offset = 0;
    for (size_t i = 0; i < axes_.size(); ++i) {
      const SliceAxis axis = axis_at(integers, i);
      const std::optional<Slice> slice = slice_of(axis);
      if (!slice) {
        fail(ErrorCode::kInvalidModel,
             "{}: begin: expected an index in [{}, {}] on axis {}, got {}", where_, -axis.extent,
             axis.extent - 1, i, axis.begin.value_or(0));
      }
      if (slice->count != counts_[i]) reject(integers);
      if (slice->count > 0) offset += slice->begin * strides_[i];
    }
    return offset;
  }

 private:
  [[nodiscard]] SliceAxis axis_at(std::span<const std::byte* const> integers, size_t i) const {
    SliceAxis axis = axes_[i];
    if (begin_.operand >= 0 && !axis.begin_masked) axis.begin = begin_.at(integers, i);
    if (end_.operand >= 0 && !axis.end_masked) axis.end = end_.at(integers, i);
    return axis;
  }

  [[noreturn]] void reject(std::span<const std::byte* const> integers) const {
    std::vector<SliceAxis> axes;
    Shape sliced, planned;
    for (size_t i = 0; i < axes_.size(); ++i) {
      const SliceAxis& axis = axes.emplace_back(axis_at(integers, i));
      if (axis.squeezed) continue;
      sliced.push_back(slice_of(axis)->count);
      planned.push_back(counts_[i]);
    }
    if (updates_) reject_update(where_, axes, sliced, planned);
    fail(ErrorCode::kInvalidModel, "{}: expected a result of shape {}, got {} for {}", where_,
         to_string(planned), to_string(sliced), text_of(axes));
  }

  std::string where_;
  bool updates_;
  std::vector<SliceAxis> axes_;
  Shape counts_;
  std::vector<int64_t> strides_;
  Vector begin_, end_;
};

class SizePosition : public plan::Position {
 public:
  SizePosition(const OpView& op, const Place& x, Shape size, DType dtype)
      : where_(op.where()),
        extents_(x.shape),
        size_(std::move(size)),
        strides_(byte_strides(x)),
        begin_{0, dtype} {}

  [[nodiscard]] int64_t offset(std::span<const std::byte* const> integers) const override {
    int64_t offset = 0;
    for (size_t i = 0; i < extents_.size(); ++i) {
      const int64_t extent = extents_[i], begin = begin_.at(integers, i);
      const int64_t first = begin < 0 ? begin + extent : begin;
      if (first < 0 || first > extent) {
        fail(ErrorCode::kInvalidModel, "{}: begin: expected a value in [{}, {}] on axis {}, got {}",
             where_, -extent, extent, i, begin);
      }
      if (size_[i] > extent - first) {
        fail(ErrorCode::kInvalidModel, "{}: size: expected at most {} elements on axis {}, got {}",
             where_, extent - first, i, size_[i]);
      }
      if (size_[i] > 0) offset += first * strides_[i];
    }
    return offset;
  }

 private:
  std::string where_;
  Shape extents_, size_;
  std::vector<int64_t> strides_;
  Vector begin_;
};

}  // namespace

std::optional<MovingPart> moving_slice(const OpView& op, const Place& x) {
  const bool updates = op.def().find_input("update") != nullptr;
  const Type type = updates ? op.type("update") : op.operation().outputs[0]->type;
  if (!type.is_tensor() || !type.is_static()) return std::nullopt;
  MovingPart part;
  const std::optional<Vector> begin = vector_of(op, "begin", part),
                              end = vector_of(op, "end", part);
  if (!begin || !end || part.integers.empty()) return std::nullopt;
  std::vector<SliceAxis> axes = slice_axes(op, x.shape);
  part.place = x;
  part.place.shape = type.shape();
  part.place.strides.clear();
  Shape counts;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (axes[i].squeezed) {
      counts.push_back(1);
      continue;
    }
    if (part.place.strides.size() == type.shape().size()) return std::nullopt;
    counts.push_back(type.shape()[part.place.strides.size()]);
    part.place.strides.push_back(axes[i].stride * x.strides[i]);
  }
  if (part.place.strides.size() != type.shape().size()) return std::nullopt;
  part.position =
      std::make_shared<SlicePosition>(op, x, std::move(axes), std::move(counts), *begin, *end);
  return part;
}

std::optional<MovingPart> moving_slice_by_size(const OpView& op, const Place& x) {
  const Shape size = op.operation().outputs[0]->type.shape();
  if (op.known("begin") != nullptr || !is_index(op.dtype("begin"))) return std::nullopt;
  MovingPart part{x, {"begin"}, std::make_shared<SizePosition>(op, x, size, op.dtype("begin"))};
  part.place.shape = size;
  return part;
}

}  // namespace mw::ops
