// Shape rules and element access shared by the op files.
#include "ops/support.h"

#include <algorithm>

namespace mw::ops {

Type same_as_x(const OpView& op) { return op.tensor_type("x"); }

Shape broadcast(const OpView& op, std::string_view input, const Shape& a, const Shape& b) {
  const Shape& longer = a.size() >= b.size() ? a : b;
  const Shape& shorter = a.size() >= b.size() ? b : a;
  Shape result = longer;
  const size_t offset = longer.size() - shorter.size();
  for (size_t i = 0; i < shorter.size(); ++i) {
    int64_t& extent = result[offset + i];
    const int64_t other = shorter[i];
    if (extent == other || other == 1) continue;
    if (extent == 1 || extent == kAny) {
      extent = other;
    } else if (other != kAny) {
      op.reject(input, "shapes {} and {} cannot be broadcast together", to_string(a), to_string(b));
    }
  }
  return result;
}

Type broadcast_xy(const OpView& op) {
  const Type x = op.tensor_type("x"), y = op.tensor_type("y");
  if (x.dtype() != y.dtype()) {
    op.reject("y", "expected dtype {} as x has, got {}", mw::name_of(x.dtype()),
              mw::name_of(y.dtype()));
  }
  return Type::tensor(x.dtype(), broadcast(op, "y", x.shape(), y.shape()));
}

Type type_of_extents(const OpView& op, std::string_view input, DType dtype) {
  const int64_t length = op.shape(input)[0];
  const auto& outputs = op.operation().outputs;
  const bool stated =
      outputs.size() == 1 && outputs[0]->type.is_tensor() && outputs[0]->type.has_rank();
  if (length == kAny && !stated) return Type::unranked(dtype);
  const int64_t rank = length == kAny ? outputs[0]->type.rank() : length;
  if (rank > static_cast<int64_t>(kMaxRank)) {
    op.reject(input, "expected at most {} extents, got {}", kMaxRank, rank);
  }
  return Type::tensor(dtype, Shape(static_cast<size_t>(rank), kAny));
}

void expect_rank(const OpView& op, std::string_view input, int64_t low, int64_t high) {
  const int64_t rank = op.rank(input);
  if (rank >= low && rank <= high) return;
  if (low == high) {
    op.reject(input, "expected rank {}, got shape {}", low, to_string(op.shape(input)));
  }
  op.reject(input, "expected rank {} to {}, got shape {}", low, high, to_string(op.shape(input)));
}

void expect_shape(const OpView& op, std::string_view input, const Shape& expected) {
  const Shape got = op.shape(input);
  bool fits = got.size() == expected.size();
  for (size_t i = 0; fits && i < got.size(); ++i) {
    fits = got[i] == expected[i] || got[i] == kAny || expected[i] == kAny;
  }
  if (!fits) op.reject(input, "expected shape {}, got {}", to_string(expected), to_string(got));
}

void expect_dtype(const OpView& op, std::string_view input, DType expected) {
  const DType got = op.dtype(input);
  if (got != expected) {
    op.reject(input, "expected dtype {}, got {}", mw::name_of(expected), mw::name_of(got));
  }
}

void expect_float(const OpView& op, std::string_view input) {
  const DType got = op.dtype(input);
  if (!is_float(got)) op.reject(input, "expected a float dtype, got {}", mw::name_of(got));
}

void expect_numeric(const OpView& op, std::string_view input) {
  const DType got = op.dtype(input);
  if (got == DType::kString) op.reject(input, "expected numbers, got strings");
}

int64_t dim_mul(int64_t a, int64_t b) {
  if (a == 0 || b == 0) return 0;
  if (a == kAny || b == kAny) return kAny;
  int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) {
    fail(ErrorCode::kInvalidModel, "an extent of {} x {} overflows", a, b);
  }
  return result;
}

int64_t dim_add(int64_t a, int64_t b) {
  if (a == kAny || b == kAny) return kAny;
  int64_t result = 0;
  if (__builtin_add_overflow(a, b, &result)) {
    fail(ErrorCode::kInvalidModel, "an extent of {} + {} overflows", a, b);
  }
  return result;
}

int64_t product(const Shape& shape, size_t begin, size_t end) {
  int64_t result = 1;
  for (size_t i = begin; i < end; ++i) result = dim_mul(result, shape[i]);
  return result;
}

std::vector<int64_t> strides_of(const Shape& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

std::vector<int64_t> broadcast_strides(const Shape& from, const Shape& to) {
  const std::vector<int64_t> own = strides_of(from);
  std::vector<int64_t> strides(to.size(), 0);
  const size_t offset = to.size() - from.size();
  for (size_t i = 0; i < from.size(); ++i) {
    if (from[i] != 1) strides[offset + i] = own[i];
  }
  return strides;
}

std::vector<int64_t> integers_of(const Tensor& tensor) {
  std::vector<int64_t> values(static_cast<size_t>(tensor.count()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = tensor.integer_at(static_cast<int64_t>(i));
  return values;
}

}  // namespace mw::ops
