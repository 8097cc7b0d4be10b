// That plans and the naive executor agree where floats are not like numbers: signs of zero,
// infinities, NaN, denormals, integers' limits, and sums whose parts leave the range of fp32.
#include <cstring>

#include "cpu/testing.h"

namespace mw::cpu {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// More than a vector of every width, so that full vectors and rests see each value.
const std::vector<float>& special_values() {
  static const std::vector<float> kValues = {
      0.0f,    -0.0f,   kInf,     -kInf,      std::nanf(""), 1e-45f,         -1e-45f,
      1e-40f,  -1e-40f, 1.2e-38f, -1.2e-38f,  1e-20f,        -1e-20f,        1e-10f,
      -1e-10f, 0.5f,    -0.5f,    1.0f,       -1.0f,         1.5f,           -1.5f,
      2.5f,    -2.5f,   3.0f,     -3.0f,      89.0f,         -89.0f,         104.0f,
      -104.0f, 1e5f,    -1e5f,    8388609.0f, 2147483648.0f, -2147483648.0f, 4294967296.0f,
      1e20f,   -1e20f,  1e38f,    -1e38f,     3.4e38f,       -3.4e38f};
  return kValues;
}

// Every ordered pair of them.
std::pair<Tensor, Tensor> pairs() {
  std::vector<float> a, b;
  for (const float x : special_values()) {
    for (const float y : special_values()) {
      a.push_back(x);
      b.push_back(y);
    }
  }
  const Shape shape{static_cast<int64_t>(a.size())};
  return {floats(a, shape), floats(b, shape)};
}

enum class Class { kNan, kInfinite, kZero, kFinite };
Class class_of(double value) {
  if (std::isnan(value)) return Class::kNan;
  if (std::isinf(value)) return Class::kInfinite;
  return value == 0 ? Class::kZero : Class::kFinite;
}

// What may differ: numbers by rounding, and what rounding makes of a number next to zero or to the
// largest one.
struct Allowed {
  double relative = 1e-5;
  double absolute = 1e-38;  // results smaller than this may be zero, with the sign of the result
};

std::string difference(float got, float want, const Allowed& allowed) {
  const Class a = class_of(got), b = class_of(want);
  const bool close = std::fabs(static_cast<double>(got) - want) <=
                     allowed.relative * std::fabs(static_cast<double>(want)) + allowed.absolute;
  const bool same = a == Class::kNan || b == Class::kNan ? a == b
                    : a == Class::kInfinite || b == Class::kInfinite
                        ? got == want
                        : close && std::signbit(got) == std::signbit(want);
  return same ? "" : fmt::format("planned {}, naive {}", got, want);
}

std::string index_text(const TensorMap& inputs, int64_t at) {
  std::string text;
  for (const auto& [name, tensor] : inputs) {
    if (at < tensor.count()) text += fmt::format(" {} = {}", name, tensor.number_at(at));
  }
  return text;
}

void expect_agreement(const std::string& statement, const std::string& arguments,
                      const TensorMap& inputs, const Allowed& allowed = {}) {
  const TestProgram program(arguments, statement, "y");
  const Tensor got = program.session()->run(inputs).outputs.at("y").tensor;
  const Tensor want = program.expected(inputs).at("y").tensor;
  ASSERT_EQ(got.dtype(), want.dtype()) << statement;
  ASSERT_EQ(got.shape(), want.shape()) << statement;
  for (int64_t i = 0; i < want.count(); ++i) {
    if (got.dtype() != DType::kF32) {
      EXPECT_EQ(got.integer_at(i), want.integer_at(i)) << statement << index_text(inputs, i);
      continue;
    }
    const std::string text = difference(got.data<float>()[i], want.data<float>()[i], allowed);
    EXPECT_EQ(text, "") << statement << index_text(inputs, i);
  }
}

void expect_unary_agreement(const std::string& op, const std::string& settings,
                            const Allowed& allowed = {}, const std::string& dtype = "fp32") {
  const auto count = static_cast<int64_t>(special_values().size());
  expect_agreement(fmt::format("tensor<{}, [{}]> y = {}(x = x{});", dtype, count, op, settings),
                   fmt::format("tensor<fp32, [{}]> x", count),
                   {{"x", floats(special_values(), {count})}}, allowed);
}

TEST(SpecialValues, of_unary_ops_are_alike_in_plans_and_op_by_op) {
  for (const char* op :
       {"abs",  "ceil", "floor", "round", "sign",    "sqrt", "square",   "exp",      "exp2",
        "erf",  "tanh", "relu",  "relu6", "sigmoid", "silu", "softsign", "softplus", "acos",
        "asin", "atan", "atanh", "cos",   "sin",     "tan",  "cosh",     "sinh"}) {
    expect_unary_agreement(op, "");
  }
}

TEST(SpecialValues, of_ops_with_an_epsilon_are_alike_in_plans_and_op_by_op) {
  for (const char* op : {"rsqrt", "inverse", "log"}) {
    for (const char* epsilon : {"", ", epsilon = fp32(0)", ", epsilon = fp32(0.001)"}) {
      expect_unary_agreement(op, epsilon);
    }
  }
}

TEST(SpecialValues, of_activations_are_alike_in_plans_and_op_by_op) {
  const std::string both = ", alpha = fp32(0.2), beta = fp32(0.7)";
  for (const char* mode : {"EXACT", "TANH_APPROXIMATION", "SIGMOID_APPROXIMATION"}) {
    // Below -4 the result is small beside x, and rounded so.
    expect_unary_agreement("gelu", fmt::format(", mode = string(\"{}\")", mode), {1e-5, 1e-6});
  }
  for (const char* op : {"elu", "leaky_relu", "thresholded_relu", "threshold"}) {
    expect_unary_agreement(op, ", alpha = fp32(0.2)");
  }
  for (const char* op : {"linear_activation", "scaled_tanh", "sigmoid_hard", "clamped_relu"}) {
    expect_unary_agreement(op, both);
  }
  for (const char* bounds :
       {", alpha = fp32(-1), beta = fp32(1)", ", alpha = fp32(0), beta = fp32(6)",
        ", alpha = fp32(-6), beta = fp32(0)"}) {
    expect_unary_agreement("clip", bounds);
  }
  expect_unary_agreement("softmax", ", axis = int32(0)");
}

TEST(SpecialValues, of_casts_are_alike_in_plans_and_op_by_op) {
  expect_unary_agreement("cast", ", dtype = string(\"int32\")", {}, "int32");
  expect_unary_agreement("cast", ", dtype = string(\"bool\")", {}, "bool");
}

TEST(SpecialValues, of_pairs_are_alike_in_plans_and_op_by_op) {
  const auto [a, b] = pairs();
  const int64_t count = a.count();
  const std::string arguments = fmt::format("tensor<fp32, [{0}]> a, tensor<fp32, [{0}]> b", count);
  for (const char* op :
       {"add", "sub", "mul", "real_div", "floor_div", "mod", "pow", "maximum", "minimum"}) {
    expect_agreement(fmt::format("tensor<fp32, [{}]> y = {}(x = a, y = b);", count, op), arguments,
                     {{"a", a}, {"b", b}});
  }
  for (const char* op : {"equal", "not_equal", "less", "less_equal", "greater", "greater_equal"}) {
    expect_agreement(fmt::format("tensor<bool, [{}]> y = {}(x = a, y = b);", count, op), arguments,
                     {{"a", a}, {"b", b}});
  }
}

TEST(SpecialValues, beside_a_known_number_are_alike_in_plans_and_op_by_op) {
  const auto count = static_cast<int64_t>(special_values().size());
  const std::string arguments = fmt::format("tensor<fp32, [{}]> x", count);
  const TensorMap inputs{{"x", floats(special_values(), {count})}};
  for (const char* op :
       {"add", "sub", "mul", "real_div", "floor_div", "mod", "pow", "maximum", "minimum"}) {
    for (const char* number : {"0", "-0.0", "1", "-1", "2", "3", "0.5", "-0.5", "1e-40", "1e38"}) {
      for (const char* order : {"x = x, y = fp32({})", "x = fp32({}), y = x"}) {
        expect_agreement(fmt::format("tensor<fp32, [{}]> y = {}({});", count, op,
                                     fmt::format(fmt::runtime(order), number)),
                         arguments, inputs);
      }
    }
  }
}

// --- reductions ------------------------------------------------------------------------------

const std::vector<std::vector<float>>& rows() {
  static const std::vector<std::vector<float>> kRows = {{0, -0.0f, 0, -0.0f},
                                                        {-0.0f, 0, -0.0f, -0.0f},
                                                        {-0.0f, -0.0f, -0.0f, -0.0f},
                                                        {-1, -0.0f, 0, -2},
                                                        {1, 0, -0.0f, 2},
                                                        {1e38f, 1e38f, 0, 0},
                                                        {3e38f, 3e38f, -3e38f, 1},
                                                        {1e38f, -1e38f, 1e38f, -1e38f},
                                                        {1e20f, 2e20f, 3e20f, 4e20f},
                                                        {1e-30f, 1e-30f, 0, 2e-30f},
                                                        {1e-42f, 0, 0, 1e-43f},
                                                        {kInf, 1, 2, 3},
                                                        {-kInf, kInf, 0, 0},
                                                        {std::nanf(""), 1, 0, 0},
                                                        {3e38f, 3e38f, 3e38f, 3e38f},
                                                        {1e30f, 1e30f, 1e30f, -1e30f}};
  return kRows;
}

// The rows, each `repeats` times side by side: short ones, and ones longer than a block of a sum.
Tensor as_matrix(int64_t repeats) {
  std::vector<float> values;
  for (const auto& row : rows()) {
    for (int64_t i = 0; i < repeats; ++i) values.insert(values.end(), row.begin(), row.end());
  }
  return floats(values, {static_cast<int64_t>(rows().size()), 4 * repeats});
}

Tensor transposed(const Tensor& x) {
  Tensor y(DType::kF32, {x.dim(1), x.dim(0)});
  for (int64_t i = 0; i < x.dim(0); ++i) {
    for (int64_t k = 0; k < x.dim(1); ++k) {
      std::memcpy(y.mutable_data<float>() + k * x.dim(0) + i, x.data<float>() + i * x.dim(1) + k,
                  sizeof(float));
    }
  }
  return y;
}

TEST(SpecialValues, of_reductions_are_alike_in_plans_and_op_by_op) {
  for (const int64_t repeats : {1, 9, 700}) {
    const Tensor x = as_matrix(repeats), columns = transposed(x);
    const int64_t height = x.dim(0), width = x.dim(1);
    for (const char* op :
         {"reduce_max", "reduce_min", "reduce_sum", "reduce_mean", "reduce_l1_norm",
          "reduce_l2_norm", "reduce_sum_square", "reduce_log_sum", "reduce_log_sum_exp"}) {
      expect_agreement(
          fmt::format("tensor<fp32, [{}]> y = {}(x = x, axes = tensor<int32, [1]>([1]), "
                      "keep_dims = bool(false));",
                      height, op),
          fmt::format("tensor<fp32, [{}, {}]> x", height, width), {{"x", x}});
      expect_agreement(
          fmt::format("tensor<fp32, [{}]> y = {}(x = x, axes = tensor<int32, [1]>([0]), "
                      "keep_dims = bool(false));",
                      height, op),
          fmt::format("tensor<fp32, [{}, {}]> x", width, height), {{"x", columns}});
    }
  }
}

TEST(SpecialValues, of_layer_norm_are_alike_in_plans_and_op_by_op) {
  std::vector<float> values;
  for (const auto& row : {std::vector<float>{1e38f, -1e38f, 1e38f, 3e37f},
                          {1e20f, 2e20f, 3e20f, 5e20f},
                          {1e-25f, 3e-25f, 2e-25f, -1e-25f},
                          {-0.0f, -0.0f, 0.0f, -0.0f},
                          {1, -1, 1, -1},
                          {kInf, 1, 2, 3},
                          {std::nanf(""), 1, 2, 3},
                          {1e38f, 1e38f, 1e38f, 1.2e38f}}) {
    values.insert(values.end(), row.begin(), row.end());
  }
  for (const char* epsilon : {"1e-5", "1e-12", "0"}) {
    const auto height = static_cast<int64_t>(values.size() / 4);
    expect_agreement(
        fmt::format("tensor<fp32, [{}, 4]> y = layer_norm(x = x, axes = tensor<int32, [1]>([1]), "
                    "epsilon = fp32({}));",
                    height, epsilon),
        fmt::format("tensor<fp32, [{}, 4]> x", height), {{"x", floats(values, {height, 4})}});
  }
}

TEST(SpecialValues, of_the_larger_of_two_zeros_do_not_depend_on_the_order) {
  const TestProgram program("tensor<fp32, [2]> a, tensor<fp32, [2]> b", R"(
    tensor<fp32, [2]> larger = maximum(x = a, y = b);
    tensor<fp32, [2]> smaller = minimum(x = a, y = b);)",
                            "larger, smaller");
  const TensorMap inputs{{"a", floats({0, -0.0f}, {2})}, {"b", floats({-0.0f, 0}, {2})}};
  const exec::RunResult planned = program.session()->run(inputs);
  for (const auto& [name, naive] : program.expected(inputs)) {
    for (int64_t i = 0; i < 2; ++i) {
      EXPECT_EQ(std::signbit(planned.outputs.at(name).tensor.number_at(i)), name == "smaller");
      EXPECT_EQ(std::signbit(naive.tensor.number_at(i)), name == "smaller");
    }
  }
}

TEST(SpecialValues, of_norms_of_large_and_small_numbers_are_finite) {
  const TestProgram program("tensor<fp32, [2, 2]> x", R"(
    tensor<fp32, [2]> y = reduce_l2_norm(x = x, axes = tensor<int32, [1]>([1]), keep_dims = bool(false));)",
                            "y");
  const Tensor y = program.session()
                       ->run({{"x", floats({3e38f, 0, 3e-30f, 4e-30f}, {2, 2})}})
                       .outputs.at("y")
                       .tensor;
  EXPECT_FLOAT_EQ(y.data<float>()[0], 3e38f);
  EXPECT_FLOAT_EQ(y.data<float>()[1], 5e-30f);
}

}  // namespace
}  // namespace mw::cpu
