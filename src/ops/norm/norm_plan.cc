// Plans of the normalisations over last axes: parts of a row program.
#include "ops/catalog_plan.h"
#include "ops/last_axes_plan.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

using plan::RowBuilder;
using plan::RowDomain;
using plan::RowOp;

std::optional<RowDomain> normalised(const OpView& op) {
  for (const char* input : {"gamma", "beta"}) {
    if (op.has(input) && op.dtype(input) != DType::kF32) return std::nullopt;
  }
  if (op.has("epsilon") && op.known("epsilon") == nullptr) return std::nullopt;
  return over_last_axes(op);  // gamma and beta list their extents in the order of x
}

// y = gamma (x - mean) / sqrt(variance + epsilon) + beta. Rounding leaves a rest r in n = x - mean
// when the mean is large; it is the mean of n, and the variance is mean(n^2) - r^2. Where squares
// leave the range of fp32 the variance is computed anew.
void emit_layer_norm(RowBuilder& b, const OpView& op) {
  const double epsilon = op.number("epsilon");
  const int count = b.number(static_cast<double>(b.width()));
  const int x = b.in("x");
  const int n = b.emit(RowOp::kSub, {x, b.emit(RowOp::kRowMean, x)});
  const int rest = b.emit(RowOp::kRowMean, n);
  const int squares = b.emit(RowOp::kDiv, {b.emit(RowOp::kRowSumSquares, n), count});
  const int variance = b.emit(RowOp::kSub, {squares, b.emit(RowOp::kSquare, rest)});
  const int fast = b.emit(RowOp::kRsqrt, b.emit(RowOp::kAdd, {variance, b.number(epsilon)}));
  const int scale = b.emit_checked(RowOp::kRowRstd, n, fast, epsilon);
  const int offset = b.emit(RowOp::kNeg, b.emit(RowOp::kMul, {rest, scale}));
  int y = b.emit(RowOp::kMulAdd, {n, scale, offset});
  if (op.has("gamma") && op.has("beta")) {
    y = b.emit(RowOp::kMulAdd, {y, b.in("gamma"), b.in("beta")});
  } else if (op.has("gamma")) {
    y = b.emit(RowOp::kMul, {y, b.in("gamma")});
  } else if (op.has("beta")) {
    y = b.emit(RowOp::kAdd, {y, b.in("beta")});
  }
  b.result(y);
}

}  // namespace

void add_norm_plans(plan::OpPlans& plans) {
  plans["layer_norm"].row = {normalised, emit_layer_norm};
}

}  // namespace mw::ops
