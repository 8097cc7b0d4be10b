// The C API's options and questions about what a loss is of.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "millwright/millwright.h"

namespace {

bool says(const char* part) { return std::strstr(mw_last_error(), part) != nullptr; }

class CLoss : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(mw_student_options_init(&options_, MW_ADAMW), MW_OK); }
  void TearDown() override {
    mw_student_free(student_);
    mw_model_free(model_);
  }
  void load(const char* name) {
    const char* root = std::getenv("MW_TEST_DATA");
    const std::string folder = root == nullptr ? "tests/data" : root;
    ASSERT_EQ(mw_model_load((folder + "/ends/" + name + ".mlpackage").c_str(), nullptr, &model_),
              MW_OK)
        << mw_last_error();
  }
  mw_status create() {
    mw_student_free(student_);
    student_ = nullptr;
    return mw_student_create(model_, &options_, &student_);
  }

  mw_model* model_ = nullptr;
  mw_student* student_ = nullptr;
  mw_student_options options_{};
};

TEST_F(CLoss, lists_the_classes_of_a_classifier) {
  load("classifier");
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  ASSERT_EQ(mw_student_class_count(student_), 3U);
  EXPECT_STREQ(mw_student_class_at(student_, 2), "fox");
  EXPECT_EQ(mw_student_class_at(student_, 3), nullptr);
  EXPECT_EQ(mw_student_class_count(nullptr), 0U);
  const int64_t row[2] = {1, 4}, one[1] = {1};
  const float x[4] = {0.5F, -1, 2, 0.25F};
  const int32_t label[1] = {2};
  const mw_tensor tensors[2] = {{"x", MW_FLOAT32, 2, row, x}, {"labels", MW_INT32, 1, one, label}};
  const mw_batch batch = {tensors, 2};
  const char* text = nullptr;
  ASSERT_EQ(mw_student_objective(student_, &batch, &text), MW_OK) << mw_last_error();
  EXPECT_NE(std::strstr(text, "over axis 1, 3 classes"), nullptr) << text;
  EXPECT_EQ(mw_student_objective(student_, &batch, nullptr), MW_INVALID_ARGUMENT);
  mw_step_result first{}, last{};
  ASSERT_EQ(mw_student_step(student_, &batch, 1, &first), MW_OK) << mw_last_error();
  ASSERT_EQ(mw_student_step(student_, &batch, 1, &last), MW_OK) << mw_last_error();
  EXPECT_LT(last.loss, first.loss);
}

TEST_F(CLoss, takes_the_weight_of_positive_labels) {
  load("sigmoid");
  options_.pos_weight_count = 1;
  EXPECT_EQ(create(), MW_INVALID_ARGUMENT);
  const float weight = 2;
  options_.pos_weight = &weight;
  EXPECT_EQ(create(), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("pos_weight: expected binary cross entropy")) << mw_last_error();
  options_.loss = MW_LOSS_BINARY_CROSS_ENTROPY;
  const int64_t rows[2] = {2, 4}, two[1] = {2};
  const float x[8] = {0.5F, -1, 2, 0.25F, 1, 0, -0.5F, 0.75F}, labels[2] = {1, 1};
  const mw_tensor tensors[2] = {{"x", MW_FLOAT32, 2, rows, x},
                                {"labels", MW_FLOAT32, 1, two, labels}};
  const mw_batch batch = {tensors, 2};
  mw_step_result twice{}, once{};
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  ASSERT_EQ(mw_student_evaluate(student_, &batch, &twice), MW_OK) << mw_last_error();
  options_.pos_weight_count = 0;
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  ASSERT_EQ(mw_student_evaluate(student_, &batch, &once), MW_OK) << mw_last_error();
  EXPECT_NEAR(twice.loss, 2 * once.loss, 1e-6);
}

TEST_F(CLoss, takes_the_class_axis) {
  load("pixels");
  EXPECT_EQ(options_.class_axis, MW_CLASS_AXIS_FROM_LABELS);
  const int64_t image[4] = {1, 2, 3, 3}, pixels[3] = {1, 3, 3};
  const float x[18] = {0.5F, -1, 2};
  const int32_t labels[9] = {0, 1, 2, 3, 0, 1, 2, 3, -100};
  const mw_tensor tensors[2] = {{"x", MW_FLOAT32, 4, image, x},
                                {"labels", MW_INT32, 3, pixels, labels}};
  const mw_batch batch = {tensors, 2};
  for (const int64_t axis : {MW_CLASS_AXIS_FROM_LABELS, INT64_C(1), INT64_C(-3)}) {
    options_.class_axis = axis;
    ASSERT_EQ(create(), MW_OK) << mw_last_error();
    mw_step_result result{};
    ASSERT_EQ(mw_student_evaluate(student_, &batch, &result), MW_OK) << mw_last_error();
    EXPECT_EQ(result.tokens, 8);
  }
  options_.class_axis = -1;
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  EXPECT_EQ(mw_student_evaluate(student_, &batch, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("labels: expected shape [1, 4, 3]")) << mw_last_error();
}

}  // namespace
