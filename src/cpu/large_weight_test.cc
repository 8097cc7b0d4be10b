// That large weights take no more memory than they are stored in.
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

}  // namespace
}  // namespace mw::cpu
