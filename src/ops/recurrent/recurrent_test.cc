// Cases for lstm, gru and rnn.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "ops/op_case.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

double activate(const std::string& name, double v) {
  if (name == "sigmoid") return 1 / (1 + std::exp(-v));
  if (name == "tanh" || name == "scaled_tanh") return std::tanh(v);
  if (name == "relu") return std::max(v, 0.0);
  if (name == "hard_sigmoid" || name == "sigmoid_hard") return std::clamp(v / 5 + 0.5, 0.0, 1.0);
  return v;
}

// One sequence [steps, inputs] of one batch entry, its weights as functions of (gate, unit).
struct Unrolled {
  const OpCase& c;
  std::string suffix;
  int64_t entry, hidden;

  [[nodiscard]] double at(const std::string& input, int64_t flat, double fallback = 0) const {
    return c.has(input) ? c[input].number_at(flat) : fallback;
  }
  [[nodiscard]] std::string text(const std::string& input, const std::string& fallback) const {
    return c.has(input) ? c[input].data<std::string>()[0] : fallback;
  }
  [[nodiscard]] double from_x(int64_t t, int64_t gate, int64_t unit) const {
    const Tensor& x = c["x"];
    double sum = 0;
    for (int64_t k = 0; k < x.dim(2); ++k) {
      sum += x.number_at((t * x.dim(1) + entry) * x.dim(2) + k) *
             at("weight_ih" + suffix, (gate * hidden + unit) * x.dim(2) + k);
    }
    return sum;
  }
  [[nodiscard]] double from_h(const std::vector<double>& h, int64_t gate, int64_t unit) const {
    double sum = 0;
    for (int64_t k = 0; k < hidden; ++k) {
      sum +=
          h[static_cast<size_t>(k)] * at("weight_hh" + suffix, (gate * hidden + unit) * hidden + k);
    }
    return sum;
  }
  [[nodiscard]] double bias(int64_t gate, int64_t unit) const {
    return at("bias" + suffix, gate * hidden + unit);
  }
};

using State = std::vector<double>;

void step_rnn(const Unrolled& u, int64_t t, State& h, State& /*c*/) {
  State next(h.size());
  for (int64_t j = 0; j < u.hidden; ++j) {
    next[static_cast<size_t>(j)] = activate(u.text("activation", "tanh"),
                                            u.from_x(t, 0, j) + u.from_h(h, 0, j) + u.bias(0, j));
  }
  h = next;
}

void step_gru(const Unrolled& u, int64_t t, State& h, State& /*c*/) {
  const std::string inner = u.text("recurrent_activation", "sigmoid");
  const std::string outer = u.text("activation", "tanh");
  const bool after = u.c.has("reset_after") && u.c.ints("reset_after")[0] != 0;
  const auto input_bias = [&](int64_t gate, int64_t j) {
    return u.at("input_bias", gate * u.hidden + j);
  };
  State r(h.size()), rh(h.size()), next(h.size());
  for (int64_t j = 0; j < u.hidden; ++j) {
    const auto at = static_cast<size_t>(j);
    r[at] =
        activate(inner, u.from_x(t, 0, j) + input_bias(0, j) + u.from_h(h, 0, j) + u.bias(0, j));
    rh[at] = r[at] * h[at];
  }
  for (int64_t j = 0; j < u.hidden; ++j) {
    const auto at = static_cast<size_t>(j);
    const double z =
        activate(inner, u.from_x(t, 2, j) + input_bias(2, j) + u.from_h(h, 2, j) + u.bias(2, j));
    const double recurrent =
        after ? r[at] * (u.from_h(h, 1, j) + u.bias(1, j)) : u.from_h(rh, 1, j) + u.bias(1, j);
    const double o = activate(outer, u.from_x(t, 1, j) + input_bias(1, j) + recurrent);
    next[at] = (1 - z) * o + z * h[at];
  }
  h = next;
}

void step_lstm(const Unrolled& u, int64_t t, State& h, State& c) {
  const std::string inner = u.text("recurrent_activation", "sigmoid");
  const double clip = u.c.number("clip", INFINITY);
  State next(h.size());
  for (int64_t j = 0; j < u.hidden; ++j) {
    const auto at = static_cast<size_t>(j);
    const auto gate = [&](int64_t k) {
      return u.from_x(t, k, j) + u.from_h(h, k, j) + u.bias(k, j);
    };
    const auto peep = [&](int64_t k) {
      return u.at("peephole" + u.suffix, k * u.hidden + j) * c[at];
    };
    const double i = activate(inner, gate(0) + peep(0));
    const double f = activate(inner, gate(1) + peep(1));
    const double z = activate(u.text("cell_activation", "tanh"), gate(3));
    c[at] = std::clamp(f * c[at] + i * z, -clip, clip);
    const double o = activate(inner, gate(2) + peep(2));
    next[at] = o * activate(u.text("activation", "tanh"), c[at]);
  }
  h = next;
}

using Step = void (*)(const Unrolled&, int64_t, State&, State&);

std::vector<Tensor> unroll(const OpCase& c, Step step) {
  const Tensor& x = c["x"];
  const bool all = c.has("output_sequence") && c.ints("output_sequence")[0] != 0;
  const std::string direction =
      c.has("direction") ? c["direction"].data<std::string>()[0] : "forward";
  const bool both = direction == "bidirectional", has_c = c.has("initial_c");
  const int64_t steps = x.dim(0), batch = x.dim(1), hidden = c["weight_hh"].dim(1);
  const int64_t width = both ? 2 * hidden : hidden;
  std::vector<Tensor> results{Tensor(DType::kF64, {all ? steps : 1, batch, width}),
                              Tensor(DType::kF64, {batch, width})};
  if (has_c) results.push_back(results[1].clone());
  for (int64_t half = 0; half < (both ? 2 : 1); ++half) {
    for (int64_t b = 0; b < batch; ++b) {
      const Unrolled u{c, half == 1 ? "_back" : "", b, hidden};
      State h(static_cast<size_t>(hidden)), cell(h.size());
      const auto column = [&](int64_t row, size_t j) {
        return (row * batch + b) * width + half * hidden + static_cast<int64_t>(j);
      };
      for (size_t j = 0; j < h.size(); ++j) {
        h[j] = c["initial_h"].number_at(column(0, j));
        cell[j] = has_c ? c["initial_c"].number_at(column(0, j)) : 0;
      }
      const auto keep = [&](int64_t row) {
        for (size_t j = 0; j < h.size(); ++j) results[0].set_number(column(row, j), h[j]);
      };
      for (int64_t k = 0; k < steps; ++k) {
        const bool backwards = half == 1 || direction == "reverse";
        const int64_t t = backwards ? steps - 1 - k : k;
        step(u, t, h, cell);
        if (all) keep(both ? t : k);
      }
      if (!all) keep(0);
      for (size_t j = 0; j < h.size(); ++j) {
        results[1].set_number(column(0, j), h[j]);
        if (has_c) results[2].set_number(column(0, j), cell[j]);
      }
    }
  }
  return results;
}

using Inputs = std::vector<CaseInput>;
Inputs layer(OpCases& cases, int64_t gates, const Shape& x, int64_t hidden, Inputs more = {}) {
  Inputs inputs{{"x", cases.normal(x)},
                {"initial_h", cases.normal({x[1], hidden})},
                {"weight_ih", cases.normal({gates * hidden, x[2]}, 0, 0.5)},
                {"weight_hh", cases.normal({gates * hidden, hidden}, 0, 0.5)}};
  inputs.insert(inputs.end(), more.begin(), more.end());
  return inputs;
}

// What all three ops reject.
void add_rejections(OpCases& cases, int64_t gates, const Inputs& more) {
  const auto with = [&](const char* name, Tensor tensor) {
    Inputs inputs = layer(cases, gates, {3, 2, 4}, 5, more);
    for (CaseInput& input : inputs) {
      if (input.name == name) {
        input.tensors[0] = std::move(tensor);
        return inputs;
      }
    }
    inputs.push_back({name, std::move(tensor)});
    return inputs;
  };
  const std::string width = std::to_string(gates * 5);
  cases.reject("rank of x", with("x", cases.normal({3, 2})),
               "x: expected rank 3, got shape [3, 2]");
  cases.reject("integer x", with("x", OpCases::ints({1}, {1, 1, 1})), "x: expected a float dtype");
  cases.reject("weight of x", with("weight_ih", cases.normal({gates * 5, 3})),
               "weight_ih: expected shape [" + width + ", 4], got [" + width + ", 3]");
  cases.reject("weight of h", with("weight_hh", cases.normal({gates * 5 + 1, 5})),
               "weight_hh: expected shape [" + width + ", 5]");
  cases.reject("rank of the weight", with("weight_hh", cases.normal({5})),
               "weight_hh: expected rank 2, got shape [5]");
  cases.reject("bias", with("bias", cases.normal({4})),
               "bias: expected shape [" + width + "], got [4]");
  cases.reject("state", with("initial_h", cases.normal({2, 4})),
               "initial_h: expected shape [2, 5], got [2, 4]");
  cases.reject("direction", with("direction", OpCases::text("sideways")),
               "direction: expected 'forward'");
  cases.reject("activation", with("activation", OpCases::text("gelu")),
               "activation: expected 'tanh', 'scaled_tanh', 'sigmoid', 'hard_sigmoid', 'relu' or "
               "'linear', got 'gelu'");
}

}  // namespace

OP_CASES(rnn) {
  const auto kind = Kind::kReduction;
  const auto yes = flag(true);
  add("last step", layer(*this, 1, {4, 2, 3}, 5)).tolerance(kind);
  add("all steps and a bias",
      layer(*this, 1, {4, 2, 3}, 5, {{"output_sequence", yes}, {"bias", normal({5})}}))
      .tolerance(kind);
  add("reverse gives the last step of x first",
      layer(*this, 1, {4, 2, 3}, 5, {{"output_sequence", yes}, {"direction", text("reverse")}}))
      .tolerance(kind);
  for (const char* name : {"relu", "sigmoid", "sigmoid_hard", "linear"}) {
    add(name, layer(*this, 1, {2, 1, 3}, 2, {{"activation", text(name)}})).tolerance(kind);
  }
  add("one step counts up", {{"x", values({3}, {1, 1, 1})},
                             {"initial_h", values({4}, {1, 1})},
                             {"weight_ih", values({1}, {1, 1})},
                             {"weight_hh", values({2}, {1, 1})},
                             {"activation", text("linear")}})
      .expect({values({11}, {1, 1, 1}), values({11}, {1, 1})});
  add("no steps leave the state", layer(*this, 1, {0, 2, 3}, 5)).tolerance(kind);
  add("no batch", layer(*this, 1, {4, 0, 3}, 5));
  add("at iOS15", layer(*this, 1, {4, 2, 3}, 5)).tolerance(kind).at(Opset::kIos15);
  add("weights computed at run time", layer(*this, 1, {4, 2, 3}, 5))
      .tolerance(kind)
      .constant({"none"});
  add_rejections(*this, 1, {});
  reject("both directions", layer(*this, 1, {4, 2, 3}, 5, {{"direction", text("bidirectional")}}),
         "direction: expected 'forward' or 'reverse', got 'bidirectional'");
  reference([](const OpCase& c) { return unroll(c, step_rnn); });
}

OP_CASES(gru) {
  const auto kind = Kind::kReduction;
  const auto yes = flag(true);
  add("last step", layer(*this, 3, {4, 2, 3}, 5)).tolerance(kind);
  add("all steps and a bias",
      layer(*this, 3, {4, 2, 3}, 5, {{"output_sequence", yes}, {"bias", normal({15})}}))
      .tolerance(kind);
  add("reverse gives the last step of x first",
      layer(*this, 3, {4, 2, 3}, 5, {{"output_sequence", yes}, {"direction", text("reverse")}}))
      .tolerance(kind);
  add("reset before, two biases",
      layer(*this, 3, {3, 2, 3}, 4, {{"bias", normal({12})}, {"input_bias", normal({12})}}))
      .tolerance(kind);
  add("reset after, two biases",
      layer(*this, 3, {3, 2, 3}, 4,
            {{"bias", normal({12})}, {"input_bias", normal({12})}, {"reset_after", yes}}))
      .tolerance(kind);
  add("reset after without biases", layer(*this, 3, {3, 2, 3}, 4, {{"reset_after", yes}}))
      .tolerance(kind);
  add("reset after, reversed, all steps", layer(*this, 3, {3, 2, 3}, 2,
                                                {{"bias", normal({6})},
                                                 {"reset_after", yes},
                                                 {"output_sequence", yes},
                                                 {"direction", text("reverse")}}))
      .tolerance(kind);
  add("one step", layer(*this, 3, {1, 2, 3}, 2)).tolerance(kind);
  add("other activations",
      layer(*this, 3, {3, 1, 3}, 2,
            {{"activation", text("relu")}, {"recurrent_activation", text("hard_sigmoid")}}))
      .tolerance(kind);
  add("no steps leave the state", layer(*this, 3, {0, 2, 3}, 5)).tolerance(kind);
  add("no batch", layer(*this, 3, {4, 0, 3}, 5));
  add("at iOS15", layer(*this, 3, {4, 2, 3}, 5, {{"bias", normal({15})}}))
      .tolerance(kind)
      .at(Opset::kIos15);
  add_rejections(*this, 3, {});
  reject("input bias", layer(*this, 3, {4, 2, 3}, 5, {{"input_bias", normal({5})}}),
         "input_bias: expected shape [15], got [5]");
  reject("recurrent activation",
         layer(*this, 3, {4, 2, 3}, 5, {{"recurrent_activation", text("gelu")}}),
         "recurrent_activation: expected 'tanh'");
  reject("both directions", layer(*this, 3, {4, 2, 3}, 5, {{"direction", text("bidirectional")}}),
         "direction: expected 'forward' or 'reverse', got 'bidirectional'");
  reject("reset_after before iOS18", layer(*this, 3, {4, 2, 3}, 5, {{"reset_after", yes}}),
         "reset_after: unknown input")
      .at(Opset::kIos17);
  reference([](const OpCase& c) { return unroll(c, step_gru); });
}

OP_CASES(lstm) {
  const auto kind = Kind::kReduction;
  const auto yes = flag(true);
  const auto one = [&](Inputs more = {}, const Shape& x = {4, 2, 3}, int64_t hidden = 5) {
    more.push_back({"initial_c", normal({x[1], hidden})});
    return layer(*this, 4, x, hidden, std::move(more));
  };
  const auto both = [&](Inputs more = {}) {
    Inputs inputs = layer(*this, 4, {4, 2, 3}, 5,
                          {{"initial_c", normal({2, 10})},
                           {"weight_ih_back", normal({20, 3}, 0, 0.5)},
                           {"weight_hh_back", normal({20, 5}, 0, 0.5)},
                           {"direction", text("bidirectional")}});
    inputs[1] = {"initial_h", normal({2, 10})};
    inputs.insert(inputs.end(), more.begin(), more.end());
    return inputs;
  };
  add("last step", one()).tolerance(kind);
  add("all steps and a bias", one({{"output_sequence", yes}, {"bias", normal({20})}}))
      .tolerance(kind);
  add("reverse gives the last step of x first",
      one({{"output_sequence", yes}, {"direction", text("reverse")}}))
      .tolerance(kind);
  add("reverse, last step", one({{"direction", text("reverse")}})).tolerance(kind);
  add("both directions, all steps",
      both({{"output_sequence", yes}, {"bias", normal({20})}, {"bias_back", normal({20})}}))
      .tolerance(kind);
  add("both directions, last step", both()).tolerance(kind);
  add("both directions with peepholes",
      both({{"peephole", normal({15})}, {"peephole_back", normal({15})}}))
      .tolerance(kind);
  add("peephole and clip", one({{"peephole", normal({15})}, {"clip", number(0.25)}}))
      .tolerance(kind);
  add("both directions, all steps, all inputs", both({{"output_sequence", yes},
                                                      {"bias", normal({20})},
                                                      {"bias_back", normal({20})},
                                                      {"peephole", normal({15})},
                                                      {"peephole_back", normal({15})},
                                                      {"clip", number(0.5)}}))
      .tolerance(kind);
  add("one step", one({{"output_sequence", yes}, {"peephole", normal({6})}}, {1, 2, 3}, 2))
      .tolerance(kind);
  for (const double clip : {0.0, 0.1, 0.5, 5.0}) {
    add("a cell clipped", one({{"clip", number(clip)}}, {2, 1, 2}, 2)).tolerance(kind);
  }
  for (const char* name : {"sigmoid", "linear", "relu", "sigmoid_hard"}) {
    add(std::string("activations: ") + name, one({{"activation", text(name)},
                                                  {"cell_activation", text(name)},
                                                  {"recurrent_activation", text(name)}},
                                                 {2, 4, 3}, 4))
        .tolerance(kind);
  }
  add("other activations", one({{"activation", text("relu")},
                                {"cell_activation", text("scaled_tanh")},
                                {"recurrent_activation", text("hard_sigmoid")}}))
      .tolerance(kind);
  add("a large layer", one({{"output_sequence", yes}}, {3, 4, 40}, 33)).tolerance(kind);
  add("no steps leave the state", one({}, {0, 2, 3})).tolerance(kind);
  add("no steps, all of them", one({{"output_sequence", yes}}, {0, 2, 3})).tolerance(kind);
  add("no batch", one({}, {4, 0, 3}));
  add("at iOS15", one({{"bias", normal({20})}})).tolerance(kind).at(Opset::kIos15);
  add("weights computed at run time", one()).tolerance(kind).constant({"none"});
  add_rejections(*this, 4, {{"initial_c", normal({2, 5})}});
  reject("cell state", layer(*this, 4, {4, 2, 3}, 5, {{"initial_c", normal({2, 10})}}),
         "initial_c: expected shape [2, 5], got [2, 10]");
  reject("states of one direction for two",
         one({{"direction", text("bidirectional")},
              {"weight_ih_back", normal({20, 3})},
              {"weight_hh_back", normal({20, 5})}}),
         "initial_h: expected shape [2, 10], got [2, 5]");
  reject("no backward weights", one({{"direction", text("bidirectional")}}),
         "weight_ih_back: expected a value, got none");
  reject("peephole", one({{"peephole", normal({20})}}), "peephole: expected shape [15], got [20]");
  reject("clip", one({{"clip", number(-1)}}), "clip: expected 0 or more, got -1");
  reject("cell activation", one({{"cell_activation", text("gelu")}}),
         "cell_activation: expected 'tanh'");
  reference([](const OpCase& c) { return unroll(c, step_lstm); });
}

}  // namespace mw::ops
