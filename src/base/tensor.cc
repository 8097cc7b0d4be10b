// DType tables and Tensor: allocation, conversion and sub-byte element access.
#include "millwright/tensor.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "base/error.h"
#include "base/half.h"
#include "base/tensor_memory.h"

namespace mw {
namespace {

struct DTypeRow {
  std::string_view name;
  int bits;
  bool is_float;
  bool is_integer;
};

// In the order of the enumeration.
constexpr std::array<DTypeRow, 22> kDTypes = {{
    {"bool", 8, false, false},     {"string", 0, false, false}, {"fp16", 16, true, false},
    {"fp32", 32, true, false},     {"fp64", 64, true, false},   {"bf16", 16, true, false},
    {"fp8e4m3fn", 8, true, false}, {"fp8e5m2", 8, true, false}, {"int4", 4, false, true},
    {"int8", 8, false, true},      {"int16", 16, false, true},  {"int32", 32, false, true},
    {"int64", 64, false, true},    {"uint1", 1, false, true},   {"uint2", 2, false, true},
    {"uint3", 3, false, true},     {"uint4", 4, false, true},   {"uint6", 6, false, true},
    {"uint8", 8, false, true},     {"uint16", 16, false, true}, {"uint32", 32, false, true},
    {"uint64", 64, false, true},
}};

const DTypeRow& row(DType dtype) { return kDTypes[static_cast<size_t>(dtype)]; }

uint64_t read_bits(const void* raw, int64_t flat, int bits) {
  const auto* bytes = static_cast<const uint8_t*>(raw);
  uint64_t value = 0;
  for (int k = 0; k < bits; ++k) {
    const int64_t at = flat * bits + k;
    value |= static_cast<uint64_t>((bytes[at / 8] >> (at % 8)) & 1) << k;
  }
  return value;
}

void write_bits(void* raw, int64_t flat, int bits, uint64_t value) {
  auto* bytes = static_cast<uint8_t*>(raw);
  for (int k = 0; k < bits; ++k) {
    const int64_t at = flat * bits + k;
    const auto mask = static_cast<uint8_t>(1u << (at % 8));
    if ((value >> k) & 1) {
      bytes[at / 8] |= mask;
    } else {
      bytes[at / 8] = static_cast<uint8_t>(bytes[at / 8] & ~mask);
    }
  }
}

// A tensor of the shape of `x` whose every element is to be written; zeros where elements are parts
// of bytes, are strings, or are none.
Tensor unset_like(const Tensor& x, DType dtype) {
  if (dtype == DType::kString || bit_width(dtype) < 8 || x.count() == 0) return {dtype, x.shape()};
  TensorMemory memory = tensor_memory(bytes_of(dtype, x.count()), x.shape(), Fill::kNothing);
  return {dtype, x.shape(), std::move(memory.owner), memory.data};
}

template <class T>
T saturate(double value) {
  if (std::isnan(value)) return 0;
  if (value <= static_cast<double>(std::numeric_limits<T>::min())) {
    return std::numeric_limits<T>::min();
  }
  if (value >= static_cast<double>(std::numeric_limits<T>::max())) {
    return std::numeric_limits<T>::max();
  }
  return static_cast<T>(value);
}

template <class T>
T load(const void* raw, int64_t flat) {
  return static_cast<const T*>(raw)[flat];
}
template <class T>
void store(void* raw, int64_t flat, T value) {
  static_cast<T*>(raw)[flat] = value;
}

}  // namespace

int bit_width(DType dtype) { return row(dtype).bits; }
std::string_view name_of(DType dtype) { return row(dtype).name; }
bool is_float(DType dtype) { return row(dtype).is_float; }
bool is_integer(DType dtype) { return row(dtype).is_integer; }

std::optional<DType> dtype_named(std::string_view name) {
  for (size_t i = 0; i < kDTypes.size(); ++i) {
    if (kDTypes[i].name == name) return static_cast<DType>(i);
  }
  return std::nullopt;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += shape[i] < 0 ? "?" : std::to_string(shape[i]);
  }
  return text + "]";
}

int64_t count_of(const Shape& shape) {
  int64_t count = 1;
  for (const int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(count, extent, &count)) {
      fail(ErrorCode::kInvalidArgument,
           "shape {}: expected known extents whose product fits in 63 bits", to_string(shape));
    }
  }
  return count;
}

int64_t bytes_of(DType dtype, int64_t count) {
  const int bits =
      dtype == DType::kString ? static_cast<int>(sizeof(std::string)) * 8 : bit_width(dtype);
  int64_t total = 0;
  if (__builtin_mul_overflow(count, static_cast<int64_t>(bits), &total)) {
    fail(ErrorCode::kInvalidArgument, "{} elements of {} exceed the address space", count,
         name_of(dtype));
  }
  return total / 8 + (total % 8 != 0);
}

Tensor::Tensor(DType dtype, Shape shape)
    : dtype_(dtype), shape_(std::move(shape)), count_(count_of(shape_)) {
  if (dtype == DType::kString) {
    expect_memory_for(nbytes(), shape_);
    auto strings = std::make_shared<std::vector<std::string>>(
        static_cast<size_t>(std::max<int64_t>(count_, 1)));
    data_ = strings->data();
    owner_ = std::move(strings);
    return;
  }
  TensorMemory memory = tensor_memory(nbytes(), shape_, Fill::kZeros);
  owner_ = std::move(memory.owner);
  data_ = memory.data;
}

Tensor::Tensor(DType dtype, Shape shape, std::shared_ptr<const void> owner, const void* data)
    : dtype_(dtype),
      shape_(std::move(shape)),
      count_(count_of(shape_)),
      owner_(std::move(owner)),
      data_(const_cast<void*>(data)) {}

void Tensor::check_dtype(DType wanted) const {
  if (wanted != dtype_) {
    fail(ErrorCode::kInternal, "tensor of {} read as {}", name_of(dtype_), name_of(wanted));
  }
}

void Tensor::check_count(int64_t got) const {
  if (got != count_) {
    fail(ErrorCode::kInvalidArgument, "tensor {}: expected {} values, got {}", to_string(shape_),
         count_, got);
  }
}

double Tensor::number_at(int64_t flat) const {
  switch (dtype_) {
    case DType::kF16:
      return f16_to_f32(load<uint16_t>(data_, flat));
    case DType::kF32:
      return load<float>(data_, flat);
    case DType::kF64:
      return load<double>(data_, flat);
    case DType::kBF16:
      return bf16_to_f32(load<uint16_t>(data_, flat));
    case DType::kF8E4M3FN:
      return f8e4m3fn_to_f32(load<uint8_t>(data_, flat));
    case DType::kF8E5M2:
      return f8e5m2_to_f32(load<uint8_t>(data_, flat));
    case DType::kU64:
      return static_cast<double>(load<uint64_t>(data_, flat));
    default:
      return static_cast<double>(integer_at(flat));
  }
}

int64_t Tensor::integer_at(int64_t flat) const {
  switch (dtype_) {
    case DType::kBool:
      return load<uint8_t>(data_, flat) != 0 ? 1 : 0;
    case DType::kI8:
      return load<int8_t>(data_, flat);
    case DType::kI16:
      return load<int16_t>(data_, flat);
    case DType::kI32:
      return load<int32_t>(data_, flat);
    case DType::kI64:
      return load<int64_t>(data_, flat);
    case DType::kU8:
      return load<uint8_t>(data_, flat);
    case DType::kU16:
      return load<uint16_t>(data_, flat);
    case DType::kU32:
      return load<uint32_t>(data_, flat);
    case DType::kU64:
      return static_cast<int64_t>(load<uint64_t>(data_, flat));
    case DType::kI4: {
      const auto raw = static_cast<int64_t>(read_bits(data_, flat, 4));
      return raw < 8 ? raw : raw - 16;
    }
    case DType::kU1:
    case DType::kU2:
    case DType::kU3:
    case DType::kU4:
    case DType::kU6:
      return static_cast<int64_t>(read_bits(data_, flat, bit_width(dtype_)));
    case DType::kString:
      fail(ErrorCode::kInternal, "a string read as a number");
    default:
      return saturate<int64_t>(number_at(flat));
  }
}

void Tensor::set_number(int64_t flat, double value) {
  switch (dtype_) {
    case DType::kF16:
      return store(data_, flat, f64_to_f16(value));
    case DType::kF32:
      return store(data_, flat, static_cast<float>(value));
    case DType::kF64:
      return store(data_, flat, value);
    case DType::kBF16:
      return store(data_, flat, f32_to_bf16(static_cast<float>(value)));
    case DType::kF8E4M3FN:
      return store(data_, flat, f32_to_f8e4m3fn(static_cast<float>(value)));
    case DType::kF8E5M2:
      return store(data_, flat, f32_to_f8e5m2(static_cast<float>(value)));
    case DType::kBool:
      return store<uint8_t>(data_, flat, value != 0 ? 1 : 0);
    case DType::kI8:
      return store(data_, flat, saturate<int8_t>(value));
    case DType::kI16:
      return store(data_, flat, saturate<int16_t>(value));
    case DType::kI32:
      return store(data_, flat, saturate<int32_t>(value));
    case DType::kU8:
      return store(data_, flat, saturate<uint8_t>(value));
    case DType::kU16:
      return store(data_, flat, saturate<uint16_t>(value));
    case DType::kU32:
      return store(data_, flat, saturate<uint32_t>(value));
    case DType::kU64:
      return store(data_, flat, saturate<uint64_t>(value));
    default:
      return set_integer(flat, saturate<int64_t>(value));
  }
}

void Tensor::set_integer(int64_t flat, int64_t value) {
  switch (dtype_) {
    case DType::kBool:
      return store<uint8_t>(data_, flat, value != 0 ? 1 : 0);
    case DType::kI8:
    case DType::kU8:
      return store(data_, flat, static_cast<uint8_t>(value));
    case DType::kI16:
    case DType::kU16:
      return store(data_, flat, static_cast<uint16_t>(value));
    case DType::kI32:
    case DType::kU32:
      return store(data_, flat, static_cast<uint32_t>(value));
    case DType::kI64:
    case DType::kU64:
      return store(data_, flat, value);
    case DType::kI4:
    case DType::kU1:
    case DType::kU2:
    case DType::kU3:
    case DType::kU4:
    case DType::kU6:
      return write_bits(data_, flat, bit_width(dtype_), static_cast<uint64_t>(value));
    case DType::kString:
      fail(ErrorCode::kInternal, "a string written as a number");
    default:
      return set_number(flat, static_cast<double>(value));
  }
}

Tensor Tensor::reshaped(Shape shape) const {
  Tensor result = *this;
  result.shape_ = std::move(shape);
  check_count(count_of(result.shape_));
  return result;
}

Tensor Tensor::to(DType dtype) const {
  if (dtype == dtype_) return *this;
  if (dtype == DType::kString || dtype_ == DType::kString) {
    fail(ErrorCode::kInvalidArgument, "cannot convert {} to {}", name_of(dtype_), name_of(dtype));
  }
  Tensor result = unset_like(*this, dtype);
  if (dtype_ == DType::kF16 && dtype == DType::kF32) {
    f16_to_f32(static_cast<const uint16_t*>(data_), static_cast<float*>(result.data_),
               static_cast<size_t>(count_));
    return result;
  }
  if (dtype_ == DType::kF32 && dtype == DType::kF16) {
    f32_to_f16(static_cast<const float*>(data_), static_cast<uint16_t*>(result.data_),
               static_cast<size_t>(count_));
    return result;
  }
  if (dtype_ == DType::kF32 && dtype == DType::kBF16) {
    f32_to_bf16(static_cast<const float*>(data_), static_cast<uint16_t*>(result.data_),
                static_cast<size_t>(count_));
    return result;
  }
  if (dtype_ == DType::kBF16 && dtype == DType::kF32) {
    bf16_to_f32(static_cast<const uint16_t*>(data_), static_cast<float*>(result.data_),
                static_cast<size_t>(count_));
    return result;
  }
  const bool through_integers = !is_float(dtype_) && !is_float(dtype);
  for (int64_t i = 0; i < count_; ++i) {
    if (through_integers) {
      result.set_integer(i, integer_at(i));
    } else {
      result.set_number(i, number_at(i));
    }
  }
  return result;
}

Tensor Tensor::clone() const {
  Tensor result = unset_like(*this, dtype_);
  if (dtype_ == DType::kString) {
    std::copy_n(static_cast<const std::string*>(data_), count_,
                static_cast<std::string*>(result.data_));
  } else if (count_ > 0) {
    std::memcpy(result.data_, data_, static_cast<size_t>(nbytes()));
  }
  return result;
}

bool bit_equal(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  if (a.dtype() == DType::kString) {
    return std::equal(a.values<std::string>().begin(), a.values<std::string>().end(),
                      b.values<std::string>().begin());
  }
  return a.count() == 0 || std::memcmp(a.raw(), b.raw(), static_cast<size_t>(a.nbytes())) == 0;
}

}  // namespace mw
