// A large compressed model runs in little more memory than its weight file has bytes.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compressed_model.h"
#include "package/testing.h"
#include "suite.h"

namespace mw {
namespace {

namespace fs = std::filesystem;
using suite::Layer;

constexpr double kAllowed = 1.2;  // of the bytes of the weight file
constexpr int64_t kInputs = 2048;

// Of a run in a child; all zeros when it failed.
struct Measured {
  uint64_t peak_bytes = 0, reported_bytes = 0, outputs = 0;
};

uint64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  }
  return 0;
}

Measured run_and_measure(const fs::path& path) {
  const auto model = CoreMLModelWrapper::load(path);
  Measured measured;
  for (const int64_t rows : {int64_t{1}, suite::kMostRows})
    measured.outputs += model.predict(suite::inputs_of(rows, kInputs)).size();
  measured.peak_bytes = peak_resident_bytes();
  measured.reported_bytes = model.weight_bytes_held();
  return measured;
}

// Runs `body` in a process of its own, so that its peak is not that of what came before.
Measured in_child(const std::function<Measured()>& body) {
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    Measured measured;
    try {
      measured = body();
    } catch (const std::exception& e) {
      fmt::print(stderr, "{}\n", e.what());
    }
    const bool told = write(pipe_ends[1], &measured, sizeof measured) == sizeof measured;
    _exit(told ? 0 : 1);
  }
  close(pipe_ends[1]);
  Measured measured;
  if (read(pipe_ends[0], &measured, sizeof measured) != sizeof measured) measured = {};
  close(pipe_ends[0]);
  waitpid(child, nullptr, 0);
  return measured;
}

// Compares a model of more than 100 MB of weights with one that is 128 times as narrow.
void expect_compressed(Layer layer) {
  const package::testing::TempFolder folder;
  const fs::path large = folder / "large.mlpackage", small = folder / "small.mlpackage";
  in_child([&] {
    suite::write_model(large, layer, kInputs, 128);
    suite::write_model(small, layer, kInputs, 1);
    return Measured{};
  });
  ASSERT_TRUE(fs::exists(package::testing::weights_of(large)));
  const auto blob = static_cast<double>(fs::file_size(package::testing::weights_of(large)));
  ASSERT_GE(blob, 100e6);
  const Measured base = in_child([&] { return run_and_measure(small); });
  const Measured got = in_child([&] { return run_and_measure(large); });
  ASSERT_EQ(base.outputs, 8U);
  ASSERT_EQ(got.outputs, 8U);
  const auto resident = static_cast<double>(got.peak_bytes) - static_cast<double>(base.peak_bytes);
  const auto reported = static_cast<double>(got.reported_bytes);
  fmt::print(
      "blob {:.1f} MB; resident {:.1f} MB more than a small model ({:.3f} x); reported "
      "{:.1f} MB ({:.3f} x)\n",
      blob / 1e6, resident / 1e6, resident / blob, reported / 1e6, reported / blob);
  EXPECT_LE(resident, kAllowed * blob);
  EXPECT_LE(reported, kAllowed * blob);
  EXPECT_GE(reported, blob * 0.99) << "some weights were not counted";
}

TEST(Memory, compressed_weights_of_linear_layers_stay_compressed_while_the_model_runs) {
  expect_compressed(Layer::kLinear);
}

TEST(Memory, compressed_weights_of_pointwise_convolutions_stay_compressed_while_the_model_runs) {
  for (const Layer layer : {Layer::kConv, Layer::kChannels, Layer::kImages, Layer::kTransposed}) {
    expect_compressed(layer);
  }
}

TEST(Memory, compressed_factors_of_products_stay_compressed_while_the_model_runs) {
  expect_compressed(Layer::kMatmul);
}

}  // namespace
}  // namespace mw
