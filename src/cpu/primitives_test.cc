// Tests of the SIMD loops: accuracy over ranges, special values, all tail lengths and
// misalignments.
#include "cpu/primitives.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#include "cpu/zero_rows.h"

namespace mw::cpu {
namespace {

using plan::RowOp;

double ulps(float got, double want) {
  if (std::isnan(want)) return std::isnan(got) ? 0 : HUGE_VAL;
  const auto rounded = static_cast<float>(want);
  if (got == rounded) return 0;
  if (!std::isfinite(rounded) || !std::isfinite(got)) return HUGE_VAL;
  const float next = std::nextafter(std::fabs(rounded), HUGE_VALF);
  return std::fabs(got - want) / (static_cast<double>(next) - std::fabs(rounded));
}

struct Accuracy {
  RowOp op;
  const char* name;
  double low, high, max_ulps;
  std::function<double(double)> function;
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

TEST(Primitives, are_accurate_over_their_range) {
  const std::vector<Accuracy> rows = {
      {RowOp::kExp, "exp", -103, 88.7, 2, [](double x) { return std::exp(x); }},
      {RowOp::kLog, "log", 1e-38, 1e38, 2, [](double x) { return std::log(x); }},
      {RowOp::kLog, "log near 1", 0.5, 2, 3, [](double x) { return std::log(x); }},
      {RowOp::kTanh, "tanh", -10, 10, 3, [](double x) { return std::tanh(x); }},
      {RowOp::kErf, "erf", -5, 5, 5, [](double x) { return std::erf(x); }},
      {RowOp::kSigmoid, "sigmoid", -80, 80, 4, sigmoid},
      {RowOp::kSoftplus, "softplus", -80, 80, 5, [](double x) { return std::log1p(std::exp(x)); }},
      {RowOp::kSilu, "silu", -80, 80, 5, [](double x) { return x * sigmoid(x); }},
      {RowOp::kRsqrt, "rsqrt", 1e-30, 1e30, 2, [](double x) { return 1 / std::sqrt(x); }},
  };
  constexpr int kSamples = 20001;
  for (const Accuracy& row : rows) {
    const UnaryLoop loop = unary_loop(row.op);
    std::vector<float> x(kSamples), y(kSamples);
    const bool logarithmic = row.low > 0 && row.high / row.low > 1e6;
    for (int i = 0; i < kSamples; ++i) {
      const double t = static_cast<double>(i) / (kSamples - 1);
      x[static_cast<size_t>(i)] =
          static_cast<float>(logarithmic ? row.low * std::pow(row.high / row.low, t)
                                         : row.low + (row.high - row.low) * t);
    }
    loop(x.data(), y.data(), x.size(), 0, 0);
    double worst = 0, at = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double error = ulps(y[i], row.function(x[i]));
      if (error > worst) {
        worst = error;
        at = x[i];
      }
    }
    EXPECT_LE(worst, row.max_ulps) << row.name << " at " << at;
  }
}

TEST(Primitives, gelu_is_close_in_absolute_terms) {
  for (float x = -12; x < 12; x += 0.0137f) {
    float y = 0;
    unary_loop(RowOp::kGelu)(&x, &y, 1, 0, 0);
    EXPECT_NEAR(y, x / 2 * std::erfc(-x / std::sqrt(2.0)), 7e-7) << x;
  }
}

TEST(Primitives, keep_special_values) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::nanf("");
  const auto apply = [](RowOp op, float x) {
    float y = 0;
    unary_loop(op)(&x, &y, 1, 0, 0);
    return y;
  };
  EXPECT_EQ(apply(RowOp::kExp, inf), inf);
  EXPECT_EQ(apply(RowOp::kExp, -inf), 0);
  EXPECT_TRUE(std::isnan(apply(RowOp::kExp, nan)));
  EXPECT_EQ(apply(RowOp::kLog, 0), -inf);
  EXPECT_EQ(apply(RowOp::kLog, inf), inf);
  EXPECT_TRUE(std::isnan(apply(RowOp::kLog, -1)));
  EXPECT_TRUE(std::isnan(apply(RowOp::kLog, nan)));
  EXPECT_NEAR(apply(RowOp::kLog, 1e-45f), std::log(1.401298464e-45), 1e-5);
  for (const RowOp op : {RowOp::kTanh, RowOp::kErf, RowOp::kSigmoid, RowOp::kRelu, RowOp::kSilu}) {
    EXPECT_TRUE(std::isnan(apply(op, nan))) << static_cast<int>(op);
  }
  EXPECT_EQ(apply(RowOp::kTanh, -inf), -1);
  EXPECT_EQ(apply(RowOp::kErf, inf), 1);
  EXPECT_EQ(apply(RowOp::kSoftplus, inf), inf);
}

TEST(Primitives, handle_every_length_and_misalignment) {
  constexpr size_t kLongest = 70;
  std::vector<float> a(kLongest + 8), b(kLongest + 8);
  for (size_t i = 0; i < a.size(); ++i) {
    a[i] = static_cast<float>(i) - 20;
    b[i] = 3.5f * static_cast<float>(i % 7);
  }
  for (size_t shift = 0; shift < 4; ++shift) {
    for (size_t count = 0; count <= kLongest; ++count) {
      std::vector<float> y(kLongest + 8, -77);
      binary_loop(RowOp::kSub, Scalar::kNone)(a.data() + shift, b.data(), y.data() + shift, count);
      double sum = 0;
      for (size_t i = 0; i < count; ++i) {
        ASSERT_EQ(y[shift + i], a[shift + i] - b[i]) << count;
        sum += a[shift + i];
      }
      ASSERT_EQ(y[shift + count], -77) << count;
      ASSERT_EQ(reduce_loop(RowOp::kRowSum)(a.data() + shift, count, 0, 0), sum) << count;
    }
  }
}

TEST(Primitives, read_scalars_at_index_zero_alone) {
  const float scalar = 2;
  std::vector<float> x(37, 5), y(37);
  binary_loop(RowOp::kDiv, Scalar::kFirst)(&scalar, x.data(), y.data(), x.size());
  EXPECT_EQ(y[36], 2.0f / 5);
  binary_loop(RowOp::kDiv, Scalar::kSecond)(x.data(), &scalar, y.data(), x.size());
  EXPECT_EQ(y[36], 2.5f);
  ternary_loop(RowOp::kMulAdd, 6)(x.data(), &scalar, &scalar, y.data(), x.size());
  EXPECT_EQ(y[36], 12);
}

TEST(Primitives, sums_long_rows_without_losing_small_terms) {
  const std::vector<float> x(1 << 20, 0.1f);
  // Fewer lanes add more numbers each: six units in the last place with AVX2, less with AVX-512.
  const double sum = 0.1f * (1 << 20);
  EXPECT_NEAR(reduce_loop(RowOp::kRowSum)(x.data(), x.size(), 0, 0), sum, 2e-6 * sum);
}

TEST(Primitives, count_rows_before_the_zeros_at_the_end) {
  for (const int64_t width : {1, 31, 32, 33, 100}) {
    const int64_t rows = 9, stride = width + 3;
    std::vector<uint16_t> halves(static_cast<size_t>(rows * stride), 0x3c00);
    const StoredRows matrix{halves.data(), DType::kF16, stride};
    EXPECT_EQ(rows_before_zeros(matrix, rows, width), rows);
    for (int64_t row = 4; row < rows; ++row) {
      std::fill_n(halves.begin() + row * stride, width, 0);  // what is between them stays
    }
    EXPECT_EQ(rows_before_zeros(matrix, rows, width), 4) << width;
    const auto last = static_cast<size_t>(6 * stride + width - 1);
    halves[last] = 0x8000;  // -0
    EXPECT_EQ(rows_before_zeros(matrix, rows, width), 7) << width;
    std::ranges::fill(halves, 0);
    EXPECT_EQ(rows_before_zeros(matrix, rows, width), 0) << width;
  }
}

}  // namespace
}  // namespace mw::cpu
