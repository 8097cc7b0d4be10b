// conv_transpose: the transpose of conv in x, y[o * stride - before + t * dilation] += x[o] * w[t].
//
// The output positions whose remainders modulo the strides agree take the same taps: each such
// phase is one matrix product over patches of x.
#include <algorithm>
#include <map>

#include "ops/conv/gradients.h"
#include "ops/conv/patches.h"
#include "ops/shape/rules.h"

namespace mw::ops {

std::vector<Window> windows_of_transpose(const OpView& op) {
  const Shape x = op.shape("x"), weight = op.shape("weight");
  const size_t axes = x.size() - 2;
  const std::vector<int64_t> strides = per_axis(op, "strides", axes, 1);
  const std::vector<int64_t> dilations = per_axis(op, "dilations", axes, 1);
  const PadType type = pad_type_of(op);
  const bool same = type == PadType::kSame || type == PadType::kSameLower;
  const std::vector<int64_t> pad = custom_pad(op, type, axes);
  const std::vector<int64_t> given = op.ints_or("output_shape", {});
  std::vector<Window> windows(axes);
  for (size_t i = 0; i < axes; ++i) {
    Window& w = windows[i];
    w = {x[i + 2], weight[i + 2], strides[i], dilations[i], pad[2 * i], pad[2 * i + 1], kAny};
    if (!given.empty()) w.out = given[i + 2];
    if (w.in == kAny || w.kernel == kAny) continue;
    const int64_t reach = dim_add(dim_mul(w.kernel - 1, w.dilation), 1);
    const int64_t full = w.in == 0 ? 0 : dim_add(dim_mul(w.in - 1, w.stride), reach);
    if (given.empty()) w.out = same ? dim_mul(w.in, w.stride) : full - w.before - w.after;
    if (w.out < 0) {
      op.reject("pad", "expected at most {} elements to cut off axis {}, got {}", full, i + 2,
                w.before + w.after);
    }
    if (!same) continue;
    const int64_t total = std::max<int64_t>(full - w.out, 0);
    w.before = type == PadType::kSame ? total / 2 : total - total / 2;
  }
  return windows;
}

namespace {

void check_output_shape(const OpView& op, const Shape& batch_and_channels) {
  const Shape given = op.ints("output_shape");
  const Shape x = op.shape("x");
  bool fits = given.size() == x.size();
  for (size_t i = 0; fits && i < given.size(); ++i) {
    const int64_t wanted = i < 2 ? batch_and_channels[i] : kAny;
    fits = (wanted == kAny || given[i] == wanted) && given[i] >= 0 && given[i] <= kLargestStep;
  }
  if (fits) return;
  op.reject("output_shape", "expected {} extents that start with {}, got {}", x.size(),
            to_string(batch_and_channels), to_string(given));
}

Type infer(const OpView& op) {
  expect_float(op, "x");
  expect_float(op, "weight");
  expect_rank(op, "x", 3, 5);
  const Type x = op.tensor_type("x");
  expect_rank(op, "weight", x.rank(), x.rank());
  const Shape weight = op.shape("weight");
  const int64_t groups = op.integer("groups"), channels = x.shape()[1];
  if (groups < 1) op.reject("groups", "expected 1 or more, got {}", groups);
  if (channels != kAny && weight[0] != kAny && channels != weight[0]) {
    op.reject("weight", "expected {} channels as x has, got shape {}", channels, to_string(weight));
  }
  const int64_t split = channels != kAny ? channels : weight[0];
  if (split != kAny && split % groups != 0) {
    op.reject("groups", "expected a divisor of the {} channels of x, got {}", split, groups);
  }
  for (size_t i = 2; i < weight.size(); ++i) {
    if (weight[i] == 0) op.reject("weight", "expected a kernel, got shape {}", to_string(weight));
  }
  Shape shape{x.shape()[0], dim_mul(weight[1], groups)};
  if (op.has("bias")) {
    expect_float(op, "bias");
    expect_shape(op, "bias", {shape[1]});
  }
  if (op.has("output_shape")) check_output_shape(op, shape);
  for (const Window& w : windows_of_transpose(op)) shape.push_back(w.out);
  return Type::tensor(x.dtype(), shape);
}

int64_t modulo(int64_t a, int64_t b) { return (a % b + b) % b; }

// What reaches the outputs phase + stride * q along one axis: x[q + shift] through weight[tap].
struct Reach {
  int64_t tap, shift;
};
struct Phase {
  int64_t first, count;  // outputs: the first of them, and how many
  std::vector<Reach> taps;
};

// The phases of one axis that any tap reaches; all other outputs are 0.
std::vector<Phase> phases_of(const Window& w) {
  std::map<int64_t, Phase> phases;
  for (int64_t t = 0; t < w.kernel; ++t) {
    const int64_t at = t * w.dilation - w.before, phase = modulo(at, w.stride);
    if (phase >= w.out) continue;
    Phase& found = phases.try_emplace(phase, Phase{phase, 0, {}}).first->second;
    found.count = (w.out - phase + w.stride - 1) / w.stride;
    found.taps.push_back({t, (phase - at) / w.stride});
  }
  std::vector<Phase> result;
  result.reserve(phases.size());
  for (auto& [phase, found] : phases) result.push_back(std::move(found));
  return result;
}

struct Problem {
  Shape in, out, kernel;
  std::vector<int64_t> strides;
  int64_t batch, groups, inputs, outputs;  // channels per group
  const Tensor *x, *weight;
  Tensor* y;
};

// The taps of a phase: where they read x, and where they lie in the kernel.
std::vector<int64_t> choose_taps(const Problem& p, const std::vector<const Phase*>& phase,
                                 Patches& patches) {
  Shape counts;
  for (const Phase* axis : phase) counts.push_back(static_cast<int64_t>(axis->taps.size()));
  const std::vector<int64_t> steps = strides_of(p.kernel);
  std::vector<int64_t> offsets_in_kernel;
  for (Walk<0> w(counts, {}); !w.done(); w.next()) {
    Shape shift;
    int64_t flat = 0;
    for (size_t i = 0; i < phase.size(); ++i) {
      const Reach& reach = phase[i]->taps[static_cast<size_t>(w.index()[i])];
      shift.push_back(reach.shift);
      flat += reach.tap * steps[i];
    }
    patches.taps.push_back(three(shift, 0));
    offsets_in_kernel.push_back(flat);
  }
  return offsets_in_kernel;
}

template <class T>
void run_phase(const Problem& p, const std::vector<const Phase*>& phase) {
  Shape grid;
  std::vector<int64_t> steps = strides_of(p.out);
  int64_t first = 0;
  for (size_t i = 0; i < phase.size(); ++i) {
    grid.push_back(phase[i]->count);
    first += phase[i]->first * steps[i];
    steps[i] *= p.strides[i];
  }
  Patches patches{p.inputs, three(p.in, 1), three(grid, 1), {0, 0, 0}, {1, 1, 1}, {}};
  const std::vector<int64_t> taps = choose_taps(p, phase, patches);
  const int64_t volume = count_of(p.kernel), positions = count_of(p.out), plane = count_of(p.in);
  Contraction c;
  c.x_m = offsets(p.outputs, volume);
  for (int64_t channel = 0; channel < p.inputs; ++channel) {
    for (const int64_t tap : taps) c.x_k.push_back(channel * p.outputs * volume + tap);
  }
  c.y_m = offsets(p.outputs, positions);
  c.y_n = offsets(grid, steps);
  c.batches.clear();
  for (int64_t i = 0; i < p.batch * p.groups; ++i) {
    c.batches.push_back({i % p.groups * p.inputs * p.outputs * volume, i * p.inputs * plane,
                         i * p.outputs * positions + first});
  }
  const T* images = p.x->data<T>();
  contract_packed(c, p.weight->data<T>(), p.y->mutable_data<T>(),
                  [&](const Contraction::Batch& batch, int64_t column, int64_t width,
                      double* panel) { patches.pack(images + batch.w, column, width, panel); });
}

void run(Eval& e, const Tensor& x, const Tensor& weight, Tensor& y) {
  Problem p{.batch = x.dim(0),
            .groups = e.integer("groups"),
            .outputs = weight.dim(1),
            .x = &x,
            .weight = &weight,
            .y = &y};
  p.inputs = x.dim(1) / p.groups;
  std::vector<std::vector<Phase>> phases;
  Shape counts;
  for (const Window& w : windows_of_transpose(e)) {
    p.in.push_back(w.in);
    p.out.push_back(w.out);
    p.kernel.push_back(w.kernel);
    p.strides.push_back(w.stride);
    phases.push_back(phases_of(w));
    counts.push_back(static_cast<int64_t>(phases.back().size()));
  }
  for (Walk<0> w(counts, {}); !w.done(); w.next()) {
    std::vector<const Phase*> phase;
    for (size_t i = 0; i < phases.size(); ++i) {
      phase.push_back(&phases[i][static_cast<size_t>(w.index()[i])]);
    }
    dispatch_float(x.dtype(), [&](auto zero) { run_phase<decltype(zero)>(p, phase); });
  }
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  if (y.count() == 0) return;
  if (x.count() > 0) run(e, x, e.in("weight").to(x.dtype()), y);
  if (e.has("bias")) add_bias(e.in("bias").to(y.dtype()), y);
}

void rule(Vjp& v) {
  const Expr g = grad(v);
  if (count_of(g.shape()) == 0) return;
  const Shape x = v.shape("x"), weight = v.shape("weight");
  if (v.wants("bias")) v.add("bias", as(sum_but(g, 1), v.dtype("bias")));
  if (count_of(x) == 0) return;
  const Movement m = movement_of(windows_of_transpose(v), v.integer("groups"));
  if (v.wants("x")) {
    const Expr factor = as(operand(v, "weight"), g.dtype());
    v.add("x", convolved(g, factor, m, {x.begin() + 2, x.end()}));
  }
  if (v.wants("weight")) {
    const Shape kernel(weight.begin() + 2, weight.end());
    v.add("weight", as(weight_gradient(g, operand(v, "x"), m, kernel), v.dtype("weight")));
  }
}

}  // namespace

OpDef conv_transpose() {
  return OpDef("conv_transpose")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T", kFactor)
      .input("weight", "T", kConst | kWeight | kFactor)
      .input("bias", "T", kConst | kOptional | kWeight | kBias)
      .input("pad", DType::kI32, kConst | kOptional)
      .input("output_shape", DType::kI32, kConst | kOptional)
      .input("pad_type", DType::kString, kConst | kOptional, "valid")
      .input("strides", DType::kI32, kConst | kOptional)
      .input("dilations", DType::kI32, kConst | kOptional)
      .input("groups", DType::kI32, kConst | kOptional, 1)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("U", {DType::kF16, DType::kF32})
                   .input("weight", "U", kWeight | kFactor)
                   .input("bias", "U", kOptional | kWeight | kBias);
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
