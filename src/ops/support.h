// What op files share: shape rules for infer(), and typed element access for eval().
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "ir/evaluate.h"
#include "ir/op_def.h"
#include "ir/op_view.h"

namespace mw::ops {

// Op files are written in the IR's vocabulary.
using namespace ir;  // NOLINT(google-build-using-namespace)

inline constexpr int64_t kAny = kUnknownDim;

// --- inference -------------------------------------------------------------------------------

// Type of input `x`: for ops that keep dtype and shape.
Type same_as_x(const OpView& op);
// NumPy broadcasting of two shapes; an unknown extent meets 1 or unknown -> unknown, meets n -> n.
// `input` names the input to blame.
Shape broadcast(const OpView& op, std::string_view input, const Shape& a, const Shape& b);
// x and y broadcast; their dtypes must be equal. The result has that dtype.
Type broadcast_xy(const OpView& op);
// A tensor with the extents that a run finds in `input`, an index vector of unknown values. Where
// its length is unknown, too, the program itself may state the rank.
Type type_of_extents(const OpView& op, std::string_view input, DType dtype);
void expect_rank(const OpView& op, std::string_view input, int64_t low, int64_t high);
// Equal up to unknown extents, else "expected shape [3], got [2]".
void expect_shape(const OpView& op, std::string_view input, const Shape& expected);
void expect_dtype(const OpView& op, std::string_view input, DType expected);
void expect_float(const OpView& op, std::string_view input);
void expect_numeric(const OpView& op, std::string_view input);  // not a string
// Arithmetic on extents that keeps unknown ones unknown and throws on overflow.
int64_t dim_mul(int64_t a, int64_t b);
int64_t dim_add(int64_t a, int64_t b);
// Product of extents [begin, end) of a shape; kAny when one is unknown.
int64_t product(const Shape& shape, size_t begin, size_t end);

// --- evaluation ------------------------------------------------------------------------------

// Calls f(T{}) with the C++ type of `dtype`: float, double, bool, or an integer of 8 to 64 bits.
// fp16 and the like never reach eval(); strings and sub-byte dtypes are an unsupported error.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      return f(float{});
    case DType::kF64:
      return f(double{});
    case DType::kBool:
      return f(bool{});
    case DType::kI8:
      return f(int8_t{});
    case DType::kI16:
      return f(int16_t{});
    case DType::kI32:
      return f(int32_t{});
    case DType::kI64:
      return f(int64_t{});
    case DType::kU8:
      return f(uint8_t{});
    case DType::kU16:
      return f(uint16_t{});
    case DType::kU32:
      return f(uint32_t{});
    case DType::kU64:
      return f(uint64_t{});
    default:
      fail(ErrorCode::kUnsupported, "dtype {} is not computed with", mw::name_of(dtype));
  }
}

// Only float and double.
template <class F>
decltype(auto) dispatch_float(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kF32:
      return f(float{});
    case DType::kF64:
      return f(double{});
    default:
      fail(ErrorCode::kUnsupported, "dtype {}: expected fp32 or fp64", mw::name_of(dtype));
  }
}

// For ops that only move elements: an unsigned integer of the element's size stands for any dtype.
template <class F>
decltype(auto) dispatch_bits(DType dtype, F&& f) {
  switch (bit_width(dtype)) {
    case 8:
      return f(uint8_t{});
    case 16:
      return f(uint16_t{});
    case 32:
      return f(uint32_t{});
    case 64:
      return f(uint64_t{});
    default:
      fail(ErrorCode::kUnsupported, "dtype {}: elements cannot be moved one by one",
           mw::name_of(dtype));
  }
}
// Untyped element access for dispatch_bits.
template <class T>
const T* bits_of(const Tensor& tensor) {
  return static_cast<const T*>(tensor.raw());
}
template <class T>
T* mutable_bits_of(Tensor& tensor) {
  return static_cast<T*>(tensor.mutable_raw());
}

// Row-major strides in elements.
std::vector<int64_t> strides_of(const Shape& shape);
// Strides for reading a tensor of shape `from` as if broadcast to `to`: 0 on repeated axes.
std::vector<int64_t> broadcast_strides(const Shape& from, const Shape& to);

// Walks a shape in row-major order, keeping one offset per operand up to date.
//   for (Walk<2> w(shape, {sa, sb}); !w.done(); w.next()) y[w.flat()] = a[w.at(0)] + b[w.at(1)];
template <size_t N>
class Walk {
 public:
  Walk(const Shape& shape, std::array<std::vector<int64_t>, N> strides)
      : shape_(shape),
        strides_(std::move(strides)),
        index_(shape.size(), 0),
        count_(count_of(shape)) {}
  [[nodiscard]] bool done() const { return flat_ >= count_; }
  [[nodiscard]] int64_t flat() const { return flat_; }
  [[nodiscard]] int64_t at(size_t operand) const { return offsets_[operand]; }
  [[nodiscard]] const std::vector<int64_t>& index() const { return index_; }
  void next() {
    ++flat_;
    for (size_t axis = shape_.size(); axis-- > 0;) {
      for (size_t k = 0; k < N; ++k) offsets_[k] += strides_[k][axis];
      if (++index_[axis] < shape_[axis]) return;
      for (size_t k = 0; k < N; ++k) offsets_[k] -= strides_[k][axis] * shape_[axis];
      index_[axis] = 0;
    }
  }

 private:
  Shape shape_;
  std::array<std::vector<int64_t>, N> strides_;
  std::vector<int64_t> index_;
  std::array<int64_t, N> offsets_{};
  int64_t flat_ = 0, count_;
};

// Elements of a run-time operand as integers (any integer, bool or float dtype).
std::vector<int64_t> integers_of(const Tensor& tensor);

}  // namespace mw::ops
