// Losses over the numbers of one output: the textbook's formulas, term by term.
#pragma once

#include <optional>
#include <vector>

#include "reference.h"

namespace mw::testing {

using Rows = std::vector<std::vector<double>>;

// The numbers along an axis, for each place on the others in row-major order.
Rows rows_along(const Tensor& values, int64_t axis);
// Of one term that is the number itself.
Sum rounded(double number, const Value& value);
Sum squared_error(const Tensor& values, const Value& value, const Tensor& labels);
// Nothing where the activation is another one's. Label -100 does not count.
std::optional<Sum> binary_cross_entropy(const Tensor& values, const Value& value,
                                        const Tensor& labels);
std::optional<Sum> cross_entropy(const Tensor& values, const Value& value, int64_t axis,
                                 const std::vector<int64_t>& labels);
double log_sum_exp(const std::vector<double>& row);

}  // namespace mw::testing
