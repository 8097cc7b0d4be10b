// Products with compressed weights, decoded in parts, against the reference executor.
#include <gtest/gtest.h>

#include <cmath>

#include "compressed_model.h"
#include "package/testing.h"
#include "suite.h"

namespace mw {
namespace {

double largest_in(const Tensor& tensor) {
  double largest = 0;
  for (int64_t i = 0; i < tensor.count(); ++i)
    largest = std::max(largest, std::abs(tensor.number_at(i)));
  return largest;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  double largest = 0;
  for (int64_t i = 0; i < a.count(); ++i)
    largest = std::max(largest, std::abs(a.number_at(i) - b.number_at(i)));
  return largest;
}

// Few rows and many; 1152 and 2304 outputs are more than one panel holds, the last one narrower.
TEST(CompressedProducts, give_what_the_reference_gives) {
  constexpr int64_t kInputs = 96, kScale = 12;
  const package::testing::TempFolder folder;
  for (const suite::Layer layer : suite::kLayers) {
    suite::write_model(folder / "m.mlpackage", layer, kInputs, kScale);
    const auto planned = CoreMLModelWrapper::load(folder / "m.mlpackage");
    const auto naive = CoreMLModelWrapper::load(folder / "m.mlpackage", {.naive = true});
    for (const int64_t rows : {int64_t{1}, int64_t{4}, int64_t{7}, suite::kMostRows}) {
      const TensorMap inputs = suite::inputs_of(rows, kInputs), want = naive.predict(inputs);
      ASSERT_EQ(want.size(), 4U);
      for (const auto& [name, got] : planned.predict(inputs)) {
        const Tensor& expected = want.at(name);
        ASSERT_EQ(got.shape(), expected.shape());
        const double largest = largest_in(expected);
        EXPECT_GT(largest, 0);
        EXPECT_LE(largest_difference(got, expected), 1e-3 * largest) << name << ", rows " << rows;
      }
    }
  }
}

}  // namespace
}  // namespace mw
