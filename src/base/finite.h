// first_not_finite(): where a tensor holds a number that is NaN or infinite.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "millwright/tensor.hpp"

namespace mw {

// The flat index of the first such number from `from` on. Nothing: all are finite, or these are no
// floats.
std::optional<int64_t> first_not_finite(const Tensor& tensor, int64_t from = 0);

// The name of the first tensor that holds such a number; empty: none does.
std::string first_not_finite(const TensorMap& tensors);

// "nan", "inf" or "-inf".
std::string not_finite_text(double number);
// "nan at [1, 3]"; of a scalar "nan".
std::string not_finite_text(const Tensor& tensor, int64_t flat);

}  // namespace mw
