// Settings by name: set, checked, told as texts; what speaks against a value names the setting.
#include "train/settings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace mw::training {
namespace {

template <class F>
Error refusal(const F& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  return {ErrorCode::kInternal, "nothing was refused"};
}

Error refusal_to_set(const std::string& name, const std::vector<std::string>& values) {
  return refusal([&] {
    StudentOptions options;
    set(options, name, values);
  });
}

std::string value_of(const StudentOptions& options, const std::string& name) {
  for (const auto& [its, texts] : values_of(options)) {
    if (its == name) return texts.empty() ? "" : texts[0];
  }
  return "no such setting";
}

TEST(ScheduleFactor, rises_from_its_first_factor_and_falls_by_steps) {
  Schedule s{.kind = Schedule::Kind::kStep, .warmup_steps = 4, .initial_factor = 0.2F};
  s.decay_factor = 0.5F;
  s.decay_every = 3;
  const float expected[] = {0.4F, 0.6F, 0.8F, 1, 1, 1, 1, 0.5F, 0.5F, 0.5F, 0.25F};
  for (int64_t step = 0; step < 11; ++step) EXPECT_FLOAT_EQ(s.factor(step), expected[step]) << step;
}

TEST(settings, are_set_by_name) {
  StudentOptions options;
  set(options, "optimizer", {"sgd"});
  set(options, "momentum", {"0.9"});
  set(options, "nesterov", {"true"});
  set(options, "schedule", {"cosine"});
  set(options, "total_steps", {"100"});
  set(options, "trainable", {"a*", "b*"});
  set(options, "class_axis", {"-2"});
  set(options, "pos_weight", {"1", "2.5"});
  set(options, "lora_rank", {"4"});
  set(options, "groups", {"*norm*:learning_rate_factor=0.1,weight_decay=0"});
  const Sgd& sgd = std::get<Sgd>(options.optimizer);
  EXPECT_EQ(sgd.momentum, 0.9F);
  EXPECT_TRUE(sgd.nesterov);
  EXPECT_EQ(options.schedule.kind, Schedule::Kind::kCosine);
  EXPECT_EQ(options.schedule.total_steps, 100);
  EXPECT_EQ(options.trainable, (std::vector<std::string>{"a*", "b*"}));
  EXPECT_EQ(options.class_axis, -2);
  EXPECT_EQ(options.pos_weight, (std::vector<float>{1, 2.5F}));
  EXPECT_EQ(options.lora->rank, 4);
  EXPECT_EQ(options.lora->alpha, Lora{}.alpha);
  ASSERT_EQ(options.groups.size(), 1U);
  EXPECT_EQ(options.groups[0].glob, "*norm*");
  EXPECT_EQ(options.groups[0].weight_decay, 0.0F);
  check(options);
}

TEST(settings, come_back_as_texts_that_set_them_again) {
  StudentOptions options;
  for (const auto& [name, values] : std::vector<std::pair<std::string, std::vector<std::string>>>{
           {"optimizer", {"adam"}},
           {"epsilon", {"1e-06"}},
           {"loss", {"mse"}},
           {"lora_targets", {"q", "v"}},
           {"naive", {"true"}},
           {"groups", {"*:learning_rate_factor=2"}}}) {
    set(options, name, values);
  }
  StudentOptions again;
  for (const auto& [name, texts] : values_of(options)) {
    if (!texts.empty()) set(again, name, texts);
  }
  EXPECT_EQ(values_of(again), values_of(options));
  EXPECT_EQ(value_of(options, "epsilon"), "1e-06");
  EXPECT_EQ(value_of(options, "weight_decay"), "0");
  EXPECT_EQ(value_of(options, "momentum"), "no such setting");
}

TEST(settings, that_are_not_allowed_are_refused_by_name) {
  const std::vector<std::tuple<std::string, std::string, std::string>> cases = {
      {"beta1", "1", "beta1: expected a number in [0, 1), got 1"},
      {"beta2", "nan", "beta2: expected a number in [0, 1), got nan"},
      {"learning_rate", "-1", "learning_rate: expected a number in [0, inf), got -1"},
      {"learning_rate", "inf", "learning_rate: expected a number in [0, inf), got inf"},
      {"learning_rate", "1e-3x", "learning_rate: expected a number in [0, inf), got '1e-3x'"},
      {"epsilon", "0", "epsilon: expected a number more than 0, got 0"},
      {"warmup_steps", "-1", "warmup_steps: expected a whole number of at least 0, got -1"},
      {"warmup_steps", "1.5", "warmup_steps: expected a whole number of at least 0, got '1.5'"},
      {"lora_rank", "0", "lora_rank: expected a whole number from 1 to 65536, got 0"},
      {"lora_seed", "-1", "lora_seed: expected a whole number of at least 0, got '-1'"},
      {"loss", "hinge",
       "loss: expected cross_entropy, mse, output or binary_cross_entropy, got "
       "'hinge'"},
      {"optimizer", "rprop", "optimizer: expected "},
      {"naive", "maybe", "naive: expected true or false, got 'maybe'"},
      {"momentum", "0.9", "momentum: expected optimizer sgd"},
      {"groups", "norm", "groups: expected GLOB:learning_rate_factor=NUMBER,weight_decay=NUMBER"},
      {"groups", "a:weight_decay=-1",
       "groups: weight_decay: expected a number in [0, inf), got -1"}};
  for (const auto& [name, value, sentence] : cases) {
    const Error error = refusal_to_set(name, {value});
    EXPECT_EQ(std::string(error.what()).rfind(sentence, 0), 0U) << error.what();
    EXPECT_EQ(error.setting(), name);
  }
  EXPECT_STREQ(refusal_to_set("beta1", {"0", "0"}).what(), "beta1: expected one value, got 2");
  EXPECT_STREQ(refusal_to_set("beta3", {"0"}).what(), "'beta3': expected the name of a setting");
}

TEST(settings, given_as_members_are_checked_alike) {
  const auto sentence = [](const StudentOptions& options) -> std::string {
    return refusal([&] { check(options); }).what();
  };
  EXPECT_EQ(sentence({.optimizer = Adam{.beta1 = 1}}), "beta1: expected a number in [0, 1), got 1");
  EXPECT_EQ(sentence({.schedule = {.warmup_steps = -1}}),
            "warmup_steps: expected a whole number of at least 0, got -1");
  EXPECT_EQ(sentence({.groups = {{"*", -1}}}),
            "learning_rate_factor: expected a number in [0, inf), got -1");
  EXPECT_EQ(sentence({.pos_weight = {1, -1}}), "pos_weight: expected a number in [0, inf), got -1");
  EXPECT_EQ(sentence({.lora = Lora{.rank = 0}}),
            "lora_rank: expected a whole number from 1 to 65536, got 0");
  EXPECT_EQ(refusal([] { check(DistillOptions{.alpha = 2}); }).setting(), "alpha");
}

TEST(settings, are_known_with_what_is_usual) {
  const std::vector<SettingFacts> all = facts_of_training();
  const auto named = [&](const std::string& name) -> const SettingFacts& {
    return *std::find_if(all.begin(), all.end(), [&](const auto& f) { return f.name == name; });
  };
  EXPECT_EQ(named("schedule").choices,
            (std::vector<std::string>{"constant", "linear", "cosine", "step"}));
  EXPECT_EQ(named("lora_rank").usual, std::vector<std::string>{"8"});
  EXPECT_EQ(named("momentum").optimizers.front().first, "sgd");
  EXPECT_EQ(named("beta1").objection("2"), "expected a number in [0, 1), got 2");
  EXPECT_EQ(named("beta1").objection("0.5"), "");
  // Each is a name of its own, with a help that says something.
  std::vector<std::string> names;
  for (const SettingFacts& facts : all) {
    names.push_back(facts.name);
    EXPECT_GT(facts.help.size(), 8U) << facts.name;
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST(settings, of_a_logit_bias_are_a_token_and_a_number) {
  GenerationSettings settings;
  set(settings, "logit_bias", {"42=-1.5", " the=-inf", "\"=\"=3", "a=b=2"});
  const std::vector<std::pair<std::string, float>> want = {
      {"42", -1.5F}, {" the", -INFINITY}, {"\"=\"", 3.0F}, {"a=b", 2.0F}};
  ASSERT_EQ(settings.logit_bias.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ(settings.logit_bias[i].token, want[i].first);
    EXPECT_EQ(settings.logit_bias[i].bias, want[i].second);
  }
  EXPECT_EQ(text_of(settings.logit_bias[1]), " the=-inf");
  check(settings);
  const auto objection = [&](const std::string& text) {
    return std::string(refusal([&] { set(settings, "logit_bias", {text}); }).what());
  };
  EXPECT_EQ(objection("the"), "logit_bias: expected TOKEN=NUMBER, got 'the'");
  EXPECT_EQ(objection("=1"), "logit_bias: expected TOKEN=NUMBER, got '=1'");
  EXPECT_EQ(objection("a=b"), "logit_bias: expected a number, got 'b'");
  EXPECT_EQ(objection("a=nan"), "logit_bias: expected a number, got nan");
}

}  // namespace
}  // namespace mw::training
