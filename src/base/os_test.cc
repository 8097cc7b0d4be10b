// What the operating system tells.
#include "base/os.h"

#include <gtest/gtest.h>

#include <vector>

namespace mw {
namespace {

TEST(OperatingSystem, counts_the_memory_that_this_process_has_touched) {
  constexpr size_t kBytes = size_t{64} << 20;
  const int64_t before = os::resident_bytes();
  const std::vector<char> touched(kBytes, 1);
  EXPECT_GE(os::resident_bytes(), before + static_cast<int64_t>(kBytes) * 3 / 4);
  EXPECT_EQ(touched.back(), 1);
  EXPECT_LE(os::resident_bytes(), total_memory());
}

TEST(OperatingSystem, tells_processors_and_memory) {
  EXPECT_GE(os::cores_allowed(), 1);
  EXPECT_FALSE(os::processor_name().empty());
  EXPECT_LE(os::free_machine_memory(), os::machine_memory());
  EXPECT_LE(available_memory(), total_memory());
}

}  // namespace
}  // namespace mw
