// lstm: gates in the order i (input), f (forget), o (output), z (cell); peepholes i, f, o.
//   i = recurrent_activation(W_i x + R_i h + b_i + p_i * c), f likewise
//   z = cell_activation(W_z x + R_z h + b_z)
//   c' = clip(f * c + i * z)
//   o = recurrent_activation(W_o x + R_o h + b_o + p_o * c')
//   h' = o * activation(c')
//
// With direction 'reverse' the output sequence is in the order of processing: the last step of x
// comes first. The backward half of 'bidirectional' is in the order of x.
#include <algorithm>
#include <limits>

#include "ops/recurrent/layer.h"
#include "ops/recurrent/unrolled.h"

namespace mw::ops {
namespace {

constexpr int64_t kGates = 4;

std::vector<Type> infer(const OpView& op) {
  const Layer layer = layer_of(op, kGates);
  const bool both = direction_of(op, true) == Direction::kBidirectional;
  const int64_t directions = both ? 2 : 1;
  if (both) expect_weights(op, layer, kGates, "_back");
  for (const char* input : {"peephole", "peephole_back"}) {
    if (both || std::string_view(input) == "peephole") {
      expect_state(op, input, {dim_mul(layer.hidden, 3)});
    }
  }
  for (const char* input : {"initial_h", "initial_c"}) {
    expect_state(op, input, {layer.batch, dim_mul(layer.hidden, directions)});
  }
  for (const char* input : {"recurrent_activation", "cell_activation", "activation"}) {
    (void)activation_of(op, input);
  }
  if (op.has("clip") && op.number("clip") < 0) {
    op.reject("clip", "expected 0 or more, got {}", op.number("clip"));
  }
  return result_types(op, layer, directions, 2);
}

struct Lstm {
  Layer layer;
  Weights weights;
  std::vector<double> peephole;  // [3, hidden]
  Activation recurrent_activation, cell_activation, activation;
  double clip = std::numeric_limits<double>::infinity();

  // Replaces h and c [batch, hidden] by those after one step whose share of x is `from_input`
  // [batch, 4 * hidden].
  void step(const double* from_input, std::vector<double>& h, std::vector<double>& c) const;
};

void Lstm::step(const double* from_input, std::vector<double>& h, std::vector<double>& c) const {
  const int64_t hidden = layer.hidden, width = kGates * hidden;
  std::vector<double> gates(from_input, from_input + layer.batch * width);
  add_product(h.data(), weights.hidden_to_gates, gates.data(), layer.batch, hidden,
              {0, width, width});
  for (int64_t b = 0; b < layer.batch; ++b) {
    for (int64_t j = 0; j < hidden; ++j) {
      const double* gate = gates.data() + b * width + j;
      const double* peep = peephole.data() + j;
      double& cell = c[static_cast<size_t>(b * hidden + j)];
      const double i = recurrent_activation(gate[0] + peep[0] * cell);
      const double f = recurrent_activation(gate[hidden] + peep[hidden] * cell);
      const double z = cell_activation(gate[3 * hidden]);
      cell = std::max(std::min(f * cell + i * z, clip), -clip);
      const double o = recurrent_activation(gate[2 * hidden] + peep[2 * hidden] * cell);
      h[static_cast<size_t>(b * hidden + j)] = o * activation(cell);
    }
  }
}

// Columns [first, first + hidden) of the rows of a result, from or to [batch, hidden].
struct Half {
  int64_t first, hidden, width;
  [[nodiscard]] std::vector<double> read(const std::vector<double>& rows) const {
    std::vector<double> part;
    for (size_t at = 0; at < rows.size(); at += static_cast<size_t>(width)) {
      const auto begin = rows.begin() + static_cast<int64_t>(at) + first;
      part.insert(part.end(), begin, begin + hidden);
    }
    return part;
  }
  void write(const std::vector<double>& part, double* rows) const {
    for (size_t at = 0; at < part.size(); at += static_cast<size_t>(hidden), rows += width) {
      std::copy_n(part.begin() + static_cast<int64_t>(at), hidden, rows + first);
    }
  }
};

struct Results {
  Tensor sequence, h, c;
};

void run_direction(Eval& e, Lstm lstm, const Half& half, bool backwards, bool in_order_of_x,
                   Results& results) {
  const Layer& layer = lstm.layer;
  const std::string suffix = half.first > 0 ? "_back" : "";
  const int64_t row = layer.batch * half.width;
  lstm.weights = weights_of(e, layer, kGates, suffix, {"bias" + suffix});
  lstm.peephole = numbers_or_zeros(e, "peephole" + suffix, 3 * layer.hidden);
  std::vector<double> h = half.read(numbers_or_zeros(e, "initial_h", row));
  std::vector<double> c = half.read(numbers_or_zeros(e, "initial_c", row));
  auto* sequence = results.sequence.mutable_data<double>();
  const int64_t kept = results.sequence.dim(0);
  for (int64_t step = 0; step < layer.steps; ++step) {
    const int64_t t = backwards ? layer.steps - 1 - step : step;
    lstm.step(lstm.weights.from_input.data() + t * layer.batch * kGates * layer.hidden, h, c);
    if (kept == layer.steps) half.write(h, sequence + (in_order_of_x ? t : step) * row);
  }
  if (kept != layer.steps) half.write(h, sequence);
  half.write(h, results.h.mutable_data<double>());
  half.write(c, results.c.mutable_data<double>());
}

void evaluate(Eval& e) {
  Lstm lstm{.layer = layer_of(e, kGates),
            .recurrent_activation = activation_of(e, "recurrent_activation"),
            .cell_activation = activation_of(e, "cell_activation"),
            .activation = activation_of(e, "activation")};
  if (e.has("clip")) lstm.clip = e.number("clip");
  Results results{Tensor(DType::kF64, e.result_type(0).shape()),
                  Tensor(DType::kF64, e.result_type(1).shape()),
                  Tensor(DType::kF64, e.result_type(2).shape())};
  if (results.h.count() == 0) return;
  const Direction direction = direction_of(e, true);
  const bool both = direction == Direction::kBidirectional;
  const int64_t hidden = lstm.layer.hidden, width = both ? 2 * hidden : hidden;
  run_direction(e, lstm, {0, hidden, width}, direction == Direction::kReverse, both, results);
  if (both) run_direction(e, lstm, {hidden, hidden, width}, true, true, results);
  const DType dtype = e.in("x").dtype();
  e.set_out(0, results.sequence.to(dtype));
  e.set_out(1, results.h.to(dtype));
  e.set_out(2, results.c.to(dtype));
}

// --- gradients -------------------------------------------------------------------------------

// One step: the states before it, its gates, the cell before and after clipping, activation(c').
struct Step {
  Expr h, c, i, f, o, z, unclipped, next_c, active;
  [[nodiscard]] Expr next_h() const { return o * active; }
};

struct LstmPass : Pass {
  std::vector<Expr> peepholes;  // none, or i, f, o
  std::optional<double> clip;

  [[nodiscard]] Expr peeped(const Expr& gate, size_t which, const Expr& cell) const {
    return peepholes.empty() ? gate : gate + peepholes[which] * cell;
  }
  [[nodiscard]] Step forward(const Vjp& v, const Expr& from_input, const Expr& h,
                             const Expr& c) const;
  // Replaces the gradients of the states after a step by those before it; returns that of the
  // gates.
  Expr backward(const Vjp& v, const Step& step, const Expr& weight, Part& of_h, Part& of_c) const;
  void add_peepholes(Vjp& v, const std::vector<Step>& steps, const Expr& of_gates) const;
};

Step LstmPass::forward(const Vjp& v, const Expr& from_input, const Expr& h, const Expr& c) const {
  const Expr sums = from_input + matmul(h, operand(v, named("weight_hh")), false, true);
  const std::vector<Expr> gates = split(sums, 2, kGates);
  const Expr i = activate(v, "recurrent_activation", peeped(gates[0], 0, c));
  const Expr f = activate(v, "recurrent_activation", peeped(gates[1], 1, c));
  const Expr z = activate(v, "cell_activation", gates[3]);
  const Expr unclipped = f * c + i * z;
  Expr next_c = unclipped;
  if (clip) {
    next_c = next_c.op("minimum", {next_c.number("y", *clip)});
    next_c = next_c.op("maximum", {next_c.number("y", -*clip)});
  }
  const Expr o = activate(v, "recurrent_activation", peeped(gates[2], 2, next_c));
  return {h, c, i, f, o, z, unclipped, next_c, activate(v, "activation", next_c)};
}

Expr LstmPass::backward(const Vjp& v, const Step& s, const Expr& weight, Part& of_h,
                        Part& of_c) const {
  const auto through = [&](const char* activation, const Expr& y, const Expr& g) {
    return through_activation(v, activation, y, g);
  };
  const Expr g = of_h ? *of_h : filled(v.builder(), s.h.value()->type, 0);
  const Expr of_o = through("recurrent_activation", s.o, g * s.active);
  Expr cell = *sum(of_c, through("activation", s.active, g * s.o));
  if (!peepholes.empty()) cell = cell + of_o * peepholes[2];
  if (clip) cell = select(s.unclipped.op("abs") < *clip, cell, 0.0);
  const Expr of_i = through("recurrent_activation", s.i, cell * s.z);
  const Expr of_f = through("recurrent_activation", s.f, cell * s.c);
  const Expr of_z = through("cell_activation", s.z, cell * s.i);
  cell = cell * s.f;
  if (!peepholes.empty()) cell = cell + of_i * peepholes[0] + of_f * peepholes[1];
  const Expr of_gates = concat({of_i, of_f, of_o, of_z}, 2);
  of_c = cell;
  of_h = matmul(of_gates, weight);
  return of_gates;
}

void LstmPass::add_peepholes(Vjp& v, const std::vector<Step>& steps, const Expr& of_gates) const {
  if (!v.wants(named("peephole"))) return;
  std::vector<Expr> before, after;
  for (const Step& step : steps) {
    before.push_back(step.c);
    after.push_back(step.next_c);
  }
  const std::vector<Expr> gates = split(of_gates, 2, kGates);
  const Expr cells = gathered(before), next_cells = gathered(after);
  v.add(named("peephole"), concat({sum_but(gates[0] * cells, 2), sum_but(gates[1] * cells, 2),
                                   sum_but(gates[2] * next_cells, 2)},
                                  0));
}

// Adds the gradients of the weights; returns those of the initial states.
std::pair<Part, Part> differentiate(Vjp& v, LstmPass& pass) {
  Part of_h = pass.last_seed(v), of_c = pass.last_state_seed(v, 2);
  if (pass.layer.steps == 0) return {of_h, of_c};
  const std::string bias = pass.named("bias"), weight_name = pass.named("weight_hh");
  const std::string peephole = pass.named("peephole");
  if (v.has(peephole)) pass.peepholes = split(operand(v, peephole), 0, 3);
  if (v.has("clip")) pass.clip = v.number("clip");
  std::vector<Step> steps;
  for (const Expr& from_input : pass.from_input(v, {bias})) {
    const bool first = steps.empty();
    const Expr h = first ? pass.columns(operand(v, "initial_h")) : steps.back().next_h();
    const Expr c = first ? pass.columns(operand(v, "initial_c")) : steps.back().next_c;
    steps.push_back(pass.forward(v, from_input, h, c));
  }
  const std::vector<Part> seeds = pass.seeds(v);
  const Expr weight = operand(v, weight_name);
  std::vector<Expr> of_gates, states;
  for (size_t step = steps.size(); step-- > 0;) {
    of_h = sum(of_h, seeds[step]);
    of_gates.push_back(pass.backward(v, steps[step], weight, of_h, of_c));
  }
  std::reverse(of_gates.begin(), of_gates.end());
  for (const Step& step : steps) states.push_back(step.h);
  const Expr all = pass.gathered(of_gates);
  pass.add_input(v, {bias}, all);
  if (v.wants(weight_name)) v.add(weight_name, gradient_of_weight(all, pass.gathered(states)));
  pass.add_peepholes(v, steps, all);
  return {of_h, of_c};
}

void rule(Vjp& v) {
  const Layer layer = layer_of(v, kGates);
  if (layer.batch * layer.hidden == 0) return;
  const Direction direction = direction_of(v, true);
  const int64_t halves = direction == Direction::kBidirectional ? 2 : 1;
  std::vector<Part> of_h, of_c;
  for (int64_t half = 0; half < halves; ++half) {
    LstmPass pass;
    pass.layer = layer;
    pass.suffix = half == 1 ? "_back" : "";
    pass.half = half;
    pass.halves = halves;
    pass.backwards = half == 1 || direction == Direction::kReverse;
    pass.in_order_of_x = halves == 2;
    const auto [h, c] = differentiate(v, pass);
    of_h.push_back(h);
    of_c.push_back(c);
  }
  add_state(v, "initial_h", of_h);
  add_state(v, "initial_c", of_c);
}

}  // namespace

OpDef lstm() {
  return OpDef("lstm")
      .types("T", {DType::kF32})
      .input("x", "T")
      .input("initial_h", "T", kNoWeight)
      .input("initial_c", "T", kNoWeight)
      .input("weight_ih", "T", kConst | kWeight)
      .input("weight_hh", "T", kConst | kWeight)
      .input("bias", "T", kConst | kOptional | kWeight | kBias)
      .input("peephole", "T", kConst | kOptional | kWeight)
      .input("weight_ih_back", "T", kConst | kOptional | kWeight)
      .input("weight_hh_back", "T", kConst | kOptional | kWeight)
      .input("bias_back", "T", kConst | kOptional | kWeight | kBias)
      .input("peephole_back", "T", kConst | kOptional | kWeight)
      .input("direction", DType::kString, kConst | kOptional, "forward")
      .input("output_sequence", DType::kBool, kConst | kOptional, false)
      .input("recurrent_activation", DType::kString, kConst | kOptional, "sigmoid")
      .input("cell_activation", DType::kString, kConst | kOptional, "tanh")
      .input("activation", DType::kString, kConst | kOptional, "tanh")
      .input("clip", "T", kConst | kOptional)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("T", {DType::kF16, DType::kF32});
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
