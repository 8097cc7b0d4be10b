// Tests of choosing a token by logits, and of what logits cost.
#include "lm/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

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
