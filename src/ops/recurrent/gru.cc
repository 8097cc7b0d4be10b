// gru: gates in the order r (reset), o (output), z (update).
//   r = recurrent_activation(W_r x + R_r h + b_r), z likewise
//   o = activation(W_o x + R_o (r * h) + b_o), or with reset_after
//   o = activation(W_o x + input_bias_o + r * (R_o h + bias_o))
//   h' = (1 - z) * o + z * h
//
// With direction 'reverse' the output sequence is in the order of processing: the last step of x
// comes first.
#include <algorithm>

#include "ops/recurrent/layer.h"
#include "ops/recurrent/unrolled.h"

namespace mw::ops {
namespace {

constexpr int64_t kGates = 3;

bool resets_after(const OpView& op) {
  return op.def().find_input("reset_after") != nullptr && op.flag("reset_after");
}

std::vector<Type> infer(const OpView& op) {
  const Layer layer = layer_of(op, kGates);
  expect_state(op, "initial_h", {layer.batch, layer.hidden});
  expect_state(op, "input_bias", {dim_mul(layer.hidden, kGates)});
  (void)direction_of(op, false);
  (void)activation_of(op, "activation");
  (void)activation_of(op, "recurrent_activation");
  (void)resets_after(op);
  return result_types(op, layer, 1, 1);
}

struct Gru {
  Layer layer;
  Weights weights;
  bool reset_after = false;
  std::vector<double> hidden_bias;  // of o, inside the reset
  Activation activation, recurrent_activation;

  // The state after one step whose share of x is `from_input` [batch, 3 * hidden].
  [[nodiscard]] std::vector<double> step(const double* from_input,
                                         const std::vector<double>& h) const;
};

std::vector<double> Gru::step(const double* from_input, const std::vector<double>& h) const {
  const int64_t hidden = layer.hidden, width = kGates * hidden;
  std::vector<double> r(h.size()), o(h.size()), z(h.size()), reset_h(h.size());
  const auto product = [&](const std::vector<double>& state, int64_t gate, std::vector<double>& y) {
    add_product(state.data(), weights.hidden_to_gates, y.data(), layer.batch, hidden,
                {gate * hidden, hidden, width});
  };
  const auto input = [&](size_t i, int64_t gate) {
    const auto at = static_cast<int64_t>(i);
    return from_input[at / hidden * width + gate * hidden + at % hidden];
  };
  product(h, 0, r);
  product(h, 2, z);
  for (size_t i = 0; i < h.size(); ++i) {
    r[i] = recurrent_activation(r[i] + input(i, 0));
    z[i] = recurrent_activation(z[i] + input(i, 2));
    reset_h[i] = r[i] * h[i];
  }
  product(reset_after ? h : reset_h, 1, o);
  std::vector<double> next(h.size());
  for (size_t i = 0; i < h.size(); ++i) {
    if (reset_after) o[i] = r[i] * (o[i] + hidden_bias[i % static_cast<size_t>(hidden)]);
    o[i] = activation(o[i] + input(i, 1));
    next[i] = (1 - z[i]) * o[i] + z[i] * h[i];
  }
  return next;
}

// With reset_after the part of `bias` that belongs to o acts inside the reset: it is taken out of
// the share of x.
void move_bias_inside(Eval& e, Gru& gru) {
  const int64_t hidden = gru.layer.hidden, width = kGates * hidden;
  const std::vector<double> bias = numbers_or_zeros(e, "bias", width);
  gru.hidden_bias.assign(bias.begin() + hidden, bias.begin() + 2 * hidden);
  for (size_t i = 0; i < gru.weights.from_input.size(); ++i) {
    const auto column = static_cast<int64_t>(i) % width;
    if (column / hidden != 1) gru.weights.from_input[i] += bias[static_cast<size_t>(column)];
  }
}

void evaluate(Eval& e) {
  Gru gru{.layer = layer_of(e, kGates),
          .reset_after = resets_after(e),
          .activation = activation_of(e, "activation"),
          .recurrent_activation = activation_of(e, "recurrent_activation")};
  const Layer& layer = gru.layer;
  const int64_t state = layer.batch * layer.hidden;
  if (state == 0) return;
  if (gru.reset_after) {
    gru.weights = weights_of(e, layer, kGates, "", {"input_bias"});
    move_bias_inside(e, gru);
  } else {
    gru.weights = weights_of(e, layer, kGates, "", {"bias", "input_bias"});
  }
  std::vector<double> h = numbers_or_zeros(e, "initial_h", state);
  Tensor sequence(DType::kF64, e.result_type(0).shape());
  const int64_t kept = sequence.dim(0);
  const bool reverse = direction_of(e, false) == Direction::kReverse;
  for (int64_t step = 0; step < layer.steps; ++step) {
    const int64_t t = reverse ? layer.steps - 1 - step : step;
    h = gru.step(gru.weights.from_input.data() + t * kGates * state, h);
    if (kept == layer.steps) {
      std::copy(h.begin(), h.end(), sequence.mutable_data<double>() + step * state);
    }
  }
  if (kept == 1) std::copy(h.begin(), h.end(), sequence.mutable_data<double>());
  const DType dtype = e.in("x").dtype();
  e.set_out(0, sequence.to(dtype));
  e.set_out(1, Tensor::from(h, {layer.batch, layer.hidden}).to(dtype));
}

// --- gradients -------------------------------------------------------------------------------

// One step: the state before it, its gates, and with reset_after what the reset scales, R_o h +
// b_o.
struct Step {
  Expr h, r, o, z, scaled;
  [[nodiscard]] Expr next_h() const { return o + z * (h - o); }
};

struct GruPass : Pass {
  bool reset_after = false;
  std::vector<Expr> weights;  // R_r, R_o, R_z
  Part bias;                  // with reset_after

  [[nodiscard]] Step forward(const Vjp& v, const Expr& from_input, const Expr& h) const;
  // Replaces the gradient of the state after a step by that before it; adds those of W x + b and of
  // R h, [1, batch, 3 * hidden] both, to the lists.
  void backward(const Vjp& v, const Step& step, Expr& of_h, std::vector<Expr>& of_input,
                std::vector<Expr>& of_hidden) const;
  void add_weights(Vjp& v, const std::vector<Step>& steps, const Expr& of_hidden) const;
};

Step GruPass::forward(const Vjp& v, const Expr& from_input, const Expr& h) const {
  const std::vector<Expr> input = split(from_input, 2, kGates);
  const auto share = [&](const Expr& state, size_t gate) {
    return matmul(state, weights[gate], false, true);
  };
  if (reset_after) {
    const Expr whole = concat({share(h, 0), share(h, 1), share(h, 2)}, 2);
    const std::vector<Expr> hidden = split(bias ? whole + *bias : whole, 2, kGates);
    const Expr r = activate(v, "recurrent_activation", input[0] + hidden[0]);
    const Expr o = activate(v, "activation", input[1] + r * hidden[1]);
    return {h, r, o, activate(v, "recurrent_activation", input[2] + hidden[2]), hidden[1]};
  }
  const Expr r = activate(v, "recurrent_activation", input[0] + share(h, 0));
  const Expr z = activate(v, "recurrent_activation", input[2] + share(h, 2));
  return {h, r, activate(v, "activation", input[1] + share(r * h, 1)), z, h};
}

void GruPass::backward(const Vjp& v, const Step& s, Expr& of_h, std::vector<Expr>& of_input,
                       std::vector<Expr>& of_hidden) const {
  const auto through = [&](const char* activation, const Expr& y, const Expr& g) {
    return through_activation(v, activation, y, g);
  };
  const Expr of_z = through("recurrent_activation", s.z, of_h * (s.h - s.o));
  const Expr of_o = through("activation", s.o, of_h * (1.0 - s.z));
  // Without reset_after R_o multiplies r h, and what reaches r h reaches both.
  const Expr of_product = reset_after ? of_o : matmul(of_o, weights[1]);
  const Expr of_r = through("recurrent_activation", s.r, of_product * s.scaled);
  const Expr inside = of_product * s.r;
  of_h = of_h * s.z + matmul(of_r, weights[0]) + matmul(of_z, weights[2]) +
         (reset_after ? matmul(inside, weights[1]) : inside);
  of_input.push_back(concat({of_r, of_o, of_z}, 2));
  of_hidden.push_back(reset_after ? concat({of_r, inside, of_z}, 2) : of_input.back());
}

void GruPass::add_weights(Vjp& v, const std::vector<Step>& steps, const Expr& of_hidden) const {
  if (!v.wants("weight_hh")) return;
  std::vector<Expr> states, reset;
  for (const Step& step : steps) states.push_back(step.h);
  const Expr h = gathered(states);
  if (reset_after) return v.add("weight_hh", gradient_of_weight(of_hidden, h));
  for (const Step& step : steps) reset.push_back(step.r * step.h);
  const std::vector<Expr> gates = split(of_hidden, 2, kGates);
  v.add("weight_hh",
        concat({gradient_of_weight(gates[0], h), gradient_of_weight(gates[1], gathered(reset)),
                gradient_of_weight(gates[2], h)},
               0));
}

void rule(Vjp& v) {
  GruPass pass;
  pass.layer = layer_of(v, kGates);
  if (pass.layer.batch * pass.layer.hidden == 0) return;
  const Part last = pass.last_seed(v);
  if (pass.layer.steps == 0) return add_state(v, "initial_h", {last});
  pass.backwards = direction_of(v, false) == Direction::kReverse;
  pass.reset_after = resets_after(v);
  pass.weights = split(operand(v, "weight_hh"), 0, kGates);
  if (pass.reset_after && v.has("bias")) pass.bias = operand(v, "bias");
  std::vector<std::string> biases;
  if (v.def().find_input("input_bias") != nullptr) biases.emplace_back("input_bias");
  if (!pass.reset_after) biases.emplace_back("bias");
  std::vector<Step> steps;
  for (const Expr& from_input : pass.from_input(v, biases)) {
    const Expr h = steps.empty() ? pass.columns(operand(v, "initial_h")) : steps.back().next_h();
    steps.push_back(pass.forward(v, from_input, h));
  }
  const std::vector<Part> seeds = pass.seeds(v);
  Part of_h = last;
  std::vector<Expr> of_input, of_hidden;
  for (size_t step = steps.size(); step-- > 0;) {
    Expr g = *sum(of_h, seeds[step]);
    pass.backward(v, steps[step], g, of_input, of_hidden);
    of_h = g;
  }
  add_state(v, "initial_h", {of_h});
  std::reverse(of_input.begin(), of_input.end());
  std::reverse(of_hidden.begin(), of_hidden.end());
  const Expr all = pass.gathered(of_hidden);
  pass.add_input(v, biases, pass.reset_after ? pass.gathered(of_input) : all);
  if (pass.bias) v.add("bias", all);
  pass.add_weights(v, steps, all);
}

}  // namespace

OpDef gru() {
  return OpDef("gru")
      .types("T", {DType::kF32})
      .input("x", "T")
      .input("initial_h", "T", kNoWeight)
      .input("weight_ih", "T", kConst | kWeight)
      .input("weight_hh", "T", kConst | kWeight)
      .input("bias", "T", kConst | kOptional | kWeight | kBias)
      .input("direction", DType::kString, kConst | kOptional, "forward")
      .input("output_sequence", DType::kBool, kConst | kOptional, false)
      .input("recurrent_activation", DType::kString, kConst | kOptional, "sigmoid")
      .input("activation", DType::kString, kConst | kOptional, "tanh")
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("T", {DType::kF16, DType::kF32});
             })
      .since(Opset::kIos18,
             [](OpDef& def) {
               def.input("reset_after", DType::kBool, kConst | kOptional, false)
                   .input("input_bias", "T", kConst | kOptional | kWeight | kBias);
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
