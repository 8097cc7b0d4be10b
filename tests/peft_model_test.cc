// Adapters that Hugging Face PEFT wrote, beside converted models: the numbers that PyTorch gives.
#include "base/tensor_file.h"
#include "facade_testing.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

CoreMLModelWrapper load(const fs::path& path, const fs::path& adapter) {
  LoadOptions options;
  options.adapter = adapter;
  options.threads = 1;
  return CoreMLModelWrapper::load(path, options);
}

TEST(PeftModel, with_ranks_and_alphas_by_module_gives_what_pytorch_gives) {
  const char* root = std::getenv("MW_TEST_DATA");
  const fs::path folder = fs::path(root == nullptr ? "tests/data" : root) / "peft";
  const TensorMap data = read_tensors(folder / "data.npz");
  const TensorMap inputs = {{"x", data.at("x")}};
  const auto scores = [&](const fs::path& adapter) {
    return load(folder / "base.mlpackage", adapter).predict(inputs).at("scores");
  };
  EXPECT_LE(testing::largest_difference(scores(""), data.at("base")), 1e-5);
  EXPECT_LE(testing::largest_difference(scores(folder / "adapter"), data.at("scores")), 1e-5);
  EXPECT_LE(testing::largest_difference(scores(folder / "adapter/adapter_model.safetensors"),
                                        data.at("scores")),
            1e-5);
  EXPECT_GE(testing::largest_difference(data.at("base"), data.at("scores")), 0.1);
}

TEST(PeftModel, of_a_compressed_package_gives_the_reference) {
  const char* root = std::getenv("MW_SHARED");
  const fs::path folder = fs::path(root == nullptr ? "" : root) / "cases/peft-adapter";
  if (root == nullptr || !fs::exists(folder)) GTEST_SKIP() << "MW_SHARED has no cases/peft-adapter";
  const TensorMap data = read_tensors(folder / "data.npz");
  const Tensor& expected = data.at("logits");
  double low = expected.number_at(0), high = low;
  for (int64_t i = 0; i < expected.count(); ++i) {
    low = std::min(low, expected.number_at(i));
    high = std::max(high, expected.number_at(i));
  }
  const auto model = load(folder / "pal_base.mlpackage", folder);
  const int64_t rows = model.inputs()[0].shape[0], width = data.at("x").dim(1);
  ASSERT_EQ(data.at("x").dim(0) % rows, 0);
  for (int64_t at = 0; at < data.at("x").dim(0); at += rows) {
    Tensor x(DType::kF32, {rows, width});
    for (int64_t i = 0; i < x.count(); ++i) {
      x.set_number(i, data.at("x").number_at(at * width + i));
    }
    const Tensor got = model.predict({{"x", x}}).at("logits");
    for (int64_t i = 0; i < got.count(); ++i) {
      EXPECT_NEAR(got.number_at(i), expected.number_at(at * expected.dim(1) + i),
                  2e-3 * (high - low));
    }
  }
}

}  // namespace
}  // namespace mw
