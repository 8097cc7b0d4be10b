// Gradients where formulas break: ties, kinks, zero variance, saturation. Expected values by hand,
// and at a kink between the slopes on both sides.
//
// Conventions: at a kink of an activation the slope is that of the flat side, that of clip and
// threshold counts their ends as inside; abs and norms have slope 0 at 0; equal extremes share the
// gradient, but for max_pool and topk, where the first has it.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "autodiff/gradient.h"
#include "autodiff/testing.h"

namespace mw::autodiff {
namespace {

using ir::Argument;
using ir::Constant;
using ir::Value;
using Numbers = std::vector<double>;

Argument number(const char* input, double value) {
  return {input, Constant::number(DType::kF64, value)};
}
Argument floats(const char* input, const Numbers& values, const Shape& shape) {
  return {input, Constant::tensor(Tensor::from(values, shape))};
}
Argument vector(const char* input, const Numbers& values) {
  return floats(input, values, {static_cast<int64_t>(values.size())});
}
Argument whole(const char* input, const std::vector<int64_t>& values) { return {input, values}; }

// The gradient of the sum of `weights` times the result of `op`, by one of its inputs.
struct Spot {
  const char* op;
  Numbers x, expected;
  std::vector<Argument> more = {};
  Numbers weights = {};  // 1 by default
  Shape shape = {};      // of x; a vector by default
  const char* input = "x";
};

Subject subject_of(const Spot& spot, Value*& scalar) {
  Subject subject;
  subject.function = std::make_unique<ir::Function>();
  subject.function->name = "main";
  subject.function->opset = ir::Opset::kIos18;
  const Shape shape = spot.shape.empty() ? Shape{static_cast<int64_t>(spot.x.size())} : spot.shape;
  ir::Block& body = subject.function->body;
  Value* x = body.add_argument("x", ir::Type::tensor(DType::kF64, shape));
  subject.arguments["x"] = Tensor::from(spot.x, shape);
  subject.wrt = {x};
  ir::Builder b(body, ops::catalog(), subject.function->opset);
  std::vector<Argument> arguments = spot.more;
  arguments.emplace_back(spot.input, x);
  ops::Expr y(b, b.op_results(spot.op, arguments)[0]);
  if (!spot.weights.empty()) {
    const Tensor weights = Tensor::from(spot.weights, y.shape());
    y = y * ops::Expr(b, b.constant(Constant::tensor(weights)));
  }
  std::vector<int64_t> axes(y.shape().size());
  std::iota(axes.begin(), axes.end(), 0);
  scalar = axes.empty() ? y.value() : ops::reduce_sum(y, axes, false).value();
  return subject;
}

void check(const Spot& spot) {
  Value* scalar = nullptr;
  Subject subject = subject_of(spot, scalar);
  Value* x = subject.wrt[0];
  Value* gradient = autodiff::gradients(*subject.function, ops::catalog(), ops::gradient_ops(),
                                        {{scalar, nullptr}}, {x})[0];
  ASSERT_NE(gradient, nullptr) << spot.op;
  const Tensor got = subject.evaluate({gradient})[0];
  ASSERT_EQ(static_cast<size_t>(got.count()), spot.expected.size()) << spot.op;
  for (int64_t i = 0; i < got.count(); ++i) {
    const double along = got.number_at(i), expected = spot.expected[static_cast<size_t>(i)];
    EXPECT_NEAR(along, expected, 1e-9 * (1 + std::fabs(expected))) << spot.op << " [" << i << "]";
    Tensor direction(DType::kF64, x->type.shape());
    direction.set_number(i, 1);
    const Slopes s = slopes_of(subject, x, direction, scalar);
    const double slack = 1e-3 * (1 + std::fabs(s.left) + std::fabs(s.right));
    EXPECT_GE(along, std::min(s.left, s.right) - slack) << spot.op << " [" << i << "]";
    EXPECT_LE(along, std::max(s.left, s.right) + slack) << spot.op << " [" << i << "]";
  }
}

TEST(SpecialPoints, kinks_of_activations_have_the_slope_of_the_flat_side) {
  check({"relu", {-1, 0, 2}, {0, 0, 1}});
  check({"relu6", {0, 3, 6}, {0, 1, 0}});
  check({"clamped_relu", {-1, 0, 2}, {0.1, 1, 0}, {number("alpha", 0.1), number("beta", 2)}});
  check({"sigmoid_hard", {-2.5, 0, 2.5}, {0, 0.2, 0}, {number("alpha", 0.2), number("beta", 0.5)}});
}

TEST(SpecialPoints, leaky_sides_count_zero_as_positive) {
  check({"leaky_relu", {-1, 0, 2}, {0.1, 1, 1}, {number("alpha", 0.1)}});
  check({"elu", {0, 1}, {1, 1}, {number("alpha", 0.5)}});
}

TEST(SpecialPoints, of_prelu_zero_counts_as_negative) {
  check({"prelu", {-1, 0, 2}, {0.1, 0.1, 1}, {vector("alpha", {0.1})}, {}, {1, 1, 3}});
}

TEST(SpecialPoints, the_ends_of_clip_and_threshold_are_inside) {
  check({"clip", {-2, -1, 0, 2, 3}, {0, 1, 1, 1, 0}, {number("alpha", -1), number("beta", 2)}});
  check({"threshold", {0, 1, 2}, {0, 1, 1}, {number("alpha", 1)}});
}

TEST(SpecialPoints, magnitudes_and_norms_are_flat_at_zero) {
  check({"abs", {-2, 0, 3}, {-1, 0, 1}});
  check({"softsign", {0}, {1}});
  check({"reduce_l1_norm", {0, -3}, {0, -1}});
  check({"reduce_l2_norm", {0, 0}, {0, 0}});
  check({"reduce_l2_norm", {3, 0, 4}, {0.6, 0, 0.8}});
  const std::vector<Argument> pool{whole("kernel_sizes", {2}), {"pad_type", "valid"}};
  check({"l2_pool", {0, 0, 4}, {0, 0, 1}, pool, {}, {1, 1, 3}});
}

TEST(SpecialPoints, equal_operands_share_the_gradient) {
  const Argument y = vector("y", {1, 1, 1});
  check({"maximum", {0, 1, 2}, {0, 0.5, 1}, {y}});
  check({"minimum", {0, 1, 2}, {1, 0.5, 0}, {y}});
  const Argument x = vector("x", {1, 1, 1});
  check({"maximum", {0, 1, 2}, {0, 0.5, 1}, {x}, {}, {}, "y"});
  check({"minimum", {0, 1, 2}, {1, 0.5, 0}, {x}, {}, {}, "y"});
}

TEST(SpecialPoints, equal_extremes_share_the_gradient) {
  check({"reduce_max", {3, 3, 1}, {0.5, 0.5, 0}});
  check({"reduce_max", {2, 2, 2, 2}, {0.25, 0.25, 0.25, 0.25}});
  check({"reduce_min", {1, 4, 1}, {0.5, 0, 0.5}});
}

TEST(SpecialPoints, of_equal_elements_pools_and_topk_take_the_first) {
  const std::vector<Argument> pool{
      whole("kernel_sizes", {2}), whole("strides", {2}), {"pad_type", "valid"}};
  check({"max_pool", {2, 2, 1, 5}, {3, 0, 0, 4}, pool, {3, 4}, {1, 1, 4}});
  check({"topk", {1, 5, 5, 2}, {0, 3, 4, 0}, {{"k", 2}}, {3, 4}});
  check({"topk", {5, 5}, {1, 0}, {{"k", 1}}});
}

TEST(SpecialPoints, zeros_in_products_and_powers) {
  check({"reduce_prod", {0, 3, 2}, {6, 0, 0}});
  check({"reduce_prod", {0, 0, 2}, {0, 0, 0}});
  check({"pow", {0, 0, 0}, {1, 0, 0}, {vector("y", {1, 2, 0})}});
  check({"mul", {0, 0}, {5, 0}, {vector("y", {5, 0})}});
}

// With n = 0 what is left is (dy - mean(dy)) / sqrt(epsilon), here 100 (dy - mean(dy)).
TEST(SpecialPoints, norms_of_zero_variance) {
  const Argument epsilon = number("epsilon", 1e-4);
  const Numbers dy{1, 2, 6}, centred{-200, -100, 300};
  check({"layer_norm", {7, 7, 7}, centred, {epsilon}, dy});
  const Argument gamma = vector("gamma", {-1, 2, 1});
  check({"layer_norm", {0, 0, 0}, {-400, 100, 300}, {epsilon, gamma}, dy});
  check({"instance_norm", {7, 7, 7}, centred, {epsilon}, dy, {1, 1, 3}});
  check({"batch_norm",
         {7, 7, 7},
         {100, 200, 600},
         {epsilon, vector("mean", {7}), vector("variance", {0})},
         dy,
         {1, 1, 3}});
  check({"l2_norm", {0, 0, 0}, {100, 200, 600}, {epsilon}, dy, {1, 1, 3}});
}

TEST(SpecialPoints, saturated_activations) {
  const Numbers far{-1e4, 1e4}, flat{0, 0}, ramp{0, 1};
  check({"sigmoid", far, flat});
  check({"tanh", far, flat});
  check({"erf", far, flat});
  check({"softsign", {-1e9, 1e9}, flat});
  check({"scaled_tanh", far, flat, {number("alpha", 2), number("beta", 3)}});
  check({"softplus", far, ramp});
  check({"silu", far, ramp});
  check({"elu", far, ramp, {number("alpha", 0.5)}});
  for (const char* mode : {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"}) {
    check({"gelu", far, ramp, {{"mode", mode}}});
  }
  check({"softplus_parametric",
         far,
         {0, 6},
         {vector("alpha", {2}), vector("beta", {3})},
         {},
         {1, 1, 2}});
}

TEST(SpecialPoints, saturated_rows) {
  check({"softmax", {1e4, -1e4, 0}, {0, 0, 0}, {}, {3, 5, 7}});
  check({"softmax", {1e4, 1e4}, {0.25, -0.25}, {}, {1, 0}});
  check({"reduce_log_sum_exp", {1e4, -1e4, 0}, {1, 0, 0}});
  check({"reduce_log_sum_exp", {-1e4, -1e4}, {0.5, 0.5}});
  const Argument labels("labels", Constant::tensor(Tensor::from<int32_t>({1}, {1})));
  check({"mw.cross_entropy", {1e4, -1e4, 0}, {1, -1, 0}, {labels}, {}, {1, 3}, "logits"});
  check({"mw.cross_entropy", {-1e4, 1e4, 0}, {0, 0, 0}, {labels}, {}, {1, 3}, "logits"});
  check({"mw.log_softmax", {1e4, -1e4, 0}, {-12, 5, 7}, {}, {3, 5, 7}});
  check({"mw.log_softmax", {1e4, 1e4}, {0.5, -0.5}, {}, {1, 0}});
  const Argument truth = floats("labels", {1, 0, 0, 1}, {4});
  check({"mw.binary_cross_entropy", {1e4, -1e4, 1e4, -1e4}, {0, 0, 1, -1}, {truth}});
}

// Two keys: one query that sees but the first, one that sees both alike.
TEST(SpecialPoints, saturated_attention) {
  const std::vector<Argument> around{floats("key", {1e4, -1e4}, {1, 2, 1}),
                                     floats("value", {3, 5}, {1, 2, 1})};
  check({"scaled_dot_product_attention", {1}, {0}, around, {}, {1, 1, 1}, "query"});
  const std::vector<Argument> alike{floats("key", {1, -1}, {1, 2, 1}),
                                    floats("value", {3, 5}, {1, 2, 1})};
  check({"scaled_dot_product_attention", {0}, {-1}, alike, {}, {1, 1, 1}, "query"});
}

}  // namespace
}  // namespace mw::autodiff
