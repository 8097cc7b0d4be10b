// CallShapes: how many rows of how many token ids one call of a model takes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "millwright/feature.hpp"

namespace mw::lm {

struct CallShape {
  int64_t batch = 1, time = 1;
};

class CallShapes {
 public:
  CallShapes() = default;
  // `ids`: the input that takes the token ids, of rank 1 ([time]) or 2 ([batch, time]).
  explicit CallShapes(const FeatureDescription& ids);

  // INT64_MAX where the file states no bound.
  [[nodiscard]] int64_t max_batch() const { return max_batch_; }
  [[nodiscard]] int64_t max_time() const { return max_time_; }
  [[nodiscard]] bool allow(CallShape shape) const;
  [[nodiscard]] bool allow_time(int64_t time) const;  // in some number of rows
  // The smallest one that holds so many tokens in so many rows.
  [[nodiscard]] std::optional<CallShape> padded(CallShape shape) const;
  // Most tokens that one row may have, but no more than `count`; 0: none that few.
  [[nodiscard]] int64_t longest(int64_t count) const;
  // The fewest that one row may have.
  [[nodiscard]] int64_t min_time() const;
  [[nodiscard]] CallShape smallest() const;
  // "32, 64 or 128", "exactly 128", "1 to 64": the numbers of tokens.
  [[nodiscard]] std::string times_text() const;

 private:
  struct Bounds {
    int64_t lower = 1, upper = 1;
  };
  std::vector<CallShape> listed_;  // by ascending time; empty: ranges
  Bounds batch_, time_;
  int64_t max_batch_ = 1, max_time_ = 1;
};

}  // namespace mw::lm
