// Adafactor against its formula, written out: vectors whole, matrices by rows and columns.
#include <algorithm>
#include <cmath>

#include "train/optimizers/testing.h"

namespace mw::training {
namespace {

double root_mean_square(const Numbers& x) {
  double sum = 0;
  for (const double number : x) sum += number * number;
  return std::sqrt(sum / static_cast<double>(x.size()));
}

// The estimate of each square, of `matrices` of rows x columns beside one another.
Numbers estimates(const Numbers& squares, double share, size_t matrices, size_t rows,
                  size_t columns, std::map<std::string, Numbers>& kept) {
  Numbers &r = kept["rows"], &c = kept["columns"], all(squares.size());
  r.resize(matrices * rows);
  c.resize(matrices * columns);
  for (size_t m = 0; m < matrices; ++m) {
    const auto at = [&](size_t i, size_t k) { return (m * rows + i) * columns + k; };
    double mean_of_rows = 0;
    for (size_t i = 0; i < rows; ++i) {
      double mean = 0;
      for (size_t k = 0; k < columns; ++k) mean += squares[at(i, k)] / static_cast<double>(columns);
      double& kept_row = r[m * rows + i];
      kept_row = (1 - share) * kept_row + share * mean;
      mean_of_rows += kept_row / static_cast<double>(rows);
    }
    for (size_t k = 0; k < columns; ++k) {
      double mean = 0;
      for (size_t i = 0; i < rows; ++i) mean += squares[at(i, k)] / static_cast<double>(rows);
      double& kept_column = c[m * columns + k];
      kept_column = (1 - share) * kept_column + share * mean;
      for (size_t i = 0; i < rows; ++i)
        all[at(i, k)] = r[m * rows + i] * kept_column / mean_of_rows;
    }
  }
  return all;
}

Formula formula_of(const Adafactor& s, const Shape& shape) {
  return [=](const Step& step, Numbers& p, std::map<std::string, Numbers>& kept) {
    const double share = std::pow(step.t, -double{s.decay_rate});
    Numbers squares(p.size()), u(p.size());
    for (size_t i = 0; i < p.size(); ++i) squares[i] = step.gradient[i] * step.gradient[i] + 1e-30;
    if (shape.size() < 2) {
      Numbers& v = kept["v"];
      v.resize(p.size());
      for (size_t i = 0; i < p.size(); ++i) v[i] = (1 - share) * v[i] + share * squares[i];
      squares = v;
    } else {
      const auto rows = static_cast<size_t>(shape[shape.size() - 2]);
      const auto columns = static_cast<size_t>(shape.back());
      squares = estimates(squares, share, p.size() / (rows * columns), rows, columns, kept);
    }
    for (size_t i = 0; i < p.size(); ++i) u[i] = step.gradient[i] / std::sqrt(squares[i]);
    const double size = std::max(root_mean_square(p), double{s.epsilon});
    const double rate = std::min(step.learning_rate, 1 / std::sqrt(step.t));
    const double shrink = std::max(1.0, root_mean_square(u) / double{s.clip_threshold});
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] -= step.learning_rate * double{s.weight_decay} * p[i];
      p[i] -= size * rate * u[i] / shrink;
    }
  };
}

TEST(adafactor, does_what_its_formula_says) {
  for (const Adafactor& s :
       {Adafactor{},
        Adafactor{.learning_rate = 2, .clip_threshold = 0.5F, .weight_decay = 0.01F}}) {
    for (const Shape& shape : {Shape{5}, Shape{3, 4}, Shape{2, 3, 2, 4}}) {
      expect_formula(s, shape, formula_of(s, shape));
    }
  }
}

}  // namespace
}  // namespace mw::training
