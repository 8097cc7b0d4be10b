// coerced(): the one place where inputs change their dtype.
#include "api/coerce.h"

#include <cmath>

#include "base/error.h"

namespace mw {
namespace {

// The bounds of an integer dtype, the upper one exclusive: both are exact as doubles.
struct Bounds {
  double low, high;
};
Bounds bounds_of(DType dtype) {
  if (dtype == DType::kBool) return {0, 2};
  const bool has_sign = name_of(dtype).front() == 'i';
  const int bits = bit_width(dtype);
  return {has_sign ? -std::ldexp(1.0, bits - 1) : 0, std::ldexp(1.0, has_sign ? bits - 1 : bits)};
}

std::string place_of(int64_t flat, const Shape& shape) {
  Shape index(shape.size());
  for (size_t axis = shape.size(); axis-- > 0;) {
    index[axis] = flat % shape[axis];
    flat /= shape[axis];
  }
  return to_string(index);
}

Tensor from_floats(const std::string& name, const Tensor& given, DType wanted) {
  const Bounds bounds = bounds_of(wanted);
  for (int64_t i = 0; i < given.count(); ++i) {
    const double value = given.number_at(i);
    if (value >= bounds.low && value < bounds.high && value == std::floor(value)) continue;
    fail(ErrorCode::kInvalidArgument,
         "input '{}': expected {}, got {} with the value {} at {}; round it first", name,
         name_of(wanted), name_of(given.dtype()), value, place_of(i, given.shape()));
  }
  return given.to(wanted);
}

Tensor from_integers(const std::string& name, const Tensor& given, DType wanted) {
  Tensor result = given.to(wanted);
  for (int64_t i = 0; i < given.count(); ++i) {
    // Bits tell large numbers apart, signs uint64 from int64.
    const bool same_sign = (result.number_at(i) < 0) == (given.number_at(i) < 0);
    if (result.integer_at(i) == given.integer_at(i) && same_sign) continue;
    fail(ErrorCode::kInvalidArgument,
         "input '{}': expected {}, got the value {} at {}; convert it first", name, name_of(wanted),
         given.integer_at(i), place_of(i, given.shape()));
  }
  return result;
}

}  // namespace

Tensor coerced(const std::string& name, const Tensor& given, DType wanted) {
  if (given.dtype() == wanted) return given;
  if (given.dtype() == DType::kString || wanted == DType::kString) {
    fail(ErrorCode::kInvalidArgument, "input '{}': expected {}, got {}; convert it first", name,
         name_of(wanted), name_of(given.dtype()));
  }
  if (is_float(wanted)) return given.to(wanted);
  return is_float(given.dtype()) ? from_floats(name, given, wanted)
                                 : from_integers(name, given, wanted);
}

}  // namespace mw
