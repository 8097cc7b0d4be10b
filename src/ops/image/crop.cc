// crop: x without some rows and columns at its edges (the last two axes).
#include <cstring>

#include "ops/shape/rules.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

// Elements to cut off before and after an axis.
std::vector<int64_t> edges(const OpView& op, std::string_view input, int64_t extent) {
  std::vector<int64_t> cut = op.ints(input);
  if (cut.size() != 2) op.reject(input, "expected 2 values, got {}", cut.size());
  for (const int64_t value : cut) {
    if (value < 0 || value > 0x7fffffff) {
      op.reject(input, "expected values in [0, 2147483647], got {}", value);
    }
  }
  if (extent != kAny && cut[0] + cut[1] > extent) {
    op.reject(input, "expected at most {} elements to cut off, got {} + {}", extent, cut[0],
              cut[1]);
  }
  return cut;
}

Type infer(const OpView& op) {
  expect_numeric(op, "x");
  expect_rank(op, "x", 3, kMaxRank);
  const Type x = op.tensor_type("x");
  Shape shape = x.shape();
  const char* inputs[] = {"crop_height", "crop_width"};
  for (size_t i = 0; i < 2; ++i) {
    int64_t& extent = shape[shape.size() - 2 + i];
    const std::vector<int64_t> cut = edges(op, inputs[i], extent);
    if (extent != kAny) extent -= cut[0] + cut[1];
  }
  return Type::tensor(x.dtype(), shape);
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const int64_t rows = y.dim(-2), width = y.dim(-1);
  const int64_t top = e.ints("crop_height")[0], left = e.ints("crop_width")[0];
  const int64_t element = bytes_of(x.dtype(), 1);
  const auto* from = static_cast<const char*>(x.raw());
  auto* to = static_cast<char*>(y.mutable_raw());
  for (int64_t row = 0; row < y.count() / width; ++row) {
    const int64_t start = (row / rows * x.dim(-2) + top + row % rows) * x.dim(-1) + left;
    std::memcpy(to, from + start * element, static_cast<size_t>(width * element));
    to += width * element;
  }
}

void rule(Vjp& v) {
  const Shape x = v.shape("x");
  std::vector<int64_t> begin(x.size(), 0);
  begin[x.size() - 2] = v.ints("crop_height")[0];
  begin[x.size() - 1] = v.ints("crop_width")[0];
  v.add("x", placed(grad(v), begin, x));
}

}  // namespace

OpDef crop() {
  return OpDef("crop")
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .input("crop_height", DType::kI32, kConst)
      .input("crop_width", DType::kI32, kConst)
      .traits(kSlices)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
