// Sums along one axis, in double.
#include "base/probabilities.h"

#include <cmath>

namespace mw {
namespace {

// How far probabilities may be from summing up to 1: those in fp16 lose what is below 6e-8.
constexpr double kSumTolerance = 1e-2;

}  // namespace

bool hold_probabilities(const Tensor& values, int64_t axis) {
  const int64_t classes = values.dim(axis);
  int64_t inner = 1;
  for (size_t i = static_cast<size_t>(axis) + 1; i < values.shape().size(); ++i) {
    inner *= values.shape()[i];
  }
  if (classes < 2) return false;
  for (int64_t row = 0; row < values.count() / classes; ++row) {
    const int64_t begin = row / inner * inner * classes + row % inner;
    double sum = 0;
    for (int64_t c = 0; c < classes; ++c) {
      const double number = values.number_at(begin + c * inner);
      if (!(number >= 0 && number <= 1)) return false;
      sum += number;
    }
    if (std::fabs(sum - 1) > kSumTolerance) return false;
  }
  return true;
}

}  // namespace mw
