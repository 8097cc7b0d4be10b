// Tests of growth(): it tells linear work from quadratic, or no test with it would mean anything.
#include <gtest/gtest.h>

#include "base/growth_testing.h"

namespace mw::testing {
namespace {

void work(int64_t turns) {
  volatile int64_t sum = 0;
  for (int64_t i = 0; i < turns; ++i) sum = sum + i;
}

TEST(Growth, tells_linear_work_from_quadratic) {
  constexpr int64_t kTurns = 20'000;
  EXPECT_LT(growth([](int64_t size) { work(kTurns * size); }), kLinearGrowth);
  EXPECT_GT(growth([](int64_t size) { work(kTurns * size * size); }), kLinearGrowth);
}

}  // namespace
}  // namespace mw::testing
