// What lstm, gru and rnn share: shape rules, activations, and the products with the weights.
//
// The arithmetic is in double throughout; results are rounded to their dtype at the end.
#pragma once

#include <string>
#include <vector>

#include "ops/support.h"

namespace mw::ops {

// x [steps, batch, inputs]; unknown extents (kAny) only during inference.
struct Layer {
  int64_t steps = 0, batch = 0, inputs = 0, hidden = 0;
};

// Checks x, weight_ih [gates * hidden, inputs] and weight_hh [gates * hidden, hidden].
Layer layer_of(const OpView& op, int64_t gates);
// That the inputs of one direction, whose names end in `suffix`, fit the layer.
void expect_weights(const OpView& op, const Layer& layer, int64_t gates, std::string_view suffix);
// That `input`, where given, is float and of this shape, as far as its rank is known.
void expect_state(const OpView& op, std::string_view input, const Shape& shape);

enum class Direction : uint8_t { kForward, kReverse, kBidirectional };
Direction direction_of(const OpView& op, bool may_be_bidirectional);

// The output sequence ([1, batch, width] of the last step without output_sequence), then `states`
// times [batch, width].
std::vector<Type> result_types(const OpView& op, const Layer& layer, int64_t directions,
                               size_t states);

// The activation that `input` names, in lower case.
std::string activation_name(const OpView& op, std::string_view input);
using Activation = double (*)(double);
// By MIL's name; scaled_tanh has its default scales of 1 here, hard_sigmoid 0.2 and 0.5.
Activation activation_of(const OpView& op, std::string_view input);

// One direction: weight_hh transposed, and the share of x and the biases in the gates.
struct Weights {
  std::vector<double> hidden_to_gates;  // [hidden, gates * hidden]
  std::vector<double> from_input;       // [steps, batch, gates * hidden]
};
Weights weights_of(Eval& e, const Layer& layer, int64_t gates, const std::string& suffix,
                   std::initializer_list<std::string_view> biases);
// `input` as doubles, or zeros.
std::vector<double> numbers_or_zeros(Eval& e, std::string_view input, int64_t count);

// y [rows, columns] += x [rows, depth] * the first `columns` columns, from `first` on, of
// w [depth, width].
struct Columns {
  int64_t first, count, width;
};
void add_product(const double* x, const std::vector<double>& w, double* y, int64_t rows,
                 int64_t depth, const Columns& columns);

}  // namespace mw::ops
