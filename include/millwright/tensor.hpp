// Tensor: a dense row-major array with shared storage, and DType, MIL's element types.
//
//   mw::Tensor ids = mw::Tensor::from<int32_t>({1, 2, 3}, {1, 3});
//   for (float x : logits.values<float>()) sum += x;
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mw {

#define MW_API __attribute__((visibility("default")))

enum class DType : uint8_t {
  kBool,
  kString,
  kF16,
  kF32,
  kF64,
  kBF16,
  kF8E4M3FN,
  kF8E5M2,
  kI4,
  kI8,
  kI16,
  kI32,
  kI64,
  kU1,
  kU2,
  kU3,
  kU4,
  kU6,
  kU8,
  kU16,
  kU32,
  kU64,
};

// Storage bits of one element; 0 for kString (held as std::string objects).
MW_API int bit_width(DType dtype);
// MIL's spelling: "fp16", "int32", "uint4", "bool", "string", ...
MW_API std::string_view name_of(DType dtype);
MW_API std::optional<DType> dtype_named(std::string_view name);
MW_API bool is_float(DType dtype);
MW_API bool is_integer(DType dtype);

// The dtype whose in-memory element is T (float -> kF32, bool -> kBool, ...).
template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<bool>() {
  return DType::kBool;
}
template <>
constexpr DType dtype_of<float>() {
  return DType::kF32;
}
template <>
constexpr DType dtype_of<double>() {
  return DType::kF64;
}
template <>
constexpr DType dtype_of<int8_t>() {
  return DType::kI8;
}
template <>
constexpr DType dtype_of<int16_t>() {
  return DType::kI16;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::kI32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::kI64;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::kU8;
}
template <>
constexpr DType dtype_of<uint16_t>() {
  return DType::kU16;
}
template <>
constexpr DType dtype_of<uint32_t>() {
  return DType::kU32;
}
template <>
constexpr DType dtype_of<uint64_t>() {
  return DType::kU64;
}
template <>
constexpr DType dtype_of<std::string>() {
  return DType::kString;
}

using Shape = std::vector<int64_t>;

// Product of the extents. Throws invalid_argument on overflow or a negative extent.
MW_API int64_t count_of(const Shape& shape);
// ceil(count * bits / 8).
MW_API int64_t bytes_of(DType dtype, int64_t count);
MW_API std::string to_string(const Shape& shape);  // "[2, 3]"

class MW_API Tensor {
 public:
  Tensor() = default;  // empty(): no dtype, no data
  // Zero-filled storage, aligned to 64 bytes.
  Tensor(DType dtype, Shape shape);
  // A view of memory that `owner` keeps alive; `data` must hold nbytes() bytes.
  Tensor(DType dtype, Shape shape, std::shared_ptr<const void> owner, const void* data);

  template <class T>
  static Tensor from(const std::vector<T>& values, Shape shape) {
    Tensor t(dtype_of<T>(), std::move(shape));
    t.check_count(static_cast<int64_t>(values.size()));
    for (size_t i = 0; i < values.size(); ++i) t.mutable_data<T>()[i] = values[i];
    return t;
  }
  template <class T>
  static Tensor scalar(T value) {
    Tensor t(dtype_of<T>(), Shape{});
    t.mutable_data<T>()[0] = value;
    return t;
  }

  [[nodiscard]] bool empty() const { return data_ == nullptr && shape_.empty(); }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] const Shape& shape() const { return shape_; }
  [[nodiscard]] int64_t rank() const { return static_cast<int64_t>(shape_.size()); }
  [[nodiscard]] int64_t dim(int64_t axis) const {
    return shape_[static_cast<size_t>(axis < 0 ? axis + rank() : axis)];
  }
  [[nodiscard]] int64_t count() const { return count_; }
  [[nodiscard]] int64_t nbytes() const { return bytes_of(dtype_, count_); }

  // Raw storage. Sub-byte dtypes are one little-endian bit stream, element i at bit i * bits.
  [[nodiscard]] const void* raw() const { return data_; }
  [[nodiscard]] void* mutable_raw() { return data_; }

  // Typed access; throws internal if T does not match dtype().
  template <class T>
  [[nodiscard]] const T* data() const {
    check_dtype(dtype_of<T>());
    return static_cast<const T*>(raw());
  }
  template <class T>
  [[nodiscard]] T* mutable_data() {
    check_dtype(dtype_of<T>());
    return static_cast<T*>(mutable_raw());
  }
  template <class T>
  [[nodiscard]] std::span<const T> values() const {
    return {data<T>(), static_cast<size_t>(count_)};
  }

  // Element `flat` as a number (any numeric dtype, sub-byte included; not strings).
  [[nodiscard]] double number_at(int64_t flat) const;
  [[nodiscard]] int64_t integer_at(int64_t flat) const;
  void set_number(int64_t flat, double value);    // rounds to nearest even for floats
  void set_integer(int64_t flat, int64_t value);  // keeps the low bits

  // Same storage, other shape of equal count.
  [[nodiscard]] Tensor reshaped(Shape shape) const;
  // A converted copy; the same storage when the dtype is equal already.
  // float -> int truncates toward zero and saturates; anything -> bool is != 0.
  [[nodiscard]] Tensor to(DType dtype) const;
  [[nodiscard]] Tensor clone() const;
  [[nodiscard]] const std::shared_ptr<const void>& owner() const { return owner_; }

 private:
  void check_dtype(DType wanted) const;
  void check_count(int64_t got) const;

  DType dtype_ = DType::kF32;
  Shape shape_;
  int64_t count_ = 0;
  std::shared_ptr<const void> owner_;
  void* data_ = nullptr;
};

using TensorMap = std::map<std::string, Tensor>;
using Shapes = std::map<std::string, Shape>;  // by the names of inputs or tensors

// Equal dtype, shape and bytes.
MW_API bool bit_equal(const Tensor& a, const Tensor& b);

}  // namespace mw
