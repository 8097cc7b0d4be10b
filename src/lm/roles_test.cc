// Tests of roles: which input takes what, and what it then holds.
#include "lm/roles.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "base/testing.h"

namespace mw::lm {
namespace {

using Numbers = std::vector<double>;

FeatureDescription feature(const std::string& name, DType dtype, const Shape& shape) {
  FeatureDescription result{.name = name, .kind = "MultiArray", .dtype = dtype, .shape = shape};
  return result;
}

// Extents as [lower, upper].
FeatureDescription ranged(const std::string& name, DType dtype,
                          const std::vector<std::pair<int64_t, int64_t>>& ranges) {
  FeatureDescription result = feature(name, dtype, {});
  for (const auto& [lower, upper] : ranges) result.shape.push_back(lower);
  result.ranges = ranges;
  return result;
}

Numbers numbers_of(const Tensor& tensor) {
  Numbers numbers;
  for (int64_t i = 0; i < tensor.count(); ++i) numbers.push_back(tensor.number_at(i));
  return numbers;
}

std::string error_of(const Signature& signature) {
  try {
    (void)Roles(signature);
    return "";
  } catch (const Error& e) {
    EXPECT_EQ(e.exit_code(), 1);
    return e.what();
  }
}

const Tensor kTwo = Tensor::from<int32_t>({7, 8}, {1, 2});
constexpr double kNo = -1e4;

TEST(Roles, are_told_by_names_whose_case_and_underscores_do_not_count) {
  const std::vector<std::pair<const char*, const char*>> all = {{"input_ids", "ids"},
                                                                {"inputIds", "ids"},
                                                                {"tokens", "ids"},
                                                                {"token_ids", "ids"},
                                                                {"decoder_input_ids", "ids"},
                                                                {"attentionMask", "attention_mask"},
                                                                {"position_ids", "positions"},
                                                                {"positionIds", "positions"},
                                                                {"cachePosition", "positions"},
                                                                {"token_type_ids", "zeros"}};
  for (const auto& [name, role] : all) {
    const auto found = role_of(feature(name, DType::kI32, {1, 4}));
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(name_of(*found), role) << name;
  }
  const std::vector<std::pair<const char*, const char*>> masks = {
      {"causalMask", "causal_mask"},
      {"attention_mask", "causal_mask"},
      {"fullAttentionMask", "causal_mask"},
      {"slidingAttentionMask", "sliding_mask"},
      {"kv_cache_update_mask", "update_mask"}};
  for (const auto& [name, role] : masks) {
    const auto found = role_of(feature(name, DType::kF16, {1, 1, 4, 8}));
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(name_of(*found), role) << name;
  }
  EXPECT_EQ(name_of(*role_of(feature("current_pos", DType::kI32, {1}))), "past_length");
  EXPECT_EQ(name_of(*role_of(feature("cache_length", DType::kI32, {1}))), "past_length");
  for (const char* name : {"hidden_states", "prompt", "key_padding_mask", "sample"}) {
    EXPECT_FALSE(role_of(feature(name, DType::kI32, {1, 4}))) << name;
  }
}

TEST(Roles, of_apples_layout) {
  const Roles roles(
      {.inputs = {ranged("inputIds", DType::kI32, {{1, 1}, {1, 16}}),
                  ranged("causalMask", DType::kF16, {{1, 1}, {1, 1}, {1, 16}, {1, 16}})},
       .states = {feature("keyCache", DType::kF16, {4, 1, 2, 16, 8})}});
  EXPECT_TRUE(roles.has_cache());
  EXPECT_TRUE(roles.can_rewrite());
  EXPECT_EQ(roles.places(), 16);
  const TensorMap inputs = roles.inputs_for(kTwo, {.past = 1});
  EXPECT_EQ(to_string(inputs.at("causalMask").shape()), "[1, 1, 2, 3]");
  EXPECT_EQ(numbers_of(inputs.at("causalMask")), (Numbers{0, 0, kNo, 0, 0, 0}));
  EXPECT_EQ(inputs.at("inputIds").shape(), (Shape{1, 2}));
}

TEST(Roles, of_a_cache_whose_place_an_input_tells) {
  const Roles roles({.inputs = {feature("input_ids", DType::kI32, {1, 2}),
                                feature("position_ids", DType::kI32, {2}),
                                feature("causal_mask", DType::kF32, {1, 1, 2, 6}),
                                feature("current_pos", DType::kI32, {1}),
                                feature("update_mask", DType::kF32, {1, 1, 6, 2})},
                     .states = {feature("cache", DType::kF16, {8, 2, 6, 4})},
                     .places = {{"cache", 6}}});
  EXPECT_EQ(roles.places(), 6);
  EXPECT_TRUE(roles.can_rewrite());
  const TensorMap inputs = roles.inputs_for(kTwo, {.past = 3});
  EXPECT_EQ(numbers_of(inputs.at("position_ids")), (Numbers{3, 4}));
  EXPECT_EQ(numbers_of(inputs.at("current_pos")), (Numbers{3}));
  EXPECT_EQ(numbers_of(inputs.at("causal_mask")),
            (Numbers{0, 0, 0, 0, kNo, kNo, 0, 0, 0, 0, 0, kNo}));
  EXPECT_EQ(numbers_of(inputs.at("update_mask")), (Numbers{0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0}));
  // The second token is a pad: it is put nowhere.
  EXPECT_EQ(numbers_of(roles.inputs_for(kTwo, {.past = 3, .pads = 1}).at("update_mask")),
            (Numbers{0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}));
  try {
    (void)roles.inputs_for(kTwo, {.past = 5});
    ADD_FAILURE() << "there is no place for the seventh token";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "input 'causal_mask': expected a text of at most 6 tokens, got 7");
  }
}

TEST(Roles, of_masks_that_slide) {
  const auto ids = feature("input_ids", DType::kI32, {1, 2});
  const auto mask = feature("sliding_mask", DType::kBool, {2, 5});
  EXPECT_EQ(
      error_of({.inputs = {ids, mask}}),
      "input 'sliding_mask' (bool [2, 5]): how many places the mask slides over is not stated; "
      "say so (role sliding_mask=sliding_mask:PLACES)");
  const Numbers want = {0, 1, 1, 0, 0, 0, 0, 1, 1, 0};
  const Roles stated(
      {.inputs = {ids, mask}, .stated = stated_roles({"sliding_mask=sliding_mask:2"})});
  EXPECT_EQ(numbers_of(stated.inputs_for(kTwo, {.past = 2}).at("sliding_mask")), want);
  const Roles known({.inputs = {ids, mask}, .sliding_window = 2});
  EXPECT_EQ(numbers_of(known.inputs_for(kTwo, {.past = 2}).at("sliding_mask")), want);
}

TEST(Roles, of_caches_that_go_in_and_come_out) {
  const std::vector<std::pair<int64_t, int64_t>> shape = {{1, 1}, {2, 2}, {1, 7}, {4, 4}};
  const Signature signature{.inputs = {ranged("input_ids", DType::kI32, {{1, 1}, {1, 8}}),
                                       ranged("attention_mask", DType::kI32, {{1, 1}, {1, 8}}),
                                       ranged("past_key_values_0_key", DType::kF32, shape),
                                       ranged("past_key_values_0_value", DType::kF32, shape),
                                       ranged("past_key_values_10_key", DType::kF32, shape)},
                            .outputs = {feature("logits", DType::kF32, {1, -1, 9}),
                                        feature("present_10_key", DType::kF32, {1, 2, -1, 4}),
                                        feature("present_0_value", DType::kF32, {1, 2, -1, 4}),
                                        feature("present_0_key", DType::kF32, {1, 2, -1, 4})}};
  const Roles roles(signature);
  ASSERT_EQ(roles.caches().size(), 3U);
  EXPECT_EQ(roles.caches()[0].output, "present_0_key");
  EXPECT_EQ(roles.caches()[1].output, "present_0_value");
  EXPECT_EQ(roles.caches()[2].output, "present_10_key");
  EXPECT_EQ(roles.caches()[0].axis, 2);
  EXPECT_EQ(roles.caches()[0].hidden, 1) << "a place that holds nothing";
  EXPECT_FALSE(roles.can_rewrite());
  EXPECT_EQ(roles.places(), 7);
  const TensorMap inputs = roles.inputs_for(kTwo, {.past = 2, .hidden = 1});
  EXPECT_EQ(numbers_of(inputs.at("attention_mask")), (Numbers{0, 1, 1, 1, 1}));
  EXPECT_EQ(inputs.size(), 2U) << "caches are the caller's";

  Signature odd = signature;
  odd.outputs[3].name = "something";
  EXPECT_TRUE(testing::has(error_of(odd),
                           "input 'past_key_values_0_key' (fp32 [1, 2, 1, 4]) cannot be "
                           "made from token ids"))
      << error_of(odd);
  odd.stated = stated_roles({"past_key_values_0_key=cache:something"});
  EXPECT_EQ(Roles(odd).caches()[0].output, "something");
  odd.stated = stated_roles({"past_key_values_0_key=cache:logits"});
  EXPECT_TRUE(
      testing::has(error_of(odd), "expected the name of an output of fp32 as long as the input"))
      << error_of(odd);
}

TEST(Caches, are_paired_by_what_their_names_say) {
  const auto pair_of = [](const char* input, const char* output) {
    const auto caches = caches_of(
        {feature(input, DType::kF16, {4, 1, 2, 16, 8})},
        {feature(output, DType::kF16, {4, 1, 2, 16, 8}), feature("logits", DType::kF16, {1, 1, 9})},
        {});
    return caches.empty() ? "" : caches[0].output;
  };
  for (const auto& [input, output] :
       std::vector<std::pair<const char*, const char*>>{{"keyCache", "presentKeys"},
                                                        {"k_cache", "new_k_cache"},
                                                        {"value_cache_3", "value_cache_out_3"},
                                                        {"past_k_0", "present_k_0"},
                                                        {"kv_cache", "updated_kv_cache"}}) {
    EXPECT_EQ(pair_of(input, output), output) << input;
  }
  EXPECT_EQ(pair_of("keyCache", "presentValues"), "");
  EXPECT_EQ(pair_of("k_cache_0", "k_cache_1_out"), "");
  // What is written to the cache is no new cache.
  EXPECT_TRUE(caches_of({feature("key_cache", DType::kF16, {1, 8, 1, 16})},
                        {feature("key_cache_updates", DType::kF16, {1, 8, 1, 1})}, {})
                  .empty());
}

TEST(Roles, that_are_wrong_are_named) {
  EXPECT_TRUE(testing::has(error_of({.inputs = {feature("sample", DType::kF32, {1, 4, 8, 8})}}),
                           "the model has no input for token ids"));
  const auto ids = feature("input_ids", DType::kI32, {1, 2});
  for (const char* role : {"x", "=ids", "input_ids=", "input_ids=idss", "input_ids=ids:3",
                           "input_ids=sliding_mask:0", "input_ids=sliding_mask:2x"}) {
    try {
      (void)stated_roles({role});
      ADD_FAILURE() << role;
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).find(fmt::format("role '{}': expected the name", role)), 0U)
          << e.what();
    }
  }
  EXPECT_THROW((void)stated_roles({"a=ids", "a=zeros"}), Error);
}

TEST(Roles, the_only_integers_without_another_role_are_ids) {
  const Roles roles({.inputs = {feature("prompt", DType::kI32, {1, 2}),
                                feature("attention_mask", DType::kF32, {1, 2})}});
  EXPECT_EQ(roles.ids_input().name, "prompt");
  // Floats may hold them, where they are called so.
  const Roles floats({.inputs = {feature("input_ids", DType::kF32, {1, 2})}});
  EXPECT_EQ(numbers_of(floats.inputs_for(kTwo, {}).at("input_ids")), (Numbers{7, 8}));
}

}  // namespace
}  // namespace mw::lm
