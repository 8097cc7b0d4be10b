// read_logits(): what a model returned for token ids, looked at before it is read.
//
//   const lm::Logits logits = lm::read_logits(outputs.at(name), {.batch = 1, .time = 5}, name);
//   use(logits.row(0, logits.positions() - 1));   // what follows the last token
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ir/evaluate.h"
#include "ir/type.h"

namespace mw::lm {

// What the numbers of an output are, as its program says.
enum class Numbers : uint8_t {
  kUnknown,  // it does not: what is from 0 to 1 and sums up to 1 are probabilities, all else logits
  kLogits,   // of a layer, or logarithms of probabilities
  kProbabilities,  // of a softmax
  kSeparate,       // of a sigmoid, or its logarithm: of each class by itself
};

struct Ending {
  Numbers numbers = Numbers::kUnknown;
  int64_t axis =
      -1;  // of the output: that of the softmax, else the layer's features; -1: not known
};

// What a model was asked for, and what is known of its output beside.
struct Asked {
  int64_t batch = 1, time = 1;          // of the token ids
  const ir::Type* type = nullptr;       // of the output in the program; null: not known
  std::function<int64_t()> vocabulary;  // of the tokenizer, 0: none; asked only where it decides
  Ending ending;                        // of the output in the program
  // Whether the axis of the positions lies before that of the rows; asked only where both have the
  // same extent. Null: not known.
  std::function<bool()> time_first;
};

// Where the axes of logits lie; an axis of extent 1 may be none (-1), and so is every other.
struct Layout {
  int64_t batch = -1, time = -1, classes = -1;
  bool flat = false;       // `batch` holds all positions of the first row, then those of the second
  bool last_only = false;  // of several positions there is the last one only

  // The positions lie before the rows.
  [[nodiscard]] bool time_first() const { return time >= 0 && time < batch; }
};

// [batch, time, classes] with ones anywhere, in any order of axes ([1, V, 1, T], [T, V], ...);
// without the time where there is the last position only ([batch, 1, V], [V], ...); or
// [batch * time, classes]. Of several readings that one is taken whose classes are a fixed number
// in the program, lie where its end has them, are as many as the vocabulary, or whose axes lie in
// the usual order: positions before classes, rows before positions. Throws invalid_argument, with
// `name` of the output, where none or several remain.
Layout layout_of(const Shape& shape, const Asked& asked, const std::string& name);

class Logits {
 public:
  // `values`: [batch, positions, classes], fp32, of the output `name`. Throws internal for another
  // shape.
  Logits(Tensor values, bool last_only, Numbers numbers, std::string name);

  [[nodiscard]] const Tensor& values() const { return values_; }  // as the model has them
  [[nodiscard]] int64_t batch() const { return values_.dim(0); }
  [[nodiscard]] int64_t positions() const { return values_.dim(1); }
  [[nodiscard]] int64_t classes() const { return values_.dim(2); }
  // Of several tokens asked for, the last one's are there and no others.
  [[nodiscard]] bool last_only() const { return last_only_; }
  // What they are taken for; not kUnknown.
  [[nodiscard]] Numbers numbers() const { return numbers_; }
  // One position's, as numbers whose softmax are the probabilities: logarithms of these where the
  // model gives them. Throws internal outside of what is there, and invalid_argument where they are
  // no probabilities of one token out of all.
  [[nodiscard]] std::vector<float> row(int64_t batch, int64_t position) const;
  // One position of each row.
  [[nodiscard]] Logits at(int64_t position) const;
  // The first positions of the first rows.
  [[nodiscard]] Logits cut(int64_t batch, int64_t positions) const;

 private:
  Tensor values_;
  bool last_only_;
  Numbers stated_, numbers_;
  std::string name_;
};

// Of a tensor of floats, or of the dictionary of a classifier whose classes are the ids 0, 1, ...
Logits read_logits(const ir::Datum& returned, const Asked& asked, const std::string& name);

}  // namespace mw::lm
