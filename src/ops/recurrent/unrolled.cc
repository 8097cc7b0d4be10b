// The steps of a recurrent layer as values, and the gradients that all its ops have.
#include "ops/recurrent/unrolled.h"

#include <algorithm>

namespace mw::ops {

Part sum(const Part& a, const Part& b) {
  if (!a || !b) return a ? a : b;
  return *a + *b;
}

Expr activate(const Vjp& v, std::string_view input, const Expr& x) {
  const std::string name = activation_name(v, input);
  if (name == "tanh" || name == "scaled_tanh") return tanh(x);
  if (name == "sigmoid") return sigmoid(x);
  if (name == "relu") return x.op("relu");
  if (name == "linear") return x;
  return x.op("sigmoid_hard", {x.number("alpha", 0.2), x.number("beta", 0.5)});
}

Part slope_of_activation(const Vjp& v, std::string_view input, const Expr& y) {
  const std::string name = activation_name(v, input);
  if (name == "tanh" || name == "scaled_tanh") return 1.0 - y * y;
  if (name == "sigmoid") return y * (1.0 - y);
  if (name == "relu") return as_number(y > 0.0, y);
  if (name == "linear") return std::nullopt;
  return select(y > 0.0, as_number(y < 1.0, y) * 0.2, 0.0);
}

Expr through_activation(const Vjp& v, std::string_view input, const Expr& y, const Expr& g) {
  const Part slope = slope_of_activation(v, input, y);
  return slope ? g * *slope : g;
}

Expr Pass::own_columns(const Expr& rows) const {
  if (halves == 1) return rows;
  Shape begin(rows.shape().size(), 0), size = rows.shape();
  begin.back() = half * layer.hidden;
  size.back() = layer.hidden;
  return rows.op("slice_by_size", {{"begin", begin}, {"size", size}});
}

Expr Pass::columns(const Expr& state) const {
  return reshape(own_columns(state), {1, layer.batch, layer.hidden});
}

std::vector<Expr> Pass::from_input(const Vjp& v, const std::vector<std::string>& biases) const {
  if (layer.steps == 0) return {};
  Expr sums = matmul(operand(v, "x"), operand(v, named("weight_ih")), false, true);
  for (const std::string& bias : biases) {
    if (v.has(bias)) sums = sums + operand(v, bias);
  }
  std::vector<Expr> steps = split(sums, 0, layer.steps);
  if (backwards) std::reverse(steps.begin(), steps.end());
  return steps;
}

Expr Pass::gathered(std::vector<Expr> steps) const {
  if (backwards) std::reverse(steps.begin(), steps.end());
  return concat(steps, 0);
}

std::vector<Part> Pass::seeds(const Vjp& v) const {
  std::vector<Part> all(static_cast<size_t>(layer.steps));
  if (v.grad(0) == nullptr || !v.flag("output_sequence") || layer.steps == 0) return all;
  const std::vector<Expr> rows = split(own_columns(grad(v, 0)), 0, layer.steps);
  for (size_t i = 0; i < rows.size(); ++i) {
    all[backwards && in_order_of_x ? rows.size() - 1 - i : i] = rows[i];
  }
  return all;
}

Part Pass::last_state_seed(const Vjp& v, size_t result) const {
  if (v.grad(result) == nullptr) return std::nullopt;
  return columns(grad(v, result));
}

Part Pass::last_seed(const Vjp& v) const {
  const Part state = last_state_seed(v, 1);
  return v.flag("output_sequence") ? state : sum(state, last_state_seed(v, 0));
}

void Pass::add_input(Vjp& v, const std::vector<std::string>& biases, const Expr& of_sums) const {
  const std::string weight = named("weight_ih");
  if (v.wants("x")) v.add("x", matmul(of_sums, operand(v, weight)));
  if (v.wants(weight)) v.add(weight, gradient_of_weight(of_sums, operand(v, "x")));
  for (const std::string& bias : biases) v.add(bias, of_sums);
}

void add_state(Vjp& v, std::string_view input, const std::vector<Part>& halves) {
  if (!v.wants(input)) return;
  const Shape shape = v.shape(input);
  const Type half =
      Type::tensor(v.dtype(input), {1, shape[0], shape[1] / static_cast<int64_t>(halves.size())});
  std::vector<Expr> parts;
  parts.reserve(halves.size());
  for (const Part& part : halves) parts.push_back(part ? *part : filled(v.builder(), half, 0));
  v.add(input, reshape(concat(parts, 2), shape));
}

Expr gradient_of_weight(const Expr& of_y, const Expr& x) {
  const auto rows = [](const Expr& t) {
    return reshape(t, {t.shape()[0] * t.shape()[1], t.shape()[2]});
  };
  return matmul(rows(of_y), rows(x), true, false);
}

}  // namespace mw::ops
