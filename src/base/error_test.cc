// What an error says: printable lines, where it is, settings as each face calls them.
#include "base/error.h"

#include <gtest/gtest.h>

namespace mw {
namespace {

TEST(error, names_settings_that_each_face_spells) {
  const auto spell = [](std::string_view name, bool is_subject) {
    return fmt::format("{}{}", is_subject ? "-" : "--", name);
  };
  const auto thrown = [](const std::string& message) {
    return Error(ErrorCode::kInvalidArgument, message);
  };
  const Error error = thrown(setting("seq_len") + " 9: too long; lower " + setting("batch_size"));
  EXPECT_STREQ(error.what(), "seq_len 9: too long; lower batch_size");
  EXPECT_EQ(error.setting(), "seq_len");
  EXPECT_EQ(error.spelled(spell), "-seq_len 9: too long; lower --batch_size");
  const Error within = error.within("step 3");
  EXPECT_STREQ(within.what(), "step 3: seq_len 9: too long; lower batch_size");
  EXPECT_EQ(within.spelled(spell), "step 3: -seq_len 9: too long; lower --batch_size");
  EXPECT_EQ(within.setting(), "seq_len");
  EXPECT_EQ(thrown("no setting").setting(), "");
  // A name from a file that looks like half a mark is written out.
  EXPECT_STREQ(thrown("'\x0ename b' and '\x0e").what(), "'\\x0ename b' and '\\x0e");
}

TEST(error, is_one_line_of_printable_text_whatever_is_in_its_names) {
  const Error error(ErrorCode::kIo, "a\nb", "file\x1b]0;title\x07");
  EXPECT_STREQ(error.what(), "file\\x1b]0;title\\x07: a\\nb");
  EXPECT_STREQ(error.within("out\r").what(), "out\\r: file\\x1b]0;title\\x07: a\\nb");
}

TEST(error, says_once_where_it_is) {
  const Error error(ErrorCode::kIo, "cannot open", "a.npy");
  EXPECT_STREQ(error.within("a.npy").what(), "a.npy: cannot open");
  EXPECT_STREQ(error.within("main").within("a.npy").what(), "a.npy: main: a.npy: cannot open");
  EXPECT_STREQ(error.within("a").what(), "a: a.npy: cannot open");
}

}  // namespace
}  // namespace mw
