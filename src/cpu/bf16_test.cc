// Programs computed in bf16: planned beside op by op. With MW_BF16_PRODUCTS=1 the library
// multiplies bf16 where it can; without, on most processors, what is rounded is multiplied in fp32.
#include "base/half.h"
#include "cpu/library.h"
#include "cpu/primitives.h"
#include "cpu/testing.h"

namespace mw::cpu {
namespace {

float rounded(float value) { return bf16_to_f32(f32_to_bf16(value)); }

uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

TEST(Bf16, loops_round_as_tensors_do) {
  std::vector<float> numbers{0.0F, -0.0F,  1.0F,       -1.0F,   HUGE_VALF, -HUGE_VALF,    NAN,
                             -NAN, 1e-45F, 3.3895e38F, 3.4e38F, -3.4e38F,  1.1754944e-38F};
  for (uint32_t high = 0x3f80; high < 0x3f84; ++high) {  // halves to even
    for (const uint32_t low : {0x0000U, 0x0001U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU}) {
      const uint32_t bits = high << 16 | low;
      float value;
      std::memcpy(&value, &bits, sizeof(value));
      numbers.push_back(value);
    }
  }
  for (size_t count = 1; count <= numbers.size(); ++count) {  // whole vectors and what is left
    std::vector<float> got(count), back(count);
    std::vector<uint16_t> stored(count);
    unary_loop(plan::RowOp::kRoundBf16)(numbers.data(), got.data(), count, 0, 0);
    store_loop(DType::kBF16)(numbers.data(), stored.data(), count);
    load_loop(DType::kBF16)(stored.data(), back.data(), count);
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(bits_of(got[i]), bits_of(rounded(numbers[i]))) << numbers[i];
      EXPECT_EQ(stored[i], f32_to_bf16(numbers[i])) << numbers[i];
      EXPECT_EQ(bits_of(back[i]), bits_of(got[i])) << numbers[i];
    }
  }
}

// The largest difference in parts of the row's range: what is rounded once may be off by 2^-8 of
// it.
void expect_within_range(const Tensor& got, const Tensor& want, const std::string& label) {
  ASSERT_EQ(got.shape(), want.shape()) << label;
  const int64_t width = want.shape().empty() ? 1 : want.shape().back();
  for (int64_t row = 0; row < want.count(); row += width) {
    double range = 0;
    for (int64_t i = row; i < row + width; ++i)
      range = std::max(range, std::fabs(want.number_at(i)));
    for (int64_t i = row; i < row + width; ++i) {
      ASSERT_LE(std::fabs(got.number_at(i) - want.number_at(i)), range * 0x1p-7)
          << label << " at " << i;
    }
  }
}

void expect_same(const TestProgram& program, const TensorMap& inputs, const std::string& label) {
  const exec::RunResult result = program.session()->run(inputs);
  for (const auto& [name, want] : program.expected(inputs)) {
    expect_within_range(result.outputs.at(name).tensor, want.tensor, label + " " + name);
  }
}

// Weights as states, as they are while they are trained, and as inputs of two computed values.
TEST(Bf16, products_are_those_of_rounded_factors) {
  for (const int64_t m : {1, 3, 4, 5, 17, 64}) {
    for (const int64_t k : {1, 7, 48, 129}) {
      for (const int64_t n : {1, 5, 33, 96}) {
        const std::string x = fmt::format("tensor<fp32, [{}, {}]>", m, k),
                          w = fmt::format("tensor<fp32, [{}, {}]>", n, k),
                          y = fmt::format("tensor<fp32, [{}, {}]>", m, n),
                          t = fmt::format("tensor<fp32, [{}, {}]>", k, n),
                          g = fmt::format("tensor<fp32, [{}, {}]>", n, m);
        const TestProgram program(x + " x, " + w + " w, " + t + " t",
                                  fmt::format(R"(
              {} a = matmul(x = x, y = w, transpose_y = bool(true));
              {} b = matmul(x = x, y = t);
              {} c = mul(x = b, y = a);
              {} d = matmul(x = w, y = x, transpose_y = bool(true));
              {} e = matmul(x = x, y = c, transpose_x = bool(true));)",
                                              y, y, y, g, t),
                                  "a, b, c, d, e", passes::kBf16);
        expect_same(program,
                    {{"x", noise({m, k}, 1)}, {"w", noise({n, k}, 2)}, {"t", noise({k, n}, 3)}},
                    fmt::format("{} x {} x {}", m, n, k));
      }
    }
  }
}

// Of more numbers than are folded into constants before a plan is made.
TEST(Bf16, layers_with_constant_weights_give_what_they_give_op_by_op) {
  std::string weights;
  const auto constant = [](const char* name, int64_t rows, int64_t columns, int seed) {
    std::string text =
        fmt::format("tensor<fp32, [{0}, {1}]> {2} = const()[val = tensor<fp32, [{0}, {1}]>([", rows,
                    columns, name);
    const Tensor values = noise({rows, columns}, static_cast<uint64_t>(seed));
    for (int64_t i = 0; i < values.count(); ++i) {
      text += i % columns == 0 ? (i > 0 ? "], [" : "[") : ", ";
      text += fmt::format("{}", values.number_at(i));
    }
    return text + "]])];\n";
  };
  weights += constant("u", 96, 64, 5) + constant("v", 96, 64, 6) + constant("d", 64, 96, 7);
  for (const int64_t m : {1, 2, 9, 40}) {
    const TestProgram program(fmt::format("tensor<fp32, [1, {}, 64]> x", m),
                              weights + fmt::format(R"(
          tensor<fp32, [1, {0}, 96]> gate = linear(x = x, weight = u);
          tensor<fp32, [1, {0}, 96]> up = linear(x = x, weight = v);
          tensor<fp32, [1, {0}, 96]> s = silu(x = gate);
          tensor<fp32, [1, {0}, 96]> h = mul(x = s, y = up);
          tensor<fp32, [1, {0}, 64]> down = linear(x = h, weight = d);
          tensor<fp32, [1, {0}, 64]> y = add(x = down, y = x);)",
                                                    m),
                              "y, h", passes::kBf16);
    expect_same(program, {{"x", noise({1, m, 64}, 4)}}, fmt::format("{} rows", m));
  }
}

TEST(Bf16, heads_and_probabilities_give_what_they_give_op_by_op) {
  const TestProgram program(R"(tensor<fp32, [2, 3, 20, 16]> q, tensor<fp32, [2, 3, 20, 16]> k,
                               tensor<fp32, [2, 3, 20, 16]> v)",
                            R"(
    tensor<fp32, [2, 3, 20, 20]> s = matmul(x = q, y = k, transpose_y = bool(true));
    tensor<fp32, [2, 3, 20, 20]> c = mul(x = s, y = fp32(0.25));
    tensor<fp32, [2, 3, 20, 20]> p = softmax(x = c, axis = int32(-1));
    tensor<fp32, [2, 3, 20, 16]> y = matmul(x = p, y = v);)",
                            "y", passes::kBf16);
  expect_same(program,
              {{"q", noise({2, 3, 20, 16}, 1)},
               {"k", noise({2, 3, 20, 16}, 2)},
               {"v", noise({2, 3, 20, 16}, 3)}},
              "attention");
}

// Of one op, by itself and where its result is rounded for the layer that follows.
TEST(Bf16, attention_and_its_gradients_give_what_they_give_op_by_op) {
  const char* arguments = R"(tensor<fp32, [2, 3, 20, 16]> q, tensor<fp32, [2, 3, 20, 16]> k,
                             tensor<fp32, [2, 3, 20, 16]> v, tensor<fp32, [2, 3, 20, 16]> g)";
  const char* body = R"(
    tensor<fp32, [2, 3, 20, 16]> a = mw.scaled_attention(query = q, key = k, value = v,
        scale = fp32(0.25));
    tensor<fp32, [2, 3, 20, 20]> y = matmul(x = a, y = g, transpose_y = bool(true));
    tensor<fp32, [2, 3, 20, 16]> dq, tensor<fp32, [2, 3, 20, 16]> dk,
        tensor<fp32, [2, 3, 20, 16]> dv = mw.scaled_attention_gradient(query = q, key = k,
        value = v, scale = fp32(0.25), y_grad = g, query_grad = bool(true), key_grad = bool(true),
        value_grad = bool(true));)";
  for (const char* outputs : {"a, y, dq, dk, dv", "y, dk"}) {
    const TestProgram program(arguments, body, outputs, passes::kBf16);
    expect_same(program,
                {{"q", noise({2, 3, 20, 16}, 1)},
                 {"k", noise({2, 3, 20, 16}, 2)},
                 {"v", noise({2, 3, 20, 16}, 3)},
                 {"g", noise({2, 3, 20, 16}, 4)}},
                outputs);
  }
}

// With chunks that are not whole, rows that do not count, more than a piece of classes, and either
// layout of the weight. The first result is a sum over all rows, in fp32.
TEST(Bf16, loss_of_a_layer_gives_what_it_gives_op_by_op) {
  constexpr int64_t kRows = 21, kDepth = 12, kClasses = 4113;
  for (const bool first : {true, false}) {
    const Shape matrix = first ? Shape{kClasses, kDepth} : Shape{kDepth, kClasses};
    const std::string weight = fmt::format("tensor<fp32, [{}, {}]>", matrix[0], matrix[1]),
                      x = fmt::format("tensor<fp32, [{}, {}]>", kRows, kDepth),
                      bias = fmt::format("tensor<fp32, [{}]>", kClasses);
    const TestProgram program(
        fmt::format("{} x, {} w, {} b, tensor<int32, [{}]> labels", x, weight, bias, kRows),
        fmt::format(R"(
    fp32 sum, fp32 count, {} x_grad, {} w_grad, {} b_grad = mw.linear_cross_entropy(x = x,
        weight = w, labels = labels, bias = b, outputs_first = bool({}), rows_at_once = int32(8),
        x_grad = bool(true), weight_grad = bool(true), bias_grad = bool(true));)",
                    x, weight, bias, first),
        "sum, count, x_grad, w_grad, b_grad", passes::kBf16);
    Tensor labels(DType::kI32, {kRows});
    for (int64_t i = 0; i < kRows; ++i) {
      labels.set_integer(i, i % 5 == 3 ? -100 : i * 197 % kClasses);
    }
    expect_same(program,
                {{"x", noise({kRows, kDepth}, 1)},
                 {"w", noise(matrix, 2)},
                 {"b", noise({kClasses}, 3)},
                 {"labels", labels}},
                fmt::format("outputs first: {}", first));
  }
}

// The library itself: packed or not, into bf16 and into fp32.
TEST(Bf16, library_multiplies_bf16_where_it_can) {
  constexpr int64_t kM = 37, kN = 45, kK = 67;
  const Tensor a = noise({kM, kK}, 1).to(DType::kBF16), b = noise({kN, kK}, 2).to(DType::kBF16);
  int made = 0;
  for (const bool packed : {false, true}) {
    for (const DType result : {DType::kF32, DType::kBF16}) {
      MatmulShape shape;
      shape.m = kM;
      shape.n = kN;
      shape.k = kK;
      shape.a = {{}, {}, kK, 1, DType::kBF16};
      shape.b = {{}, {}, 1, kK, DType::kBF16};
      shape.c = {{}, {}, kN, 1, result};
      shape.packed_b = packed;
      const auto matmul = built_library().matmul(shape);
      if (matmul == nullptr) continue;
      ++made;
      Tensor weight(DType::kU8, {std::max<int64_t>(matmul->packed_bytes(), 1)});
      Tensor scratch(DType::kU8, {std::max<int64_t>(matmul->scratch_bytes(), 1)});
      if (packed) matmul->pack(b.raw(), 1, kK, weight.mutable_raw());
      Tensor c(result, {kM, kN});
      matmul->run(a.raw(), packed ? weight.raw() : b.raw(), nullptr, c.mutable_raw(),
                  scratch.mutable_raw());
      for (int64_t i = 0; i < kM; ++i) {
        for (int64_t j = 0; j < kN; ++j) {
          double sum = 0;
          for (int64_t k = 0; k < kK; ++k) sum += a.number_at(i * kK + k) * b.number_at(j * kK + k);
          ASSERT_NEAR(c.number_at(i * kN + j), sum, result == DType::kF32 ? 1e-4 : 0.05);
        }
      }
    }
  }
  if (built_library().multiplies_bf16()) {
    EXPECT_EQ(made, 4);
  }
}

}  // namespace
}  // namespace mw::cpu
