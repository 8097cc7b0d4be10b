// rnn: h[t] = activation(weight_ih * x[t] + weight_hh * h[t - 1] + bias).
//
// With direction 'reverse' the output sequence is in the order of processing: the last step of x
// comes first.
#include <algorithm>

#include "base/error.h"
#include "ops/recurrent/layer.h"
#include "ops/recurrent/unrolled.h"

namespace mw::ops {
namespace {

std::vector<Type> infer(const OpView& op) {
  const Layer layer = layer_of(op, 1);
  expect_state(op, "initial_h", {layer.batch, layer.hidden});
  (void)direction_of(op, false);
  (void)activation_of(op, "activation");
  return result_types(op, layer, 1, 1);
}

void evaluate(Eval& e) {
  const Layer layer = layer_of(e, 1);
  const bool reverse = direction_of(e, false) == Direction::kReverse;
  const Activation activation = activation_of(e, "activation");
  const int64_t state = layer.batch * layer.hidden;
  if (state == 0) return;
  const Weights weights = weights_of(e, layer, 1, "", {"bias"});
  std::vector<double> h = numbers_or_zeros(e, "initial_h", state);
  Tensor sequence(DType::kF64, e.result_type(0).shape());
  const int64_t kept = sequence.dim(0);
  for (int64_t step = 0; step < layer.steps; ++step) {
    const int64_t t = reverse ? layer.steps - 1 - step : step;
    const auto from = weights.from_input.begin() + t * state;
    std::vector<double> next(from, from + state);
    add_product(h.data(), weights.hidden_to_gates, next.data(), layer.batch, layer.hidden,
                {0, layer.hidden, layer.hidden});
    for (double& value : next) value = activation(value);
    h = std::move(next);
    if (kept == layer.steps) {
      std::copy(h.begin(), h.end(), sequence.mutable_data<double>() + step * state);
    }
  }
  if (kept == 1) std::copy(h.begin(), h.end(), sequence.mutable_data<double>());
  const DType dtype = e.in("x").dtype();
  e.set_out(0, sequence.to(dtype));
  e.set_out(1, Tensor::from(h, {layer.batch, layer.hidden}).to(dtype));
}

struct Steps {
  std::vector<Expr> before;  // the state before each
  std::vector<Part> slopes;  // of the activation; absent: 1
};

// States that the results hold are not computed.
Steps steps_of(const Vjp& v, const Pass& pass) {
  const auto count = static_cast<size_t>(pass.layer.steps);
  Steps steps{{pass.columns(operand(v, "initial_h"))}, {}};
  if (v.flag("output_sequence")) {
    const std::vector<Expr> rows = split(result(v), 0, pass.layer.steps);
    steps.before.insert(steps.before.end(), rows.begin(), rows.end() - 1);
    const Part slope = slope_of_activation(v, "activation", result(v));
    if (!slope) steps.slopes.resize(count);
    if (slope) {
      for (const Expr& each : split(*slope, 0, pass.layer.steps)) steps.slopes.emplace_back(each);
    }
    return steps;
  }
  const Expr weight = operand(v, "weight_hh");
  if (count > 1) {
    for (const Expr& from_input : pass.from_input(v, {"bias"})) {
      if (steps.before.size() == count) break;
      const Expr sums = from_input + matmul(steps.before.back(), weight, false, true);
      steps.before.push_back(activate(v, "activation", sums));
    }
  }
  for (size_t i = 1; i < count; ++i) {
    steps.slopes.push_back(slope_of_activation(v, "activation", steps.before[i]));
  }
  steps.slopes.push_back(slope_of_activation(v, "activation", result(v)));
  return steps;
}

void rule(Vjp& v) {
  const Pass pass{.layer = layer_of(v, 1),
                  .backwards = direction_of(v, false) == Direction::kReverse};
  if (pass.layer.batch * pass.layer.hidden == 0) return;
  Part of_h = pass.last_seed(v);
  if (pass.layer.steps == 0) return add_state(v, "initial_h", {of_h});
  const Expr weight = operand(v, "weight_hh");
  const Steps steps = steps_of(v, pass);
  const std::vector<Part> seeds = pass.seeds(v);
  std::vector<Expr> of_sums;
  for (size_t step = seeds.size(); step-- > 0;) {
    const Part seed = sum(of_h, seeds[step]), slope = steps.slopes[step];
    if (!seed) fail(ErrorCode::kInternal, "rnn: no gradient reaches step {}", step);
    of_sums.push_back(slope ? *seed * *slope : *seed);
    of_h = matmul(of_sums.back(), weight);
  }
  add_state(v, "initial_h", {of_h});
  std::reverse(of_sums.begin(), of_sums.end());
  const Expr all = pass.gathered(of_sums);
  pass.add_input(v, {"bias"}, all);
  if (v.wants("weight_hh")) {
    v.add("weight_hh", gradient_of_weight(all, pass.gathered(steps.before)));
  }
}

}  // namespace

OpDef rnn() {
  return OpDef("rnn")
      .types("T", {DType::kF32})
      .input("x", "T")
      .input("initial_h", "T", kNoWeight)
      .input("weight_ih", "T", kConst | kWeight)
      .input("weight_hh", "T", kConst | kWeight)
      .input("bias", "T", kConst | kOptional | kWeight | kBias)
      .input("direction", DType::kString, kConst | kOptional, "forward")
      .input("output_sequence", DType::kBool, kConst | kOptional, false)
      .input("activation", DType::kString, kConst | kOptional, "tanh")
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("T", {DType::kF16, DType::kF32});
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
