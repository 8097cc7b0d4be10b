// Looks for numbers that are not finite, in fp32 without a conversion for each.
#include "base/finite.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

namespace mw {
namespace {

constexpr int64_t kBlock = 64;

// The exponents of NaN and of the infinities are all ones.
bool is_block_finite(const float* x, int64_t count) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    found |= static_cast<uint32_t>((std::bit_cast<uint32_t>(x[i]) & kExponent) == kExponent);
  }
  return found == 0;
}

std::optional<int64_t> first_in(const float* x, int64_t from, int64_t count) {
  for (int64_t begin = from; begin < count; begin += kBlock) {
    const int64_t end = std::min(begin + kBlock, count);
    if (is_block_finite(x + begin, end - begin)) continue;
    for (int64_t i = begin; i < end; ++i) {
      if (!std::isfinite(x[i])) return i;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<int64_t> first_not_finite(const Tensor& tensor, int64_t from) {
  if (!is_float(tensor.dtype())) return std::nullopt;
  if (tensor.dtype() == DType::kF32) return first_in(tensor.data<float>(), from, tensor.count());
  for (int64_t i = from; i < tensor.count(); ++i) {
    if (!std::isfinite(tensor.number_at(i))) return i;
  }
  return std::nullopt;
}

std::string first_not_finite(const TensorMap& tensors) {
  for (const auto& [name, tensor] : tensors) {
    if (first_not_finite(tensor)) return name;
  }
  return "";
}

std::string not_finite_text(double number) {
  if (std::isnan(number)) return "nan";
  return number > 0 ? "inf" : "-inf";
}

std::string not_finite_text(const Tensor& tensor, int64_t flat) {
  std::string text = not_finite_text(tensor.number_at(flat));
  if (tensor.rank() == 0) return text;
  Shape place(tensor.shape().size());
  for (size_t axis = place.size(); axis-- > 0; flat /= tensor.shape()[axis]) {
    place[axis] = flat % tensor.shape()[axis];
  }
  return fmt::format("{} at {}", text, to_string(place));
}

}  // namespace mw
