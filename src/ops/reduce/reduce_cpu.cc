// Kernels of the reduce family: reductions over axes in the middle add up whole rows.
#include <algorithm>
#include <cmath>

#include "cpu/parallel.h"
#include "cpu/primitives.h"
#include "ops/kernels_cpu.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

using plan::Claim;
using plan::Frame;
using plan::Kernel;
using plan::Place;
using plan::RowOp;

constexpr int64_t kColumns = 512;   // summed at a time
constexpr int64_t kRunLength = 64;  // rows added up before their sum is added to the rest

// y[o, i] = the reduction over r of x[o, r, i].
class ReduceColumns : public Kernel {
 public:
  ReduceColumns(Claim& claim, RowOp code, bool mean, const Shape& extents, const Place& x,
                const Place& y)
      : extents_(extents),
        x_(x.ref),
        y_(y.ref),
        slots_(claim.slots()),
        sums_(code == RowOp::kRowSum),
        mean_(mean) {
    square_ = code == RowOp::kRowSumSquares ? cpu::ternary_loop(RowOp::kMulAdd, 0) : nullptr;
    const RowOp pair = code == RowOp::kRowMax   ? RowOp::kMax
                       : code == RowOp::kRowMin ? RowOp::kMin
                                                : RowOp::kAdd;
    join_ = cpu::binary_loop(pair, cpu::Scalar::kNone);
    if (mean) scale_ = 1 / static_cast<float>(extents_[1]);
    affine_ = cpu::unary_loop(RowOp::kAffine);
    buffer_ = claim.workspace(slots_ * kColumns * static_cast<int64_t>(sizeof(float))).ref;
  }

  void run(const Frame& frame) const override {
    const int64_t pieces = (extents_[2] + kColumns - 1) / kColumns;
    cpu::parallel_blocks(extents_[0] * pieces, 1, slots_,
                         [&](int slot, int64_t begin, int64_t end) {
                           float* buffer = frame.as<float>(buffer_) + slot * kColumns;
                           for (int64_t unit = begin; unit < end; ++unit) {
                             reduce(frame, buffer, unit / pieces, unit % pieces * kColumns);
                           }
                         });
  }

 private:
  void reduce(const Frame& frame, float* buffer, int64_t outer, int64_t column) const {
    const auto count = static_cast<size_t>(std::min(kColumns, extents_[2] - column));
    const float* x = frame.as<float>(x_) + outer * extents_[1] * extents_[2] + column;
    float* y = frame.as<float>(y_) + outer * extents_[2] + column;
    for (int64_t row = 0; row < extents_[1]; row += kRunLength) {
      const int64_t end = std::min(row + kRunLength, extents_[1]);
      float* target = row == 0 ? y : buffer;
      join_run(x, row, end, target, count);
      if (row > 0) join_(y, buffer, y, count);
    }
    if (!sums_) return;
    affine_(y, y, count, scale_, 0);  // a sum of nothing but -0 is 0
    repair(x, y, count);
  }

  // Parts of a sum may leave the range of fp32 where the whole does not.
  void repair(const float* x, float* y, size_t count) const {
    for (size_t i = 0; i < count; ++i) {
      if (std::isfinite(y[i])) continue;
      double sum = 0;
      for (int64_t row = 0; row < extents_[1]; ++row) {
        sum += static_cast<double>(x[row * extents_[2] + static_cast<int64_t>(i)]);
      }
      y[i] = static_cast<float>(mean_ ? sum / static_cast<double>(extents_[1]) : sum);
    }
  }

  void join_run(const float* x, int64_t row, int64_t end, float* target, size_t count) const {
    const auto at = [&](int64_t r) { return x + r * extents_[2]; };
    if (square_ != nullptr) {
      std::fill_n(target, count, 0.0f);
      for (; row < end; ++row) square_(at(row), at(row), target, target, count);
      return;
    }
    std::copy_n(at(row), count, target);
    for (++row; row < end; ++row) join_(target, at(row), target, count);
  }

  Shape extents_;
  plan::Ref x_, y_, buffer_;
  int slots_;
  bool sums_, mean_;
  float scale_ = 1;
  cpu::TernaryLoop square_ = nullptr;
  cpu::BinaryLoop join_ = nullptr;
  cpu::UnaryLoop affine_ = nullptr;
};

// x as [outer, reduced, inner] around neighbouring reduced axes.
std::optional<Shape> cut_around(const OpView& op) {
  const Shape x = op.shape("x");
  if (op.dtype("x") != DType::kF32 || !op.has("axes") || count_of(x) == 0) return std::nullopt;
  std::vector<int64_t> axes = op.axes("axes", static_cast<int64_t>(x.size()));
  if (axes.empty()) return std::nullopt;
  std::sort(axes.begin(), axes.end());
  if (axes.back() - axes.front() != static_cast<int64_t>(axes.size()) - 1) return std::nullopt;
  const auto first = static_cast<size_t>(axes.front()), last = static_cast<size_t>(axes.back());
  return Shape{product(x, 0, first), product(x, first, last + 1), product(x, last + 1, x.size())};
}

plan::KernelMaker::Make columns(RowOp code, bool mean) {
  return [code, mean](Claim& claim) -> std::unique_ptr<Kernel> {
    const std::optional<Shape> extents = cut_around(claim.op());
    if (!extents) return nullptr;
    claim.set_kind("reduce");
    claim.set_cost(static_cast<double>(count_of(*extents)),
                   4 * static_cast<double>(count_of(*extents)));
    const Place x = claim.dense("x"), y = claim.result();
    return std::make_unique<ReduceColumns>(claim, code, mean, *extents, x, y);
  };
}

}  // namespace

void add_reduce_kernels(cpu::KernelTable& table) {
  table["reduce_sum"].makes = {columns(RowOp::kRowSum, false)};
  table["reduce_mean"].makes = {columns(RowOp::kRowSum, true)};
  table["reduce_max"].makes = {columns(RowOp::kRowMax, false)};
  table["reduce_min"].makes = {columns(RowOp::kRowMin, false)};
  table["reduce_sum_square"].makes = {columns(RowOp::kRowSumSquares, false)};
}

}  // namespace mw::ops
