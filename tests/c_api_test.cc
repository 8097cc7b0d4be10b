// The C API through the shared library: a prediction, handles, and every way to be told no.
#include "millwright/millwright.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

namespace {

std::string example(const char* name) {
  const char* root = std::getenv("MW_EXAMPLES");
  return std::string(root == nullptr ? "examples" : root) + "/shakespeare/" + name;
}

bool says(const char* part) { return std::strstr(mw_last_error(), part) != nullptr; }

class CApi : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(mw_model_load(example("student.mlpackage").c_str(), nullptr, &model_), MW_OK)
        << mw_last_error();
  }
  void TearDown() override { mw_model_free(model_); }

  mw_status predict(const mw_tensor& input, mw_outputs** outputs) {
    return mw_model_predict(model_, nullptr, &input, 1, outputs);
  }

  mw_model* model_ = nullptr;
  const int64_t shape_[2] = {1, 4};
  const int32_t ids_[4] = {1, 2, 3, 4};
  const mw_tensor input_ = {"input_ids", MW_INT32, 2, shape_, ids_};
};

TEST_F(CApi, names_inputs_and_outputs) {
  ASSERT_EQ(mw_model_input_count(model_), 1U);
  ASSERT_EQ(mw_model_output_count(model_), 1U);
  EXPECT_STREQ(mw_model_input_name(model_, 0), "input_ids");
  EXPECT_STREQ(mw_model_output_name(model_, 0), "logits");
  EXPECT_EQ(mw_model_input_name(model_, 1), nullptr);
  EXPECT_EQ(mw_model_output_name(model_, 1), nullptr);
}

TEST_F(CApi, predicts) {
  mw_outputs* outputs = nullptr;
  ASSERT_EQ(predict(input_, &outputs), MW_OK) << mw_last_error();
  ASSERT_EQ(mw_outputs_count(outputs), 1U);
  const mw_tensor* logits = mw_outputs_find(outputs, "logits");
  ASSERT_NE(logits, nullptr);
  EXPECT_EQ(logits, mw_outputs_at(outputs, 0));
  EXPECT_EQ(logits->dtype, MW_FLOAT32);
  ASSERT_EQ(logits->rank, 3U);
  EXPECT_EQ(logits->shape[1], 4);
  EXPECT_EQ(logits->shape[2], 1024);
  EXPECT_TRUE(std::isfinite(static_cast<const float*>(logits->data)[4095]));
  EXPECT_EQ(mw_outputs_find(outputs, "nothing"), nullptr);
  EXPECT_EQ(mw_outputs_at(outputs, 1), nullptr);
  mw_outputs_free(outputs);
}

TEST_F(CApi, forward_makes_what_else_the_model_takes) {
  mw_outputs *forward = nullptr, *predicted = nullptr;
  mw_tensor ids = input_;
  ids.name = nullptr;
  ids.rank = 1;
  ids.shape = shape_ + 1;
  ASSERT_EQ(mw_model_forward(model_, &ids, &forward), MW_OK) << mw_last_error();
  ASSERT_EQ(predict(input_, &predicted), MW_OK) << mw_last_error();
  ASSERT_EQ(mw_outputs_count(forward), 1U);
  const mw_tensor* ours = mw_outputs_at(forward, 0);
  const mw_tensor* theirs = mw_outputs_at(predicted, 0);
  EXPECT_STREQ(ours->name, "logits");
  ASSERT_EQ(ours->rank, 3U);
  EXPECT_EQ(ours->shape[2], 1024);
  EXPECT_EQ(std::memcmp(ours->data, theirs->data, 4 * 1024 * sizeof(float)), 0);
  mw_outputs_free(forward);
  mw_outputs_free(predicted);
  forward = nullptr;
  ids.shape = shape_;
  ids.rank = 0;
  EXPECT_EQ(mw_model_forward(model_, &ids, &forward), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_model_forward(model_, nullptr, &forward), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_model_forward(nullptr, &input_, &forward), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_model_forward(model_, &input_, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_EQ(forward, nullptr);
}

TEST_F(CApi, a_state_can_be_made_for_any_model) {
  mw_state* state = nullptr;
  ASSERT_EQ(mw_model_make_state(model_, &state), MW_OK);
  mw_state_reset(state);
  mw_outputs* outputs = nullptr;
  EXPECT_EQ(mw_model_predict(model_, state, &input_, 1, &outputs), MW_OK) << mw_last_error();
  mw_outputs_free(outputs);
  mw_state_free(state);
}

TEST_F(CApi, refuses_inputs_that_do_not_fit) {
  mw_outputs* outputs = nullptr;
  EXPECT_EQ(mw_model_predict(model_, nullptr, nullptr, 0, &outputs), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("input 'input_ids'")) << mw_last_error();
  const mw_tensor twice[2] = {input_, input_};
  EXPECT_EQ(mw_model_predict(model_, nullptr, twice, 2, &outputs), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("given twice")) << mw_last_error();

  mw_tensor bad = input_;
  bad.name = nullptr;
  EXPECT_EQ(predict(bad, &outputs), MW_INVALID_ARGUMENT);
  bad = input_;
  bad.name = "other";
  EXPECT_EQ(predict(bad, &outputs), MW_INVALID_ARGUMENT);
  bad = input_;
  bad.data = nullptr;
  EXPECT_EQ(predict(bad, &outputs), MW_INVALID_ARGUMENT);
  bad = input_;
  bad.shape = nullptr;
  EXPECT_EQ(predict(bad, &outputs), MW_INVALID_ARGUMENT);
  bad = input_;
  bad.dtype = MW_STRING;
  EXPECT_EQ(predict(bad, &outputs), MW_INVALID_ARGUMENT);
  bad = input_;
  bad.dtype = MW_FLOAT32;
  EXPECT_EQ(predict(bad, &outputs), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("expected int32, got fp32")) << mw_last_error();
  const int64_t huge[2] = {INT64_MAX, INT64_MAX}, negative[2] = {-1, 4};
  bad = input_;
  bad.shape = huge;
  EXPECT_EQ(predict(bad, &outputs), MW_INVALID_ARGUMENT);
  bad.shape = negative;
  EXPECT_EQ(predict(bad, &outputs), MW_INVALID_ARGUMENT);
  EXPECT_EQ(outputs, nullptr);
}

TEST_F(CApi, refuses_null_handles) {
  mw_outputs* outputs = nullptr;
  mw_state* state = nullptr;
  EXPECT_EQ(mw_model_predict(nullptr, nullptr, &input_, 1, &outputs), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_model_predict(model_, nullptr, &input_, 1, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_model_make_state(nullptr, &state), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_model_make_state(model_, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_model_load(nullptr, nullptr, &model_), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_model_load("x", nullptr, nullptr), MW_INVALID_ARGUMENT);
  mw_model_free(nullptr);
  mw_state_free(nullptr);
  mw_state_reset(nullptr);
  mw_outputs_free(nullptr);
  EXPECT_EQ(mw_model_input_count(nullptr), 0U);
  EXPECT_EQ(mw_outputs_count(nullptr), 0U);
  EXPECT_EQ(mw_outputs_find(nullptr, "x"), nullptr);
}

TEST(CApiLoad, refuses_files_and_options_that_do_not_fit) {
  mw_model* model = nullptr;
  EXPECT_EQ(mw_model_load("no/such.mlpackage", nullptr, &model), MW_IO);
  EXPECT_TRUE(says("no/such.mlpackage")) << mw_last_error();
  mw_load_options options = {"other", 0, MW_COMPUTE_FP32, nullptr};
  EXPECT_EQ(mw_model_load(example("student.mlpackage").c_str(), &options, &model),
            MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("function 'other'")) << mw_last_error();
  options = {nullptr, -1, MW_COMPUTE_FP32};
  EXPECT_EQ(mw_model_load(example("student.mlpackage").c_str(), &options, &model),
            MW_INVALID_ARGUMENT);
  options = {nullptr, 0, MW_COMPUTE_FP32, nullptr, "abacus"};
  EXPECT_EQ(mw_model_load(example("student.mlpackage").c_str(), &options, &model),
            MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("device: expected one of cpu, got 'abacus'")) << mw_last_error();
  options = {nullptr, 0, static_cast<mw_compute>(9)};
  EXPECT_EQ(mw_model_load(example("student.mlpackage").c_str(), &options, &model),
            MW_INVALID_ARGUMENT);
  EXPECT_EQ(model, nullptr);
}

TEST(CApiLoad, the_last_error_belongs_to_the_thread) {
  mw_model* model = nullptr;
  EXPECT_EQ(mw_model_load("no/such.mlpackage", nullptr, &model), MW_IO);
  std::thread([] { EXPECT_STREQ(mw_last_error(), ""); }).join();
  EXPECT_TRUE(says("no/such.mlpackage"));
}

TEST(CApiLoad, tells_its_version) { EXPECT_GE(std::strlen(mw_version()), 5U); }

}  // namespace
