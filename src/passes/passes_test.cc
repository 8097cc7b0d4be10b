// Tests of the verifier and of specialise(), remove_dead_ops() and set_precision() on programs as
// text.
#include <gtest/gtest.h>

#include "base/error.h"
#include "exec/naive.h"
#include "ir/text/text.h"
#include "ir/verify.h"
#include "ir/widening.h"
#include "ops/catalog.h"
#include "passes/dead_code.h"
#include "passes/precision.h"
#include "passes/round_products.h"
#include "passes/specialise.h"

namespace mw::passes {
namespace {

std::unique_ptr<ir::Program> program(const std::string& signature, const std::string& body,
                                     const std::string& outputs) {
  return ir::text::parse("program(1.3)\n{\n func main<ios17>(" + signature + ") {\n" + body +
                             "\n } -> (" + outputs + ");\n}",
                         {});
}

int64_t count(const ir::Function& function, const std::string& type) {
  int64_t found = 0;
  ir::for_each_op(function.body, [&](const ir::Operation& op) { found += op.type == type; });
  return found;
}

std::string verify_error(const ir::Program& program) {
  try {
    ir::verify(program, ops::catalog());
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

// y = x reshaped to one axis, its extent computed from the shape of x.
const char* const kFlatten = R"(
  tensor<int32, [2]> s = shape(x = x);
  int32 n = gather(x = s, indices = int32(0), axis = int32(0));
  int32 m = gather(x = s, indices = int32(1), axis = int32(0));
  int32 p = mul(x = n, y = m);
  tensor<int32, [1]> q = expand_dims(x = p, axes = tensor<int32, [1]>([0]));
  tensor<fp32, [?]> y = reshape(x = x, shape = q);)";

TEST(specialise, folds_shape_arithmetic_and_keeps_the_result) {
  const auto source = program("tensor<fp32, [?, ?]> x", kFlatten, "y");
  ASSERT_EQ(verify_error(*source), "");
  const auto made = specialise(*source->functions[0], ops::catalog(), {.shapes = {{"x", {2, 3}}}});
  EXPECT_EQ(count(*made, "shape") + count(*made, "gather") + count(*made, "mul"), 0);
  EXPECT_EQ(count(*made, "reshape"), 1);
  EXPECT_EQ(made->body.outputs[0]->type, ir::Type::tensor(DType::kF32, {6}));
  EXPECT_EQ(made->body.outputs[0]->name, "y");
  const Tensor x = Tensor::from<float>({1, 2, 3, 4, 5, 6}, {2, 3});
  const auto got = exec::run_naive(*made, ops::catalog(), {{"x", x}});
  EXPECT_TRUE(bit_equal(got.at("y").tensor, x.reshaped({6})));
}

TEST(specialise, a_shape_that_contradicts_the_signature_is_an_error) {
  const auto source =
      program("tensor<fp32, [?, 4]> x", "tensor<fp32, [?, 4]> y = relu(x = x);", "y");
  EXPECT_THROW(specialise(*source->functions[0], ops::catalog(), {.shapes = {{"x", {2, 3}}}}),
               Error);
}

TEST(specialise, a_branch_whose_predicate_is_known_is_inlined) {
  const auto source = program("tensor<fp32, [2]> x", R"(
    tensor<fp32, [2]> y = cond(pred = bool(true)) {
      tensor<fp32, [2]> a = relu(x = x);
    } -> (a) {
      tensor<fp32, [2]> a = exp(x = x);
    } -> (a);)",
                              "y");
  const auto made = specialise(*source->functions[0], ops::catalog(), {});
  EXPECT_EQ(count(*made, "cond") + count(*made, "exp"), 0);
  EXPECT_EQ(count(*made, "relu"), 1);
}

TEST(specialise, a_loop_variable_that_grows_has_an_unknown_extent) {
  const auto source = program("tensor<fp32, [1]> x", R"(
    int32 zero = const()[val = int32(0)];
    int32 k, tensor<fp32, [?]> y = while_loop(loop_vars = (zero, x)) (int32 i, tensor<fp32, [?]> v) {
      bool more = less(x = i, y = int32(3));
    } -> (more) (int32 i, tensor<fp32, [?]> v) {
      int32 next = add(x = i, y = int32(1));
      tensor<fp32, [?]> longer = concat(values = (v, x), axis = int32(0), interleave = bool(false));
    } -> (next, longer);)",
                              "y");
  ASSERT_EQ(verify_error(*source), "");
  const auto made = specialise(*source->functions[0], ops::catalog(), {});
  EXPECT_EQ(made->body.outputs[0]->type.shape(), Shape{ir::kUnknownDim});
  const auto got = exec::run_naive(*made, ops::catalog(), {{"x", Tensor::from<float>({7}, {1})}});
  EXPECT_EQ(got.at("y").tensor.shape(), Shape{4});
}

TEST(specialise, a_value_of_unknown_rank_has_one_once_the_inputs_are_known) {
  const auto source = program("tensor<int32, [?]> s", R"(
    tensor<fp32, ?> a = fill(shape = s, value = fp32(-2));
    tensor<fp32, ?> y = abs(x = a);)",
                              "y");
  ASSERT_EQ(verify_error(*source), "");
  EXPECT_FALSE(source->functions[0]->body.outputs[0]->type.has_rank());
  const auto lowered = set_precision(*source->functions[0], ops::catalog(), kFp64);
  const auto made = specialise(*lowered, ops::catalog(), {.shapes = {{"s", {3}}}});
  EXPECT_EQ(made->body.outputs[0]->type,
            ir::Type::tensor(DType::kF32, {ir::kUnknownDim, ir::kUnknownDim, ir::kUnknownDim}));
  const Tensor s = Tensor::from<int32_t>({2, 1, 2}, {3});
  const auto got = exec::run_naive(*made, ops::catalog(), {{"s", s}});
  EXPECT_TRUE(bit_equal(got.at("y").tensor, Tensor::from<float>({2, 2, 2, 2}, {2, 1, 2})));
}

TEST(specialise, an_op_that_needs_a_rank_says_so_where_there_is_none) {
  const auto source = program("tensor<int32, [?]> s", R"(
    tensor<fp32, ?> a = fill(shape = s, value = fp32(-2));
    tensor<fp32, ?> y = transpose(x = a, perm = tensor<int32, [2]>([1, 0]));)",
                              "y");
  try {
    (void)specialise(*source->functions[0], ops::catalog(), {});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(
                  "transpose 'y': expected a tensor of known rank, got tensor<fp32, ?>"),
              std::string::npos)
        << e.what();
  }
}

// The op of `body` asks for more memory than any machine has; its inputs are small.
void expect_too_large(const std::string& op, const std::string& body) {
  const auto source = program("tensor<fp32, [1, 2, 4, 4]> x, tensor<int32, [2]> i", body, "y");
  EXPECT_EQ(verify_error(*source), "") << op;
  try {
    (void)specialise(*source->functions[0], ops::catalog(), {});
    ADD_FAILURE() << op << ": no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kOutOfMemory) << op << ": " << e.what();
    EXPECT_NE(std::string(e.what()).find(op + " 'y': expected a result of at most"),
              std::string::npos)
        << e.what();
  }
}

TEST(specialise, a_result_larger_than_the_memory_is_an_error_that_names_the_op) {
  expect_too_large("fill",
                   "tensor<fp32, [?, ?]> y = fill(shape = tensor<int32, [2]>([2000000000, "
                   "2000000000]), value = fp32(1));");
  expect_too_large("tile",
                   "tensor<fp32, [?, ?, ?, ?]> y = tile(x = x, reps = tensor<int32, "
                   "[4]>([200000, 200000, 1, 100]));");
  expect_too_large("pad",
                   "tensor<fp32, [?, ?, ?, ?]> y = pad(x = x, pad = tensor<int32, [4]>([0, "
                   "2000000000, 0, 2000000000]), mode = string(\"constant\"), "
                   "constant_val = fp32(0));");
  expect_too_large("upsample_nearest_neighbor",
                   "tensor<fp32, [?, ?, ?, ?]> y = upsample_nearest_neighbor(x = x, "
                   "scale_factor_height = fp32(2000000), scale_factor_width = fp32(2000000));");
  expect_too_large("random_normal",
                   "tensor<fp32, [?, ?]> y = random_normal(shape = tensor<int32, [2]>([2000000000, "
                   "2000000000]), mean = fp32(0), stddev = fp32(1), seed = int32(1));");
}

TEST(specialise, folding_stops_where_the_constants_grow_too_large) {
  std::string body;
  for (int i = 0; i < 10; ++i) {
    body += fmt::format(
        "tensor<fp32, [4096]> a{} = fill(shape = tensor<int32, [1]>([4096]), value = fp32({}));\n",
        i, i);
  }
  body += "tensor<fp32, [4096]> y = add(x = x, y = a0);\n";
  for (int i = 1; i < 10; ++i)
    body += fmt::format("tensor<fp32, [4096]> y{} = add(x = x, y = a{});\n", i, i);
  const auto source =
      program("tensor<fp32, [4096]> x", body, "y, y1, y2, y3, y4, y5, y6, y7, y8, y9");
  const auto made =
      specialise(*source->functions[0], ops::catalog(), {.total_fold_limit = 5 * 4096});
  EXPECT_EQ(count(*made, "fill"), 5);
}

TEST(run_naive, a_loop_that_does_not_end_is_stopped) {
  const auto source = program("tensor<fp32, [1]> x", R"(
    tensor<fp32, [1]> y = while_loop(loop_vars = (x)) (tensor<fp32, [1]> v) {
      bool more = const()[val = bool(true)];
    } -> (more) (tensor<fp32, [1]> v) {
      tensor<fp32, [1]> next = relu(x = v);
    } -> (next);)",
                              "y");
  EXPECT_THROW(
      exec::run_naive(*source->functions[0], ops::catalog(), {{"x", Tensor::from<float>({7}, {1})}},
                      {}, {.taps = {}, .block_limit = 100}),
      Error);
}

TEST(remove_dead_ops, keeps_outputs_and_state_writes_only) {
  const auto source = ir::text::parse(R"(program(1.3) {
    func main<ios18>(tensor<fp16, [2]> x, state<tensor<fp16, [2]>> s) {
      tensor<fp16, [2]> unused = exp(x = x);
      tensor<fp16, [2]> old = read_state(input = s);
      tensor<fp16, [2]> sum = add(x = x, y = old);
      write_state(input = s, data = sum);
      tensor<fp16, [2]> y = relu(x = x);
    } -> (y); })",
                                      {});
  remove_dead_ops(*source->functions[0], ops::catalog());
  EXPECT_EQ(count(*source->functions[0], "exp"), 0);
  EXPECT_EQ(count(*source->functions[0], "write_state"), 1);
  EXPECT_EQ(count(*source->functions[0], "read_state"), 1);
}

TEST(set_precision, computes_in_fp32_between_fp16_borders) {
  const auto source = program("tensor<fp16, [2]> x", R"(
    tensor<fp16, [2]> w = const()[val = tensor<fp16, [2]>([0x1p+0, 0x1p+1])];
    tensor<fp16, [2]> a = mul(x = x, y = w);
    tensor<fp32, [2]> b = cast(x = a, dtype = string("fp32"));
    tensor<fp32, [2]> c = exp(x = b);
    tensor<fp16, [2]> y = cast(x = c, dtype = string("fp16"));)",
                              "y");
  const auto made = set_precision(*source->functions[0], ops::catalog(), kFp32);
  ir::for_each_op(made->body, [](const ir::Operation& op) {
    if (op.type == "mul" || op.type == "exp") {
      EXPECT_EQ(op.outputs[0]->type.dtype(), DType::kF32) << op.type;
    }
  });
  EXPECT_EQ(made->body.outputs[0]->type.dtype(), DType::kF16);
  EXPECT_EQ(count(*made, "cast"), 3);  // of x, of w, of the output
  const auto got = exec::run_naive(*made, ops::catalog(),
                                   {{"x", Tensor::from<float>({0, 1}, {2}).to(DType::kF16)}});
  EXPECT_EQ(got.begin()->second.tensor.number_at(0), 1.0);
}

TEST(set_precision, a_fill_without_a_value_is_computed_like_all_else) {
  const auto source = program("tensor<fp32, [2]> x", R"(
    tensor<fp32, [2]> a = fill_like(ref_tensor = x);
    tensor<fp32, [2]> y = add(x = a, y = x);)",
                              "y");
  const auto made = set_precision(*source->functions[0], ops::catalog(), kFp64);
  ir::for_each_op(made->body, [](const ir::Operation& op) {
    if (op.type == "add") {
      EXPECT_EQ(op.input("x")->type.dtype(), DType::kF64);
    }
  });
  EXPECT_EQ(made->body.outputs[0]->type.dtype(), DType::kF32);
}

TEST(set_precision, fp16_rounds_every_value_as_a_device_would) {
  const auto source = program("tensor<fp16, [1]> x", R"(
    tensor<fp16, [1]> a = add(x = x, y = fp16(0x1p+0));
    tensor<fp16, [1]> y = sub(x = a, y = fp16(0x1p+0));)",
                              "y");
  const Tensor tiny = Tensor::from<float>({0x1p-12f}, {1}).to(DType::kF16);
  const auto run = [&](const Numerics& numerics) {
    const auto made = set_precision(*source->functions[0], ops::catalog(), numerics);
    return exec::run_naive(*made, ops::catalog(), {{"x", tiny}})
        .begin()
        ->second.tensor.number_at(0);
  };
  EXPECT_EQ(run(kFp16), 0.0);
  EXPECT_EQ(run(kFp32), 0x1p-12);
  EXPECT_EQ(run(kFp64), 0x1p-12);
}

TEST(round_products, rounds_factors_and_what_a_weight_makes_of_them) {
  const auto source = program("tensor<fp32, [2, 3]> x", R"(
    tensor<fp32, [3, 3]> w = const()[val = tensor<fp32, [3, 3]>([[1, 2, 3], [4, 5, 6], [7, 8, 9]])];
    tensor<fp32, [2, 3]> a = linear(x = x, weight = w);
    tensor<fp32, [2, 3]> b = silu(x = a);
    tensor<fp32, [2, 2]> s = matmul(x = a, y = b, transpose_y = bool(true));
    tensor<fp32, [2, 2]> p = softmax(x = s);
    tensor<fp32, [2, 3]> v = matmul(x = p, y = b);
    tensor<fp32, [2, 3]> y = linear(x = v, weight = w);)",
                              "y");
  ir::Function& function = *source->functions[0];
  round_products(function, ops::catalog());
  EXPECT_EQ(verify_error(*source), "");
  const auto narrow_of = [](const ir::Value* value) -> std::string {
    const ir::Operand* narrow = ir::before_widening({const_cast<ir::Value*>(value), nullptr});
    if (narrow == nullptr || narrow->value->type.dtype() != DType::kBF16) return "";
    return narrow->value->producer->input("x")->name;
  };
  std::map<std::string, std::vector<std::string>> taken;
  ir::for_each_op(function.body, [&](const ir::Operation& op) {
    if (op.is_const() || op.type == ir::kCastOp) return;
    for (const ir::Operand& operand : ir::operands(op)) {
      if (operand.value != nullptr) taken[op.name()].push_back(narrow_of(operand.value));
    }
  });
  const std::vector<std::string> of_x{"x", "w"};
  EXPECT_EQ(taken.at("a"), of_x);
  EXPECT_EQ(taken.at("b"), (std::vector<std::string>{"a"}));       // a weight made it
  EXPECT_EQ(taken.at("s"), (std::vector<std::string>{"a", "b"}));  // b is rounded as a factor
  EXPECT_EQ(taken.at("p"), (std::vector<std::string>{""}));        // of two computed values
  EXPECT_EQ(taken.at("v"), (std::vector<std::string>{"", "b"}));   // of probabilities as they are
  EXPECT_EQ(taken.at("y"), (std::vector<std::string>{"v", "w"}));
  EXPECT_EQ(function.body.outputs[0]->name, "y");  // an output is not rounded
}

TEST(round_products, leaves_what_was_rounded_and_what_is_decoded) {
  const auto source = program("tensor<fp32, [4, 4]> x, tensor<bf16, [4, 4]> n", R"(
    tensor<fp32, [4, 4]> r = cast(x = n, dtype = string("fp32"));
    tensor<fp32, [4, 4]> t = transpose(x = r, perm = tensor<int32, [2]>([1, 0]));
    tensor<fp32, [4, 2]> w = constexpr_affine_dequantize()[axis = int32(0), quantized_data =
        tensor<int8, [4, 2]>([[1, 2], [3, 4], [5, 6], [7, 8]]), scale = fp32(0.3),
        zero_point = int8(0)];
    tensor<fp32, [4, 2]> a = matmul(x = t, y = w);
    tensor<fp32, [4, 2]> y = relu(x = a);)",
                              "y");
  round_products(*source->functions[0], ops::catalog());
  int rounded = 0;
  ir::for_each_op(source->functions[0]->body, [&](const ir::Operation& op) {
    if (op.type == ir::kCastOp && op.outputs[0]->type.dtype() == DType::kBF16) ++rounded;
  });
  EXPECT_EQ(rounded, 1);  // the product, which a weight makes
}

TEST(round_products, asks_an_op_to_round_what_it_multiplies_within) {
  const auto source = program("tensor<fp32, [2, 3]> x, tensor<int32, [2]> labels", R"(
    tensor<fp32, [4, 3]> w = const()[val = tensor<fp32, [4, 3]>([[1, 2, 3], [4, 5, 6], [7, 8, 9],
        [1, 2, 1]])];
    fp32 y, fp32 count, tensor<fp32, [2, 3]> g = mw.linear_cross_entropy(x = x, weight = w,
        labels = labels, x_grad = bool(true));)",
                              "y");
  round_products(*source->functions[0], ops::catalog());
  EXPECT_EQ(verify_error(*source), "");
  bool rounds = false;
  ir::for_each_op(source->functions[0]->body, [&](const ir::Operation& op) {
    const ir::Input* flag = op.find_input("rounds_slope");
    if (flag != nullptr) rounds = flag->operands[0].literal->value().integer_at(0) == 1;
  });
  EXPECT_TRUE(rounds);
}

TEST(verify, names_op_input_and_what_was_expected) {
  const auto message = [](const std::string& body) {
    return verify_error(*program("tensor<fp32, [2, 3]> x", body, "y"));
  };
  EXPECT_EQ(message("tensor<fp32, [2, 3]> y = no_such_op(x = x);"),
            "function 'main': no_such_op 'y': unknown op type; docs/ops.md lists the known ones");
  EXPECT_EQ(message("tensor<fp32, [2, 3]> y = relu(z = x);"),
            "function 'main': relu 'y': z: unknown input; relu takes x");
  EXPECT_EQ(message("tensor<fp32, [2, 3]> y = relu();"),
            "function 'main': relu 'y': x: expected a value, got none; add the input");
  EXPECT_EQ(message("tensor<fp32, [3, 2]> y = relu(x = x);"),
            "function 'main': relu 'y': result 'y': expected tensor<fp32, [2, 3]>, got "
            "tensor<fp32, [3, 2]>");
  EXPECT_EQ(
      message("tensor<fp32, [2, 3]> y = add(x = x, y = tensor<fp32, [2]>([0x0p+0, 0x0p+0]));"),
      "function 'main': add 'y': y: shapes [2, 3] and [2] cannot be broadcast together");
}

TEST(verify, an_op_of_a_later_opset_is_an_error) {
  const auto source = ir::text::parse(
      "program(1.3) { func main<ios15>(tensor<fp32, [2]> x) { tensor<fp32, [2]> y = "
      "fill_like(ref_tensor = x); } -> (y); }",
      {});
  EXPECT_EQ(verify_error(*source),
            "function 'main': fill_like 'y': expected opset ios16 or later, got ios15");
}

TEST(set_precision, gives_a_value_that_is_returned_twice_once) {
  const auto source = program("tensor<fp16, [2]> x", "tensor<fp16, [2]> y = relu(x = x);", "y, y");
  const auto lowered = set_precision(*source->functions[0], ops::catalog(), kFp32);
  ASSERT_EQ(lowered->body.outputs.size(), 1U);
  EXPECT_EQ(lowered->body.outputs[0]->name, "y");
}

}  // namespace
}  // namespace mw::passes
