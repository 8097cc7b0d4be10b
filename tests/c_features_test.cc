// The C API of what a model says of itself, and of states.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "millwright/millwright.h"

namespace {

class CFeatures : public ::testing::Test {
 protected:
  void TearDown() override { mw_model_free(model_); }
  void load(const std::string& name) {
    const char* root = std::getenv("MW_TEST_DATA");
    const std::string folder = root == nullptr ? "tests/data" : root;
    ASSERT_EQ(
        mw_model_load((folder + "/packages/" + name + ".mlpackage").c_str(), nullptr, &model_),
        MW_OK)
        << mw_last_error();
  }

  mw_model* model_ = nullptr;
};

TEST_F(CFeatures, tell_shapes_in_ranges) {
  const char* root = std::getenv("MW_EXAMPLES");
  const std::string path =
      std::string(root == nullptr ? "examples" : root) + "/shakespeare/model.mlpackage";
  ASSERT_EQ(mw_model_load(path.c_str(), nullptr, &model_), MW_OK) << mw_last_error();
  const mw_feature* ids = mw_model_input_at(model_, 0);
  ASSERT_NE(ids, nullptr);
  EXPECT_STREQ(ids->name, "input_ids");
  EXPECT_STREQ(ids->kind, "MultiArray");
  EXPECT_STREQ(ids->dtype, "int32");
  ASSERT_EQ(ids->range_count, 2U);
  EXPECT_EQ(ids->ranges[1].least, 1);
  EXPECT_EQ(ids->ranges[1].most, 128);
  EXPECT_EQ(ids->enumerated_count, 0U);
  EXPECT_EQ(ids->optional, 0);
  EXPECT_EQ(mw_model_input_at(model_, 1), nullptr);
  ASSERT_NE(mw_model_output_at(model_, 0), nullptr);
  EXPECT_STREQ(mw_model_output_at(model_, 0)->name, "logits");
  EXPECT_EQ(mw_model_output_at(model_, 1), nullptr);
  EXPECT_EQ(mw_model_state_count(model_), 0U);
  EXPECT_EQ(mw_model_state_at(model_, 0), nullptr);
}

TEST_F(CFeatures, tell_shapes_in_a_list) {
  load("enumerated_shapes");
  const mw_feature* x = mw_model_input_at(model_, 0);
  ASSERT_NE(x, nullptr);
  ASSERT_EQ(x->enumerated_count, 3U);
  int64_t rows = 0;
  for (size_t i = 0; i < x->enumerated_count; ++i) {
    ASSERT_EQ(x->enumerated[i].rank, 2U);
    EXPECT_EQ(x->enumerated[i].extents[1], 4);
    rows += x->enumerated[i].extents[0];
  }
  EXPECT_EQ(rows, 2 + 1 + 8);
}

TEST_F(CFeatures, tell_kinds_and_metadata) {
  load("classifier");
  EXPECT_STREQ(mw_model_output_at(model_, 0)->kind, "String");
  EXPECT_STREQ(mw_model_output_at(model_, 0)->dtype, "string");
  EXPECT_STREQ(mw_model_output_at(model_, 1)->kind, "Dictionary");
  bool has_version = false;
  for (size_t i = 0; i < mw_model_metadata_count(model_); ++i) {
    const mw_metadata* entry = mw_model_metadata_at(model_, i);
    if (std::strcmp(entry->key, "com.github.apple.coremltools.version") != 0) continue;
    EXPECT_STREQ(entry->value, "9.0");
    has_version = true;
  }
  EXPECT_TRUE(has_version);
  EXPECT_EQ(mw_model_metadata_at(model_, mw_model_metadata_count(model_)), nullptr);
}

TEST_F(CFeatures, tell_functions) {
  load("two_functions");
  EXPECT_STREQ(mw_model_function(model_), "triple");
  ASSERT_EQ(mw_model_function_count(model_), 2U);
  EXPECT_STREQ(mw_model_function_at(model_, 0), "double");
  EXPECT_EQ(mw_model_function_at(model_, 2), nullptr);
}

TEST_F(CFeatures, of_no_model_are_none) {
  EXPECT_EQ(mw_model_input_at(nullptr, 0), nullptr);
  EXPECT_EQ(mw_model_output_at(nullptr, 0), nullptr);
  EXPECT_EQ(mw_model_state_at(nullptr, 0), nullptr);
  EXPECT_EQ(mw_model_state_count(nullptr), 0U);
  EXPECT_EQ(mw_model_function(nullptr), nullptr);
  EXPECT_EQ(mw_model_function_at(nullptr, 0), nullptr);
  EXPECT_EQ(mw_model_metadata_at(nullptr, 0), nullptr);
}

TEST_F(CFeatures, a_state_is_read_and_written) {
  load("stateful");  // y = memory += x, in fp16
  ASSERT_EQ(mw_model_state_count(model_), 1U);
  EXPECT_STREQ(mw_model_state_at(model_, 0)->name, "memory");
  EXPECT_STREQ(mw_model_state_at(model_, 0)->dtype, "fp16");
  mw_state* state = nullptr;
  ASSERT_EQ(mw_model_make_state(model_, &state), MW_OK) << mw_last_error();
  const int64_t shape[] = {2, 4};
  const uint16_t halves[8] = {0x3c00, 0x4000};  // 1, 2
  mw_tensor memory = {"memory", MW_FLOAT16, 2, shape, halves};
  ASSERT_EQ(mw_state_set(state, &memory), MW_OK) << mw_last_error();
  const float ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
  const mw_tensor x = {"x", MW_FLOAT32, 2, shape, ones};
  mw_outputs *outputs = nullptr, *value = nullptr;
  ASSERT_EQ(mw_model_predict(model_, state, &x, 1, &outputs), MW_OK) << mw_last_error();
  EXPECT_EQ(static_cast<const float*>(mw_outputs_find(outputs, "y")->data)[1], 3);
  ASSERT_EQ(mw_state_get(state, "memory", &value), MW_OK) << mw_last_error();
  const mw_tensor* kept = mw_outputs_find(value, "memory");
  ASSERT_NE(kept, nullptr);
  EXPECT_EQ(kept->dtype, MW_FLOAT16);
  EXPECT_EQ(static_cast<const uint16_t*>(kept->data)[0], 0x4000);
  EXPECT_EQ(static_cast<const uint16_t*>(kept->data)[1], 0x4200);
  mw_outputs_free(outputs);
  mw_outputs_free(value);

  value = nullptr;
  EXPECT_EQ(mw_state_get(state, "other", &value), MW_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(mw_last_error(), "state 'other'"), nullptr) << mw_last_error();
  EXPECT_EQ(mw_state_get(nullptr, "memory", &value), MW_INVALID_ARGUMENT);
  memory.dtype = MW_FLOAT32;
  memory.data = ones;
  EXPECT_EQ(mw_state_set(state, &memory), MW_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(mw_last_error(), "expected fp16 [2, 4], got fp32 [2, 4]"), nullptr)
      << mw_last_error();
  EXPECT_EQ(mw_state_set(nullptr, &memory), MW_INVALID_ARGUMENT);
  EXPECT_EQ(value, nullptr);
  mw_state_free(state);
}

}  // namespace
