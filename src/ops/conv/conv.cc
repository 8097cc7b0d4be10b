// conv, conv_quantized: y[n, o] = sum over channels and taps of x * weight[o], in 1 to 3 spatial
// dimensions; channels in groups.
#include <optional>

#include "ops/conv/gradients.h"
#include "ops/conv/patches.h"
#include "ops/known.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

std::vector<int64_t> kernel_of(const Shape& weight) { return {weight.begin() + 2, weight.end()}; }

Type infer(const OpView& op) {
  expect_float(op, "x");
  expect_numeric(op, "weight");
  expect_rank(op, "x", 3, 5);
  const Type x = op.tensor_type("x");
  expect_rank(op, "weight", x.rank(), x.rank());
  const Shape weight = op.shape("weight");
  const int64_t groups = op.integer("groups"), channels = x.shape()[1];
  if (groups < 1) op.reject("groups", "expected 1 or more, got {}", groups);
  if (channels != kAny && channels % groups != 0) {
    op.reject("groups", "expected a divisor of the {} channels of x, got {}", channels, groups);
  }
  if (weight[0] != kAny && weight[0] % groups != 0) {
    op.reject("groups", "expected a divisor of the {} channels of the result, got {}", weight[0],
              groups);
  }
  if (channels != kAny && weight[1] != kAny && channels / groups != weight[1]) {
    op.reject("weight", "expected {} channels of x per group, got shape {}", channels / groups,
              to_string(weight));
  }
  if (op.has("bias")) {
    expect_numeric(op, "bias");
    expect_shape(op, "bias", {weight[0]});
  }
  for (const int64_t extent : kernel_of(weight)) {
    if (extent == 0) op.reject("weight", "expected a kernel, got shape {}", to_string(weight));
  }
  Shape shape{x.shape()[0], weight[0]};
  for (const Window& w : windows_of(op, kernel_of(weight))) shape.push_back(w.out);
  return Type::tensor(x.dtype(), shape);
}

template <class T>
void convolve(const Contraction& c, const Patches& patches, const Tensor& x, const Tensor& weight,
              Tensor& y) {
  const T* images = x.data<T>();
  contract_packed(c, weight.data<T>(), y.mutable_data<T>(),
                  [&](const Contraction::Batch& batch, int64_t first, int64_t width,
                      double* panel) { patches.pack(images + batch.w, first, width, panel); });
}

void run(Eval& e, const Tensor& weight) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  const std::vector<Window> windows = windows_of(e, kernel_of(weight.shape()));
  Patches patches;
  patches.channels = weight.dim(1);
  Shape in, grid, start, step, kernel;
  for (const Window& w : windows) {
    in.push_back(w.in);
    grid.push_back(w.out);
    start.push_back(-w.before);
    step.push_back(w.stride);
    kernel.push_back(w.kernel);
  }
  patches.in = three(in, 1);
  patches.grid = three(grid, 1);
  patches.start = three(start, 0);
  patches.step = three(step, 1);
  const int64_t depth = weight.count() / weight.dim(0);
  for (Walk<0> w(kernel, {}); depth > 0 && !w.done(); w.next()) {
    Shape tap = w.index();
    for (size_t i = 0; i < tap.size(); ++i) tap[i] *= windows[i].dilation;
    patches.taps.push_back(three(tap, 0));
  }
  const int64_t groups = e.integer("groups"), outputs = weight.dim(0) / groups;
  const int64_t positions = count_of(grid), plane = count_of(in);
  Contraction c;
  c.x_m = offsets(outputs, depth);
  c.x_k = offsets(depth, 1);
  c.y_m = offsets(outputs, positions);
  c.y_n = offsets(positions, 1);
  c.batches.clear();
  for (int64_t i = 0; i < x.dim(0) * groups; ++i) {
    c.batches.push_back(
        {i % groups * outputs * depth, i * patches.channels * plane, i * outputs * positions});
  }
  dispatch_float(x.dtype(), [&](auto zero) { convolve<decltype(zero)>(c, patches, x, weight, y); });
  if (e.has("bias")) add_bias(e.in("bias").to(y.dtype()), y);
}

void evaluate(Eval& e) {
  if (e.out().count() > 0) run(e, e.in("weight").to(e.out().dtype()));
}

// weight * quant_scale + quant_bias; scale and bias stand for all output channels or each of them.
Type infer_quantized(const OpView& op) {
  const std::string type = op.text("quantization_type");
  if (type != "linear") op.reject("quantization_type", "expected 'linear', got '{}'", type);
  const int64_t bits = op.integer("nbits");
  if (bits < 1 || bits > 8) op.reject("nbits", "expected a value in [1, 8], got {}", bits);
  Type result = infer(op);
  for (const char* input : {"quant_scale", "quant_bias"}) {
    expect_float(op, input);
    const Shape shape = op.shape(input), weight = op.shape("weight");
    const int64_t count = product(shape, 0, shape.size());
    if (count != 1 && count != kAny && weight[0] != kAny && count != weight[0]) {
      op.reject(input, "expected 1 or {} values, got shape {}", weight[0], to_string(shape));
    }
  }
  return result;
}

void evaluate_quantized(Eval& e) {
  if (e.out().count() == 0) return;
  Tensor weight = e.in("weight").to(e.out().dtype()).clone();
  const Tensor &scale = e.in("quant_scale"), &bias = e.in("quant_bias");
  const int64_t per_channel = weight.count() / weight.dim(0);
  for (int64_t i = 0; i < weight.count(); ++i) {
    const int64_t channel = i / per_channel;
    const double s = scale.number_at(scale.count() == 1 ? 0 : channel);
    const double b = bias.number_at(bias.count() == 1 ? 0 : channel);
    weight.set_number(i, weight.number_at(i) * s + b);
  }
  run(e, weight);
}

// The gradients of x and bias, and that of the weight, as the numbers that were multiplied by, if
// anybody wants it.
std::optional<Expr> conv_rule(Vjp& v, const Expr& weight, bool wants_weight) {
  const Expr g = grad(v);
  if (count_of(g.shape()) == 0) return std::nullopt;
  const Shape kernel = kernel_of(weight.shape());
  const Movement m = movement_of(windows_of(v, kernel), v.integer("groups"));
  if (v.wants("x")) v.add("x", convolved_back(g, weight, m, v.shape("x")));
  if (v.wants("bias")) v.add("bias", as(sum_but(g, 1), v.dtype("bias")));
  if (!wants_weight) return std::nullopt;
  return weight_gradient(operand(v, "x"), g, m, kernel);
}

void rule(Vjp& v) {
  const Expr weight = as(operand(v, "weight"), v.dtype("x"));
  if (const auto gradient = conv_rule(v, weight, v.wants("weight"))) {
    v.add("weight", as(*gradient, v.dtype("weight")));
  }
}

// The weight is weight * quant_scale + quant_bias.
void quantized_rule(Vjp& v) {
  const Expr numbers = as(operand(v, "weight"), v.dtype("x"));
  const auto per_channel = [&](const char* input) {
    const Expr value = operand(v, input);
    const Shape& shape = value.shape();
    Shape column(numbers.shape().size(), 1);
    column[0] = count_of(shape);
    return reshape(value, column);
  };
  const Expr weight = numbers * per_channel("quant_scale") + per_channel("quant_bias");
  const bool wanted = v.wants("quant_scale") || v.wants("quant_bias");
  const auto gradient = conv_rule(v, weight, wanted);
  if (!gradient) return;
  const auto add = [&](const char* input, const Expr& each) {
    if (!v.wants(input)) return;
    std::vector<int64_t> axes;
    for (size_t i = 1; i < each.shape().size(); ++i) axes.push_back(static_cast<int64_t>(i));
    const Expr sums = reduce_sum(each, axes, false);
    const bool one = count_of(v.shape(input)) == 1;
    v.add(input, one ? sum_for(v, input, sums) : reshape(sums, v.shape(input)));
  };
  add("quant_scale", *gradient * numbers);
  add("quant_bias", *gradient);
}

std::string groups_of(const Operation& op) {
  if (op.find_input("groups") == nullptr || number_in(op, "groups") == 1) return "";
  return fmt::format("conv '{}' has groups", op.name());
}

Value* thin_product(Builder& builder, const Operation& op, Value* a, Value* b, bool /*swapped*/) {
  std::vector<Argument> arguments = {{"weight", a}};
  for (const Input& input : op.inputs) {
    if (input.name == "x" || input.name == "weight" || input.name == "bias") continue;
    arguments.emplace_back(input.name, ConstantPtr());
    arguments.back().operands = input.operands;
  }
  const Expr thin = Expr(builder, op.input("x")).op("conv", std::move(arguments));
  return thin.op("conv", {{"weight", b}});
}

// Each row of a is an image as large as the kernel.
Value* rows_of_kernel(Builder& builder, Value* matrix, Value* a, bool /*outputs_first*/) {
  return Expr(builder, a).op("conv", {{"weight", matrix}});
}

OpDef with_window(OpDef def) {
  def.input("strides", DType::kI32, kConst | kOptional)
      .input("pad_type", DType::kString, kConst | kOptional, "valid")
      .input("pad", DType::kI32, kConst | kOptional)
      .input("dilations", DType::kI32, kConst | kOptional)
      .input("groups", DType::kI32, kConst | kOptional, 1);
  return def;
}

}  // namespace

void add_bias(const Tensor& bias, Tensor& y) {
  const int64_t channels = y.dim(1), inner = y.count() / y.dim(0) / channels;
  dispatch_float(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* b = bias.data<T>();
    T* element = y.mutable_data<T>();
    for (int64_t row = 0; row < y.dim(0) * channels; ++row) {
      for (int64_t i = 0; i < inner; ++i) *element++ += b[row % channels];
    }
  });
}

OpDef conv() {
  return with_window(OpDef("conv")
                         .types("T", {DType::kF16, DType::kF32})
                         .input("x", "T", kFactor)
                         .input("weight", "T", kWeight | kFactor)
                         .input("bias", "T", kConst | kOptional | kWeight | kBias))
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("U", {DType::kF16, DType::kF32})
                   .input("weight", "U", kWeight | kFactor)
                   .input("bias", "U", kOptional | kWeight | kBias);
             })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule)
      .adapter({.weight = "weight",
                .data = "x",
                .has_kernel = true,
                .obstacle = groups_of,
                .product = thin_product,
                .rows = rows_of_kernel,
                .outputs_axis = [](const Operation&, bool) { return int64_t{1}; },
                .bias = "bias"});
}

OpDef conv_quantized() {
  return with_window(OpDef("conv_quantized")
                         .types("T", {DType::kF16, DType::kF32})
                         .types("U", {DType::kU8})
                         .input("x", "T")
                         .input("weight", "U")
                         .input("bias", "U", kConst | kOptional | kNoWeight)
                         .input("quantization_type", DType::kString, kConst)
                         .input("nbits", DType::kI32, kConst | kOptional, 8)
                         .input("quant_scale", "T", kConst | kNoWeight)
                         .input("quant_bias", "T", kConst | kNoWeight))
      .infer(infer_quantized)
      .eval(evaluate_quantized)
      .vjp(quantized_rule);
}

}  // namespace mw::ops
