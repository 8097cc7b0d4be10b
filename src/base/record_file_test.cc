// Tests of RecordFile: what was appended is found again, whatever happened to the file's end.
#include "base/record_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "base/error.h"
#include "base/testing.h"

namespace mw {
namespace {

namespace fs = std::filesystem;
using testing::has;

constexpr const char* kKind = "some-records-1";

class Records : public ::testing::Test {
 protected:
  void append(uint64_t key, const std::string& payload) const {
    RecordFile(path_, kKind).append(key, payload, "of nothing");
  }
  [[nodiscard]] std::string bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::string error_of(const std::function<void()>& body, ErrorCode code) {
    try {
      body();
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
      return e.what();
    }
    ADD_FAILURE() << "nothing was thrown";
    return "";
  }
  void write(const std::string& bytes) const {
    std::ofstream(path_, std::ios::binary | std::ios::trunc) << bytes;
  }
  const testing::TempFolder folder_;
  const fs::path path_ = folder_ / "records";
};

TEST_F(Records, are_found_by_their_keys) {
  {
    RecordFile file(path_, kKind);
    EXPECT_FALSE(file.header());
    EXPECT_FALSE(fs::exists(path_)) << "nothing was appended yet";
    file.append(7, "seven", "of numbers");
    file.append(0, "", "of numbers");
    file.append(7, "another", "of numbers");
    EXPECT_EQ(file.find(7), "seven") << "a key that is there stays what it is";
  }
  const RecordFile file(path_, kKind);
  EXPECT_EQ(file.header(), "of numbers");
  EXPECT_EQ(file.size(), 2U);
  EXPECT_EQ(file.find(7), "seven");
  EXPECT_EQ(file.find(0), "");
  EXPECT_FALSE(file.find(1));
}

TEST_F(Records, survive_a_last_one_that_was_cut_off) {
  append(1, "one");
  const size_t one = bytes().size();
  append(2, "the second");
  const std::string all = bytes();
  for (size_t size = one; size < all.size(); ++size) {
    write(all.substr(0, size));
    EXPECT_EQ(RecordFile(path_, kKind).size(), 1U) << size << " bytes";
    append(3, "three");
    const RecordFile file(path_, kKind);
    EXPECT_EQ(file.find(1), "one") << size << " bytes";
    EXPECT_EQ(file.find(3), "three") << size << " bytes";
    EXPECT_FALSE(file.find(2)) << size << " bytes";
  }
  // What a file system gives after a loss of power.
  write(all.substr(0, one) + std::string(100, '\0'));
  EXPECT_EQ(RecordFile(path_, kKind).size(), 1U);
}

TEST_F(Records, that_were_changed_are_refused) {
  append(1, "one");
  append(2, "two");
  const std::string all = bytes();
  const size_t begin = all.find('\n') + 1;
  for (size_t at = begin; at < all.find("two"); ++at) {
    std::string changed = all;
    changed[at] = static_cast<char>(changed[at] + 1);
    write(changed);
    const std::string error = error_of(
        [&] {
          const RecordFile file(path_, kKind);
          (void)file.find(1);
          (void)file.find(2);
        },
        ErrorCode::kInvalidArgument);
    EXPECT_TRUE(has(error, "damaged: expected a record at byte")) << at;
  }
}

TEST_F(Records, of_another_kind_stay_what_they_are) {
  for (const char* other : {"a text\n", "no line", "some-records-2 of nothing\n"}) {
    write(other);
    const std::string error = error_of([&] { append(1, "one"); }, ErrorCode::kInvalidArgument);
    EXPECT_TRUE(has(error, "expected a file that begins with some-records-1, got another"));
    EXPECT_EQ(bytes(), other);
  }
  error_of([&] { RecordFile(folder_ / "absent" / "records", kKind); }, ErrorCode::kIo);
  error_of([&] { RecordFile("/dev/zero", kKind); }, ErrorCode::kInvalidArgument);
}

TEST_F(Records, come_from_several_at_once) {
  RecordFile one(path_, kKind), other(path_, kKind);
  one.append(1, "one", "of nothing");
  other.append(2, "two", "of nothing");
  one.append(3, "three", "of nothing");
  EXPECT_EQ(one.find(2), "two");
  EXPECT_EQ(RecordFile(path_, kKind).size(), 3U);
  const std::string error =
      error_of([&] { other.append(4, "four", "of all"); }, ErrorCode::kInvalidArgument);
  EXPECT_TRUE(has(error, "another process has made it for something else"));
}

}  // namespace
}  // namespace mw
