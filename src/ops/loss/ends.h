// end_of(): what an output is made of. An activation is looked for behind casts and moves, and in
// the forms that converters write it in.
//
//   x = linear(...)                              kind:   kSoftmax
//   p = softmax(x, axis = 1)          =>         source: x
//   y = expand_dims(p, axes = [0])               axis:   2, of y
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "ir/builder.h"

namespace mw::ops {

// Of two classes with the probabilities 1 - s and s, put side by side.
struct Pair {
  std::vector<const ir::Operation*> moves;  // from the sigmoid to s
  int64_t axis = 0;                         // that counts the classes
  bool first = false;                       // s comes first
};

struct End {
  enum class Kind : uint8_t {
    kPlain,  // no activation that is known
    kSoftmax,
    kLogSoftmax,
    kSigmoid,
    kLogSigmoid,
    kProbabilities,     // lies between 0 and 1, and which function gives it is not known
    kLogProbabilities,  // nowhere above 0, and the same
  };
  Kind kind = Kind::kPlain;
  ir::Value* source = nullptr;  // what the activation is applied to; kPlain: behind the moves
  // kPlain: what a layer gives, or a function of one number of it at a time. So nothing makes the
  // classes sum up to anything.
  bool of_layer = false;
  std::optional<Pair> pair;  // the softmax is one over 0 and `source`, a sigmoid's input
  std::vector<const ir::Operation*> moves;  // from the activation to the output
  // Of the output: where the classes of the softmax lie, else the features of the last layer.
  // Nothing where that is not known, or where a reshape has cut it apart.
  std::optional<int64_t> axis;
  std::optional<int64_t> source_axis;  // the same, of `source`
  // Of the output of a softmax: where the features of the layer before it lie, if that is another
  // axis of several numbers.
  std::optional<int64_t> features;
};

std::string_view name_of(End::Kind kind);  // "log softmax"; of no known activation: ""

// Types are static.
End end_of(ir::Value* output, const ir::Catalog& catalog);
// What the activation is applied to, laid out as the output is. Of a pair, both.
ir::Value* before_activation(ir::Builder& b, const End& end);

}  // namespace mw::ops
