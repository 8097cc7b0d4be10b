// LoRA on real models: what it learns, what it leaves alone, what it holds, what it writes.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

#include "base/tensor_file.h"
#include "base/testing.h"
#include "facade_testing.h"
#include "millwright/training.hpp"

namespace mw {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kTime = 128;

// A window of the play, the same for every seed, and what follows each token.
Batch window(const CoreMLModelWrapper& model, int64_t start) {
  std::ifstream file(testing::example("train.txt"));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::vector<int32_t> tokens = model.tokenizer().encode(text.substr(0, 20000));
  Tensor ids(DType::kI32, {1, kTime}), labels(DType::kI32, {1, kTime});
  for (int64_t t = 0; t < kTime; ++t) {
    ids.set_integer(t, tokens.at(static_cast<size_t>(start + t)));
    labels.set_integer(t, tokens.at(static_cast<size_t>(start + t + 1)));
  }
  return {ids, labels};
}

CoreMLModelWrapper load(const fs::path& path, const fs::path& adapter = {}) {
  LoadOptions options;
  options.tokenizer = testing::example("tokenizer.json");
  options.adapter = adapter;
  return CoreMLModelWrapper::load(path, options);
}

std::string bytes_of_files(const fs::path& package) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(package)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::string all;
  for (const fs::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    all += path.string() + std::string{std::istreambuf_iterator<char>(file), {}};
  }
  return all;
}

// || a - b || / || b ||
double relative(const Tensor& a, const Tensor& b) {
  double difference = 0, norm = 0;
  for (int64_t i = 0; i < b.count(); ++i) {
    difference += std::pow(a.number_at(i) - b.number_at(i), 2);
    norm += std::pow(b.number_at(i), 2);
  }
  return std::sqrt(difference / norm);
}

uint64_t bytes_of(const TensorMap& tensors) {
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : tensors) bytes += static_cast<uint64_t>(tensor.nbytes());
  return bytes;
}

// Masters, moments and gradients.
uint64_t trained_bytes(StudentModel& student, const Batch& batch) {
  return bytes_of(student.state()) + bytes_of(student.backward(batch));
}

StudentOptions options_of(int64_t rank, std::vector<std::string> targets = {"*"}) {
  StudentOptions options;
  options.optimizer = AdamW{.learning_rate = 3e-3f};
  options.lora =
      Lora{.rank = rank, .alpha = 2 * static_cast<float>(rank), .targets = std::move(targets)};
  return options;
}

// 30 steps on one window; the outputs of the student, of the adapter beside the base and of the
// fused package agree, and the base's files are as they were.
void expect_learning(const fs::path& path,
                     const std::function<void(const Tensor&, const Tensor&)>& expect_equal) {
  const testing::TempFolder folder;
  const std::string before = bytes_of_files(path);
  const auto model = load(path);
  const Batch batch = window(model, 300);
  StudentModel student(model, options_of(8));
  const double first = student.training_step(batch).loss;
  for (int step = 1; step < 30; ++step) (void)student.training_step(batch);
  const double last = student.evaluate(batch).loss;
  std::printf("%s: loss %.3f, after 30 steps %.3f; %.0f kB of frozen weights held\n",
              path.stem().c_str(), first, last,
              static_cast<double>(student.weight_bytes_held()) / 1e3);
  EXPECT_LT(last, first - 0.5);
  student.save_adapter(folder / "a.safetensors");
  (void)student.save(folder / "fused.mlpackage");
  EXPECT_EQ(bytes_of_files(path), before);
  const TensorMap inputs = {{"input_ids", batch.tensors.at("input_ids")}};
  const Tensor now = student.predict(inputs).at("logits");
  const Tensor base = model.predict(inputs).at("logits");
  EXPECT_GT(relative(now, base), 0.05);
  expect_equal(load(path, folder / "a.safetensors").predict(inputs).at("logits"), now);
  const auto fused = load(folder / "fused.mlpackage");
  expect_equal(fused.predict(inputs).at("logits"), now);
  EXPECT_EQ(fused.metadata().at("millwright.lora"), "rank 8, alpha 16");
}

TEST(LoraModels, learns_beside_a_compressed_model) {
  MW_SHARED_MODEL(path, "shakespeare-lut4-ios16.mlpackage");
  // The logits are fp16 in the file, and so are the fused weights.
  expect_learning(
      path, [](const Tensor& got, const Tensor& want) { EXPECT_LE(relative(got, want), 1e-3); });
}

TEST(LoraModels, learns_beside_a_plain_model) {
  MW_SHARED_MODEL(path, "shakespeare-fp32.mlpackage");
  expect_learning(path, [](const Tensor& got, const Tensor& want) {
    EXPECT_LE(testing::largest_difference(got, want), 1e-3);
  });
}

TEST(LoraModels, adapts_convolutions) {
  MW_SHARED_MODEL(path, "digits-cnn-fp32.mlpackage");
  MW_SHARED_MODEL(reference_path, "digits-cnn-reference.safetensors");
  const testing::TempFolder folder;
  const TensorMap reference = read_tensors(reference_path);
  const Batch batch(
      TensorMap{{"image", reference.at("image")}, {"labels", reference.at("labels")}});
  const auto model = CoreMLModelWrapper::load(path);
  StudentOptions options = options_of(4);
  options.optimizer = AdamW{.learning_rate = 3e-2f};
  StudentModel student(model, options);
  const double first = student.training_step(batch).loss;
  for (int step = 1; step < 30; ++step) (void)student.training_step(batch);
  EXPECT_LT(student.evaluate(batch).loss, 0.8 * first);
  (void)student.save(folder / "fused.mlpackage");
  const TensorMap inputs = {{"image", reference.at("image")}};
  EXPECT_LE(testing::largest_difference(
                CoreMLModelWrapper::load(folder / "fused.mlpackage").predict(inputs).at("logits"),
                student.predict(inputs).at("logits")),
            1e-4);
}

TEST(LoraModels, holds_a_tenth_of_what_full_fine_tuning_holds) {
  MW_SHARED_MODEL(path, "shakespeare-lut4-ios16.mlpackage");
  MW_SHARED_MODEL(full_path, "shakespeare-fp32.mlpackage");
  const auto model = load(path), plain = load(full_path);
  const Batch batch = window(model, 0);
  StudentModel adapted(model, options_of(4)), full(plain);
  (void)adapted.training_step(batch);
  const uint64_t weights = adapted.weight_bytes_held();
  const uint64_t few = trained_bytes(adapted, batch), all = trained_bytes(full, batch);
  (void)model.predict({{"input_ids", batch.tensors.at("input_ids")}});
  std::printf(
      "masters, moments and gradients: %.0f kB of %.0f kB; frozen weights in a step %.0f "
      "kB, in a prediction %.0f kB\n",
      static_cast<double>(few) / 1e3, static_cast<double>(all) / 1e3,
      static_cast<double>(weights) / 1e3, static_cast<double>(model.weight_bytes_held()) / 1e3);
  EXPECT_LT(few, all / 10);
  // The step reads each weight twice, the second time the other way round, and expands it never.
  EXPECT_LT(static_cast<double>(weights), 1.2 * static_cast<double>(model.weight_bytes_held()));
}

TEST(LoraModels, keeps_weights_of_every_scheme_compressed) {
  for (const char* name : {"int8", "int4-block32-ios18", "lut3-grouped-ios18", "sparse-ios18"}) {
    const auto path = testing::shared_model("shakespeare-" + std::string(name) + ".mlpackage");
    if (!path) GTEST_SKIP() << "MW_SHARED is not set or lacks " << name;
    const auto model = load(*path);
    const Batch batch = window(model, 0);
    StudentModel student(model, options_of(4));
    (void)student.training_step(batch);
    (void)model.predict({{"input_ids", batch.tensors.at("input_ids")}});
    EXPECT_LT(static_cast<double>(student.weight_bytes_held()),
              1.2 * static_cast<double>(model.weight_bytes_held()))
        << name;
    std::printf("%s: frozen weights in a step %.0f kB, in a prediction %.0f kB\n", name,
                static_cast<double>(student.weight_bytes_held()) / 1e3,
                static_cast<double>(model.weight_bytes_held()) / 1e3);
  }
}

TEST(LoraModels, goes_on_from_its_state_bit_for_bit) {
  const auto model = load(testing::example("student.mlpackage"));
  const Batch a = window(model, 0), b = window(model, 200);
  StudentModel straight(model, options_of(4)), before(model, options_of(4)),
      after(model, options_of(4));
  for (const Batch* batch : {&a, &b, &a, &b}) (void)straight.training_step(*batch);
  for (const Batch* batch : {&a, &b}) (void)before.training_step(*batch);
  after.load_state(before.state());
  for (const Batch* batch : {&a, &b}) (void)after.training_step(*batch);
  const TensorMap want = straight.state(), got = after.state();
  ASSERT_EQ(want.size(), got.size());
  for (const auto& [name, tensor] : want) EXPECT_TRUE(bit_equal(tensor, got.at(name))) << name;
}

TEST(LoraModels, trains_what_is_named_beside_the_adapters) {
  const testing::TempFolder folder;
  const auto model = load(testing::example("student.mlpackage"));
  const Batch batch = window(model, 0);
  std::string scale;
  for (const Parameter& parameter : StudentModel(model).parameters()) {
    if (parameter.trained && parameter.shape.size() == 1) scale = parameter.name;
  }
  ASSERT_FALSE(scale.empty());
  StudentOptions options = options_of(2);
  options.trainable = {scale};
  StudentModel student(model, options);
  size_t trained = 0, adapters = 0;
  for (const Parameter& parameter : student.parameters()) {
    trained += parameter.trained ? 1 : 0;
    adapters += parameter.name.find(".lora_") != std::string::npos ? 1 : 0;
  }
  EXPECT_EQ(trained, adapters + 1);
  const Tensor at_first = student.get_parameter(scale);
  for (int step = 0; step < 3; ++step) (void)student.training_step(batch);
  EXPECT_GT(testing::largest_difference(student.get_parameter(scale), at_first), 1e-4);
  (void)student.save(folder / "fused.mlpackage");
  const TensorMap inputs = {{"input_ids", batch.tensors.at("input_ids")}};
  const Tensor now = student.predict(inputs).begin()->second;
  EXPECT_LE(relative(load(folder / "fused.mlpackage").predict(inputs).begin()->second, now), 1e-3);
}

TEST(LoraModels, goes_on_from_its_file) {
  const testing::TempFolder folder;
  const auto model = load(testing::example("student.mlpackage"));
  const Batch batch = window(model, 0);
  StudentModel first(model, options_of(4)), second(model, options_of(4));
  for (int step = 0; step < 3; ++step) (void)first.training_step(batch);
  first.save_adapter(folder / "a.safetensors");
  second.load_adapter(folder / "a.safetensors");
  EXPECT_EQ(first.evaluate(batch).loss, second.evaluate(batch).loss);
  second.save_adapter(folder / "b.safetensors");
  const TensorMap a = read_tensors(folder / "a.safetensors"),
                  b = read_tensors(folder / "b.safetensors");
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(bit_equal(tensor, b.at(name))) << name;
}

TEST(LoraModels, refuses_what_does_not_fit_in_a_sentence) {
  const testing::TempFolder folder;
  const fs::path path = testing::example("student.mlpackage");
  const auto model = load(path);
  StudentModel student(model, options_of(4));
  student.save_adapter(folder / "a.safetensors");
  const auto refused = [](const std::function<void()>& body, const std::string& part) {
    const std::string got = testing::error_of(body, ErrorCode::kInvalidArgument);
    EXPECT_NE(got.find(part), std::string::npos) << got;
  };
  refused([&] { StudentModel(model, options_of(0)); },
          "lora_rank: expected a whole number from 1 to 65536, got 0");
  refused([&] { StudentModel(model, options_of(4, {"absent"})); }, "lora: target 'absent'");
  refused([&] { StudentModel(model, options_of(2)).load_adapter(folder / "a.safetensors"); },
          "expected rank 2, alpha 4 as the student has, got rank 4, alpha 8");
  refused([&] { StudentModel(model).save_adapter(folder / "b.safetensors"); },
          "adapter: expected a student with StudentOptions::lora");
  refused([&] { student.save_adapter(folder / "a.bin"); }, "ends in .safetensors");
  refused([&] { StudentModel(load(path, folder / "a.safetensors")); },
          "model: expected one without an adapter");
  refused([&] { (void)load(path, path / "Manifest.json"); }, "expected an adapter");
  fs::resize_file(folder / "a.safetensors", fs::file_size(folder / "a.safetensors") / 2);
  refused([&] { (void)load(path, folder / "a.safetensors"); }, "a.safetensors");
  refused([&] { student.load_adapter(folder / "a.safetensors"); }, "a.safetensors");
}

}  // namespace
}  // namespace mw
