// Checks, activations and products of the recurrent layers.
#include "ops/recurrent/layer.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "ops/matmul/contract.h"

namespace mw::ops {

namespace {

// A first state for more rows than the batch has, which coremltools makes for packed sequences.
// Where all rows are alike the first ones are meant.
bool repeats_rows(const OpView& op, std::string_view input, const Shape& shape) {
  const Tensor* state = op.known(input);
  if (state == nullptr || state->rank() != 2 || shape.size() != 2 || shape[0] < 0) return false;
  if (state->dim(1) != shape[1] || state->dim(0) <= shape[0]) return false;
  for (int64_t i = shape[1]; i < state->count(); ++i) {
    if (state->number_at(i) != state->number_at(i - shape[1])) return false;
  }
  return true;
}

}  // namespace

void expect_state(const OpView& op, std::string_view input, const Shape& shape) {
  if (!op.has(input)) return;
  expect_float(op, input);
  if (!op.tensor_type(input).has_rank() || repeats_rows(op, input, shape)) return;
  expect_shape(op, input, shape);
}

void expect_weights(const OpView& op, const Layer& layer, int64_t gates, std::string_view suffix) {
  const std::string end(suffix);
  const int64_t width = dim_mul(layer.hidden, gates);
  for (const std::string& input : {"weight_ih" + end, "weight_hh" + end}) {
    expect_float(op, input);
    expect_shape(op, input, {width, input.starts_with("weight_ih") ? layer.inputs : layer.hidden});
  }
  expect_state(op, "bias" + end, {width});
}

Layer layer_of(const OpView& op, int64_t gates) {
  expect_float(op, "x");
  expect_rank(op, "x", 3, 3);
  for (const char* input : {"weight_ih", "weight_hh"}) expect_rank(op, input, 2, 2);
  const Shape x = op.shape("x");
  const Layer layer{x[0], x[1], x[2], op.shape("weight_hh")[1]};
  expect_weights(op, layer, gates, "");
  return layer;
}

Direction direction_of(const OpView& op, bool may_be_bidirectional) {
  const std::string name = op.text("direction");
  if (name == "forward") return Direction::kForward;
  if (name == "reverse") return Direction::kReverse;
  if (name == "bidirectional" && may_be_bidirectional) return Direction::kBidirectional;
  op.reject("direction", "expected 'forward'{} 'reverse'{}, got '{}'",
            may_be_bidirectional ? "," : " or", may_be_bidirectional ? " or 'bidirectional'" : "",
            name);
}

std::vector<Type> result_types(const OpView& op, const Layer& layer, int64_t directions,
                               size_t states) {
  const DType dtype = op.dtype("x");
  const int64_t width = dim_mul(layer.hidden, directions);
  const int64_t steps = op.flag("output_sequence") ? layer.steps : 1;
  std::vector<Type> types{Type::tensor(dtype, {steps, layer.batch, width})};
  types.resize(1 + states, Type::tensor(dtype, {layer.batch, width}));
  return types;
}

std::string activation_name(const OpView& op, std::string_view input) {
  std::string name = op.text(input);
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return name;
}

Activation activation_of(const OpView& op, std::string_view input) {
  const std::string name = activation_name(op, input);
  if (name == "tanh" || name == "scaled_tanh") return [](double v) { return std::tanh(v); };
  if (name == "sigmoid") return [](double v) { return 1 / (1 + std::exp(-v)); };
  if (name == "hard_sigmoid" || name == "sigmoid_hard") {
    return [](double v) { return std::min(std::max(0.2 * v + 0.5, 0.0), 1.0); };
  }
  if (name == "relu") return [](double v) { return v < 0 ? 0 : v; };
  if (name == "linear") return [](double v) { return v; };
  op.reject(input,
            "expected 'tanh', 'scaled_tanh', 'sigmoid', 'hard_sigmoid', 'relu' or 'linear', "
            "got '{}'",
            name);
}

std::vector<double> numbers_or_zeros(Eval& e, std::string_view input, int64_t count) {
  if (!e.has(input)) return std::vector<double>(static_cast<size_t>(count), 0);
  const Tensor wide = e.in(input).to(DType::kF64);
  const auto values = wide.values<double>();
  return {values.begin(), values.begin() + std::min<int64_t>(count, wide.count())};
}

Weights weights_of(Eval& e, const Layer& layer, int64_t gates, const std::string& suffix,
                   std::initializer_list<std::string_view> biases) {
  const int64_t width = gates * layer.hidden, rows = layer.steps * layer.batch;
  Weights result;
  const std::vector<double> hh = numbers_or_zeros(e, "weight_hh" + suffix, width * layer.hidden);
  result.hidden_to_gates.resize(hh.size());
  for (int64_t n = 0; n < width; ++n) {
    for (int64_t k = 0; k < layer.hidden; ++k) {
      result.hidden_to_gates[static_cast<size_t>(k * width + n)] =
          hh[static_cast<size_t>(n * layer.hidden + k)];
    }
  }
  result.from_input.resize(static_cast<size_t>(rows * width));
  const std::vector<double> x = numbers_or_zeros(e, "x", rows * layer.inputs);
  const std::vector<double> ih = numbers_or_zeros(e, "weight_ih" + suffix, width * layer.inputs);
  Contraction c;
  c.x_m = offsets(rows, layer.inputs);
  c.x_k = offsets(layer.inputs, 1);
  c.w_k = offsets(layer.inputs, 1);
  c.w_n = offsets(width, layer.inputs);
  c.y_m = offsets(rows, width);
  c.y_n = offsets(width, 1);
  contract(c, x.data(), ih.data(), result.from_input.data());
  for (const std::string_view name : biases) {
    const std::vector<double> bias = numbers_or_zeros(e, name, width);
    for (int64_t i = 0; i < rows * width; ++i) {
      result.from_input[static_cast<size_t>(i)] += bias[static_cast<size_t>(i % width)];
    }
  }
  return result;
}

void add_product(const double* x, const std::vector<double>& w, double* y, int64_t rows,
                 int64_t depth, const Columns& columns) {
  for (int64_t m = 0; m < rows; ++m) {
    for (int64_t k = 0; k < depth; ++k) {
      const double factor = x[m * depth + k];
      const double* others = w.data() + k * columns.width + columns.first;
      double* sums = y + m * columns.count;
      for (int64_t n = 0; n < columns.count; ++n) sums[n] += factor * others[n];
    }
  }
}

}  // namespace mw::ops
