// Operands of which less is known than of the result: they run, planned and op by op, and what does
// not fit at run time is refused in a sentence.
#include <limits>

#include "cpu/testing.h"

namespace mw::cpu {
namespace {

// The result y of both executors, compared.
Tensor run(const TestProgram& program, const TensorMap& inputs) {
  const Tensor got = program.session()->run(inputs).outputs.at("y").tensor;
  expect_near(got, program.expected(inputs).at("y").tensor, 1e-6, "y");
  return got;
}

// c is [2, n * n], which nothing tells before the run.
const char* const kSquare = R"(
    tensor<int32, [1]> n2 = mul(x = n, y = n);
    tensor<int32, [2]> s = concat(values = (tensor<int32, [1]>([2]), n2), axis = int32(0), interleave = bool(false));
    tensor<fp32, [?, ?]> c = fill(shape = s, value = fp32(3));
)";

TEST(DynamicOperands, are_stacked_beside_constants) {
  const TestProgram program(
      "tensor<int32, [1]> n",
      std::string("tensor<fp32, [2, 4]> a = const()[val = tensor<fp32, [2, 4]>([[1, 1, 1, 1], [2, "
                  "2, 2, 2]])];") +
          kSquare + "tensor<fp32, [2, 4, 3]> y = stack(values = (a, c, a), axis = int32(-1));",
      "y");
  const Tensor y = run(program, {{"n", Tensor::from<int32_t>({2}, {1})}});
  EXPECT_EQ(y.shape(), (Shape{2, 4, 3}));
  EXPECT_EQ(y.number_at(0), 1);
  EXPECT_EQ(y.number_at(1), 3);
  EXPECT_EQ(y.number_at(14), 2);
  const auto session = program.session();
  const std::string error = error_of([&] {
    (void)session->run({{"n", Tensor::from<int32_t>({3}, {1})}});
  });
  EXPECT_NE(error.find("stack 'y': values: expected tensors of one type, got tensor<fp32, [2, 4]> "
                       "and tensor<fp32, [2, 9]>"),
            std::string::npos)
      << error;
}

TEST(DynamicOperands, of_other_ops_with_known_results_run) {
  const std::pair<const char*, const char*> rows[] = {
      {"tensor<fp32, [2, 4]> y = add(x = a, y = c);", "[2, 4]"},
      {"tensor<fp32, [2, 4]> y = maximum(x = c, y = a);", "[2, 4]"},
      {"tensor<fp32, [2, 2]> y = matmul(x = a, y = c, transpose_y = bool(true));", "[2, 2]"},
      {"tensor<fp32, [2, 4]> y = reshape(x = c, shape = tensor<int32, [2]>([2, 4]));", "[2, 4]"},
      {"tensor<fp32, [1]> y = reduce_sum(x = c, keep_dims = bool(false), axes = tensor<int32, "
       "[2]>([0, 1]));",
       "[]"},
  };
  for (const auto& [statement, shape] : rows) {
    std::string text = statement;
    if (std::string(shape) == "[]") text.replace(0, 17, "fp32");
    const TestProgram program("tensor<int32, [1]> n, tensor<fp32, [2, 4]> a",
                              std::string(kSquare) + text, "y");
    const Tensor y =
        run(program, {{"n", Tensor::from<int32_t>({2}, {1})}, {"a", noise({2, 4}, 1)}});
    EXPECT_EQ(to_string(y.shape()), shape) << statement;
  }
}

// initial_h made for a batch that only a run tells, as a packed sequence is converted.
TEST(DynamicOperands, are_first_states_of_recurrent_layers) {
  const auto text = [](const char* op, const char* results, const char* more) {
    return fmt::format(R"(
    tensor<int32, [3]> s = concat(values = (tensor<int32, [1]>([1]), n, tensor<int32, [1]>([2])), axis = int32(0), interleave = bool(false));
    tensor<fp32, [1, ?, 2]> zeros = fill(shape = s, value = fp32(0.5));
    tensor<fp32, [?, 2]> h = squeeze(x = zeros, axes = tensor<int32, [1]>([0]));
    {} = {}(x = x, initial_h = h{}, weight_ih = wi, weight_hh = wh);)",
                       results, op, more);
  };
  const std::tuple<const char*, const char*, const char*, int64_t> rows[] = {
      {"lstm", "tensor<fp32, [1, 3, 2]> y, tensor<fp32, [3, 2]> last, tensor<fp32, [3, 2]> cell",
       ", initial_c = h", 8},
      {"gru", "tensor<fp32, [1, 3, 2]> y, tensor<fp32, [3, 2]> last", "", 6},
      {"rnn", "tensor<fp32, [1, 3, 2]> y, tensor<fp32, [3, 2]> last", "", 2}};
  for (const auto& [op, results, more, gates] : rows) {
    const TestProgram program(
        fmt::format("tensor<fp32, [4, 3, 5]> x, tensor<int32, [1]> n, tensor<fp32, [{0}, 5]> wi, "
                    "tensor<fp32, [{0}, 2]> wh",
                    gates),
        text(op, results, more), "y");
    TensorMap inputs{{"x", noise({4, 3, 5}, 1)},
                     {"n", Tensor::from<int32_t>({3}, {1})},
                     {"wi", noise({gates, 5}, 2)},
                     {"wh", noise({gates, 2}, 3)}};
    const Tensor y = run(program, inputs);
    EXPECT_EQ(y.shape(), (Shape{1, 3, 2})) << op;
    // Rows beyond the batch, all alike, are not looked at.
    inputs["n"] = Tensor::from<int32_t>({7}, {1});
    EXPECT_TRUE(bit_equal(run(program, inputs), y)) << op;
    inputs["n"] = Tensor::from<int32_t>({2}, {1});
    const auto session = program.session();
    const std::string error = error_of([&] { (void)session->run(inputs); });
    EXPECT_NE(error.find("initial_h: expected shape [3, 2], got [2, 2]"), std::string::npos)
        << error;
    EXPECT_EQ(error.find("function 'main': function 'main'"), std::string::npos) << error;
  }
}

TEST(DynamicOperands, of_another_dtype_than_the_constant_of_a_product_are_taken) {
  const auto program = [](const char* x, const char* y, const char* constant,
                          const char* statement) {
    return TestProgram(fmt::format("tensor<{}, [3, 2]> {}", x, y),
                       fmt::format("tensor<{0}, [2, 3]> c = const()[val = tensor<{0}, [2, 3]>([[1, "
                                   "2, 3], [1, 1, 1]])];\n{1}",
                                   constant, statement),
                       "y");
  };
  const Tensor a = Tensor::from<int32_t>({1, 2, 3, 4, 5, 6}, {3, 2});
  for (const char* dtype : {"fp16", "fp32"}) {
    const TestProgram left =
        program("int32", "a", dtype, "tensor<int32, [2, 2]> y = matmul(x = c, y = a);");
    EXPECT_TRUE(bit_equal(run(left, {{"a", a}}), Tensor::from<int32_t>({22, 28, 9, 12}, {2, 2})))
        << dtype;
    const TestProgram right =
        program(dtype, "a", "int32",
                fmt::format("tensor<{}, [3, 3]> y = matmul(x = a, y = c);", dtype).c_str());
    const Tensor y = run(right, {{"a", a.to(*dtype_named(dtype))}});
    EXPECT_EQ(y.dtype(), *dtype_named(dtype));
    EXPECT_EQ(y.number_at(8), 21);
  }
}

// A position from 0, one from the end, and those just outside, whatever validate_indices says.
TEST(DynamicOperands, that_are_positions_count_from_the_end_and_never_leave_the_axis) {
  constexpr const char* kWeight =
      "tensor<fp32, [3, 2]> w = const()[val = tensor<fp32, [3, 2]>([[1, 2], [3, 4], [5, 6]])];\n";
  const std::tuple<const char*, const char*, const char*> rows[] = {
      {"[2]", "tensor<fp32, [2, 2]> y = gather(x = x, indices = i, axis = int32(0){});", "x"},
      {"[2]", "tensor<fp32, [2, 2]> y = gather(x = w, indices = i, axis = int32(0){});", "w"},
      {"[2]", "tensor<fp32, [2, 2]> y = gather(x = t, indices = i, axis = int32(1){});", "t"},
      {"[2, 2]",
       "tensor<fp32, [2, 2]> y = gather_along_axis(x = x, indices = i, axis = int32(0){});", "x"},
      {"[2, 1]", "tensor<fp32, [2, 2]> y = gather_nd(x = x, indices = i{});", "x"},
      {"[2]",
       "tensor<fp32, [3, 2]> y = scatter(data = x, indices = i, updates = u, axis = int32(0), mode "
       "= string(\"add\"){});",
       "x"},
      {"[2, 2]",
       "tensor<fp32, [3, 2]> y = scatter_along_axis(data = x, indices = i, updates = u, axis = "
       "int32(0), mode = string(\"update\"){});",
       "x"},
      {"[2, 1]",
       "tensor<fp32, [3, 2]> y = scatter_nd(data = x, indices = i, updates = u, mode = "
       "string(\"add\"){});",
       "x"}};
  constexpr int32_t kLeast = std::numeric_limits<int32_t>::min();
  for (const auto& [shape, statement, data] : rows) {
    for (const char* validate :
         {"", ", validate_indices = bool(false)", ", validate_indices = bool(true)"}) {
      const std::string text = std::string(kWeight) +
                               "tensor<fp32, [2, 3]> t = transpose(x = x, perm = tensor<int32, "
                               "[2]>([1, 0]));\n" +
                               fmt::format(fmt::runtime(statement), validate);
      const TestProgram program(
          fmt::format("tensor<fp32, [3, 2]> x, tensor<fp32, [2, 2]> u, tensor<int32, {}> i", shape),
          text, "y");
      const auto session = program.session({.poison = true});
      const bool strict = std::string(validate).find("true") != std::string::npos;
      const auto inputs_at = [&, shape = std::string(shape)](int32_t position) {
        const Shape of = shape == "[2]" ? Shape{2} : shape == "[2, 1]" ? Shape{2, 1} : Shape{2, 2};
        Tensor i(DType::kI32, of);
        for (int64_t k = 0; k < i.count(); ++k) i.set_integer(k, k + 2 > i.count() ? position : 0);
        return TensorMap{{"x", floats({1, 2, 3, 4, 5, 6}, {3, 2})},
                         {"u", floats({10, 20, 30, 40}, {2, 2})},
                         {"i", i}};
      };
      const auto planned = [&](int32_t position) {
        return session->run(inputs_at(position)).outputs.at("y").tensor;
      };
      for (const int32_t position : {0, 1, 2, -1, -2, -3, 3, -4, kLeast, ~kLeast}) {
        SCOPED_TRACE(fmt::format("{} {} at {}", statement, data, position));
        if (position < (strict ? 0 : -3) || position > 2) {
          const std::string sentence =
              fmt::format("indices: expected values in [{}, 2], got {}", strict ? 0 : -3, position);
          for (const std::string& error :
               {error_of([&] { (void)planned(position); }),
                error_of([&] { (void)program.expected(inputs_at(position)); })}) {
            EXPECT_NE(error.find(sentence), std::string::npos) << error;
          }
          continue;
        }
        const Tensor got = planned(position);
        EXPECT_TRUE(bit_equal(got, program.expected(inputs_at(position)).at("y").tensor));
        if (position < 0) {
          EXPECT_TRUE(bit_equal(got, planned(position + 3)));
        }
      }
    }
  }
}

// An overlap of 1/5 or 1/2 that is the threshold: rows of boxes are (x, y, width, height).
TEST(NonMaximumSuppression, at_the_threshold_is_that_of_the_opset) {
  const auto indices_of = [](const char* opset, const char* threshold, const Tensor& boxes) {
    const bool last = std::string(opset) != "ios16";
    const std::string shape = last ? "[1, 4, 2]" : "[1, 2, 4]";
    const std::string text = fmt::format(
        "program(1.3) {{ func main<{}>(tensor<fp32, {}> b, tensor<fp32, {}> s) {{ "
        "tensor<fp32, {}> o, tensor<fp32, {}> p, tensor<int32, [1, 2]> y{} = "
        "non_maximum_suppression(boxes = b, scores = s, iou_threshold = fp32({}){}, max_boxes = "
        "int32(2)); }} -> (y); }}",
        opset, shape, last ? "[1, 1, 2]" : "[1, 2, 1]", shape, last ? "[1, 1, 2]" : "[1, 2, 1]",
        last ? "" : ", tensor<int32, [1]> k", threshold, last ? "" : ", score_threshold = fp32(0)");
    const auto program = ir::text::parse(text);
    Tensor b(DType::kF32, last ? Shape{1, 4, 2} : Shape{1, 2, 4});
    for (int64_t i = 0; i < 2; ++i) {
      for (int64_t k = 0; k < 4; ++k) {
        b.set_number(last ? k * 2 + i : i * 4 + k, boxes.number_at(i * 4 + k));
      }
    }
    const Tensor s = Tensor::from<float>({2, 1}, last ? Shape{1, 1, 2} : Shape{1, 2, 1});
    const Tensor y = exec::run_naive(*program->functions[0], ops::catalog(), {{"b", b}, {"s", s}})
                         .at("y")
                         .tensor;
    return std::vector<int64_t>{y.integer_at(0), y.integer_at(1)};
  };
  const Tensor fifth = floats({1.5f, 2, 1, 2, 1, 1, 2, 2}, {2, 4});
  const Tensor half = floats({1, 0.5f, 2, 1, 0.5f, 0.5f, 1, 1}, {2, 4});
  const std::vector<int64_t> both{0, 1}, one{0, -1};
  EXPECT_EQ(indices_of("ios16", "0.2", fifth), both);
  EXPECT_EQ(indices_of("ios17", "0.2", fifth), one);
  EXPECT_EQ(indices_of("ios17", "0.20000002", fifth), both);
  EXPECT_EQ(indices_of("ios16", "0.5", half), both);
  EXPECT_EQ(indices_of("ios17", "0.5", half), both);
  EXPECT_EQ(indices_of("ios17", "0.499", half), one);
}

TEST(Casts, that_change_nothing_may_stand_behind_ones_that_widen) {
  const TestProgram program("tensor<fp16, [2, 2]> x", R"(
  tensor<fp32, [2, 2]> wide = cast(x = x, dtype = string("fp32"));
  tensor<fp32, [2, 2]> same = cast(x = wide, dtype = string("fp32"));
  tensor<fp32, [4]> y = reshape(x = same, shape = tensor<int32, [1]>([4]));)",
                            "y");
  const Tensor x = Tensor::from<float>({1, 2, 3, 4}, {2, 2}).to(DType::kF16);
  const exec::RunResult result = program.session({})->run({{"x", x}}, nullptr);
  EXPECT_TRUE(bit_equal(result.outputs.at("y").tensor, Tensor::from<float>({1, 2, 3, 4}, {4})));
}

}  // namespace
}  // namespace mw::cpu
