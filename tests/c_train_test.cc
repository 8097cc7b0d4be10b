// The C API of whole runs, as a program sees it that links the shared library alone.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "millwright/millwright.h"

namespace {

namespace fs = std::filesystem;

class CTrain : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* root = std::getenv("MW_EXAMPLES");
    const fs::path examples = fs::path(root == nullptr ? "examples" : root) / "shakespeare";
    folder_ = fs::temp_directory_path() / ("mw_c_train_" + std::to_string(getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    ASSERT_EQ(mw_model_load((examples / "student.mlpackage").c_str(), nullptr, &model_), MW_OK)
        << mw_last_error();
    ASSERT_EQ(mw_settings_create(&settings_), MW_OK);
    set("data", examples / "valid.txt");
    set("output", output());
    set("steps", "4");
    set("batch_size", "2");
    set("seq_len", "16");
  }
  void TearDown() override {
    mw_training_report_free(report_);
    mw_settings_free(settings_);
    mw_model_free(model_);
    fs::remove_all(folder_);
  }
  void set(const char* name, const std::string& value) const {
    ASSERT_EQ(mw_settings_set(settings_, name, value.c_str()), MW_OK) << mw_last_error();
  }
  [[nodiscard]] fs::path output() const { return folder_ / "out.mlpackage"; }
  mw_status train(mw_tell_progress progress, void* user) {
    mw_training_report_free(report_);
    report_ = nullptr;
    return mw_train(model_, settings_, progress, user, &report_);
  }

  fs::path folder_;
  mw_model* model_ = nullptr;
  mw_settings* settings_ = nullptr;
  const mw_training_report* report_ = nullptr;
};

TEST_F(CTrain, tells_of_each_step_and_reports) {
  int64_t told = 0;
  const auto count = [](const mw_training_progress* progress, void* user) {
    auto& steps = *static_cast<int64_t*>(user);
    EXPECT_EQ(progress->taken.step, ++steps);
    EXPECT_EQ(progress->steps, 4);
    EXPECT_TRUE(std::isnan(progress->valid_loss));
    EXPECT_GT(progress->taken.loss, 0);
    return 0;
  };
  ASSERT_EQ(train(count, &told), MW_OK) << mw_last_error();
  EXPECT_EQ(told, 4);
  ASSERT_NE(report_, nullptr);
  EXPECT_EQ(report_->interrupted, 0);
  EXPECT_EQ(report_->step, 4);
  ASSERT_EQ(report_->step_count, 4U);
  EXPECT_EQ(report_->steps[3].loss, report_->loss);
  EXPECT_TRUE(std::isnan(report_->valid_loss));
  EXPECT_GT(report_->tokens_per_second, 0);
  EXPECT_EQ(std::strncmp(report_->objective, "cross entropy of", 16), 0) << report_->objective;
  EXPECT_TRUE(fs::exists(report_->output));
  EXPECT_TRUE(fs::exists(report_->html));
  EXPECT_TRUE(fs::exists(report_->checkpoint));
  EXPECT_STREQ(report_->adapter, "");
  EXPECT_GT(report_->note_count, 0U);
}

TEST_F(CTrain, stops_and_goes_on) {
  const auto stop = [](const mw_training_progress* progress, void*) {
    return progress->taken.step == 2 ? 1 : 0;
  };
  ASSERT_EQ(train(stop, nullptr), MW_OK) << mw_last_error();
  EXPECT_EQ(report_->interrupted, 1);
  EXPECT_EQ(report_->step, 2);
  EXPECT_STREQ(report_->output, "");
  EXPECT_FALSE(fs::exists(output()));
  EXPECT_EQ(train(nullptr, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(mw_last_error(), "resume goes on with it"), nullptr) << mw_last_error();
  set("resume", "true");
  ASSERT_EQ(train(nullptr, nullptr), MW_OK) << mw_last_error();
  EXPECT_EQ(report_->step, 4);
  EXPECT_TRUE(fs::exists(output()));
}

TEST_F(CTrain, tells_what_a_callback_of_cplusplus_throws) {
  const auto fail = [](const mw_training_progress*, void*) -> int {
    throw std::runtime_error("the window is closed");
  };
  EXPECT_EQ(train(fail, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_STREQ(mw_last_error(), "progress: the callback threw: the window is closed");
  EXPECT_EQ(report_, nullptr);
  EXPECT_FALSE(fs::exists(output()));
  EXPECT_TRUE(fs::exists(folder_ / "out.run" / "step-00000001.safetensors"));
}

TEST_F(CTrain, refuses_settings_by_name) {
  EXPECT_EQ(mw_settings_set(settings_, "steps", "many"), MW_INVALID_ARGUMENT);
  EXPECT_STREQ(mw_last_error_setting(), "steps");
  EXPECT_EQ(mw_settings_set(settings_, "seq_len", "0"), MW_INVALID_ARGUMENT);
  EXPECT_STREQ(mw_last_error(), "seq_len: expected a whole number from 1 to 1099511627776, got 0");
  set("seq_len", "4096");
  EXPECT_EQ(train(nullptr, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_STREQ(mw_last_error_setting(), "seq_len");
  EXPECT_EQ(mw_train(model_, nullptr, nullptr, nullptr, nullptr), MW_INVALID_ARGUMENT);
}

// Two rows of ids that each are their own labels.
TEST_F(CTrain, a_student_keeps_what_a_teacher_says) {
  const int64_t shape[2] = {2, 4};
  const int32_t ids[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  const mw_tensor tensors[2] = {{"input_ids", MW_INT32, 2, shape, ids},
                                {"labels", MW_INT32, 2, shape, ids}};
  const mw_batch batch = {tensors, 2};
  const std::string file = (folder_ / "said").string();
  const auto loss = [&](const mw_distill_options& options, mw_status expected = MW_OK) {
    mw_student* student = nullptr;
    mw_step_result result{};
    EXPECT_EQ(mw_student_create(model_, nullptr, &student), MW_OK) << mw_last_error();
    const mw_status status = mw_student_set_teacher(student, model_, &options);
    EXPECT_EQ(status, expected) << mw_last_error();
    if (status == MW_OK) {
      EXPECT_EQ(mw_student_step(student, &batch, 1, &result), MW_OK) << mw_last_error();
    }
    mw_student_free(student);
    return result.loss;
  };
  const double within = loss({2, 0.5F, nullptr, nullptr, 0});
  EXPECT_GT(within, 0);
  EXPECT_NEAR(loss({2, 0.5F, nullptr, file.c_str(), 0}), within, 1e-5);
  EXPECT_TRUE(fs::exists(file));
  (void)loss({2, 0.5F, nullptr, file.c_str(), 3}, MW_INVALID_ARGUMENT);
  EXPECT_NE(std::strstr(mw_last_error(), "teacher_top_k: expected 3, got predictions of 0"),
            nullptr)
      << mw_last_error();
}

}  // namespace
