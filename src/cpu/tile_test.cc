// Tests of the loops that attention is made of.
#include "cpu/tile.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "base/memory_checks.h"
#include "hwy/targets.h"

namespace mw::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> noise(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> numbers(static_cast<size_t>(count));
  for (float& x : numbers) x = static_cast<float>(random() % 2001) / 1000 - 1;
  return numbers;
}

size_t at(int64_t index) { return static_cast<size_t>(index); }

// y = a b of these sizes, a by its rows or by its columns, rows of b and y further apart than long.
void expect_product(int64_t m, int64_t n, int64_t k, bool by_columns, bool adds) {
  SCOPED_TRACE(testing::Message() << m << " x " << n << " x " << k);
  const int64_t b_row = n + 3, y_row = n + 5;
  const std::vector<float> a = noise(m * k, 1), b = noise(k * b_row, 2),
                           before = noise(m * y_row, 3);
  std::vector<float> y = before;
  multiply_tile({a.data(), by_columns ? 1 : k, by_columns ? m : 1, b.data(), b_row, y.data(), y_row,
                 m, n, k, adds});
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < y_row; ++j) {
      const float old = before[at(i * y_row + j)];
      double want = adds || j >= n ? old : 0;
      for (int64_t l = 0; l < k && j < n; ++l) {
        want += double{a[at(by_columns ? l * m + i : i * k + l)]} * b[at(l * b_row + j)];
      }
      ASSERT_NEAR(y[at(i * y_row + j)], want, j < n ? 1e-4 : 0) << i << ", " << j;
    }
  }
}

TEST(tile, multiplies_whatever_the_sizes_and_writes_nothing_else) {
  for (const int64_t m : {1, 2, 3, 7, 8, 13}) {
    for (const int64_t n : {1, 5, 16, 17, 48, 53}) {
      for (const int64_t k : {0, 1, 4, 130}) {
        expect_product(m, n, k, false, false);
        expect_product(m, n, k, true, true);
      }
    }
  }
}

// Each instruction set that this processor has, one after the other, and what was chosen in the
// end.
template <class Check>
void with_each_target(const Check& check) {
  for (int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1) {
    const int64_t target = left & -left;
    SCOPED_TRACE(hwy::TargetName(target));
    hwy::SetSupportedTargetsForTest(target);
    check();
  }
  hwy::SetSupportedTargetsForTest(0);
}

// Numbers behind which no memory is, or before which.
struct Guarded {
  Guarded(int64_t count, uint32_t seed, Guard guard)
      : memory(guarded_memory(guard, count * int64_t{sizeof(float)})) {
    std::ranges::copy(noise(count, seed), data());
  }
  [[nodiscard]] float* data() const { return static_cast<float*>(memory.get()); }

  std::shared_ptr<void> memory;
};

TEST(tile, touches_no_memory_but_its_own_in_any_instruction_set) {
  with_each_target([] {
    for (const Guard guard : {Guard::kExact, Guard::kStart}) {
      for (const int64_t n : {1, 3, 6, 13, 21, 50}) {
        constexpr int64_t kM = 5, kK = 7;
        const Guarded a(kM * kK, 1, guard), b(kK * n, 2, guard), y(kM * n, 3, guard);
        for (const bool adds : {false, true}) {
          multiply_tile({a.data(), kK, 1, b.data(), n, y.data(), n, kM, n, kK, adds});
        }
        for (int64_t i = 0; i < kM; ++i) {
          double want = 0;
          for (int64_t l = 0; l < kK; ++l) want += 2.0 * a.data()[i * kK + l] * b.data()[l * n];
          ASSERT_NEAR(y.data()[i * n], want, 1e-5);
        }
        const Guarded mask(n, 4, guard), row(n, 5, guard);
        EXPECT_GE(softmax_row(row.data(), mask.data(), at(n), 0.5F), 1);
        softmax_slopes(mask.data(), row.data(), at(n), 1);
        EXPECT_LE(largest_norm({mask.data(), n}, 1, n), std::sqrt(static_cast<float>(n)));
        EXPECT_EQ(kept_keys({mask.data(), n}, 1, n, 10).end, n);
      }
    }
  });
}

TEST(tile, gives_the_same_products_in_any_instruction_set) {
  with_each_target([] { expect_product(13, 53, 130, false, true); });
}

TEST(tile, sums_alike_in_larger_products) {
  const int64_t k = 300, n = 70;
  const std::vector<float> a = noise(9 * k, 1), b = noise(k * n, 2);
  std::vector<float> whole(at(9 * n)), one(1);
  multiply_tile({a.data(), k, 1, b.data(), n, whole.data(), n, 9, n, k, false});
  for (int64_t i = 0; i < 9; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      multiply_tile({a.data() + i * k, k, 1, b.data() + j, n, one.data(), 1, 1, 1, k, false});
      ASSERT_EQ(whole[at(i * n + j)], one[0]) << i << ", " << j;
    }
  }
}

TEST(tile, softmax_is_that_of_scaled_and_masked_scores) {
  for (const int64_t count : {1, 15, 16, 40}) {
    for (const float scale : {0.5F, -2.0F, 0.0F}) {
      for (const bool masked : {false, true}) {
        const std::vector<float> scores = noise(count, 4), mask = noise(count, 5);
        std::vector<float> row = scores;
        row.push_back(7);
        const float sum = softmax_row(row.data(), masked ? mask.data() : nullptr, at(count), scale);
        double total = 0, largest = -INFINITY;
        const auto x = [&](int64_t i) {
          return double{scores[at(i)]} * scale + (masked ? mask[at(i)] : 0);
        };
        for (int64_t i = 0; i < count; ++i) largest = std::max(largest, x(i));
        for (int64_t i = 0; i < count; ++i) {
          ASSERT_NEAR(row[at(i)], std::exp(x(i) - largest), 1e-6);
          total += std::exp(x(i) - largest);
        }
        EXPECT_NEAR(sum, total, 1e-5 * total);
        EXPECT_EQ(row[at(count)], 7);
      }
    }
  }
}

TEST(tile, slopes_are_those_of_softmax) {
  const std::vector<float> weights = {0.1F, 0.2F, 0.7F};
  std::vector<float> slopes = {1, 2, 3, 9};
  softmax_slopes(weights.data(), slopes.data(), 3, 2);
  EXPECT_NEAR(slopes[0], 2 * 0.1 * (1 - 2.6), 1e-6);
  EXPECT_NEAR(slopes[1], 2 * 0.2 * (2 - 2.6), 1e-6);
  EXPECT_NEAR(slopes[2], 2 * 0.7 * (3 - 2.6), 1e-6);
  EXPECT_EQ(slopes[3], 9);
}

TEST(tile, largest_norm_is_infinite_where_a_number_is_not_finite) {
  std::vector<float> rows = {3, 4, 99, 0, 1, 99};
  EXPECT_FLOAT_EQ(largest_norm({rows.data(), 3}, 2, 2), 5);
  for (const float number : {kInfinity, -kInfinity, std::nanf(""), 1e30F}) {
    rows[4] = number;
    EXPECT_EQ(largest_norm({rows.data(), 3}, 2, 2), kInfinity);
  }
}

// The columns of two rows that are kept, of which `second` is all but the first of the second row.
KeyRange kept(const std::vector<float>& first, const std::vector<float>& second, float gap) {
  std::vector<float> rows = first;
  rows.insert(rows.end(), second.begin(), second.end());
  const auto columns = static_cast<int64_t>(first.size());
  return kept_keys({rows.data(), columns}, 2, columns, gap);
}

TEST(tile, keys_are_kept_that_any_row_keeps) {
  constexpr size_t kColumns = 150;
  const std::vector<float> hidden(kColumns, -100);
  for (const size_t one : {size_t{0}, size_t{16}, size_t{37}, size_t{80}, kColumns - 1}) {
    for (const size_t other : {size_t{0}, size_t{63}, kColumns - 1}) {
      std::vector<float> first = hidden, second = hidden;
      first[one] = 0;
      second[other] = -3;
      const KeyRange range = kept(first, second, 50);
      const auto low = static_cast<int64_t>(std::min(one, other)),
                 high = static_cast<int64_t>(std::max(one, other));
      EXPECT_LE(range.begin, low);
      EXPECT_GT(range.end, high);
      // As narrow as a vector allows.
      EXPECT_GT(range.begin + 16, low);
      EXPECT_LE(range.end, high + 16);
      EXPECT_LE(range.end, static_cast<int64_t>(kColumns));
      const KeyRange all = kept(first, second, 101);
      EXPECT_EQ(all.begin, 0);
      EXPECT_EQ(all.end, static_cast<int64_t>(kColumns));
    }
  }
}

TEST(tile, keys_are_all_kept_where_a_row_has_no_largest_finite_number) {
  std::vector<float> row(40, -100);
  row[3] = 0;
  for (const float number : {kInfinity, std::nanf("")}) {
    for (const size_t place : {size_t{1}, size_t{20}, size_t{35}}) {
      std::vector<float> spoilt = row;
      spoilt[place] = number;
      EXPECT_EQ(kept(row, spoilt, 50).end, 40);
    }
  }
  const KeyRange range = kept(row, std::vector<float>(40, -kInfinity), 50);
  EXPECT_EQ(range.begin, 0);
  EXPECT_EQ(range.end, 40);
}

}  // namespace
}  // namespace mw::cpu
