// What coremltools writes and Core ML takes: declared types that are too small, and values that a
// function returns twice.
#include <unistd.h>

#include "facade_testing.h"
#include "millwright/training.hpp"

namespace mw {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

std::filesystem::path fixture(const std::string& name) {
  const char* root = std::getenv("MW_TEST_DATA");
  return std::filesystem::path(root == nullptr ? "tests/data" : root) / "packages" / name;
}

Tensor some_floats(const Shape& shape) {
  Tensor x(DType::kF32, shape);
  for (int64_t i = 0; i < x.count(); ++i)
    x.set_number(i, static_cast<double>((i * 29) % 17) / 8 - 1);
  return x;
}

class TrainedCopy {
 public:
  explicit TrainedCopy(const std::string& extension)
      : path_(std::filesystem::temp_directory_path() /
              ("mw_files_" + std::to_string(getpid()) + extension)) {}
  ~TrainedCopy() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(FilesOfCoremltools, a_mask_of_two_numbers_has_the_extents_of_its_condition) {
  const auto path = fixture("where_scalars.mlpackage");
  const auto planned = CoreMLModelWrapper::load(path);
  const auto naive = CoreMLModelWrapper::load(path, {.naive = true});
  for (int64_t n = 1; n <= 8; ++n) {
    const TensorMap inputs{{"x", some_floats({n, 4})}};
    const TensorMap got = planned.predict(inputs), want = naive.predict(inputs);
    ASSERT_EQ(got.at("mask").shape(), (Shape{n, n}));
    for (int64_t i = 0; i < n * n; ++i) {
      EXPECT_EQ(got.at("mask").number_at(i), i % n <= i / n ? 0 : -1e4f) << n;
    }
    EXPECT_EQ(largest_difference(got.at("mask"), want.at("mask")), 0);
    EXPECT_LT(largest_difference(got.at("y"), want.at("y")), 1e-5);
  }
}

// The first row sees itself alone, whatever stands behind it.
TEST(FilesOfCoremltools, a_mask_of_two_numbers_trains_and_is_written_back) {
  const auto model = CoreMLModelWrapper::load(fixture("where_scalars.mlpackage"));
  StudentModel student(model, {.optimizer = Sgd{}, .loss = Loss::kMeanSquaredError, .target = "y"});
  const Batch batch(TensorMap{{"x", some_floats({5, 4})}, {"labels", Tensor(DType::kF32, {5, 3})}});
  const double first = student.training_step(batch).loss;
  double last = first;
  for (int i = 0; i < 20; ++i) last = student.training_step(batch).loss;
  EXPECT_LT(last, first);
  for (const char* extension : {".mlpackage", ".mlmodelc"}) {
    const TrainedCopy copy(extension);
    student.save(copy.path());
    const TensorMap inputs{{"x", some_floats({3, 4})}};
    const TensorMap got = CoreMLModelWrapper::load(copy.path()).predict(inputs);
    EXPECT_LT(largest_difference(got.at("y"), student.predict(inputs).at("y")), 1e-6);
  }
}

TEST(FilesOfCoremltools, a_value_that_is_returned_twice_is_one_result_and_two_descriptions) {
  const auto path = fixture("returned_twice.mlpackage");
  for (const bool naive : {false, true}) {
    const auto model = CoreMLModelWrapper::load(path, {.naive = naive});
    std::vector<std::string> names;
    for (const FeatureDescription& output : model.outputs()) names.push_back(output.name);
    EXPECT_EQ(names, (std::vector<std::string>{"y", "kept", "y", "kept"}));
    State state = model.make_state();
    const TensorMap inputs{{"x", some_floats({2, 4})}};
    for (int run = 1; run <= 2; ++run) {
      const TensorMap got = model.predict(inputs, state);
      ASSERT_EQ(got.size(), 2U);
      EXPECT_EQ(got.at("y").shape(), (Shape{2, 3}));
      for (int64_t i = 0; i < 8; ++i) {
        EXPECT_EQ(got.at("kept").number_at(i), run * inputs.at("x").number_at(i));
      }
    }
  }
}

TEST(FilesOfCoremltools, a_value_that_is_returned_twice_trains) {
  const auto model = CoreMLModelWrapper::load(fixture("returned_twice.mlpackage"));
  StudentModel student(model, {.optimizer = Sgd{}, .loss = Loss::kMeanSquaredError, .target = "y"});
  const Batch batch(TensorMap{{"x", some_floats({2, 4})}, {"labels", Tensor(DType::kF32, {2, 3})}});
  const double first = student.training_step(batch).loss;
  EXPECT_LT(student.evaluate(batch).loss, first);
  const TrainedCopy copy(".mlpackage");
  student.save(copy.path());
  const auto reopened = CoreMLModelWrapper::load(copy.path());
  EXPECT_EQ(reopened.outputs().size(), 4U);
  State state = reopened.make_state();
  const TensorMap inputs{{"x", some_floats({2, 4})}};
  EXPECT_LT(
      largest_difference(reopened.predict(inputs, state).at("y"), student.predict(inputs).at("y")),
      1e-6);
}

}  // namespace
}  // namespace mw
