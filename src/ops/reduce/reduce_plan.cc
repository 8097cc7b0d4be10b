// Plans of the reduce family: reductions over the last axes are parts of a row program.
#include "ops/catalog_plan.h"
#include "ops/last_axes_plan.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

using plan::RowBuilder;
using plan::RowOp;

plan::RowRule reduction(RowOp code) {
  return {over_last_axes,
          [code](RowBuilder& b, const OpView&) { b.result(b.emit(code, b.in("x"))); }};
}

plan::RowRule reduction_then(RowOp code, RowOp after, RowOp checked) {
  return {over_last_axes, [code, after, checked](RowBuilder& b, const OpView&) {
            const int x = b.in("x");
            b.result(b.emit_checked(checked, x, b.emit(after, b.emit(code, x))));
          }};
}

}  // namespace

void add_reduce_plans(plan::OpPlans& plans) {
  plans["reduce_sum"].row = reduction(RowOp::kRowSum);
  plans["reduce_max"].row = reduction(RowOp::kRowMax);
  plans["reduce_min"].row = reduction(RowOp::kRowMin);
  plans["reduce_l1_norm"].row = reduction(RowOp::kRowSumAbs);
  plans["reduce_sum_square"].row = reduction(RowOp::kRowSumSquares);
  plans["reduce_l2_norm"].row =
      reduction_then(RowOp::kRowSumSquares, RowOp::kSqrt, RowOp::kRowNorm);
  plans["reduce_log_sum"].row = reduction_then(RowOp::kRowSum, RowOp::kLog, RowOp::kRowLogSum);
  plans["reduce_mean"].row = reduction(RowOp::kRowMean);
}

}  // namespace mw::ops
