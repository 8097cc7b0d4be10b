// The shapes of the products, and the weight where it lies or widened by panels of its outputs.
#include "ops/loss/head_cpu.h"

#include <algorithm>

#include "base/parallel.h"
#include "cpu/half_rows.h"
#include "cpu/library.h"
#include "ir/widening.h"

namespace mw::ops {
namespace {

using cpu::MatmulShape;
using plan::Claim;
using plan::Frame;

constexpr int64_t kPanelFloats = int64_t{1} << 22;  // of a weight that is stored in another form
constexpr int64_t kPieceFloats = int64_t{1} << 14;  // of it, widened by one thread at a time

MatmulShape shape_of(int64_t m, int64_t n, int64_t k) {
  MatmulShape shape;
  shape.m = m;
  shape.n = n;
  shape.k = k;
  return shape;
}

}  // namespace

cpu::MatrixLayout HeadProducts::rows_of(int64_t length) const {
  return {{}, {}, length, 1, dtype_};
}

// The panel as [depth, count], or as [count, depth].
cpu::MatrixLayout HeadProducts::outputs_of(int64_t count, bool as_columns) const {
  const int64_t row = s_.outputs_first ? s_.depth : count;
  cpu::MatrixLayout layout = rows_of(row);
  if (s_.outputs_first == as_columns) std::swap(layout.row_stride, layout.column_stride);
  return layout;
}

MatmulShape HeadProducts::forward_shape(int64_t count, bool bias) const {
  MatmulShape shape = shape_of(s_.at_once, count, s_.depth);
  shape.a = rows_of(s_.depth);
  shape.b = outputs_of(count, true);
  shape.c = {{}, {}, s_.classes, 1};
  shape.bias = bias;
  return shape;
}

MatmulShape HeadProducts::back_shape(int64_t count, bool adds) const {
  MatmulShape shape = shape_of(s_.at_once, s_.depth, count);
  shape.a = rows_of(s_.classes);
  shape.b = outputs_of(count, false);
  shape.c = {{}, {}, s_.depth, 1};
  shape.adds = adds;
  return shape;
}

// Slopes^T x where the weight's outputs come first, else x^T slopes.
MatmulShape HeadProducts::weight_shape(bool adds) const {
  MatmulShape shape = s_.outputs_first ? shape_of(s_.classes, s_.depth, s_.at_once)
                                       : shape_of(s_.depth, s_.classes, s_.at_once);
  shape.a = rows_of(s_.outputs_first ? s_.classes : s_.depth);
  std::swap(shape.a.row_stride, shape.a.column_stride);
  shape.b = rows_of(s_.outputs_first ? s_.depth : s_.classes);
  shape.c = {{}, {}, shape.n, 1};
  shape.adds = adds;
  return shape;
}

bool HeadProducts::find_weight(Claim& claim) {
  if (dtype_ == DType::kBF16) return find_rounded_weight(claim);
  if (!claim.frozen("weight")) {
    if (claim.op().dtype("weight") != DType::kF32) return false;
    dense_ = claim.dense("weight").ref;
    return true;
  }
  const std::optional<plan::Weight> stored = claim.weight("weight");
  if (!stored) return false;
  reader_ = stored->reader;
  if (reader_ != nullptr) return true;
  if (stored->dense.dtype() == DType::kF32) {
    dense_ = claim.hold(stored->dense).ref;
  } else {
    reader_ = cpu::half_rows(stored->dense);
  }
  return true;
}

// Of bf16 as it lies.
bool HeadProducts::find_rounded_weight(Claim& claim) {
  if (!claim.frozen("weight")) {
    const ir::Operand* narrow = ir::before_widening(claim.op().operand("weight"), dtype_);
    if (narrow != nullptr) dense_ = claim.dense(*narrow).ref;
    return narrow != nullptr;
  }
  const std::optional<plan::Weight> stored = claim.weight("weight");
  if (!stored || stored->reader != nullptr || stored->dense.dtype() != dtype_) return false;
  dense_ = claim.hold(stored->dense).ref;
  return true;
}

int64_t HeadProducts::panel_outputs() const {
  if (reader_ == nullptr) return s_.classes;
  const int64_t outputs = kPanelFloats / s_.depth / 64 * 64;
  return std::min(s_.classes, std::max<int64_t>(outputs, 64));
}

std::unique_ptr<HeadProducts> HeadProducts::make(Claim& claim, const HeadSizes& sizes,
                                                 const Wanted& wanted) {
  if (wanted.rounds && cpu::library_of(claim).multiplies_bf16()) {
    auto made = make(claim, sizes, wanted, DType::kBF16);
    if (made != nullptr) return made;
  }
  return make(claim, sizes, wanted, DType::kF32);
}

std::unique_ptr<HeadProducts> HeadProducts::make(Claim& claim, const HeadSizes& sizes,
                                                 const Wanted& wanted, DType dtype) {
  std::unique_ptr<HeadProducts> made(new HeadProducts(sizes, dtype));
  HeadProducts& p = *made;
  const ir::Operand& x = claim.op().operand("x");
  const ir::Operand* read = dtype == DType::kF32 ? &x : ir::before_widening(x, dtype);
  if (read == nullptr || !p.find_weight(claim)) return nullptr;
  bool complete = true;
  int64_t scratch = 0;
  const auto product = [&](const MatmulShape& shape) {
    Product matmul = cpu::library_of(claim).matmul(shape);
    complete = complete && matmul != nullptr;
    if (matmul != nullptr) scratch = std::max(scratch, matmul->scratch_bytes());
    return matmul;
  };
  const int64_t size = p.panel_outputs();
  for (int64_t first = 0; first < sizes.classes; first += size) {
    Panel panel{first, std::min(size, sizes.classes - first), nullptr, nullptr};
    // The first panel writes, all others add.
    const bool like = p.panels_.size() > 1 && p.panels_.back().count == panel.count;
    panel.forward =
        like ? p.panels_.back().forward : product(p.forward_shape(panel.count, wanted.bias));
    if (wanted.back) {
      panel.back = like ? p.panels_.back().back : product(p.back_shape(panel.count, first > 0));
    }
    p.panels_.push_back(std::move(panel));
  }
  if (wanted.weight) {
    p.first_ = product(p.weight_shape(false));
    p.next_ = product(p.weight_shape(true));
  }
  if (!complete) return nullptr;
  const auto floats = static_cast<int64_t>(sizeof(float));
  if (p.reader_ != nullptr) p.decoded_ = claim.workspace(size * sizes.depth * floats).ref;
  p.scratch_ = claim.workspace(scratch).ref;
  p.x_ = claim.dense(*read).ref;
  return made;
}

// Its outputs as [count, depth] or as [depth, count].
const void* HeadProducts::read(const Frame& frame, const Panel& panel) const {
  if (reader_ == nullptr) return frame.at(dense_);
  float* to = frame.as<float>(decoded_);
  const int64_t rows = s_.outputs_first ? panel.count : s_.depth;
  const int64_t row = s_.outputs_first ? s_.depth : panel.count;
  parallel_for(rows, std::max<int64_t>(1, kPieceFloats / row), [&](int64_t begin, int64_t end) {
    if (s_.outputs_first) {
      reader_->read(panel.first + begin, end - begin, to + begin * row);
    } else {
      reader_->read_part(begin, end - begin, panel.first, row, to + begin * row);
    }
  });
  return to;
}

void HeadProducts::forward(const Frame& frame, const void* x, const float* bias,
                           float* logits) const {
  for (const Panel& panel : panels_) {
    panel.forward->run(x, read(frame, panel), bias == nullptr ? nullptr : bias + panel.first,
                       logits + panel.first, frame.at(scratch_));
  }
}

void HeadProducts::back(const Frame& frame, const void* slopes, float* x_grad) const {
  for (const Panel& panel : panels_) {
    const auto* from = static_cast<const std::byte*>(slopes) + bytes_of(dtype_, panel.first);
    panel.back->run(from, read(frame, panel), nullptr, x_grad, frame.at(scratch_));
  }
}

void HeadProducts::weight(const Frame& frame, const void* slopes, const void* x, bool first,
                          float* weight_grad) const {
  const cpu::Matmul& product = first ? *first_ : *next_;
  const void* a = s_.outputs_first ? slopes : x;
  const void* b = s_.outputs_first ? x : slopes;
  product.run(a, b, nullptr, weight_grad, frame.at(scratch_));
}

}  // namespace mw::ops
