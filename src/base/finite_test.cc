// Where numbers are that are not finite.
#include "base/finite.h"

#include <gtest/gtest.h>

#include <limits>

namespace mw {
namespace {

TEST(first_not_finite, tells_the_place_in_every_float_type) {
  const double bad[] = {std::numeric_limits<double>::quiet_NaN(),
                        std::numeric_limits<double>::infinity(),
                        -std::numeric_limits<double>::infinity()};
  for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32, DType::kF64}) {
    Tensor tensor(dtype, {3, 67});
    for (int64_t i = 0; i < tensor.count(); ++i) tensor.set_number(i, i % 2 == 0 ? 1e4 : -1e-4);
    EXPECT_EQ(first_not_finite(tensor), std::nullopt);
    for (const double number : bad) {
      for (const int64_t at : {0, 1, 63, 64, 130, 200}) {
        Tensor bent = tensor.clone();
        bent.set_number(at, number);
        bent.set_number(200, number);
        EXPECT_EQ(first_not_finite(bent), at);
        EXPECT_EQ(first_not_finite(bent, at + 1), at == 200 ? std::nullopt : std::optional(200L));
      }
    }
    Tensor bent = tensor.clone();
    bent.set_number(68, bad[2]);
    EXPECT_EQ(not_finite_text(bent, 68), "-inf at [1, 1]");
  }
  EXPECT_EQ(first_not_finite(Tensor(DType::kI32, {4})), std::nullopt);
  EXPECT_EQ(first_not_finite(Tensor(DType::kF32, {0, 4})), std::nullopt);
  EXPECT_EQ(not_finite_text(Tensor::scalar(-std::numeric_limits<float>::quiet_NaN()), 0), "nan");
}

}  // namespace
}  // namespace mw
