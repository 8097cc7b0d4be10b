// That large weights take no more memory than they are stored in.
#include <cstdlib>
#include <memory>

#include "cpu/testing.h"
#include "ir/builder.h"

namespace mw::cpu {
namespace {

// Of 2^26 elements, nearly all of them zero, by rows and by columns.
TEST(LargeWeight, of_halves_is_packed_nowhere) {
  constexpr int64_t kRows = 64, kColumns = int64_t{1} << 20;
  for (const DType stored : {DType::kF16, DType::kBF16}) {
    for (const bool turned : {false, true}) {
      const Shape shape = turned ? Shape{kColumns, kRows} : Shape{kRows, kColumns};
      Tensor weight(stored, shape);
      const auto at = [&](int64_t row, int64_t column) {
        return turned ? column * kRows + row : row * kColumns + column;
      };
      weight.set_number(at(3, 5), 2);
      weight.set_number(at(63, kColumns - 1), 0.5);
      ir::Function function;
      function.name = "main";
      function.opset = ir::Opset::kIos18;
      ir::Builder b(function.body, ops::catalog(), function.opset);
      ir::Value* x = function.body.add_argument("x", ir::Type::tensor(DType::kF32, {8, kRows}));
      ir::Value* w = b.constant(ir::Constant::tensor(weight), "w");
      w = b.op("cast", {{"x", w}, {"dtype", std::string("fp32")}});
      function.body.outputs = {b.op("matmul", {{"x", x}, {"y", w}, {"transpose_y", turned}}, "y")};
      const exec::Session session(function,
                                  [&](const auto&) { return ir::clone(function).function; },
                                  devices::platform("cpu"), {});
      const Tensor given = noise({8, kRows}, 1);
      const Tensor y = session.run({{"x", given}}).outputs.at("y").tensor;
      for (int64_t row = 0; row < 8; ++row) {
        EXPECT_EQ(y.number_at(row * kColumns + 5), 2 * given.number_at(row * kRows + 3));
        EXPECT_EQ(y.number_at((row + 1) * kColumns - 1), 0.5 * given.number_at(row * kRows + 63));
        EXPECT_EQ(y.number_at(row * kColumns + 1000), 0);
      }
      EXPECT_LE(session.weight_bytes_held(), static_cast<uint64_t>(weight.nbytes()) * 11 / 10);
    }
  }
}

// A table of so many rows, of which one is taken, and a weight that all rows go through.
int64_t held_beside_table(int64_t table_rows) {
  constexpr int64_t kWidth = 256, kTokens = 8;
  const Shape shape{table_rows, kWidth};
  const std::shared_ptr<void> zeros(std::calloc(static_cast<size_t>(count_of(shape)), 2),
                                    std::free);
  const Tensor table(DType::kF16, shape, zeros, zeros.get());
  Tensor weight(DType::kF16, {kWidth, kWidth});
  for (int64_t i = 0; i < kWidth; ++i) weight.set_number(i * kWidth + i, 2);
  ir::Function function;
  function.name = "main";
  function.opset = ir::Opset::kIos18;
  ir::Builder b(function.body, ops::catalog(), function.opset);
  ir::Value* x = function.body.add_argument("x", ir::Type::tensor(DType::kF32, {kTokens, kWidth}));
  const auto widened = [&](const Tensor& tensor, const char* name) {
    ir::Value* value = b.constant(ir::Constant::tensor(tensor), name);
    return b.op("cast", {{"x", value}, {"dtype", std::string("fp32")}});
  };
  ir::Value* row = b.op(
      "gather", {{"x", widened(table, "table")}, {"indices", int32_t{3}}, {"axis", int32_t{0}}});
  ir::Value* sum = b.op("add", {{"x", x}, {"y", row}});
  function.body.outputs = {
      b.op("matmul", {{"x", sum}, {"y", widened(weight, "w")}, {"transpose_y", true}}, "y")};
  const exec::Session session(function, [&](const auto&) { return ir::clone(function).function; },
                              devices::platform("cpu"), {});
  const Tensor given = noise({kTokens, kWidth}, 1);
  const Tensor y = session.run({{"x", given}}).outputs.at("y").tensor;
  for (int64_t i = 0; i < y.count(); ++i) EXPECT_EQ(y.number_at(i), 2 * given.number_at(i));
  return static_cast<int64_t>(session.weight_bytes_held()) - table.nbytes();
}

// Where there are many of them, small ones are packed nowhere, either.
TEST(LargeWeight, of_a_program_with_many_halves_is_packed_nowhere) {
  constexpr int64_t kPacked = 256 * 256 * 4;
  EXPECT_GE(held_beside_table(64), kPacked);
  EXPECT_LT(held_beside_table(int64_t{1} << 20), kPacked);
}

}  // namespace
}  // namespace mw::cpu
