// Attention of few queries, or of keys that lie by depth in fp16: a few rows of scores at a time,
// of keys and values as they are kept. Keys at the end that are zero, with values that are zero,
// are products that need no computing: the places of a cache that no token has taken.
#include "cpu/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/half.h"
#include "cpu/dots.h"
#include "cpu/parallel.h"
#include "cpu/primitives.h"
#include "cpu/tiled_attention.h"
#include "cpu/zero_rows.h"

namespace mw::cpu {
namespace {

using plan::Claim;
using plan::Frame;
using plan::Place;
using plan::Ref;
using plan::RowOp;

constexpr size_t kMaskPiece = 512;  // numbers of a narrow mask that are widened at once
constexpr int64_t kChunk = 64;      // queries that a worker takes at once

int64_t round_up(int64_t value, int64_t to) { return (value + to - 1) / to * to; }

bool lies_by_depth(const Attention& a) { return a.key.strides[a.batch.size()] == 1 && a.keys > 1; }

class AttentionKernel : public plan::Kernel {
 public:
  AttentionKernel(Claim& claim, const Attention& a, const Place& y) : a_(a), y_(y) {
    heads_ = count_of(a.batch);
    key_by_depth_ = lies_by_depth(a);
    chunks_ = (a.queries + kChunk - 1) / kChunk;
    keys_stride_ = round_up(a.keys, 16);
    step_ = key_by_depth_ ? kMaxSumRows : kMaxDotRows;
    slots_ = static_cast<int>(std::min<int64_t>(claim.slots(), heads_ * chunks_));
    slot_floats_ = step_ * keys_stride_;
    workspace_ = claim.workspace(slots_ * slot_floats_ * int64_t{sizeof(float)}).ref;
    affine_ = unary_loop(RowOp::kAffine);
    exp_ = unary_loop(RowOp::kExp);
    add_ = binary_loop(RowOp::kAdd, Scalar::kNone);
    add_scalar_ = binary_loop(RowOp::kAdd, Scalar::kSecond);
    subtract_ = binary_loop(RowOp::kSub, Scalar::kSecond);
    max_ = reduce_loop(RowOp::kRowMax);
    sum_ = reduce_loop(RowOp::kRowSum);
  }

  void run(const Frame& frame) const override {
    float* workspace = frame.as<float>(workspace_);
    parallel_blocks(heads_ * chunks_, 1, slots_, [&](int slot, int64_t begin, int64_t end) {
      float* own = workspace + slot * slot_floats_;
      for (int64_t unit = begin; unit < end; ++unit) {
        run_chunk(frame, own, unit / chunks_, unit % chunks_ * kChunk);
      }
    });
  }

 private:
  [[nodiscard]] int64_t offset(const Place& place, int64_t head) const {
    int64_t offset = 0;
    for (size_t axis = a_.batch.size(); axis-- > 0;) {
      offset += head % a_.batch[axis] * place.strides[axis];
      head /= a_.batch[axis];
    }
    return offset * place.item();
  }

  // Keys before those whose scores are zero and whose values add nothing: with finite queries, that
  // is those of zeros. Of keys that lie by depth all.
  [[nodiscard]] int64_t used_keys(StoredRows keys, StoredRows values, FewRows q,
                                  int64_t rows) const {
    if (key_by_depth_) return a_.keys;
    const int64_t used = keys_before_zeros(keys, a_.depth, values, a_.value_depth, a_.keys);
    if (used == a_.keys) return used;
    for (int64_t i = 0; i < rows; ++i) {
      const float* row = q.data + i * q.stride;
      if (!std::all_of(row, row + a_.depth, [](float x) { return std::isfinite(x); })) {
        return a_.keys;
      }
    }
    return used;
  }

  void run_chunk(const Frame& frame, float* own, int64_t head, int64_t first) const {
    const size_t rank = a_.batch.size();
    const std::byte* key = frame.at(a_.key.ref) + offset(a_.key, head);
    const StoredRows values{frame.at(a_.value.ref) + offset(a_.value, head), a_.value.dtype,
                            a_.value.strides[rank]};
    const int64_t end = std::min(first + kChunk, a_.queries);
    const auto* query =
        reinterpret_cast<const float*>(frame.at(a_.query.ref) + offset(a_.query, head));
    auto* y = reinterpret_cast<float*>(frame.at(y_.ref) + offset(y_, head));
    const int64_t query_stride = a_.query.strides[rank], y_stride = y_.strides[rank];
    const StoredRows keys{key, a_.key.dtype, a_.key.strides[rank + (key_by_depth_ ? 1 : 0)]};
    const FewRows queries{const_cast<float*>(query) + first * query_stride, query_stride};
    const int64_t used = used_keys(keys, values, queries, end - first);
    for (int64_t row = first; row < end; row += step_) {
      const int64_t m = std::min(step_, end - row);
      const FewRows q{const_cast<float*>(query) + row * query_stride, query_stride};
      const FewRows scores{own, keys_stride_};
      if (key_by_depth_) {
        sum_rows(q, m, keys, used, a_.depth, scores);
      } else {
        dot_rows(q, m, keys, used, a_.depth, scores);
      }
      float sums[kMaxSumRows];
      for (int64_t i = 0; i < m; ++i) {
        std::fill(own + i * keys_stride_ + used, own + i * keys_stride_ + a_.keys, 0.0F);
        sums[i] = softmax(frame, own + i * keys_stride_, head, row + i);
      }
      const FewRows out{y + row * y_stride, y_stride};
      sum_rows(scores, m, values, a_.value_depth, used, out);
      for (int64_t i = 0; i < m; ++i) {
        float* target = out.data + i * y_stride;
        affine_(target, target, static_cast<size_t>(a_.value_depth), 1 / sums[i], 0);
      }
    }
  }

  // e^(score - largest) of one row; returns their sum.
  float softmax(const Frame& frame, float* row, int64_t head, int64_t query) const {
    const auto count = static_cast<size_t>(a_.keys);
    if (a_.scale != 1) affine_(row, row, count, a_.scale, 0);
    if (a_.mask) {
      const std::byte* mask = frame.at(a_.mask->ref) + offset(*a_.mask, head) +
                              query * a_.mask->strides[a_.batch.size()] * a_.mask->item();
      apply_mask(mask, row, count);
    }
    const float largest = max_(row, count, 0, 0);
    subtract_(row, &largest, row, count);
    exp_(row, row, count, 0, 0);
    return sum_(row, count, 0, 0);
  }

  void add_half(const uint16_t* mask, int64_t stride, float* row, size_t count) const {
    float wide[kMaskPiece];
    if (stride == 0) f16_to_f32(mask, wide, 1);
    if (stride == 0) return add_scalar_(row, wide, row, count);
    for (size_t at = 0; at < count; at += kMaskPiece) {
      const size_t length = std::min(kMaskPiece, count - at);
      f16_to_f32(mask + at, wide, length);
      add_(row + at, wide, row + at, length);
    }
  }

  void apply_mask(const std::byte* mask, float* row, size_t count) const {
    const int64_t stride = a_.mask->strides.back();
    if (a_.mask->dtype == DType::kF32) {
      const auto* added = reinterpret_cast<const float*>(mask);
      (stride == 1 ? add_ : add_scalar_)(row, added, row, count);
      return;
    }
    if (a_.mask->dtype == DType::kF16) {
      return add_half(reinterpret_cast<const uint16_t*>(mask), stride, row, count);
    }
    for (size_t i = 0; i < count; ++i) {
      if (mask[static_cast<int64_t>(i) * stride] == std::byte{0}) {
        row[i] = -std::numeric_limits<float>::infinity();
      }
    }
  }

  Attention a_;
  Place y_;
  int64_t heads_ = 1, chunks_ = 1, step_ = 1, keys_stride_ = 0, slot_floats_ = 0;
  bool key_by_depth_ = false;
  int slots_ = 1;
  Ref workspace_;
  UnaryLoop affine_ = nullptr, exp_ = nullptr;
  BinaryLoop add_ = nullptr, add_scalar_ = nullptr, subtract_ = nullptr;
  ReduceLoop max_ = nullptr, sum_ = nullptr;
};

bool is_stored_float(DType dtype) { return dtype == DType::kF32 || dtype == DType::kF16; }

// Few queries read keys and values as they are kept, each once.
bool is_for_few(const Attention& a) {
  if (lies_by_depth(a)) return a.queries <= kMaxSumRows;
  return a.queries <= kMaxDotRows || a.shares_keys;
}

bool suits_few(const Attention& a) {
  const size_t rank = a.batch.size();
  if (a.query.dtype != DType::kF32 || a.query.strides[rank + 1] != 1) return false;
  if (!is_stored_float(a.key.dtype) || !is_stored_float(a.value.dtype)) return false;
  if (a.key.strides[rank + 1] != 1 && a.key.strides[rank] != 1) return false;
  if (a.value.strides[rank + 1] != 1) return false;
  if (!a.mask) return true;
  const int64_t inner = a.mask->strides[rank + 1];
  return (is_stored_float(a.mask->dtype) || a.mask->dtype == DType::kBool) &&
         (inner == 0 || inner == 1);
}

}  // namespace

bool can_attend(const Attention& a) { return suits_few(a) || can_tile(a); }

std::unique_ptr<plan::Kernel> make_attention(Claim& claim, const Attention& a) {
  if (can_tile(a) && !(is_for_few(a) && suits_few(a))) return make_tiled_attention(claim, a);
  Shape shape = a.batch;
  shape.insert(shape.end(), {a.queries, a.value_depth});
  Place y;
  MW_CHECK(plan::reshape(claim.result_for_view(), shape, y));
  describe_attention(claim, a);
  return std::make_unique<AttentionKernel>(claim, a, y);
}

void describe_attention(Claim& claim, const Attention& a, bool is_gradient) {
  const auto heads = static_cast<double>(count_of(a.batch));
  const auto queries = static_cast<double>(a.queries), keys = static_cast<double>(a.keys);
  const auto depth = static_cast<double>(a.depth), width = static_cast<double>(a.value_depth);
  const double products = is_gradient ? 3 * depth + 2 * width : depth + width;
  claim.set_kind("attention");
  claim.set_cost(2 * heads * queries * keys * products,
                 (is_gradient ? 8 : 4) * heads * (queries + keys) * (depth + width));
}

}  // namespace mw::cpu
