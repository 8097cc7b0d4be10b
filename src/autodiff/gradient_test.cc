// Tests of the reverse walk: sums, repeated axes, absent gradients, what is refused.
#include <gtest/gtest.h>

#include "autodiff/gradient.h"
#include "base/error.h"
#include "exec/naive.h"
#include "ops/catalog.h"
#include "ops/expr.h"

namespace mw::autodiff {
namespace {

using ir::Value;

struct Built {
  ir::Function function;
  ir::Builder b;
  Built() : b(function.body, ops::catalog(), ir::Opset::kIos18) {
    function.name = "main";
    function.opset = ir::Opset::kIos18;
  }
  ops::Expr argument(const std::string& name, const Shape& shape) {
    return {b, function.body.add_argument(name, ir::Type::tensor(DType::kF64, shape))};
  }
  std::vector<Value*> gradients(Value* of, const std::vector<Value*>& wrt) {
    return autodiff::gradients(function, ops::catalog(), ops::gradient_ops(), {{of, nullptr}}, wrt);
  }
  std::vector<Tensor> run(const TensorMap& inputs, const std::vector<Value*>& outputs) {
    function.body.outputs = outputs;
    const auto results = exec::run_naive(function, ops::catalog(), inputs);
    std::vector<Tensor> tensors;
    for (const Value* output : outputs) tensors.push_back(results.at(output->name).tensor);
    return tensors;
  }
};

std::vector<double> numbers(const Tensor& tensor) {
  std::vector<double> all;
  for (int64_t i = 0; i < tensor.count(); ++i) all.push_back(tensor.number_at(i));
  return all;
}

TEST(Gradient, sums_over_uses_and_repeated_axes) {
  Built built;
  const ops::Expr x = built.argument("x", {2, 3}), w = built.argument("w", {3});
  const ops::Expr y = x * w + x * 2.0;
  const ops::Expr loss = ops::reduce_sum(y, {0, 1}, false);
  const auto grads = built.gradients(loss, {x, w});
  const auto out = built.run({{"x", Tensor::from<double>({1, 2, 3, 4, 5, 6}, {2, 3})},
                              {"w", Tensor::from<double>({10, 20, 30}, {3})}},
                             grads);
  EXPECT_EQ(numbers(out[0]), (std::vector<double>{12, 22, 32, 12, 22, 32}));
  EXPECT_EQ(numbers(out[1]), (std::vector<double>{5, 7, 9}));
}

TEST(Gradient, is_absent_where_nothing_depends_on_the_value) {
  Built built;
  const ops::Expr x = built.argument("x", {2}), unused = built.argument("unused", {2});
  const ops::Expr loss = ops::reduce_sum(ops::square(x), {0}, false);
  const auto grads = built.gradients(loss, {x, unused});
  EXPECT_NE(grads[0], nullptr);
  EXPECT_EQ(grads[1], nullptr);
}

TEST(Gradient, of_a_const_is_like_that_of_an_argument) {
  Built built;
  const ops::Expr x = built.argument("x", {2});
  Value* w = built.b.constant(ir::Constant::tensor(Tensor::from<double>({3, 4}, {2})), "w");
  const ops::Expr loss = ops::reduce_sum(x * ops::Expr(built.b, w), {0}, false);
  const auto grads = built.gradients(loss, {w});
  const auto out = built.run({{"x", Tensor::from<double>({1, 2}, {2})}}, {grads[0]});
  EXPECT_EQ(numbers(out[0]), (std::vector<double>{1, 2}));
}

TEST(Gradient, of_max_pool_goes_to_the_first_of_equal_elements) {
  Built built;
  const ops::Expr x = built.argument("x", {1, 1, 6});
  const ops::Expr y = x.op("max_pool", {{"kernel_sizes", std::vector<int64_t>{3}},
                                        {"strides", std::vector<int64_t>{2}},
                                        {"pad_type", "custom"},
                                        {"pad", std::vector<int64_t>{1, 1}}});
  const auto grads = built.gradients(ops::reduce_sum(y, {0, 1, 2}, false), {x});
  const auto out = built.run({{"x", Tensor::from<double>({3, 3, 1, 3, 2, 2}, {1, 1, 6})}}, grads);
  EXPECT_EQ(numbers(out[0]), (std::vector<double>{1, 1, 0, 1, 0, 0}));
}

TEST(Gradient, through_integers_alone_is_refused_by_name) {
  Built built;
  const ops::Expr x = built.argument("x", {2, 3});
  const ops::Expr best = x.op("reduce_argmax", {{"axis", 1}});
  const ops::Expr loss = ops::reduce_sum(best.op(ir::kCastOp, {{"dtype", "fp64"}}), {0}, false);
  try {
    built.gradients(loss, {x});
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_NE(
        std::string(e.what()).find("reduce_argmax 'reduce_argmax': no gradient passes through "
                                   "its result 'reduce_argmax' (integer output); behind it "
                                   "lies 'x'"),
        std::string::npos)
        << e.what();
  }
}

TEST(Gradient, of_a_reading_refuses_images_of_more_pixels_than_fp32_counts) {
  Built built;
  const ops::Expr x = built.argument("x", {1, 1, 4097, 4097});
  const ops::Expr at = built.argument("at", {1, 1, 3, 2});
  const ops::Expr y = x.op("resample", {{"coordinates", at.value()},
                                        {"sampling_mode", "bilinear"},
                                        {"padding_mode", "border"},
                                        at.number("padding_value", 0),
                                        {"coordinates_mode", "unnormalized"},
                                        {"align_corners", true}});
  try {
    (void)built.gradients(y, {at});
    FAIL() << "expected an error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(e.what()).find("x: expected at most 16777216 pixels per image"),
              std::string::npos)
        << e.what();
  }
}

}  // namespace
}  // namespace mw::autodiff
