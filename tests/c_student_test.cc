// The C API of training through the shared library: steps, gradients, parameters, states, refusals.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "millwright/millwright.h"

namespace {

std::string example(const char* name) {
  const char* root = std::getenv("MW_EXAMPLES");
  return std::string(root == nullptr ? "examples" : root) + "/shakespeare/" + name;
}

bool says(const char* part) { return std::strstr(mw_last_error(), part) != nullptr; }

class CStudent : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(mw_model_load(example("student.mlpackage").c_str(), nullptr, &model_), MW_OK)
        << mw_last_error();
    ASSERT_EQ(mw_student_options_init(&options_, MW_ADAMW), MW_OK);
    for (int32_t i = 0; i < 16; ++i) {
      ids_[i] = 1 + 37 * i % 1000;
      labels_[i] = 1 + 37 * (i + 1) % 1000;
    }
  }
  void TearDown() override {
    mw_student_free(student_);
    mw_model_free(model_);
  }

  mw_status create() { return mw_student_create(model_, &options_, &student_); }
  mw_step_result step() {
    mw_step_result result{};
    EXPECT_EQ(mw_student_step(student_, &batch_, 1, &result), MW_OK) << mw_last_error();
    return result;
  }
  // The first parameter that is trained.
  const mw_parameter* trained() {
    for (size_t i = 0; i < mw_student_parameter_count(student_); ++i) {
      const mw_parameter* parameter = mw_student_parameter_at(student_, i);
      if (parameter->trained != 0) return parameter;
    }
    return nullptr;
  }
  std::vector<float> value_of(const char* name) {
    mw_outputs* value = nullptr;
    EXPECT_EQ(mw_student_get_parameter(student_, name, &value), MW_OK) << mw_last_error();
    std::vector<float> numbers = floats(mw_outputs_find(value, name));
    mw_outputs_free(value);
    return numbers;
  }
  static std::vector<float> floats(const mw_tensor* tensor) {
    if (tensor == nullptr || tensor->dtype != MW_FLOAT32) return {};
    size_t count = 1;
    for (size_t i = 0; i < tensor->rank; ++i) count *= static_cast<size_t>(tensor->shape[i]);
    const auto* data = static_cast<const float*>(tensor->data);
    return {data, data + count};
  }

  mw_model* model_ = nullptr;
  mw_student* student_ = nullptr;
  mw_student_options options_{};
  const int64_t shape_[2] = {2, 8};
  int32_t ids_[16] = {};
  int32_t labels_[16] = {};
  const mw_tensor tensors_[2] = {{"input_ids", MW_INT32, 2, shape_, ids_},
                                 {"labels", MW_INT32, 2, shape_, labels_}};
  const mw_batch batch_ = {tensors_, 2};
};

TEST_F(CStudent, trains_adapters) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("mw_c_lora_" + std::to_string(getpid())))
          .string() +
      ".safetensors";
  const char* targets[] = {"*w*"};
  options_.learning_rate = 3e-3F;
  options_.lora_rank = 2;
  options_.lora_targets = targets;
  options_.lora_target_count = 1;
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  EXPECT_NE(std::strstr(trained()->name, ".lora_"), nullptr);
  EXPECT_EQ(mw_student_load_adapter(student_, path.c_str()), MW_IO);
  const double first = step().loss;
  for (int i = 0; i < 5; ++i) (void)step();
  mw_step_result now{};
  ASSERT_EQ(mw_student_evaluate(student_, &batch_, &now), MW_OK);
  EXPECT_LT(now.loss, first);
  ASSERT_EQ(mw_student_save_adapter(student_, path.c_str()), MW_OK) << mw_last_error();
  mw_student_free(student_);
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  ASSERT_EQ(mw_student_load_adapter(student_, path.c_str()), MW_OK) << mw_last_error();
  mw_step_result again{};
  ASSERT_EQ(mw_student_evaluate(student_, &batch_, &again), MW_OK);
  EXPECT_EQ(again.loss, now.loss);
  mw_load_options load{};
  load.adapter = path.c_str();
  mw_model* adapted = nullptr;
  EXPECT_EQ(mw_model_load(example("student.mlpackage").c_str(), &load, &adapted), MW_OK)
      << mw_last_error();
  mw_model_free(adapted);
  mw_student_free(student_);
  student_ = nullptr;
  options_.lora_alpha = NAN;
  EXPECT_EQ(create(), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("lora_alpha: expected a number more than 0, got nan")) << mw_last_error();
  std::filesystem::remove(path);
}

TEST_F(CStudent, learns_a_batch) {
  options_.learning_rate = 3e-3F;
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  const mw_step_result first = step();
  EXPECT_EQ(first.step, 1);
  EXPECT_EQ(first.tokens, 16);
  EXPECT_NEAR(first.learning_rate, 3e-3F, 1e-9);
  EXPECT_GT(first.grad_norm, 0);
  mw_step_result last{};
  for (int i = 0; i < 9; ++i) last = step();
  EXPECT_EQ(last.step, 10);
  EXPECT_LT(last.loss, first.loss - 0.5F);
  mw_step_result evaluated{};
  ASSERT_EQ(mw_student_evaluate(student_, &batch_, &evaluated), MW_OK) << mw_last_error();
  EXPECT_LT(evaluated.loss, last.loss);
}

TEST_F(CStudent, the_model_may_be_freed_first) {
  ASSERT_EQ(mw_student_create(model_, nullptr, &student_), MW_OK) << mw_last_error();
  mw_model_free(model_);
  model_ = nullptr;
  EXPECT_TRUE(std::isfinite(step().loss));
}

TEST_F(CStudent, several_batches_are_one_step) {
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  const mw_batch both[2] = {batch_, batch_};
  mw_step_result result{};
  ASSERT_EQ(mw_student_step(student_, both, 2, &result), MW_OK) << mw_last_error();
  EXPECT_EQ(result.step, 1);
  EXPECT_EQ(result.tokens, 32);
}

TEST_F(CStudent, a_step_keeps_to_its_memory) {
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  EXPECT_EQ(mw_student_step_bytes(student_), 0U);
  const mw_step_result whole = step();
  const uint64_t bytes = mw_student_step_bytes(student_);
  mw_student_free(student_);
  options_.memory = bytes;
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  EXPECT_EQ(step().loss, whole.loss);
  EXPECT_EQ(mw_student_step_bytes(student_), bytes);
  mw_student_free(student_);
  options_.memory = 1000;
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  EXPECT_EQ(mw_student_step(student_, &batch_, 1, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("memory: expected at least")) << mw_last_error();
}

TEST_F(CStudent, gradients_come_by_parameter_name) {
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  mw_outputs* gradients = nullptr;
  mw_step_result result{};
  ASSERT_EQ(mw_student_backward(student_, &batch_, &gradients, &result), MW_OK) << mw_last_error();
  double squares = 0;
  size_t count = 0;
  for (size_t i = 0; i < mw_student_parameter_count(student_); ++i) {
    const mw_parameter* parameter = mw_student_parameter_at(student_, i);
    EXPECT_STRNE(parameter->reason, "");
    const mw_tensor* gradient = mw_outputs_find(gradients, parameter->name);
    ASSERT_EQ(gradient != nullptr, parameter->trained != 0) << parameter->name;
    if (gradient == nullptr) continue;
    EXPECT_STREQ(parameter->stored, "fp32") << parameter->name;
    ++count;
    for (const float x : floats(gradient)) squares += double{x} * x;
  }
  EXPECT_EQ(count, mw_outputs_count(gradients));
  EXPECT_NEAR(std::sqrt(squares), result.grad_norm, 1e-3 * result.grad_norm);
  EXPECT_EQ(result.tokens, 16);
  EXPECT_EQ(mw_student_parameter_at(student_, mw_student_parameter_count(student_)), nullptr);
  mw_outputs_free(gradients);
}

TEST_F(CStudent, sets_and_gets_parameters) {
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  const mw_parameter* parameter = trained();
  ASSERT_NE(parameter, nullptr);
  std::vector<float> value = value_of(parameter->name);
  ASSERT_FALSE(value.empty());
  for (float& x : value) x += 0.25F;
  mw_tensor tensor = {parameter->name, MW_FLOAT32, parameter->rank, parameter->shape, value.data()};
  ASSERT_EQ(mw_student_set_parameter(student_, &tensor), MW_OK) << mw_last_error();
  EXPECT_EQ(value_of(parameter->name), value);
  const int64_t one = 1;
  tensor.rank = 1;
  tensor.shape = &one;
  if (value.size() > 1) {
    EXPECT_EQ(mw_student_set_parameter(student_, &tensor), MW_INVALID_ARGUMENT);
    EXPECT_TRUE(says("expected floats of shape")) << mw_last_error();
  }
  mw_outputs* none = nullptr;
  EXPECT_EQ(mw_student_get_parameter(student_, "other", &none), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("parameter 'other'")) << mw_last_error();
}

TEST_F(CStudent, goes_on_from_a_state) {
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  step();
  mw_outputs* state = nullptr;
  ASSERT_EQ(mw_student_state(student_, &state), MW_OK) << mw_last_error();
  std::vector<mw_tensor> tensors;
  for (size_t i = 0; i < mw_outputs_count(state); ++i) tensors.push_back(*mw_outputs_at(state, i));
  mw_student* other = nullptr;
  ASSERT_EQ(mw_student_create(model_, &options_, &other), MW_OK) << mw_last_error();
  ASSERT_EQ(mw_student_load_state(other, tensors.data(), tensors.size()), MW_OK) << mw_last_error();
  mw_outputs_free(state);
  const mw_step_result here = step();
  mw_step_result there{};
  ASSERT_EQ(mw_student_step(other, &batch_, 1, &there), MW_OK) << mw_last_error();
  EXPECT_EQ(there.step, 2);
  EXPECT_NEAR(there.loss, here.loss, 1e-5);
  EXPECT_EQ(mw_student_load_state(other, nullptr, 0), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("is missing")) << mw_last_error();
  mw_student_free(other);
}

TEST_F(CStudent, goes_on_from_a_checkpoint_in_a_file) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("mw-c-checkpoint-" + std::to_string(getpid()) + ".safetensors");
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  step();
  ASSERT_EQ(mw_student_save_checkpoint(student_, path.c_str()), MW_OK) << mw_last_error();
  const double second = step().loss;
  mw_student_free(student_);
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  ASSERT_EQ(mw_student_load_checkpoint(student_, path.c_str()), MW_OK) << mw_last_error();
  const mw_step_result again = step();
  EXPECT_EQ(again.step, 2);
  EXPECT_EQ(again.loss, second);
  std::filesystem::remove(path);
  EXPECT_EQ(mw_student_load_checkpoint(student_, path.c_str()), MW_IO);
}

TEST_F(CStudent, goes_back_to_weights_in_a_file) {
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  const mw_parameter* parameter = trained();
  ASSERT_NE(parameter, nullptr);
  const auto path = std::filesystem::temp_directory_path() /
                    ("mw-c-student-" + std::to_string(getpid()) + ".safetensors");
  ASSERT_EQ(mw_student_save_weights(student_, path.c_str()), MW_OK) << mw_last_error();
  const std::vector<float> before = value_of(parameter->name);
  step();
  EXPECT_NE(value_of(parameter->name), before);
  ASSERT_EQ(mw_student_load_weights(student_, path.c_str()), MW_OK) << mw_last_error();
  EXPECT_EQ(value_of(parameter->name), before);
  std::filesystem::remove(path);
  EXPECT_EQ(mw_student_load_weights(student_, path.c_str()), MW_IO);
  EXPECT_EQ(mw_student_save_weights(student_, "weights.bin"), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("ends in .safetensors")) << mw_last_error();
}

TEST_F(CStudent, saves_what_it_predicts_with) {
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  step();
  const auto path = std::filesystem::temp_directory_path() /
                    ("mw-c-student-" + std::to_string(getpid()) + ".mlpackage");
  ASSERT_EQ(mw_student_save(student_, path.c_str()), MW_OK) << mw_last_error();
  EXPECT_EQ(mw_student_warning_count(student_), 0U);
  EXPECT_EQ(mw_student_warning_at(student_, 0), nullptr);
  mw_model* saved = nullptr;
  ASSERT_EQ(mw_model_load(path.c_str(), nullptr, &saved), MW_OK) << mw_last_error();
  mw_outputs *ours = nullptr, *theirs = nullptr;
  ASSERT_EQ(mw_student_predict(student_, tensors_, 1, &ours), MW_OK) << mw_last_error();
  ASSERT_EQ(mw_model_predict(saved, nullptr, tensors_, 1, &theirs), MW_OK) << mw_last_error();
  const std::vector<float> a = floats(mw_outputs_find(ours, "logits"));
  const std::vector<float> b = floats(mw_outputs_find(theirs, "logits"));
  ASSERT_EQ(a.size(), 16U * 1024U);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-4) << i;
  mw_outputs_free(ours);
  mw_outputs_free(theirs);
  mw_model_free(saved);
  std::filesystem::remove_all(path);
  EXPECT_EQ(mw_student_save(student_, "/dev/null/x.mlpackage"), MW_IO);
}

TEST_F(CStudent, a_teacher_changes_the_loss) {
  mw_model* teacher = nullptr;
  ASSERT_EQ(mw_model_load(example("model.mlpackage").c_str(), nullptr, &teacher), MW_OK);
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  mw_step_result alone{};
  ASSERT_EQ(mw_student_evaluate(student_, &batch_, &alone), MW_OK) << mw_last_error();
  mw_student_free(student_);
  student_ = nullptr;
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  mw_distill_options options = {0, 0.5F, nullptr};
  EXPECT_EQ(mw_student_set_teacher(student_, teacher, &options), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("temperature: expected more than 0")) << mw_last_error();
  options.temperature = 2;
  ASSERT_EQ(mw_student_set_teacher(student_, teacher, &options), MW_OK) << mw_last_error();
  mw_model_free(teacher);
  EXPECT_GT(std::fabs(step().loss - alone.loss), 1e-3F);
}

TEST_F(CStudent, options_reach_the_student) {
  const char* const nothing[] = {"nothing*"};
  options_.trainable = nothing;
  options_.trainable_count = 1;
  EXPECT_EQ(create(), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("trainable 'nothing*'")) << mw_last_error();
  ASSERT_EQ(mw_student_options_init(&options_, MW_SGD), MW_OK);
  EXPECT_NEAR(options_.learning_rate, 1e-2F, 1e-9);
  options_.schedule = MW_SCHEDULE_LINEAR;
  options_.warmup_steps = 4;
  options_.total_steps = 8;
  const mw_parameter_group frozen = {"*", 0, -1};
  options_.groups = &frozen;
  options_.group_count = 1;
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  const mw_parameter* parameter = trained();
  ASSERT_NE(parameter, nullptr);
  const std::vector<float> before = value_of(parameter->name);
  EXPECT_NEAR(step().learning_rate, 2.5e-3F, 1e-9);
  EXPECT_EQ(value_of(parameter->name), before);
}

TEST_F(CStudent, refuses_options_that_do_not_fit) {
  mw_student_options bad{};
  EXPECT_EQ(mw_student_create(model_, &bad, &student_), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("mw_student_options_init")) << mw_last_error();
  bad = options_;
  bad.optimizer = static_cast<mw_optimizer>(9);
  EXPECT_EQ(mw_student_create(model_, &bad, &student_), MW_INVALID_ARGUMENT);
  bad = options_;
  bad.loss = static_cast<mw_loss>(9);
  EXPECT_EQ(mw_student_create(model_, &bad, &student_), MW_INVALID_ARGUMENT);
  bad = options_;
  bad.schedule = static_cast<mw_schedule>(9);
  EXPECT_EQ(mw_student_create(model_, &bad, &student_), MW_INVALID_ARGUMENT);
  bad = options_;
  bad.group_count = 1;
  EXPECT_EQ(mw_student_create(model_, &bad, &student_), MW_INVALID_ARGUMENT);
  bad = options_;
  bad.wrt_input_count = 1;
  EXPECT_EQ(mw_student_create(model_, &bad, &student_), MW_INVALID_ARGUMENT);
  bad = options_;
  bad.target = "other";
  EXPECT_EQ(mw_student_create(model_, &bad, &student_), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("target 'other'")) << mw_last_error();
  EXPECT_EQ(mw_student_options_init(nullptr, MW_SGD), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_options_init(&bad, static_cast<mw_optimizer>(9)), MW_INVALID_ARGUMENT);
  EXPECT_EQ(student_, nullptr);
}

TEST_F(CStudent, refuses_batches_that_do_not_fit) {
  ASSERT_EQ(create(), MW_OK) << mw_last_error();
  const mw_batch without_labels = {tensors_, 1};
  EXPECT_EQ(mw_student_step(student_, &without_labels, 1, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("labels")) << mw_last_error();
  const mw_tensor twice[3] = {tensors_[0], tensors_[1], tensors_[1]};
  const mw_batch repeated = {twice, 3};
  EXPECT_EQ(mw_student_step(student_, &repeated, 1, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("'labels' is given twice")) << mw_last_error();
  const mw_batch without_tensors = {nullptr, 1};
  EXPECT_EQ(mw_student_step(student_, &without_tensors, 1, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_step(student_, &batch_, 0, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_TRUE(says("expected a batch")) << mw_last_error();
  EXPECT_EQ(step().step, 1);
}

TEST_F(CStudent, refuses_null_handles) {
  mw_outputs* outputs = nullptr;
  EXPECT_EQ(mw_student_create(nullptr, nullptr, &student_), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_create(model_, nullptr, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_set_teacher(nullptr, model_, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_step(nullptr, &batch_, 1, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_backward(nullptr, &batch_, &outputs, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_evaluate(nullptr, &batch_, nullptr), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_predict(nullptr, tensors_, 1, &outputs), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_get_parameter(nullptr, "x", &outputs), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_set_parameter(nullptr, tensors_), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_state(nullptr, &outputs), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_load_state(nullptr, tensors_, 1), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_save(nullptr, "x.mlpackage"), MW_INVALID_ARGUMENT);
  EXPECT_EQ(mw_student_parameter_count(nullptr), 0U);
  EXPECT_EQ(mw_student_parameter_at(nullptr, 0), nullptr);
  EXPECT_EQ(mw_student_warning_at(nullptr, 0), nullptr);
  mw_student_free(nullptr);
  EXPECT_EQ(outputs, nullptr);
}

}  // namespace
