// What stands behind `train`: batches that fit a model, the op behind a number that is not finite.
#include <unistd.h>

#include <limits>

#include "api/nonfinite.h"
#include "api/training_data.h"
#include "base/tensor_file.h"
#include "facade_testing.h"

namespace mw {
namespace {

using testing::example;

TEST(NonFinite, IsTracedToTheOpThatFirstGivesIt) {
  const auto model = CoreMLModelWrapper::load(example("student.mlpackage"));
  StudentModel student(model);
  const TensorMap batch = {{"input_ids", Tensor::from<int32_t>({1, 2, 3, 4}, {1, 4})}};
  EXPECT_EQ(first_nonfinite(model, student, "", batch), "");
  std::string spoilt;
  for (const Parameter& parameter : student.parameters()) {
    if (parameter.trained && parameter.name.find("layers_1_w1") != std::string::npos) {
      spoilt = parameter.name;
    }
  }
  ASSERT_FALSE(spoilt.empty());
  Tensor weight = student.get_parameter(spoilt);
  for (int64_t i = 0; i < weight.count(); ++i) weight.set_number(i, 3e38);
  student.set_parameter(spoilt, weight);
  const std::string op = first_nonfinite(model, student, "", batch);
  EXPECT_NE(op, "");
}

TEST(NonFinite, IsFoundAmongGradients) {
  TensorMap gradients = {{"a", Tensor(DType::kF32, {3})}, {"b", Tensor(DType::kF32, {3})}};
  EXPECT_EQ(first_nonfinite(gradients), "");
  gradients["b"].set_number(2, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(first_nonfinite(gradients), "b");
}

TEST(TrainingData, OfAFlexibleModelIsSplitIntoEqualCalls) {
  const auto model = CoreMLModelWrapper::load(example("student.mlpackage"));
  const TrainingData data =
      load_training_data(model, {.data = example("valid.txt"), .batch_size = 96, .seq_len = 32});
  EXPECT_EQ(data.batch_size, 96);
  EXPECT_EQ(data.call_size, 48);  // the model takes 64 at most
  EXPECT_FALSE(data.fixed_calls);
  EXPECT_EQ(data.prompt.size(), 24U);
}

TEST(TrainingData, OfAFixedModelHasItsExtents) {
  MW_SHARED_MODEL(path, "shakespeare-fp16-ios18.mlpackage");
  LoadOptions options;
  options.tokenizer = example("tokenizer.json");
  const auto model = CoreMLModelWrapper::load(path, options);
  const TrainingData data =
      load_training_data(model, {.data = example("valid.txt"), .batch_size = 4});
  EXPECT_EQ(data.call_size, 1);
  EXPECT_TRUE(data.fixed_calls);
  EXPECT_EQ(data.seq_len, 128);
  const std::string error = testing::error_of(
      [&] { (void)load_training_data(model, {.data = example("valid.txt"), .seq_len = 64}); },
      ErrorCode::kInvalidArgument);
  EXPECT_NE(error.find("exactly 128"), std::string::npos) << error;
}

TEST(TrainingData, OfArraysNamesWhatDoesNotFit) {
  MW_SHARED_MODEL(path, "digits-cnn-fp32.mlpackage");
  const auto model = CoreMLModelWrapper::load(path);
  const auto file = std::filesystem::temp_directory_path() /
                    ("mw_training_run_test_" + std::to_string(getpid()) + ".safetensors");
  const auto error = [&](const TensorMap& tensors) {
    write_safetensors(file, tensors);
    return testing::error_of([&] { (void)load_training_data(model, {.data = file}); },
                             ErrorCode::kInvalidArgument);
  };
  const Tensor images(DType::kF32, {6, 1, 8, 8}), labels(DType::kI32, {6});
  EXPECT_NE(error({{"image", images}}).find("named labels"), std::string::npos);
  EXPECT_NE(error({{"labels", labels}}).find("input 'image'"), std::string::npos);
  EXPECT_NE(error({{"image", images}, {"labels", labels}, {"x", labels}}).find("'x' is no input"),
            std::string::npos);
  EXPECT_NE(error({{"image", images}, {"labels", Tensor(DType::kI32, {5})}}).find("6 examples"),
            std::string::npos);
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace mw
