// `train`, `distill`, `grad` and `gradcheck` on outputs that are no plain logits.
#include <limits>

#include "base/npy_file.h"
#include "base/tensor_file.h"
#include "training_cli_testing.h"

namespace mw::testing {
namespace {

class EndsCli : public TrainingCli {
 protected:
  static std::string packaged(const std::string& name) {
    const char* root = std::getenv("MW_TEST_DATA");
    return fs::path(root == nullptr ? "tests/data" : root) / "ends" / (name + ".mlpackage");
  }
  // Rows that each class has another of its four numbers large in.
  static Tensor rows(int64_t count, const Shape& shape) {
    Shape all = shape;
    all.insert(all.begin(), count);
    Tensor x(DType::kF32, all);
    for (int64_t i = 0; i < x.count(); ++i) {
      x.set_number(i, static_cast<double>(i * 29 % 17 - 8) / 16 +
                          (i % 4 == i / 4 % 3 && shape.size() == 1 ? 2 : 0));
    }
    return x;
  }
  static Tensor names(int64_t count) {
    Tensor labels(DType::kString, {count});
    const char* const kNames[] = {"cat", "dog", "fox"};
    for (int64_t i = 0; i < count; ++i) {
      labels.mutable_data<std::string>()[static_cast<size_t>(i)] = kNames[i % 3];
    }
    return labels;
  }
  static Tensor indices(const Shape& shape, int64_t classes) {
    Tensor labels(DType::kI32, shape);
    for (int64_t i = 0; i < labels.count(); ++i) labels.set_integer(i, i % classes);
    return labels;
  }
  [[nodiscard]] Words training(const std::string& name, const std::string& data,
                               const Words& more = {}) const {
    Words words = {"train",       packaged(name), "--data",
                   data,          "--output",     scratch(name + ".mlpackage"),
                   "--steps",     "40",           "--batch-size",
                   "6",           "--lr",         "0.1",
                   "--overwrite", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  static nlohmann::json json_of(const Answer& answer) {
    EXPECT_EQ(answer.code, 0) << answer.out;
    const size_t begin = answer.out.find("\n{");
    return begin == std::string::npos
               ? nlohmann::json()
               : nlohmann::json::parse(answer.out.substr(begin), nullptr, false);
  }
};

TEST_F(EndsCli, a_classifier_trains_on_names_and_on_indices) {
  write_npz(scratch("names.npz"), {{"x", rows(12, {4})}, {"labels", names(12)}});
  write_npz(scratch("indices.npz"), {{"x", rows(12, {4})}, {"labels", indices({12}, 3)}});
  const Answer answer = millwright(training("classifier", scratch("names.npz")));
  EXPECT_TRUE(has(answer.out, "minimises cross entropy of ")) << answer.out;
  EXPECT_TRUE(has(answer.out, "over axis 1, 3 classes")) << answer.out;
  const auto by_name = json_of(answer);
  EXPECT_LT(by_name["loss"].get<double>(), 0.3);
  EXPECT_TRUE(has(by_name["minimises"], "before softmax of 'classLabel_probs'"));
  const std::string written = weights(scratch("classifier.mlpackage"));
  const auto by_index = json_of(millwright(training("classifier", scratch("indices.npz"))));
  EXPECT_EQ(by_index["loss"], by_name["loss"]);
  EXPECT_EQ(weights(scratch("classifier.mlpackage")), written);
  EXPECT_TRUE(has(read_file(scratch("classifier.run") + "/report.html"), "minimises"));

  Tensor bird = names(12);
  bird.mutable_data<std::string>()[7] = "bird";
  write_npz(scratch("bird.npz"), {{"x", rows(12, {4})}, {"labels", bird}});
  expect_refusal(millwright(training("classifier", scratch("bird.npz"))),
                 {"bird.npz: labels: expected one of the classes cat, dog, fox, got bird"});
  expect_refusal(millwright(training("sigmoid", scratch("names.npz"))),
                 {"names.npz: labels: expected integers, got names"});
}

TEST_F(EndsCli, a_classifier_has_gradients_and_teaches) {
  write_npz(scratch("one.npz"), {{"x", rows(1, {4})}, {"labels", names(1)}});
  const Answer grad = millwright({"grad", packaged("classifier"), "--inputs", scratch("one.npz"),
                                  "--output", scratch("g.safetensors")});
  EXPECT_EQ(grad.code, 0) << grad.out;
  EXPECT_TRUE(has(grad.out, "minimises  cross entropy of ")) << grad.out;
  double sum = 0;  // p - onehot
  const TensorMap gradients = read_tensors(scratch("g.safetensors"));
  const Tensor& bias = gradients.begin()->second;
  for (int64_t i = 0; i < bias.count(); ++i) sum += bias.number_at(i);
  EXPECT_NEAR(sum, 0, 1e-6);
  const Answer check = millwright({"gradcheck", packaged("classifier")});
  EXPECT_EQ(check.code, 0) << check.out;

  write_npz(scratch("data.npz"), {{"x", rows(12, {4})}, {"labels", names(12)}});
  const Answer distilled =
      millwright({"distill", "--teacher", packaged("classifier"), "--student",
                  packaged("classifier"), "--data", scratch("data.npz"), "--output",
                  scratch("d.mlpackage"), "--steps", "3", "--batch-size", "4"});
  EXPECT_EQ(distilled.code, 0) << distilled.out;
  EXPECT_TRUE(has(distilled.out, "and 0.5 x divergence from 'classLabel_probs' of the teacher"))
      << distilled.out;
}

TEST_F(EndsCli, a_sigmoid_asks_for_binary_cross_entropy_and_learns_with_it) {
  for (const bool zeros : {true, false}) {
    Tensor labels = indices({12, 1}, zeros ? 1 : 2);
    write_npz(scratch("data.npz"), {{"x", rows(12, {4})}, {"labels", labels}});
    expect_refusal(millwright(training("sigmoid", scratch("data.npz"))),
                   {"loss: expected binary_cross_entropy for output 'p', which is a sigmoid"});
    EXPECT_FALSE(fs::exists(scratch("sigmoid.mlpackage")));
  }
  const auto json = json_of(millwright(training(
      "sigmoid", scratch("data.npz"), {"--loss", "binary_cross_entropy", "--pos-weight", "2"})));
  EXPECT_GT(json["loss"].get<double>(), 0.01);
  EXPECT_TRUE(has(json["minimises"], "a label 1 counting 2 times"));
  const Answer check =
      millwright({"gradcheck", packaged("sigmoid"), "--loss", "binary_cross_entropy"});
  EXPECT_EQ(check.code, 0) << check.out;
}

TEST_F(EndsCli, pixels_have_labels_each) {
  write_npz(scratch("data.npz"), {{"x", rows(6, {2, 3, 3})}, {"labels", indices({6, 3, 3}, 4)}});
  const auto json = json_of(millwright(training("pixels", scratch("data.npz"))));
  EXPECT_EQ(json["minimises"], "cross entropy of 'scores', over axis 1, 4 classes");
  EXPECT_EQ(json["tokens"], 40 * 6 * 9);
  write("c.yaml", "class-axis: -1\n");
  expect_refusal(
      millwright(training("pixels", scratch("data.npz"), {"--config", scratch("c.yaml")})),
      {"labels: expected shape [1, 4, 3] for output 'scores', got [1, 3, 3]"});
  expect_refusal(millwright(training("pixels", scratch("data.npz"), {"--class-axis", "-1"})),
                 {"labels: expected shape [1, 4, 3]"});
  const Answer check = millwright({"gradcheck", packaged("pixels"), "--loss", "cross_entropy"});
  EXPECT_EQ(check.code, 0) << check.out;
}

TEST_F(EndsCli, a_loss_that_is_no_number_is_an_error) {
  Tensor x = rows(2, {4});
  x.set_number(3, std::numeric_limits<double>::quiet_NaN());
  write_npz(scratch("nan.npz"), {{"x", x}, {"labels", indices({2, 1}, 2)}});
  const Words more = {"--loss", "binary_cross_entropy"};
  Words grad = {"grad",     packaged("sigmoid"),     "--inputs", scratch("nan.npz"),
                "--output", scratch("g.safetensors")};
  grad.insert(grad.end(), more.begin(), more.end());
  expect_refusal(millwright(grad), {"expected a finite loss for these inputs and labels, got nan"});
  EXPECT_FALSE(fs::exists(scratch("g.safetensors")));
  Words check = {"gradcheck", packaged("sigmoid"), "--inputs", scratch("nan.npz")};
  check.insert(check.end(), more.begin(), more.end());
  expect_refusal(millwright(check),
                 {"expected a finite loss for these inputs and labels, got nan"});
  write_npz(scratch("good.npz"), {{"x", rows(2, {4})}, {"labels", indices({2, 1}, 2)}});
  Words valid = training("sigmoid", scratch("good.npz"), more);
  valid.insert(valid.end(), {"--eval-data", scratch("nan.npz"), "--batch-size", "2"});
  valid.erase(std::find(valid.begin(), valid.end(), "--batch-size"),
              std::find(valid.begin(), valid.end(), "--batch-size") + 2);
  expect_refusal(millwright(valid),
                 {"nan.npz: tensor 'x': expected finite numbers, got nan at [0, 3]"});
  EXPECT_FALSE(fs::exists(scratch("sigmoid.mlpackage")));
}

TEST_F(EndsCli, data_that_are_not_finite_are_named_by_tensor_and_row) {
  Tensor x = rows(12, {4});
  x.set_number(9 * 4 + 1, std::numeric_limits<double>::quiet_NaN());
  Tensor labels = indices({12, 1}, 2).to(DType::kF32).clone();
  labels.set_number(4, -100);
  write_npz(scratch("bad.npz"), {{"x", x}, {"labels", labels}});
  for (const char* accumulate : {"1", "3"}) {
    Words words = training("sigmoid", scratch("bad.npz"), {"--loss", "binary_cross_entropy"});
    *(std::find(words.begin(), words.end(), "--steps") + 1) = "12";
    words.insert(words.end(), {"--accumulate", accumulate, "--overwrite"});
    expect_refusal(millwright(words), {"step ",
                                       "bad.npz: tensor 'x': expected finite numbers, got "
                                       "nan at [9, 1]"});
    EXPECT_FALSE(fs::exists(scratch("sigmoid.mlpackage")));
  }
  write_npz(scratch("empty.npz"),
            {{"x", Tensor(DType::kF32, {0, 4})}, {"labels", Tensor(DType::kF32, {0, 1})}});
  expect_refusal(
      millwright(training("sigmoid", scratch("empty.npz"), {"--loss", "binary_cross_entropy"})),
      {"empty.npz: tensor 'labels': expected at least one row, got none"});
}

// The larger suite, where it is installed: files as people have them, with the losses that PyTorch
// gives.
TEST_F(EndsCli, the_losses_of_files_as_people_have_them) {
  const char* root = std::getenv("MW_SHARED");
  if (root == nullptr || !fs::exists(fs::path(root) / "cases")) GTEST_SKIP() << "no cases";
  const fs::path cases = fs::path(root) / "cases";
  const auto loss_of = [&](const fs::path& model) {
    const Answer answer = millwright({"grad", model, "--inputs", model.parent_path() / "data.npz",
                                      "--output", scratch("g.npz"), "--json"});
    EXPECT_EQ(answer.code, 0) << answer.out;
    return nlohmann::json::parse(answer.out)["loss"].get<double>();
  };
  for (const char* name : {"softmax-output-cross-entropy", "classifier-train-internal-error"}) {
    const auto expected = nlohmann::json::parse(read_file(cases / name / "expected.json"));
    EXPECT_NEAR(loss_of(cases / name / "model.mlpackage"), expected["loss"].get<double>(), 1e-7)
        << name;
  }
  const fs::path folder = cases / "logits-not-last-axis";
  const auto expected = nlohmann::json::parse(read_file(folder / "expected.json"));
  EXPECT_NEAR(loss_of(folder / "seg.mlpackage"),
              expected["seg_cross_entropy_over_axis_1"].get<double>(), 1e-6);
  expect_refusal(
      millwright({"train", cases / "binary-sigmoid-loss-zero/model.mlpackage", "--data",
                  cases / "binary-sigmoid-loss-zero/data.npz", "--output", scratch("b.mlpackage")}),
      {"binary_cross_entropy", "which is a sigmoid"});
  EXPECT_FALSE(fs::exists(scratch("b.mlpackage")));
}

}  // namespace
}  // namespace mw::testing
