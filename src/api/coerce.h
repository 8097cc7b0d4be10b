// coerced(): numbers that a caller gives, in the dtype that the model wants.
#pragma once

#include <string>

#include "millwright/tensor.hpp"

namespace mw {

// Integers, whole floats and bools as `wanted`, where no value changes its meaning; anything as a
// float. Throws invalid_argument that names the first value that does not fit, and where it is.
Tensor coerced(const std::string& name, const Tensor& given, DType wanted);

}  // namespace mw
