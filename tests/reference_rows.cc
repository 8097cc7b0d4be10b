// With each term, how far the rounding of the number it is taken from can move it.
#include "reference_rows.h"

#include <algorithm>
#include <cmath>

namespace mw::testing {
namespace {

constexpr int64_t kIgnored = -100;

// How far a number may be from what the model computed before its output was rounded.
double rounding(double number, const Value& value) {
  return value.narrow ? 5e-4 * std::abs(number) + 6e-8 : 1e-7 * std::abs(number) + 1e-30;
}

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

// Of a label y and an output x: the loss, and its derivative by x.
struct Term {
  double loss, slope;
};
Term binary_term(double y, double x, Activation activation) {
  switch (activation) {
    case Activation::kSigmoid:
      return {-y * std::log(x) - (1 - y) * std::log1p(-x), y / x + (1 - y) / (1 - x)};
    case Activation::kLogSigmoid: {
      const double p = std::exp(x);
      return {-y * x - (1 - y) * std::log1p(-p), y + (1 - y) * p / (1 - p)};
    }
    default:
      return {y * softplus(-x) + (1 - y) * softplus(x), 1};
  }
}

}  // namespace

Rows rows_along(const Tensor& values, int64_t axis) {
  const Shape& shape = values.shape();
  int64_t outer = 1, inner = 1;
  for (int64_t i = 0; i < axis; ++i) outer *= shape[static_cast<size_t>(i)];
  const int64_t extent = shape[static_cast<size_t>(axis)];
  for (size_t i = static_cast<size_t>(axis) + 1; i < shape.size(); ++i) inner *= shape[i];
  Rows rows;
  for (int64_t o = 0; o < outer; ++o) {
    for (int64_t i = 0; i < inner; ++i) {
      std::vector<double>& row = rows.emplace_back();
      for (int64_t c = 0; c < extent; ++c) {
        row.push_back(values.number_at((o * extent + c) * inner + i));
      }
    }
  }
  return rows;
}

double log_sum_exp(const std::vector<double>& row) {
  const double largest = *std::max_element(row.begin(), row.end());
  double sum = 0;
  for (const double x : row) sum += std::exp(x - largest);
  return largest + std::log(sum);
}

Sum rounded(double number, const Value& value) {
  return {.sum = number, .slack = rounding(number, value), .count = 1};
}

Sum squared_error(const Tensor& values, const Value& value, const Tensor& labels) {
  Sum sum;
  for (int64_t i = 0; i < values.count(); ++i) {
    const double x = values.number_at(i), difference = x - labels.number_at(i);
    const double off = rounding(x, value);
    sum.sum += difference * difference;
    sum.slack += 2 * std::abs(difference) * off + off * off;
    ++sum.count;
  }
  return sum;
}

std::optional<Sum> binary_cross_entropy(const Tensor& values, const Value& value,
                                        const Tensor& labels) {
  if (value.activation == Activation::kSoftmax || value.activation == Activation::kLogSoftmax) {
    return std::nullopt;
  }
  Sum sum;
  for (int64_t i = 0; i < values.count(); ++i) {
    const double y = labels.number_at(i), x = values.number_at(i);
    if (y == kIgnored) continue;
    const Term term = binary_term(y, x, value.activation);
    sum.sum += term.loss;
    sum.slack += std::abs(term.slope) * rounding(x, value);
    ++sum.count;
  }
  return sum;
}

std::optional<Sum> cross_entropy(const Tensor& values, const Value& value, int64_t axis,
                                 const std::vector<int64_t>& labels) {
  if (value.activation == Activation::kSigmoid || value.activation == Activation::kLogSigmoid) {
    return std::nullopt;
  }
  const Rows rows = rows_along(values, axis);
  if (rows.size() != labels.size() || rows.front().size() < 2) return std::nullopt;
  Sum sum{.axis = axis, .classes = static_cast<int64_t>(rows.front().size())};
  for (size_t r = 0; r < rows.size(); ++r) {
    if (labels[r] == kIgnored) continue;
    const double x = rows[r].at(static_cast<size_t>(labels[r])), off = rounding(x, value);
    ++sum.count;
    if (value.activation == Activation::kSoftmax) {
      sum.sum -= std::log(x);
      sum.slack += off / x;
    } else if (value.activation == Activation::kLogSoftmax) {
      sum.sum -= x;
      sum.slack += off;
    } else {
      double largest = 0;
      for (const double other : rows[r]) largest = std::max(largest, std::abs(other));
      sum.sum += log_sum_exp(rows[r]) - x;
      sum.slack += 2 * rounding(largest, value);
    }
  }
  return sum;
}

}  // namespace mw::testing
