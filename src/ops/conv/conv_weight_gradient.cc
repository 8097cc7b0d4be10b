// mw.conv_weight_gradient: the gradient of a convolution in its weight, and of a transposed one.
//   w[o, c, t] = sum over n, p of y_grad[n, o, p] * x[n, c, p * stride - before + t * dilation]
// for all taps t below kernel_sizes; elements outside x are 0, channels are in groups.
#include <algorithm>

#include "ops/conv/gradients.h"
#include "ops/conv/patches.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

struct Geometry {
  Movement m;
  Shape x, y, kernel;  // spatial extents
  int64_t batch, inputs, outputs;
};

Geometry geometry_of(const OpView& op) {
  const Shape x = op.shape("x"), y = op.shape("y_grad");
  const size_t axes = x.size() - 2;
  Geometry g;
  g.x = {x.begin() + 2, x.end()};
  g.y = {y.begin() + 2, y.end()};
  g.kernel = per_axis(op, "kernel_sizes", axes, 1);
  g.m = {per_axis(op, "strides", axes, 1), per_axis(op, "dilations", axes, 1),
         op.has("before") ? per_axis(op, "before", axes, 0) : std::vector<int64_t>(axes, 0),
         op.integer("groups")};
  g.batch = x[0];
  g.inputs = x[1];
  g.outputs = y[1];
  return g;
}

Type infer(const OpView& op) {
  expect_float(op, "x");
  expect_dtype(op, "y_grad", op.dtype("x"));
  expect_rank(op, "x", 3, 5);
  expect_rank(op, "y_grad", op.rank("x"), op.rank("x"));
  const Geometry g = geometry_of(op);
  const int64_t batch = op.shape("y_grad")[0];
  if (g.batch != batch && g.batch != kAny && batch != kAny) {
    op.reject("y_grad", "expected a batch of {} as x has, got {}", g.batch, batch);
  }
  if (g.m.groups < 1) op.reject("groups", "expected 1 or more, got {}", g.m.groups);
  for (const int64_t channels : {g.inputs, g.outputs}) {
    if (channels != kAny && channels % g.m.groups != 0) {
      op.reject("groups", "expected a divisor of {} channels, got {}", channels, g.m.groups);
    }
  }
  Shape shape{g.outputs, g.inputs == kAny ? kAny : g.inputs / g.m.groups};
  shape.insert(shape.end(), g.kernel.begin(), g.kernel.end());
  return Type::tensor(op.dtype("x"), shape);
}

// Columns of the product: for channel c and tap t, what the window sees there at each position.
class Columns {
 public:
  explicit Columns(const Geometry& g)
      : taps_(count_of(g.kernel)),
        kernel_(three(g.kernel, 1)),
        in_(three(g.x, 1)),
        grid_(three(g.y, 1)),
        step_(three(g.m.strides, 1)),
        reach_(three(g.m.dilations, 1)),
        before_(three(g.m.before, 0)),
        batch_(g.batch),
        image_(g.inputs * count_of(g.x)) {}

  // Column `index` of the channels that start at x, into every kPanel-th element.
  template <class T>
  void pack(const T* x, int64_t index, double* to) const {
    const int64_t plane = in_[0] * in_[1] * in_[2];
    Three start{};
    for (int64_t rest = index % taps_, axis = 3; axis-- > 0;) {
      const auto i = static_cast<size_t>(axis);
      start[i] = rest % kernel_[i] * reach_[i] - before_[i];
      rest /= kernel_[i];
    }
    const T* channel = x + index / taps_ * plane;
    for (int64_t n = 0; n < batch_; ++n, channel += image_) {
      for (int64_t a = 0; a < grid_[0]; ++a) {
        for (int64_t b = 0; b < grid_[1]; ++b) {
          const int64_t i = start[0] + a * step_[0], j = start[1] + b * step_[1];
          const bool inside = i >= 0 && i < in_[0] && j >= 0 && j < in_[1];
          const T* row = inside ? channel + (i * in_[1] + j) * in_[2] : nullptr;
          for (int64_t c = 0; c < grid_[2]; ++c, to += detail::kPanel) {
            const int64_t k = start[2] + c * step_[2];
            *to = inside && k >= 0 && k < in_[2] ? static_cast<double>(row[k]) : 0;
          }
        }
      }
    }
  }

 private:
  int64_t taps_;
  Three kernel_, in_, grid_, step_, reach_, before_;
  int64_t batch_, image_;
};

void evaluate(Eval& e) {
  const Tensor &x = e.in("x"), &y = e.in("y_grad");
  Tensor& w = e.out();
  if (w.count() == 0 || x.count() == 0 || y.count() == 0) return;
  const Geometry g = geometry_of(e);
  const int64_t positions = count_of(g.y), taps = count_of(g.kernel), plane = count_of(g.x);
  const int64_t outputs = g.outputs / g.m.groups, inputs = g.inputs / g.m.groups;
  Contraction c;
  c.x_m = offsets(outputs, positions);
  c.x_k = offsets({g.batch, positions}, {g.outputs * positions, 1});
  c.y_m = offsets(outputs, inputs * taps);
  c.y_n = offsets(inputs * taps, 1);
  c.batches.clear();
  for (int64_t i = 0; i < g.m.groups; ++i) {
    c.batches.push_back({i * outputs * positions, i * inputs * plane, i * outputs * inputs * taps});
  }
  const Columns columns(g);
  dispatch_float(x.dtype(), [&](auto zero) {
    using T = decltype(zero);
    contract_packed(
        c, y.data<T>(), w.mutable_data<T>(),
        [&](const Contraction::Batch& batch, int64_t first, int64_t width, double* panel) {
          for (int64_t j = 0; j < width; ++j) {
            columns.pack(x.data<T>() + batch.w, first + j, panel + j);
          }
        });
  });
}

// A convolution of x by y_grad, with batch and channels exchanged, and stride and dilation.
std::vector<Value*> expand(Builder& builder, const OpView& op) {
  const Geometry g = geometry_of(op);
  const Expr x = operand(builder, op, "x"), y = operand(builder, op, "y_grad");
  Shape result{g.outputs, g.inputs / g.m.groups};
  result.insert(result.end(), g.kernel.begin(), g.kernel.end());
  if (count_of(x.shape()) == 0 || count_of(y.shape()) == 0) return {zeros_like(x, result)};
  const int64_t groups = g.m.groups, inputs = g.inputs / groups;
  const Expr cut = reshape(x, {g.batch, groups, inputs, count_of(g.x)});
  Shape images{inputs, groups * g.batch};
  images.insert(images.end(), g.x.begin(), g.x.end());
  std::vector<int64_t> exchanged{1, 0};
  for (size_t i = 2; i < result.size(); ++i) exchanged.push_back(static_cast<int64_t>(i));
  const Movement turned{g.m.dilations, g.m.strides, g.m.before, groups};
  const Expr w = convolved(reshape(transpose(cut, {2, 1, 0, 3}), images), transpose(y, exchanged),
                           turned, g.kernel);
  return {transpose(w, exchanged)};
}

void rule(Vjp& v) {
  const Geometry g = geometry_of(v);
  const Expr w = grad(v);
  if (count_of(v.shape("x")) == 0 || count_of(v.shape("y_grad")) == 0) return;
  if (v.wants("x")) v.add("x", convolved_back(operand(v, "y_grad"), w, g.m, v.shape("x")));
  if (v.wants("y_grad")) v.add("y_grad", convolved(operand(v, "x"), w, g.m, g.y));
}

}  // namespace

OpDef conv_weight_gradient() {
  return OpDef("mw.conv_weight_gradient")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T", kFactor)
      .input("y_grad", "T", kNoWeight | kFactor)
      .input("kernel_sizes", DType::kI32, kConst)
      .input("strides", DType::kI32, kConst | kOptional)
      .input("before", DType::kI32, kConst | kOptional)
      .input("dilations", DType::kI32, kConst | kOptional)
      .input("groups", DType::kI32, kConst | kOptional, 1)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule)
      .expand(expand);
}

}  // namespace mw::ops
