// What the tests of optimisers share: a rule's update run op by op in fp64, beside a formula.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "train/optimizer.h"

namespace mw::training {

using Numbers = std::vector<double>;

// A matrix of numbers, row after row.
struct Matrix {
  size_t rows = 0, columns = 0;
  Numbers data;
  Matrix(size_t rows, size_t columns) : rows(rows), columns(columns), data(rows * columns) {}
  double& operator()(size_t row, size_t column) { return data[row * columns + column]; }
  double operator()(size_t row, size_t column) const { return data[row * columns + column]; }
};
Matrix transposed(const Matrix& a);
Matrix product(const Matrix& a, const Matrix& b);

// Changes `value` by the gradient of step `t`, from 1; `kept` is its own from step to step, empty
// at first.
struct Step {
  int t;
  double learning_rate;
  const Numbers& gradient;
};
using Formula =
    std::function<void(const Step& step, Numbers& value, std::map<std::string, Numbers>& kept)>;

// Takes six steps with gradients and learning rates that change, by the rule and by the formula:
// the values agree after each to 1e-12 of their size.
void expect_formula(const Optimizer& settings, const Shape& shape, const Formula& formula);

}  // namespace mw::training
