// Tests of row programs whose rows are cut into tiles, or several to a tile: what each tile needs
// of the numbers that a row has once, and where results and operands lie.
#include "cpu/row_registers.h"
#include "cpu/testing.h"

namespace mw::cpu {
namespace {

constexpr int64_t kRows = 11;
// Around the extents of a tile, of several rows of it, and of a unit.
constexpr int64_t kWidths[] = {1, 3, 48, 100, 191, 192, 193, 384, 1000, 20'000};

// `body` of x [11, width], a and b [11, 1], c [width] and flags [11, 1] makes y.
void check(const std::string& body, const std::string& outputs = "y") {
  for (const int64_t width : kWidths) {
    const auto typed = [&](const std::string& text) {
      return fmt::format(fmt::runtime(text), fmt::arg("w", width));
    };
    const TestProgram program(typed("tensor<fp32, [11, {w}]> x, tensor<fp32, [11, 1]> a, "
                                    "tensor<fp32, [11, 1]> b, tensor<fp32, [{w}]> c, "
                                    "tensor<fp16, [11, {w}]> h, tensor<bool, [11, 1]> flags"),
                              typed(body), outputs);
    TensorMap inputs{{"x", noise({kRows, width}, 1)},
                     {"a", noise({kRows, 1}, 2)},
                     {"b", noise({kRows, 1}, 3)},
                     {"c", noise({width}, 4)},
                     {"h", noise({kRows, width}, 5).to(DType::kF16)}};
    Tensor flags(DType::kBool, {kRows, 1});
    for (int64_t i = 0; i < kRows; ++i) flags.set_integer(i, i % 3 == 0 ? 1 : 0);
    inputs["flags"] = flags;
    exec::SessionOptions options;
    options.poison = options.profile = true;
    options.threads = 2;
    const auto session = program.session(options);
    const exec::RunResult result = session->run(inputs);
    for (const auto& [name, want] : program.expected(inputs)) {
      expect_near(result.outputs.at(name).tensor, want.tensor, 2e-6,
                  fmt::format("{} of rows of {}", name, width));
    }
    for (const auto& step : session->profile().rows) EXPECT_NE(step.kind, "reference");
  }
}

TEST(RowTiles, numbers_per_row_are_read_in_every_tile) {
  check(R"(
    tensor<fp32, [11, {w}]> u = mul(x = x, y = a);
    tensor<fp32, [11, 1]> e = exp(x = b);
    tensor<fp32, [11, 1]> f = add(x = e, y = b);
    tensor<fp32, [11, {w}]> v = add(x = u, y = e);
    tensor<fp32, [11, {w}]> t = sub(x = v, y = f);
    tensor<fp32, [11, {w}]> y = mul(x = t, y = c);)");
}

TEST(RowTiles, numbers_per_row_are_results_as_well) {
  check(R"(
    tensor<fp32, [11, 1]> e = exp(x = a);
    tensor<fp32, [11, {w}]> u = mul(x = x, y = e);
    tensor<fp32, [11, 1]> f = sub(x = e, y = b);
    tensor<fp32, [11, {w}]> y = add(x = u, y = f);)",
        "y, e, f");
}

TEST(RowTiles, halves_are_widened_and_results_rounded_tile_by_tile) {
  check(R"(
    tensor<fp32, [11, {w}]> g = cast(x = h, dtype = string("fp32"));
    tensor<fp32, [11, {w}]> u = mul(x = g, y = x);
    tensor<fp32, [11, {w}]> v = select(cond = flags, a = u, b = g);
    tensor<fp16, [11, {w}]> y = cast(x = v, dtype = string("fp16"));)",
        "y, v");
}

TEST(RowTiles, what_is_of_whole_rows_sees_them_whole) {
  check(R"(
    tensor<fp32, [11, {w}]> u = mul(x = x, y = c);
    tensor<fp32, [11, 1]> s = reduce_sum(x = u, axes = tensor<int32, [1]>([-1]),
        keep_dims = bool(true));
    tensor<fp32, [11, 1]> m = mul(x = s, y = a);
    tensor<fp32, [11, {w}]> d = sub(x = u, y = m);
    tensor<fp32, [11, 1]> t = reduce_max(x = d, axes = tensor<int32, [1]>([-1]),
        keep_dims = bool(true));
    tensor<fp32, [11, {w}]> y = sub(x = d, y = t);)",
        "y, s");
}

TEST(RowTiles, a_number_is_repeated_along_each_row) {
  check(R"(
    tensor<fp32, [11, {w}]> zero = mul(x = x, y = fp32(0));
    tensor<fp32, [11, {w}]> y = add(x = zero, y = a);)");
}

// y = x a + e^b, where a and b are numbers per row.
plan::RowProgram with_numbers_per_row(bool whole_rows) {
  using Form = plan::RowProgram::Form;
  plan::RowProgram program;
  program.outer = {kRows};
  program.width = 1000;
  program.whole_rows = whole_rows;
  program.values.resize(6);
  for (const size_t value : {1, 2, 4}) program.values[value].form = Form::kPerRow;
  program.inputs = {{0, {0, 0}, DType::kF32, {1000}, 1},
                    {1, {1, 0}, DType::kF32, {1}, 0},
                    {2, {2, 0}, DType::kF32, {1}, 0}};
  program.outputs = {{5, {3, 0}, DType::kF16, {1000}, 1}};
  program.code = {{plan::RowOp::kMul, 3, {0, 1, -1}},
                  {plan::RowOp::kExp, 4, {2, -1, -1}},
                  {plan::RowOp::kAdd, 5, {3, 4, -1}}};
  return program;
}

TEST(RowTiles, registers_of_numbers_per_row_are_kept_for_the_tiles_that_follow) {
  const RowRegisters cut = assign_registers(with_numbers_per_row(false), 192, 192);
  EXPECT_EQ(cut.offset[0], -1);  // read where it lies
  EXPECT_NE(cut.offset[4], cut.offset[1]);
  EXPECT_EQ(cut.floats, 5 * 192);
  const RowRegisters whole = assign_registers(with_numbers_per_row(true), 192, 192);
  EXPECT_EQ(whole.offset[4], whole.offset[1]);
  EXPECT_EQ(whole.floats, 4 * 192);
}

// Rows of an operand that lie apart, in the same order or turned.
TEST(RowTiles, rows_may_lie_apart) {
  for (const int64_t width : {5, 192, 300}) {
    const TestProgram program(
        fmt::format("tensor<fp32, [2, 7, 3, {0}]> x, tensor<fp32, [2, 3, 7, {0}]> z", width),
        fmt::format(R"(
      tensor<fp32, [2, 3, 7, {0}]> t = transpose(x = x, perm = tensor<int32, [4]>([0, 2, 1, 3]));
      tensor<fp32, [2, 3, 7, {0}]> u = mul(x = t, y = z);
      tensor<fp32, [2, 3, 7, {0}]> y = add(x = u, y = fp32(2));)",
                    width),
        "y");
    const TensorMap inputs{{"x", noise({2, 7, 3, width}, 1)}, {"z", noise({2, 3, 7, width}, 2)}};
    expect_near(program.session()->run(inputs).outputs.at("y").tensor,
                program.expected(inputs).at("y").tensor, 1e-6, "y");
  }
}

}  // namespace
}  // namespace mw::cpu
