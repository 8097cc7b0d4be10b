// Dataset: examples by number, stacked into batches; Shuffle: the order in which they are seen.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "millwright/tensor.hpp"
#include "ops/loss/loss.h"

namespace mw::training {

using ops::kIgnoredLabel;
// Throws invalid_argument: there is no mean over no labels.
[[noreturn]] void fail_uncounted();

// Tokens of a text or of many examples, one after the other.
struct TokenStream {
  std::vector<int32_t> ids;
  std::vector<bool> learnt;     // as long as ids: is a model to learn to say this token?
  std::vector<int64_t> starts;  // of each example; empty: one text
  // Examples are not cut apart as long as they fit into a window: an answer without its question
  // would teach nothing.
  bool whole_examples = false;

  // Where an example ends.
  [[nodiscard]] int64_t end_of(size_t example) const;
  // Tokens of the longest example; of a text, all.
  [[nodiscard]] int64_t longest() const;
  // The beginning of the text, or the first example up to its answer; at most `limit` tokens.
  [[nodiscard]] std::vector<int32_t> prompt(int64_t limit) const;
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  [[nodiscard]] virtual int64_t size() const = 0;
  // Inputs and labels by name, an example a row. -1 stands for a row that counts nothing.
  [[nodiscard]] virtual TensorMap batch(std::span<const int64_t> examples) const = 0;
  [[nodiscard]] virtual bool can_pad() const = 0;
  // Tokens that one example holds; 0 when these are no tokens.
  [[nodiscard]] virtual int64_t tokens_per_example() const = 0;
  // Where one of these examples holds a number that is not finite, in a sentence; nothing: all are.
  [[nodiscard]] virtual std::optional<std::string> not_finite(
      std::span<const int64_t> examples) const {
    (void)examples;
    return std::nullopt;
  }
  // Equal for equal data.
  [[nodiscard]] virtual uint64_t fingerprint() const = 0;
};

// Windows of `seq_len` tokens, as `input_ids`, with the tokens that follow them as `labels`. A text
// is cut every `seq_len` tokens and a rest that fills no window is left out; whole examples share a
// window while they fit, or, where they are `apart`, each has one, which it is cut off at. `name`
// is that of the file, for errors.
std::unique_ptr<Dataset> windows_of(TokenStream stream, int64_t seq_len, const std::string& name,
                                    bool apart = false);

// Tensors whose first axis counts the examples. With `skip_uncounted` an example none of whose
// labels counts is left out.
std::unique_ptr<Dataset> arrays_of(TensorMap tensors, const std::string& name,
                                   bool skip_uncounted = false);

// Positions 0, 1, 2, ... of an endless sequence that goes through all examples again and again,
// each time in another order. Depends on the seed and the number of examples only.
class Shuffle {
 public:
  Shuffle(int64_t examples, uint64_t seed) : examples_(examples), seed_(seed) {}
  // The examples at positions [cursor, cursor + count).
  [[nodiscard]] std::vector<int64_t> take(int64_t cursor, int64_t count);

 private:
  void shuffle(int64_t epoch);

  int64_t examples_;
  uint64_t seed_;
  int64_t epoch_ = -1;
  std::vector<int64_t> order_;  // of that epoch
};

}  // namespace mw::training
