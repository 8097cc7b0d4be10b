// Calls: one text that is given to a model with a cache, in calls that the model takes.
//
//   lm::Calls calls(entry);
//   calls.extend(ids, Calls::Want::kLast, [&](int64_t begin, const Logits& logits) { ... });
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lm/entry.h"

namespace mw::lm {

class Calls {
 public:
  // The entry outlives this.
  explicit Calls(const Entry& entry) : entry_(entry), memory_(entry.make_memory()) {}

  // Whether the logits of every token are asked for, or those of the last one do: then those of the
  // others are not computed, and they go through Entry::filler(), where there is one.
  enum class Want : uint8_t { kLast, kEvery };
  // Logits of the tokens from `begin` on, of which the first may have been there before.
  using Visit = std::function<void(int64_t begin, const Logits& logits)>;

  // One of them: it takes tokens [begin, begin + count), and pads behind them.
  struct Call {
    int64_t begin = 0, count = 0, pads = 0;
    bool last_only = false;  // it gives logits for the last token only
    bool fills = false;      // it is one of Entry::filler(), and gives none
  };
  // Those of a whole text of `time` tokens, as extend() would make them.
  static std::vector<Call> of_text(const Entry& entry, int64_t time, Want want);

  // In calls as long as the model takes. Where it takes no call as short as the rest, the last
  // tokens go through once more; a text that is shorter than any call is padded. Throws
  // invalid_argument where the cache is full, before anything is run, and unsupported where tokens
  // would have to go through twice and must not.
  void extend(const std::vector<int32_t>& ids, Want want, const Visit& visit);
  // Tokens that extend() would give the model, pads and repetitions among them.
  [[nodiscard]] int64_t cost(int64_t count) const;

  // Forgets what comes after the first `count` tokens. False, and nothing is forgotten, where the
  // cache holds a past that cannot be taken back.
  bool truncate(int64_t count);
  // The tokens that the model was run on, and its states and caches after them, by name. Of a state
  // with a place for each token those of the tokens alone, where the rest may hold anything.
  struct Snapshot {
    std::vector<int32_t> ids;
    TensorMap states;
  };
  [[nodiscard]] Snapshot snapshot() const;
  // Throws invalid_argument for states that the model does not have; the text stays, then.
  void restore(const Snapshot& snapshot);

  [[nodiscard]] const std::vector<int32_t>& ids() const { return ids_; }
  [[nodiscard]] int64_t size() const { return static_cast<int64_t>(ids_.size()); }
  [[nodiscard]] bool is_full() const { return size() >= entry_.roles().places(); }
  [[nodiscard]] int64_t tokens_run() const { return tokens_run_; }

 private:
  // The call after `cached` tokens of a text that ends at `end`.
  static Call next(const Entry& entry, int64_t cached, int64_t end, Want want);
  static Call longest(const Entry& entry, int64_t cached, int64_t end);
  // That of Entry::filler(); of no tokens where there is none, or the model's own calls cost less.
  static Call filling(const Entry& entry, int64_t cached, int64_t end);
  // `reads`: kNothing leaves the logits out.
  enum class Reads : uint8_t { kNothing, kLast, kEvery };
  void run(const Call& call, Reads reads, const Visit& visit);
  [[nodiscard]] std::optional<size_t> places_axis(const Tensor& state) const;
  // Of a state or a cache after `count` tokens.
  [[nodiscard]] Shape kept_shape(const std::string& name, const Tensor& now, int64_t count) const;

  const Entry& entry_;
  Memory memory_;
  std::vector<int32_t> ids_;
  int64_t cached_ = 0;  // of them
  int64_t tokens_run_ = 0;
};

}  // namespace mw::lm
