// What the gradient rules of lstm, gru and rnn share: the steps of a sequence as values, computed
// forward again, as the results do not hold them, then walked backward.
//
// States and gates are [1, batch, width]. The shares of the steps in the gradients of weights and
// of x are gathered and multiplied at once.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ops/expr.h"
#include "ops/recurrent/layer.h"

namespace mw::ops {

// A term that may be absent: zero.
using Part = std::optional<Expr>;
Part sum(const Part& a, const Part& b);

// The activation that `input` names; its slope where its value is y (absent: 1); g times that.
Expr activate(const Vjp& v, std::string_view input, const Expr& x);
Part slope_of_activation(const Vjp& v, std::string_view input, const Expr& y);
Expr through_activation(const Vjp& v, std::string_view input, const Expr& y, const Expr& g);

// One direction of a layer: the inputs it reads, and its columns of states and results.
struct Pass {
  Layer layer;
  std::string suffix;  // of the names of its weights
  int64_t half = 0, halves = 1;
  bool backwards = false;      // the last step of x comes first
  bool in_order_of_x = false;  // so is the output sequence, whatever the order of processing

  [[nodiscard]] std::string named(const char* input) const { return input + suffix; }
  // This pass's columns; those of a state, as [1, batch, hidden].
  [[nodiscard]] Expr own_columns(const Expr& rows) const;
  [[nodiscard]] Expr columns(const Expr& state) const;
  // transposed(weight_ih) x and the biases that are given, per step in the order of processing.
  [[nodiscard]] std::vector<Expr> from_input(const Vjp& v,
                                             const std::vector<std::string>& biases) const;
  // [steps, batch, width] in the order of x, from values in the order of processing.
  [[nodiscard]] Expr gathered(std::vector<Expr> steps) const;
  // Gradients of the state h after each step, in the order of processing; absent ones are zero.
  [[nodiscard]] std::vector<Part> seeds(const Vjp& v) const;
  // The gradient of h after all steps, from results that hold it alone, and of other last states.
  [[nodiscard]] Part last_seed(const Vjp& v) const;
  [[nodiscard]] Part last_state_seed(const Vjp& v, size_t result) const;
  // Adds the gradients of x, weight_ih and the biases, from those of what they make in all steps.
  void add_input(Vjp& v, const std::vector<std::string>& biases, const Expr& of_sums) const;
};

// Adds the gradients of a state [batch, halves * hidden] from those of its halves.
void add_state(Vjp& v, std::string_view input, const std::vector<Part>& halves);
// The gradient of w in y = x transposed(w).
Expr gradient_of_weight(const Expr& of_y, const Expr& x);

}  // namespace mw::ops
