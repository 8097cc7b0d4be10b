// What is said of each constant of small programs, as converters write them.
#include "ops/weights/parameters.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "ir/text/text.h"
#include "ir/verify.h"
#include "ops/catalog.h"

namespace mw::ops {
namespace {

using Verdicts = std::map<std::string, std::string>;

// Name of each constant that is listed -> "in", "by name" or "out", and the reason.
Verdicts verdicts(const std::string& arguments, const std::string& statements,
                  const std::string& outputs) {
  const auto program = ir::text::parse("program(1.3) { func main<ios18>(" + arguments + ") {\n" +
                                       statements + "\n} -> (" + outputs + "); }");
  const ir::Function& function = *program->functions.at(0);
  ir::verify(function, catalog());
  Verdicts result;
  for (const ParameterInfo& info : parameters_of(function, catalog())) {
    std::string& entry = result[info.name];
    entry += entry.empty() ? "" : "; ";
    entry += info.trainable ? "in: " : info.selectable ? "by name: " : "out: ";
    entry += info.reason;
  }
  return result;
}

// "tensor<fp32, [2, 1]> NAME = const()[val = ..];" with these numbers in this shape.
std::string constant(const std::string& name, const std::string& type, const std::string& value) {
  return fmt::format("tensor<{0}> {1} = const()[val = tensor<{0}>({2})];\n", type, name, value);
}

TEST(parameters, weights_are_what_operations_declare_as_weights) {
  EXPECT_EQ(verdicts("tensor<fp32, [1, 2, 4]> x",
                     constant("w", "fp32, [3, 2, 1]", "[[[1], [2]], [[3], [4]], [[5], [6]]]") +
                         constant("b", "fp32, [3]", "[1, 2, 3]") +
                         constant("slope", "fp32, [3]", "[0.1, 0.2, 0.3]") +
                         constant("gain", "fp32, [4]", "[1, 2, 3, 4]") +
                         constant("f", "fp32, [4, 2]", "[[1, 2], [3, 4], [5, 6], [7, 8]]") + R"(
    tensor<fp32, [1, 3, 4]> h = conv(x = x, weight = w, bias = b);
    tensor<fp32, [1, 3, 4]> p = prelu(x = h, alpha = slope);
    tensor<fp32, [1, 3, 4]> n = layer_norm(x = p, axes = tensor<int32, [1]>([-1]), gamma = gain, epsilon = fp32(0.001));
    tensor<fp32, [1, 3, 2]> y = matmul(x = n, y = f);)",
                     "y"),
            (Verdicts{{"w", "in: weight of conv"},
                      {"b", "in: bias of conv"},
                      {"slope", "in: alpha of prelu"},
                      {"gain", "in: gamma of layer_norm"},
                      {"f", "in: factor of matmul"}}));
}

// As coremltools writes out a group norm.
TEST(parameters, the_scale_and_shift_of_a_group_norm_are_weights_and_its_epsilon_is_a_number) {
  EXPECT_EQ(verdicts("tensor<fp32, [1, 4, 2, 2]> x",
                     constant("scale", "fp32, [1, 4, 1, 1]", "[[[[1]], [[1]], [[1]], [[1]]]]") +
                         constant("shift", "fp32, [1, 4, 1, 1]", "[[[[1]], [[2]], [[3]], [[4]]]]") +
                         constant("eps", "fp32, []", "0.00001") +
                         constant("axes", "int32, [3]", "[2, 3, 4]") + R"(
    tensor<fp32, [1, 2, 2, 2, 2]> g = reshape(x = x, shape = tensor<int32, [5]>([1, 2, 2, 2, 2]));
    tensor<fp32, [1, 2, 1, 1, 1]> m = reduce_mean(x = g, axes = axes, keep_dims = bool(true));
    tensor<fp32, [1, 2, 2, 2, 2]> c = sub(x = g, y = m);
    tensor<fp32, [1, 2, 2, 2, 2]> q = square(x = c);
    tensor<fp32, [1, 2, 1, 1, 1]> v = reduce_mean(x = q, axes = axes, keep_dims = bool(true));
    tensor<fp32, [1, 2, 1, 1, 1]> e = add(x = v, y = eps);
    tensor<fp32, [1, 2, 1, 1, 1]> s = sqrt(x = e);
    tensor<fp32, [1, 2, 2, 2, 2]> d = real_div(x = c, y = s);
    tensor<fp32, [1, 4, 2, 2]> n = reshape(x = d, shape = tensor<int32, [4]>([1, 4, 2, 2]));
    tensor<fp32, [1, 4, 2, 2]> z = mul(x = n, y = scale);
    tensor<fp32, [1, 4, 2, 2]> y = add(x = z, y = shift);)",
                     "y"),
            (Verdicts{{"scale", "in: elementwise scale"},
                      {"shift", "in: elementwise bias"},
                      {"eps", "by name: a single number; name it to train it"}}));
}

// Where the converter leaves the reshape of the scale to the program, or scales group by group.
TEST(parameters, a_scale_of_groups_is_a_weight_in_every_shape) {
  EXPECT_EQ(
      verdicts("tensor<fp32, [1, 4, 3]> x", constant("scale", "fp32, [4]", "[1, 2, 3, 4]") + R"(
    tensor<fp32, [1, 4, 1]> s = reshape(x = scale, shape = tensor<int32, [3]>([1, 4, 1]));
    tensor<fp32, [1, 4, 3]> y = mul(x = s, y = x);)",
               "y"),
      (Verdicts{{"scale", "in: elementwise scale"}}));
  EXPECT_EQ(
      verdicts("tensor<fp32, [1, 4, 3]> x", constant("scale", "fp32, [4]", "[1, 2, 3, 4]") + R"(
    tensor<fp32, [1, 2, 2, 3]> g = reshape(x = x, shape = tensor<int32, [4]>([1, 2, 2, 3]));
    tensor<fp32, [1, 2, 2, 1]> s = reshape(x = scale, shape = tensor<int32, [4]>([1, 2, 2, 1]));
    tensor<fp32, [1, 2, 2, 3]> y = mul(x = g, y = s);)",
               "y"),
      (Verdicts{{"scale", "in: elementwise scale"}}));
}

TEST(parameters, a_class_token_is_a_weight_and_what_only_looks_like_one_is_asked_for) {
  const std::string joined = R"(
    tensor<fp32, [1, 1, 3]> t = tile(x = c, reps = tensor<int32, [3]>([1, 1, 1]));
    tensor<fp32, [1, 3, 3]> y = concat(values = (t, x), axis = int32(1), interleave = bool(false));)";
  const auto of = [&](const std::string& type, const std::string& numbers) {
    return verdicts("tensor<fp32, [1, 2, 3]> x", constant("c", type, numbers) + joined, "y")
        .at("c");
  };
  EXPECT_EQ(of("fp32, [1, 1, 3]", "[[[1, 2, 3]]]"), "in: token of concat");
  EXPECT_EQ(of("fp32, [1, 1, 3]", "[[[0, 0, 0]]]"),
            "by name: filled with one number; name it to train it");
  EXPECT_EQ(verdicts("tensor<fp32, [1, 2, 2]> x",
                     constant("grid", "fp32, [1, 1, 2, 2]", "[[[[0, 0.5], [1, 2]]]]") + R"(
    tensor<fp32, [1, 1, 2, 2]> m = expand_dims(x = x, axes = tensor<int32, [1]>([1]));
    tensor<fp32, [1, 2, 2, 2]> y = concat(values = (m, grid), axis = int32(1), interleave = bool(false));)",
                     "y"),
            (Verdicts{{"grid", "by name: a table in concat; name it to train it"}}));
  // What comes out is no constant any more, whoever multiplies it.
  EXPECT_EQ(
      verdicts("tensor<fp32, [1, 2, 3]> x",
               constant("c", "fp32, [1, 1, 3]", "[[[1, 2, 3]]]") +
                   constant("p", "fp32, [1, 3, 3]", "[[[1, 2, 3], [4, 5, 6], [7, 8, 9]]]") + R"(
    tensor<fp32, [1, 3, 3]> j = concat(values = (c, x), axis = int32(1), interleave = bool(false));
    tensor<fp32, [1, 3, 3]> y = add(x = j, y = p);)",
               "y"),
      (Verdicts{{"c", "in: token of concat"}, {"p", "in: elementwise bias"}}));
}

TEST(parameters, constants_that_are_put_together_are_followed_to_where_they_are_used) {
  EXPECT_EQ(verdicts("tensor<fp32, [2, 2]> x",
                     constant("a", "fp32, [1, 2]", "[[1, 2]]") +
                         constant("b", "fp32, [1, 2]", "[[3, 4]]") + R"(
    tensor<fp32, [2, 2]> w = concat(values = (a, b), axis = int32(0), interleave = bool(false));
    tensor<fp32, [2, 2]> y = matmul(x = x, y = w);)",
                     "y"),
            (Verdicts{{"a", "in: factor of matmul"}, {"b", "in: factor of matmul"}}));
}

TEST(parameters, a_table_that_inputs_pick_rows_of_is_a_weight_and_one_cut_by_constants_is_not) {
  EXPECT_EQ(verdicts("tensor<int32, [2]> ids",
                     constant("table", "fp32, [3, 2]", "[[1, 2], [3, 4], [5, 6]]") +
                         constant("places", "fp32, [3, 2]", "[[1, 2], [3, 4], [5, 6]]") +
                         constant("columns", "fp32, [2, 3]", "[[1, 2, 3], [4, 5, 6]]") +
                         constant("position_ids", "int32, [2]", "[0, 1]") + R"(
    tensor<fp32, [2, 2]> t = gather(x = table, indices = ids, axis = int32(0));
    tensor<fp32, [2, 2]> p = gather(x = places, indices = position_ids, axis = int32(0));
    tensor<fp32, [2, 2]> c = gather(x = columns, indices = ids, axis = int32(1));
    tensor<fp32, [2, 2]> h = add(x = t, y = p);
    tensor<fp32, [2, 2]> y = add(x = h, y = c);)",
                     "y"),
            (Verdicts{{"table", "in: table of gather"},
                      {"places", "by name: only reached through slices; name it to train it"},
                      {"columns", "by name: only reached through slices; name it to train it"},
                      {"position_ids", "out: not of floats"}}));
}

TEST(parameters, masks_tables_of_factors_and_zero_biases_are_asked_for) {
  EXPECT_EQ(verdicts("tensor<fp32, [2, 2]> x",
                     constant("mask", "fp32, [2, 2]", "[[0, -10000], [0, 0]]") +
                         constant("kept", "fp32, [2, 2]", "[[1, 0], [1, 1]]") +
                         constant("zeros", "fp32, [2]", "[0, 0]") +
                         constant("w", "fp32, [2, 2]", "[[1, 2], [3, 4]]") +
                         constant("none", "fp32, [2]", "[0, 0]") + R"(
    tensor<fp32, [2, 2]> m = add(x = x, y = mask);
    tensor<fp32, [2, 2]> k = mul(x = kept, y = m);
    tensor<fp32, [2, 2]> z = add(x = k, y = zeros);
    tensor<fp32, [2, 2]> y = linear(x = z, weight = w, bias = none);)",
                     "y"),
            (Verdicts{{"mask", "by name: a mask; name it to train it"},
                      {"kept", "by name: a table of factors; name it to train it"},
                      {"zeros", "by name: all-zero bias; name it to train it"},
                      {"w", "in: weight of linear"},
                      {"none", "by name: all-zero bias; name it to train it"}}));
}

TEST(parameters, of_two_constants_with_one_name_the_first_is_a_weight) {
  EXPECT_EQ(verdicts("tensor<fp32, [2]> x, tensor<bool, []> p", R"(
    tensor<fp32, [2]> y = cond(pred = p) {
      tensor<fp32, [2]> w = const()[val = tensor<fp32, [2]>([1, 2])];
      tensor<fp32, [2]> a = mul(x = x, y = w);
    } -> (a) {
      tensor<fp32, [2]> w = const()[val = tensor<fp32, [2]>([3, 4])];
      tensor<fp32, [2]> b = mul(x = x, y = w);
    } -> (b);)",
                     "y"),
            (Verdicts{{"w", "in: elementwise scale; out: another constant has its name"}}));
}

TEST(parameters, what_is_no_weight_says_what_it_is) {
  EXPECT_EQ(verdicts("tensor<fp32, [2]> x, tensor<bool, [2]> f",
                     constant("a", "fp32, [2]", "[1, 2]") + constant("b", "fp32, [2]", "[1, 2]") +
                         constant("fill", "fp32, [2]", "[1, 2]") +
                         constant("floor", "fp32, [2]", "[1, 2]") +
                         constant("unused", "fp32, [2]", "[1, 2]") +
                         constant("given", "fp32, [2]", "[1, 2]") + R"(
    tensor<fp32, [2]> ab = mul(x = a, y = b);
    tensor<fp32, [2]> s = select(cond = f, a = x, b = fill);
    tensor<fp32, [2]> m = maximum(x = s, y = floor);
    tensor<fp32, [2]> y = add(x = m, y = ab);)",
                     "y, given"),
            (Verdicts{{"a", "out: computed with other constants only"},
                      {"b", "out: computed with other constants only"},
                      {"fill", "out: b of select, which is no weight"},
                      {"floor", "out: y of maximum, which is no weight"},
                      {"unused", "out: not used"},
                      {"given", "out: passed to the output of a block"}}));
}

}  // namespace
}  // namespace mw::ops
