// Learning rates and weight decays by group: updates against the optimisers' formulas, by hand.
#include <fnmatch.h>

#include <cmath>
#include <functional>
#include <map>
#include <vector>

#include "facade_testing.h"
#include "millwright/training.hpp"

namespace mw {
namespace {

constexpr float kRate = 0.05f;
constexpr float kDecay = 0.2f;
constexpr int kSteps = 3;
const char* const kFirstGlob = "layers_0_attention_*";
const char* const kSecondGlob = "*norm*";

// What the groups below say, written out again.
struct Rates {
  double rate = kRate, decay = kDecay;
};
Rates rates_of(const std::string& name) {
  if (fnmatch(kSecondGlob, name.c_str(), 0) == 0) return {kRate * 0.25, kDecay};
  if (fnmatch(kFirstGlob, name.c_str(), 0) == 0) return {kRate * 3.0, 0.75};
  return {};
}

std::vector<ParameterGroup> groups() {
  return {{.glob = "*", .learning_rate_factor = 7, .weight_decay = 3.f},
          {.glob = "*", .learning_rate_factor = 1},
          {.glob = kFirstGlob, .learning_rate_factor = 3, .weight_decay = 0.75f},
          {.glob = kSecondGlob, .learning_rate_factor = 0.25f}};
}

Batch batch_of(int step) {
  Tensor ids(DType::kI32, {2, 12}), labels(DType::kI32, {2, 12});
  for (int64_t i = 0; i < ids.count(); ++i) {
    ids.set_integer(i, (i * 37 + step * 5 + 11) % 1000);
    labels.set_integer(i, (i * 53 + step * 7 + 5) % 1000);
  }
  return {ids, labels};
}

using Numbers = std::vector<double>;
Numbers numbers_of(const Tensor& tensor) {
  Numbers numbers;
  for (int64_t i = 0; i < tensor.count(); ++i) numbers.push_back(tensor.number_at(i));
  return numbers;
}

double distance(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

struct Moments {
  double m = 0, v = 0;
};
// One number after step `t`, from 1.
using Formula = std::function<double(double p, double g, const Rates& rates, int t, Moments& kept)>;

// Takes steps and follows every parameter with the formula, fed with the gradients of backward().
void expect_updates(const Optimizer& optimizer, const Formula& formula) {
  const auto model = CoreMLModelWrapper::load(testing::example("student.mlpackage"));
  StudentModel student(model, {.optimizer = optimizer, .groups = groups()});
  std::map<std::string, Numbers> expected, before;
  std::map<std::string, std::vector<Moments>> kept;
  std::map<std::string, int> in_group;
  for (int t = 1; t <= kSteps; ++t) {
    const Batch batch = batch_of(t);
    const TensorMap gradients = student.backward(batch);
    for (const auto& [name, gradient] : gradients) {
      if (t == 1) before[name] = numbers_of(student.get_parameter(name));
      Numbers& p = expected.try_emplace(name, before[name]).first->second;
      kept[name].resize(p.size());
      for (size_t i = 0; i < p.size(); ++i) {
        const double g = gradient.number_at(static_cast<int64_t>(i));
        p[i] = formula(p[i], g, rates_of(name), t, kept[name][i]);
      }
    }
    student.training_step(batch);
  }
  for (const auto& [name, p] : expected) {
    const Numbers got = numbers_of(student.get_parameter(name));
    EXPECT_LE(distance(got, p), 2e-4 * distance(p, before[name])) << name;
    EXPECT_GT(distance(p, before[name]), 1e-4) << name;
    ++in_group[fnmatch(kSecondGlob, name.c_str(), 0) == 0  ? "second"
               : fnmatch(kFirstGlob, name.c_str(), 0) == 0 ? "first"
                                                           : "none"];
  }
  EXPECT_EQ(in_group["first"], 4);
  EXPECT_EQ(in_group["second"], 5);
  EXPECT_EQ(in_group["none"], 11);
}

TEST(ParameterGroups, take_their_rates_and_decays_in_adam_w) {
  // An epsilon of the gradients' size, or small ones would say no more than their signs.
  constexpr float kBeta1 = 0.9f, kBeta2 = 0.99f, kEpsilon = 1e-3f;
  expect_updates(AdamW{.learning_rate = kRate,
                       .beta1 = kBeta1,
                       .beta2 = kBeta2,
                       .epsilon = kEpsilon,
                       .weight_decay = kDecay},
                 [](double p, double g, const Rates& rates, int t, Moments& kept) {
                   const double b1 = kBeta1, b2 = kBeta2;
                   kept.m = b1 * kept.m + (1 - b1) * g;
                   kept.v = b2 * kept.v + (1 - b2) * g * g;
                   const double mean = kept.m / (1 - std::pow(b1, t));
                   const double square = kept.v / (1 - std::pow(b2, t));
                   p -= rates.rate * rates.decay * p;
                   return p - rates.rate * mean / (std::sqrt(square) + double{kEpsilon});
                 });
}

TEST(ParameterGroups, take_their_rates_and_decays_in_sgd) {
  constexpr float kMomentum = 0.8f;
  expect_updates(Sgd{.learning_rate = kRate, .momentum = kMomentum, .weight_decay = kDecay},
                 [](double p, double g, const Rates& rates, int, Moments& kept) {
                   kept.m = double{kMomentum} * kept.m + g + rates.decay * p;
                   return p - rates.rate * kept.m;
                 });
}

TEST(ParameterGroups, of_a_glob_that_matches_nothing_are_refused) {
  const auto model = CoreMLModelWrapper::load(testing::example("student.mlpackage"));
  const std::string error =
      testing::error_of([&] { StudentModel(model, {.groups = {{.glob = "decoder_*"}}}); },
                        ErrorCode::kInvalidArgument);
  EXPECT_NE(error.find("groups 'decoder_*': expected a glob that matches a parameter"),
            std::string::npos)
      << error;
}

}  // namespace
}  // namespace mw
