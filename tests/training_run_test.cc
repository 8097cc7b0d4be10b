// What stands behind `train`: batches that fit a model, the op behind a number that is not finite.
#include <unistd.h>

#include <limits>

#include "api/impl.h"
#include "base/finite.h"
#include "base/tensor_file.h"
#include "base/testing.h"
#include "built_model.h"
#include "facade_testing.h"
#include "millwright/training.hpp"
#include "package/testing.h"
#include "train/run.h"

namespace mw {
namespace {

using testing::example;

TEST(NonFinite, is_traced_to_the_op_that_first_gives_it) {
  const auto model = CoreMLModelWrapper::load(example("student.mlpackage"));
  StudentModel student(model);
  const Batch batch(TensorMap{{"input_ids", Tensor::from<int32_t>({1, 2, 3, 4}, {1, 4})}});
  EXPECT_EQ(student_of(student).first_nonfinite(batch.tensors), "");
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
  const std::string op = student_of(student).first_nonfinite(batch.tensors);
  EXPECT_NE(op, "");
}

// Each use of a constant of one number is a parameter of its own.
TEST(NonFinite, is_traced_with_every_use_of_a_constant_as_it_was_trained) {
  const testing::TempFolder folder;
  testing::BuiltModel built;
  ir::Value* x = built.input("x", {1, 2});
  ir::Value* gain = built.weight("gain", {1, 1}, {2});
  ir::Value* first = built.b().op("mul", {{"x", x}, {"y", gain}}, "first");
  ir::Value* second = built.b().op("mul", {{"x", first}, {"y", gain}}, "second");
  built.output(built.b().op("square", {{"x", second}}), "y");
  const auto model = CoreMLModelWrapper::load(built.write(folder / "a.mlpackage"));
  StudentOptions options;
  options.loss = Loss::kMeanSquaredError;
  StudentModel student(model, options);
  student.set_parameter("gain", Tensor::from<float>({1e20F, 1e20F}, {2}));
  EXPECT_EQ(student.predict({{"x", Tensor::from<float>({1, 1}, {1, 2})}}).at("y").number_at(0),
            std::numeric_limits<double>::infinity());
  const Batch batch(TensorMap{{"x", Tensor::from<float>({1, 1}, {1, 2})}});
  EXPECT_EQ(student_of(student).first_nonfinite(batch.tensors), "square 'y'");
}

TEST(NonFinite, is_found_among_gradients) {
  TensorMap gradients = {{"a", Tensor(DType::kF32, {3})}, {"b", Tensor(DType::kF32, {3})}};
  EXPECT_EQ(first_not_finite(gradients), "");
  gradients["b"].set_number(2, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(first_not_finite(gradients), "b");
}

TEST(TrainingData, of_a_flexible_model_is_split_into_equal_calls) {
  const auto model = CoreMLModelWrapper::load(example("student.mlpackage"));
  const training::TrainingData data = training::load_training_data(
      model.impl(), {.data = example("valid.txt"), .batch_size = 96, .seq_len = 32});
  EXPECT_EQ(data.batch_size, 96);
  EXPECT_EQ(data.call_size, 48);  // the model takes 64 at most
  EXPECT_FALSE(data.fixed_calls);
  EXPECT_EQ(data.prompt.size(), 24U);
}

TEST(TrainingData, of_a_fixed_model_has_its_extents) {
  MW_SHARED_MODEL(path, "shakespeare-fp16-ios18.mlpackage");
  LoadOptions options;
  options.tokenizer = example("tokenizer.json");
  const auto model = CoreMLModelWrapper::load(path, options);
  const training::TrainingData data =
      training::load_training_data(model.impl(), {.data = example("valid.txt"), .batch_size = 4});
  EXPECT_EQ(data.call_size, 1);
  EXPECT_TRUE(data.fixed_calls);
  EXPECT_EQ(data.seq_len, 128);
  const std::string error = testing::error_of(
      [&] {
        (void)training::load_training_data(model.impl(),
                                           {.data = example("valid.txt"), .seq_len = 64});
      },
      ErrorCode::kInvalidArgument);
  EXPECT_NE(error.find("exactly 128"), std::string::npos) << error;
}

TEST(TrainingData, of_arrays_names_what_does_not_fit) {
  MW_SHARED_MODEL(path, "digits-cnn-fp32.mlpackage");
  const auto model = CoreMLModelWrapper::load(path);
  const auto file = std::filesystem::temp_directory_path() /
                    ("mw_training_run_test_" + std::to_string(getpid()) + ".safetensors");
  const auto error = [&](const TensorMap& tensors) {
    write_safetensors(file, tensors);
    return testing::error_of(
        [&] { (void)training::load_training_data(model.impl(), {.data = file}); },
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

// Asks for a stop once it was asked so often; 0: never.
struct Stopper : TrainingObserver {
  explicit Stopper(int64_t times) : times_(times) {}
  void stepped(const TrainingProgress& /*progress*/) override { ++steps; }
  bool should_stop() override { return ++asked >= times_ && times_ > 0; }
  int64_t asked = 0, steps = 0;

 private:
  int64_t times_;
};

TEST(TrainingRun, stops_between_the_calls_of_a_step_which_is_then_not_taken) {
  const package::testing::TempFolder folder;
  const auto model = CoreMLModelWrapper::load(example("student.mlpackage"));
  const auto run = [&](const std::string& name, Stopper& observer, bool resume) {
    TrainingSettings settings;
    settings.run.data = example("valid.txt");
    settings.run.output = folder / (name + ".mlpackage");
    settings.run.batch_size = 1;
    settings.run.seq_len = 8;
    settings.run.steps = 2;
    settings.run.accumulate = 50;
    settings.run.resume = resume;
    return train(model, settings, observer);
  };
  Stopper patient(0), hasty(1 + 49 + 1 + 5);
  (void)run("whole", patient, false);
  EXPECT_EQ(patient.steps, 2);
  const TrainingReport stopped = run("parts", hasty, false);
  EXPECT_TRUE(stopped.interrupted);
  EXPECT_EQ(stopped.step, 1) << "the second step was begun and not taken";
  EXPECT_EQ(hasty.asked, 56) << "it was asked for once and went no further";
  EXPECT_FALSE(std::filesystem::exists(folder / "parts.mlpackage"));
  Stopper rest(0);
  EXPECT_FALSE(run("parts", rest, true).interrupted);
  EXPECT_EQ(rest.steps, 1);
  const auto weights = [&](const char* name) {
    return CoreMLModelWrapper::load(folder / (std::string(name) + ".mlpackage"));
  };
  const Tensor ids = Tensor::from<int32_t>({1, 2, 3, 4}, {1, 4});
  EXPECT_TRUE(bit_equal(weights("parts").forward(ids), weights("whole").forward(ids)));
}

}  // namespace
}  // namespace mw
