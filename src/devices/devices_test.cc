// Tests of the list of devices.
#include "devices/devices.h"

#include <gtest/gtest.h>

#include <set>

#include "base/error.h"

namespace mw::devices {
namespace {

TEST(Devices, each_is_found_by_its_own_name) {
  std::set<std::string_view> names;
  for (const plan::Backend* backend : backends()) {
    EXPECT_TRUE(names.insert(backend->name()).second) << backend->name();
    EXPECT_EQ(platform(backend->name()).backend, backend);
  }
  EXPECT_TRUE(names.contains("cpu"));
}

TEST(Devices, an_unknown_name_is_answered_with_those_there_are) {
  try {
    (void)platform("abacus");
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_STREQ(e.what(), "device: expected one of cpu, got 'abacus'");
  }
}

}  // namespace
}  // namespace mw::devices
