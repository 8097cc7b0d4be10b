// Tests of choosing a token by logits, and of what logits cost.
#include "lm/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <random>

#include "base/error.h"
#include "lm/score.h"

namespace mw::lm {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::map<int32_t, int> drawn(const SamplerOptions& options, const std::vector<float>& logits) {
  Sampler sampler(options);
  std::map<int32_t, int> counts;
  for (int i = 0; i < 4000; ++i) ++counts[sampler.next(logits)];
  return counts;
}

TEST(Sampler, takes_the_likeliest_at_temperature_zero) {
  Sampler sampler({});
  EXPECT_EQ(sampler.next({1, 3, 3, 2}), 1) << "the first of equal ones";
  EXPECT_EQ(sampler.next({-INFINITY, -5, -INFINITY}), 1);
}

TEST(Sampler, draws_by_probability) {
  const std::vector<float> logits = {std::log(0.5F), std::log(0.3F), std::log(0.2F), -INFINITY};
  auto counts = drawn({.temperature = 1, .seed = 3}, logits);
  EXPECT_NEAR(counts[0], 2000, 150);
  EXPECT_NEAR(counts[1], 1200, 150);
  EXPECT_NEAR(counts[2], 800, 150);
  EXPECT_EQ(counts[3], 0);
}

TEST(Sampler, leaves_out_what_is_cut_away) {
  const std::vector<float> logits = {std::log(0.2F), std::log(0.5F), std::log(0.3F)};
  EXPECT_EQ(drawn({.temperature = 1, .top_k = 2}, logits).count(0), 0U);
  EXPECT_EQ(drawn({.temperature = 1, .top_p = 0.6}, logits).size(), 2U);
  EXPECT_EQ(drawn({.temperature = 1, .top_p = 0.4}, logits).size(), 1U);
  EXPECT_EQ(drawn({.temperature = 1, .top_k = 100}, logits).size(), 3U);
}

TEST(Sampler, the_same_seed_draws_the_same) {
  Sampler a({.temperature = 0.7, .seed = 5}), b({.temperature = 0.7, .seed = 5});
  const std::vector<float> logits = {0, 1, 0.5F, -1, 0.25F};
  for (int i = 0; i < 50; ++i) EXPECT_EQ(a.next(logits), b.next(logits));
}

TEST(Sampler, refuses_what_is_no_number) {
  for (const double temperature : {0.0, 0.8}) {
    const auto error = [&](const std::vector<float>& logits) -> std::string {
      try {
        return "drew " + std::to_string(Sampler({.temperature = temperature}).next(logits));
      } catch (const Error& e) {
        return e.what();
      }
    };
    EXPECT_EQ(error({0, kNaN}), "logits: expected a number for token 1, got nan");
    EXPECT_EQ(error({INFINITY, 0}), "logits: expected a number for token 0, got inf");
    EXPECT_EQ(error({-INFINITY, -INFINITY}), "logits: expected a token that may come, got none");
    EXPECT_EQ(error({}), "logits: expected a token that may come, got none");
  }
}

// What the header says, step by step and without haste: by id, 0 where a token cannot come.
std::vector<double> formula(const SamplerOptions& o, const std::vector<float>& logits,
                            std::vector<int32_t> text) {
  const size_t n = logits.size();
  std::vector<double> z(logits.begin(), logits.end());
  for (const auto& [id, bias] : o.bias) z[static_cast<size_t>(id)] += bias;
  if (o.repetition_window > 0 && static_cast<int64_t>(text.size()) > o.repetition_window) {
    text.erase(text.begin(), text.end() - o.repetition_window);
  }
  for (size_t i = 0; i < n; ++i) {
    const bool came = std::find(text.begin(), text.end(), static_cast<int32_t>(i)) != text.end();
    if (came) z[i] = z[i] > 0 ? z[i] / o.repetition_penalty : z[i] * o.repetition_penalty;
  }
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return z[a] > z[b]; });
  if (o.temperature == 0) {
    std::vector<double> certain(n);
    certain[order[0]] = 1;
    return certain;
  }
  const auto normalised = [&](size_t count) {
    std::vector<double> p(n);
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += std::exp((z[order[i]] - z[order[0]]) / o.temperature);
    for (size_t i = 0; i < count; ++i) {
      p[order[i]] = std::exp((z[order[i]] - z[order[0]]) / o.temperature) / sum;
    }
    return p;
  };
  size_t count = o.top_k > 0 ? std::min(n, static_cast<size_t>(o.top_k)) : n;
  std::vector<double> p = normalised(count);
  if (o.top_p < 1) {
    double held = 0;
    size_t kept = 0;
    while (kept < count && held < o.top_p) held += p[order[kept++]];
    count = kept;
  }
  p = normalised(count);
  while (count > 1 && p[order[count - 1]] < o.min_p * p[order[0]]) --count;
  return normalised(count);
}

TEST(Sampler, draws_from_what_the_formula_says) {
  std::mt19937_64 random(11);
  std::normal_distribution<float> normal(0, 2);
  std::vector<float> logits(300);
  for (float& logit : logits) logit = normal(random);
  logits[7] = -INFINITY;
  const std::vector<int32_t> text = {1, 2, 3, 250, 3, 299, 5, 400};
  SamplerOptions all{.temperature = 0.8,
                     .top_k = 200,
                     .top_p = 0.9,
                     .min_p = 0.02,
                     .repetition_penalty = 1.3,
                     .repetition_window = 5,
                     .bias = {{0, 4.0F}, {9, -INFINITY}, {7, 3.0F}, {250, -2.0F}}};
  // Each step by itself, each left out, and all of them.
  for (int steps = 0; steps < 64; ++steps) {
    SamplerOptions o;
    o.temperature = 1;
    if (steps & 1) o.temperature = all.temperature;
    if (steps & 2) o.top_k = all.top_k;
    if (steps & 4) o.top_p = all.top_p;
    if (steps & 8) o.min_p = all.min_p;
    if (steps & 16) o.repetition_penalty = all.repetition_penalty;
    if (steps & 32) o.bias = all.bias;
    for (const int64_t window : {0, 5}) {
      o.repetition_window = window;
      const std::vector<double> want = formula(o, logits, text);
      std::vector<double> got(logits.size());
      for (const auto& [id, p] : Sampler(o).choices(logits, text)) {
        got[static_cast<size_t>(id)] = p;
      }
      for (size_t i = 0; i < want.size(); ++i) {
        ASSERT_NEAR(got[i], want[i], 1e-6) << "token " << i << ", steps " << steps;
        ASSERT_EQ(got[i] > 0, want[i] > 0) << "token " << i << ", steps " << steps;
      }
    }
  }
}

TEST(Sampler, takes_the_steps_in_their_order) {
  // Bias before the penalty: 1 + 1 is divided, not 1 alone.
  EXPECT_EQ(Sampler({.repetition_penalty = 2, .bias = {{0, 1.0F}}}).next({1, 0.9F}, std::vector{0}),
            0);
  EXPECT_EQ(Sampler({.repetition_penalty = 2}).next({1, 0.9F}, std::vector{0}), 1);
  // Negative ones are multiplied: they become less likely, too.
  EXPECT_EQ(Sampler({.repetition_penalty = 2}).next({-1, -1.5F}, std::vector{0}), 1);
  // top_p holds its share of what top_k left: of three alike, 0.6 of two are both.
  const std::vector<float> alike = {0, 0, 0};
  EXPECT_EQ(Sampler({.temperature = 1, .top_k = 2, .top_p = 0.6}).choices(alike).size(), 2U);
  // The temperature comes before top_p: a high one makes all alike.
  const std::vector<float> steep = {3, 0};
  EXPECT_EQ(Sampler({.temperature = 1, .top_p = 0.9}).choices(steep).size(), 1U);
  EXPECT_EQ(Sampler({.temperature = 50, .top_p = 0.9}).choices(steep).size(), 2U);
  // min_p is relative to the likeliest.
  const std::vector<float> logs = {std::log(0.5F), std::log(0.3F), std::log(0.2F)};
  EXPECT_EQ(Sampler({.temperature = 1, .min_p = 0.5}).choices(logs).size(), 2U);
  EXPECT_EQ(Sampler({.temperature = 1, .min_p = 1}).choices(alike).size(), 3U);
}

TEST(Sampler, counts_the_window_from_the_end) {
  const std::vector<int32_t> text = {0, 1, 2};
  const std::vector<float> logits = {4, 3, 2, 1.5F};
  const auto next = [&](int64_t window) {
    return Sampler({.repetition_penalty = 100, .repetition_window = window}).next(logits, text);
  };
  EXPECT_EQ(next(1), 0);
  EXPECT_EQ(next(2), 0);
  EXPECT_EQ(next(3), 3);
  EXPECT_EQ(next(0), 3) << "0 is all of it";
  EXPECT_EQ(next(100), 3);
}

TEST(Sampler, never_takes_what_a_bias_forbids) {
  Sampler greedy({.bias = {{1, -INFINITY}}});
  EXPECT_EQ(greedy.next({1, 9, 2}), 2);
  EXPECT_EQ(drawn({.temperature = 5, .bias = {{1, -INFINITY}}}, {1, 9, 2}).count(1), 0U);
  const auto error = [](const SamplerOptions& options) -> std::string {
    try {
      return "drew " + std::to_string(Sampler(options).next({1, 2}));
    } catch (const Error& e) {
      return e.what();
    }
  };
  EXPECT_EQ(error({.bias = {{0, -INFINITY}, {1, -INFINITY}}}),
            "logits: expected a token that may come, got none");
  EXPECT_EQ(error({.bias = {{2, 1.0F}}}),
            "logit_bias: expected ids below the model's 2 tokens, got 2");
}

TEST(CrossEntropy, is_the_negative_logarithm_of_the_probability) {
  EXPECT_NEAR(cross_entropy({0, 0, 0, 0}, 2), std::log(4), 1e-15);
  EXPECT_NEAR(cross_entropy({1000, 0}, 1), 1000, 1e-12);
  EXPECT_NEAR(cross_entropy({-1000, -1000}, 0), std::log(2), 1e-12);
  EXPECT_NEAR(cross_entropy({std::log(0.75F), std::log(0.25F)}, 1), std::log(4), 1e-6);
  EXPECT_NEAR(cross_entropy({-INFINITY, 2}, 1), 0, 1e-15);
}

TEST(CrossEntropy, is_not_finite_where_the_logits_are_not) {
  EXPECT_EQ(cross_entropy({-INFINITY, 2}, 0), INFINITY);
  EXPECT_TRUE(std::isnan(cross_entropy({kNaN, 2}, 1)));
  EXPECT_TRUE(std::isnan(cross_entropy({2, kNaN}, 0)));
  EXPECT_TRUE(std::isnan(cross_entropy({INFINITY, 2}, 0)));
  EXPECT_TRUE(std::isnan(cross_entropy({-INFINITY, -INFINITY}, 0)));
}

TEST(CrossEntropy, of_a_token_that_the_model_has_not_is_refused) {
  for (const int32_t label : {-1, 3}) EXPECT_THROW((void)cross_entropy({1, 2, 3}, label), Error);
}

}  // namespace
}  // namespace mw::lm
