// TeacherCache: a file with what a teacher says of rows of token ids, so that it need not be run on
// them again.
//
//   TeacherCache cache(file, {{"teacher", digest}, {"temperature", "2"}});
//   const uint64_t key = TeacherCache::key_of(row, positions);
//   if (const auto said = cache.find(key)) use(*said);
//   else cache.add(key, top_classes(logits, 64, 2));
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/record_file.h"
#include "millwright/tensor.hpp"

namespace mw::training {

// The logarithm of a probability that is none: 0 times it is 0.
inline constexpr float kNever = -1e30F;

// Of each position of one row the likeliest classes.
struct TopClasses {
  int64_t positions = 0, kept = 0, classes = 0;
  std::vector<int32_t> ids;  // [positions, kept], the likeliest first, of equal ones the smallest
  std::vector<float> known;  // [positions, kept], the logarithms of their probabilities
  std::vector<float> rest;   // [positions], of what all others have together; kNever: nothing
};
// Of finite logits, or kNever, fp32 [positions, classes], divided by `temperature`. `top` classes;
// 0: all.
TopClasses top_classes(const Tensor& logits, int64_t top, double temperature);

class TeacherCache {
 public:
  // What a file's predictions depend on, by what a sentence calls it; of settings, their names.
  static constexpr const char *kTemperature = "temperature", *kTopK = "teacher_top_k";
  using Binding = std::vector<std::pair<std::string, std::string>>;

  // There need not be a file yet. Throws invalid_argument for one that is of something else than
  // `binding` says or no such file, and io.
  TeacherCache(const std::filesystem::path& path, Binding binding);

  // Of a row of ids, of whose positions so many were asked for: all, or the last one.
  static uint64_t key_of(std::span<const int32_t> row, int64_t positions);
  [[nodiscard]] const std::filesystem::path& path() const { return file_.path(); }
  [[nodiscard]] size_t size() const { return file_.size(); }  // rows
  [[nodiscard]] bool has(uint64_t key) const { return file_.has(key); }
  [[nodiscard]] std::optional<TopClasses> find(uint64_t key) const;
  void add(uint64_t key, const TopClasses& said);

 private:
  void expect_own(const std::string& header) const;

  Binding binding_;
  RecordFile file_;
};

}  // namespace mw::training
