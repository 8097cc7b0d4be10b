// The C API of settings by name: what a struct of options gives, too, and refusals that name them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "millwright/millwright.h"

namespace {

class CSettings : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* root = std::getenv("MW_EXAMPLES");
    path_ = std::string(root == nullptr ? "examples" : root) + "/shakespeare/student.mlpackage";
    ASSERT_EQ(mw_model_load(path_.c_str(), nullptr, &model_), MW_OK) << mw_last_error();
    ASSERT_EQ(mw_settings_create(&settings_), MW_OK);
    for (int32_t i = 0; i < 16; ++i) ids_[i] = 1 + 37 * i % 1000;
  }
  void TearDown() override {
    mw_settings_free(settings_);
    mw_model_free(model_);
  }
  void expect(mw_status status) const { ASSERT_EQ(status, MW_OK) << mw_last_error(); }

  // The loss of the second of two steps, which the first step's update decides.
  double second_loss(mw_student* student) {
    const int64_t shape[] = {1, 16};
    const mw_tensor tensors[] = {{"input_ids", MW_INT32, 2, shape, ids_},
                                 {"labels", MW_INT32, 2, shape, ids_}};
    const mw_batch batch = {tensors, 2};
    mw_step_result result{};
    for (int i = 0; i < 2; ++i) expect(mw_student_step(student, &batch, 1, &result));
    mw_student_free(student);
    return result.loss;
  }

  void expect_refused(mw_status status, const char* setting, const char* sentence) {
    EXPECT_EQ(status, MW_INVALID_ARGUMENT);
    EXPECT_STREQ(mw_last_error_setting(), setting);
    EXPECT_EQ(std::strncmp(mw_last_error(), sentence, std::strlen(sentence)), 0) << mw_last_error();
  }

  // The first logit of the ids.
  double first_logit(mw_model* model) {
    const int64_t shape[] = {1, 16};
    const mw_tensor input = {"input_ids", MW_INT32, 2, shape, ids_};
    mw_outputs* outputs = nullptr;
    expect(mw_model_predict(model, nullptr, &input, 1, &outputs));
    const mw_tensor* logits = mw_outputs_find(outputs, "logits");
    float first = 0;
    if (logits != nullptr) std::memcpy(&first, logits->data, sizeof(first));
    mw_outputs_free(outputs);
    return first;
  }

  std::string path_;
  mw_model* model_ = nullptr;
  mw_settings* settings_ = nullptr;
  int32_t ids_[16] = {};
};

TEST_F(CSettings, give_the_student_that_a_struct_gives) {
  mw_student_options options;
  expect(mw_student_options_init(&options, MW_ADAM));
  options.beta1 = 0.5F;
  options.learning_rate = 0.01F;
  const char* globs[] = {"layers_0_*", "*norm*"};
  options.trainable = globs;
  options.trainable_count = 2;
  mw_student *by_struct = nullptr, *by_name = nullptr;
  expect(mw_student_create(model_, &options, &by_struct));

  expect(mw_settings_set(settings_, "optimizer", "adam"));
  expect(mw_settings_set_number(settings_, "beta1", 0.5));
  expect(mw_settings_set(settings_, "learning_rate", "1e-2"));
  expect(mw_settings_set_list(settings_, "trainable", globs, 2));
  expect(mw_student_create_with(model_, settings_, &by_name));
  EXPECT_EQ(second_loss(by_struct), second_loss(by_name));
}

TEST_F(CSettings, are_refused_by_name) {
  expect_refused(mw_settings_set_number(settings_, "beta1", 1), "beta1",
                 "beta1: expected a number in [0, 1), got 1");
  expect_refused(mw_settings_set(settings_, "momentum", "0.9"), "momentum",
                 "momentum: expected optimizer sgd");
  expect_refused(mw_settings_set_number(settings_, "warmup_steps", 0.5), "warmup_steps",
                 "warmup_steps: expected a whole number of at least 0, got '0.5'");
  expect_refused(mw_settings_set(settings_, "beta9", "1"), "",
                 "'beta9': expected the name of a setting");
  EXPECT_EQ(mw_settings_set(settings_, "loss", nullptr), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_settings_set(nullptr, "loss", "mse"), MW_INVALID_ARGUMENT);
}

TEST_F(CSettings, open_a_model) {
  expect(mw_settings_set(settings_, "naive", "true"));
  expect(mw_settings_set_number(settings_, "threads", 1));
  expect(mw_settings_set(settings_, "compute", "fp64"));
  mw_model* model = nullptr;
  expect(mw_model_load_with(path_.c_str(), settings_, &model));
  EXPECT_NEAR(first_logit(model), first_logit(model_), 1e-3);
  EXPECT_NE(first_logit(model), first_logit(model_));  // the reference, in fp64
  mw_model_free(model);
  model = nullptr;

  expect(mw_settings_set(settings_, "function", "other"));
  EXPECT_EQ(mw_model_load_with(path_.c_str(), settings_, &model), MW_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(mw_last_error(), "function 'other': expected one of"), nullptr);
  expect(mw_settings_set(settings_, "function", ""));
  const char* passes[] = {"no_such_pass"};
  expect(mw_settings_set_list(settings_, "print_after", passes, 1));
  EXPECT_EQ(mw_model_load_with(path_.c_str(), settings_, &model), MW_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(mw_last_error(), "no_such_pass"), nullptr) << mw_last_error();
  expect_refused(mw_settings_set_number(settings_, "threads", -1), "threads",
                 "threads: expected a whole number from 0 to 1024, got -1");
  EXPECT_EQ(mw_model_load_with(nullptr, settings_, &model), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_model_load_with(path_.c_str(), nullptr, &model), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_model_load_with(path_.c_str(), settings_, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_EQ(model, nullptr);
}

}  // namespace
