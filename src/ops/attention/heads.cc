// Attention over heads: a block of queries at a time in the reference, ops in the expansion.
#include "ops/attention/heads.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ops/matmul/contract.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

Shape batch_of(const OpView& op, std::string_view input) {
  const Shape shape = op.shape(input);
  return {shape.begin(), shape.end() - 2};
}

void check_mask(const OpView& op, const HeadExtents& e) {
  const Type mask = op.tensor_type("attn_mask");
  if (mask.dtype() != DType::kBool && !is_float(mask.dtype())) {
    op.reject("attn_mask", "expected bool or a float dtype, got {}", mw::name_of(mask.dtype()));
  }
  const Shape scores = e.whole(e.queries, e.keys);
  bool fits = mask.shape().size() <= scores.size();
  for (size_t i = 1; fits && i <= mask.shape().size(); ++i) {
    const int64_t got = mask.shape()[mask.shape().size() - i], want = scores[scores.size() - i];
    fits = got == want || got == 1 || got == kAny || want == kAny;
  }
  if (!fits) {
    op.reject("attn_mask", "expected a shape that broadcasts to {}, got {}", to_string(scores),
              to_string(mask.shape()));
  }
}

// Queries that are scored at a time: the scores of all of them are never held at once.
constexpr int64_t kBlock = 64;

// The parts of one batch entry, and the mask that meets its first score.
template <class T>
struct Entry {
  const T *query, *key, *value;
  const double* mask;
  T* y;
};

template <class T>
void attend(const HeadExtents& x, double scale, const Entry<T>& entry,
            const std::vector<int64_t>& mask_strides, int64_t first, int64_t count) {
  std::vector<double> scores(static_cast<size_t>(count * x.keys));
  Contraction similarity;
  similarity.x_m = offsets(count, x.depth);
  similarity.x_k = offsets(x.depth, 1);
  similarity.w_k = offsets(x.depth, 1);
  similarity.w_n = offsets(x.keys, x.depth);
  similarity.y_m = offsets(count, x.keys);
  similarity.y_n = offsets(x.keys, 1);
  contract(similarity, entry.query + first * x.depth, entry.key, scores.data());
  const size_t axis = mask_strides.size() - 2;
  for (int64_t q = 0; q < count; ++q) {
    softmax_of_scores(scores.data() + q * x.keys, x.keys, scale,
                      entry.mask + (first + q) * mask_strides[axis], mask_strides[axis + 1]);
  }
  Contraction mix;
  mix.x_m = similarity.y_m;
  mix.x_k = similarity.y_n;
  mix.w_k = offsets(x.keys, x.value_depth);
  mix.w_n = offsets(x.value_depth, 1);
  mix.y_m = offsets(count, x.value_depth);
  mix.y_n = mix.w_n;
  contract(mix, scores.data(), entry.value, entry.y + first * x.value_depth);
}

}  // namespace

Shape HeadExtents::whole(int64_t rows, int64_t columns) const {
  Shape shape = batch;
  shape.insert(shape.end(), {rows, columns});
  return shape;
}

HeadExtents head_extents(const OpView& op) {
  HeadExtents e;
  e.query_batch = batch_of(op, "query");
  e.key_batch = batch_of(op, "key");
  e.value_batch = batch_of(op, "value");
  e.batch = broadcast(op, "value", broadcast(op, "key", e.query_batch, e.key_batch), e.value_batch);
  const Shape query = op.shape("query"), value = op.shape("value");
  e.queries = query[query.size() - 2];
  e.depth = query.back();
  e.keys = value[value.size() - 2];
  e.value_depth = value.back();
  return e;
}

OpDef with_heads(OpDef def) {
  return std::move(def)
      .types("T", {DType::kF16, DType::kF32})
      .types("M", {DType::kBool, DType::kF16, DType::kF32})
      .input("query", "T", kFactor)
      .input("key", "T", kNoWeight | kFactor)
      .input("value", "T", kNoWeight | kFactor)
      .input("attn_mask", "M", kOptional | kNoWeight);
}

Type infer_attention(const OpView& op, int64_t least_rank) {
  expect_float(op, "query");
  const Type query = op.tensor_type("query");
  if (query.rank() < least_rank) {
    op.reject("query", "expected rank {} or more, got shape {}", least_rank,
              to_string(query.shape()));
  }
  for (const char* input : {"key", "value"}) {
    expect_dtype(op, input, query.dtype());
    expect_rank(op, input, query.rank(), query.rank());
  }
  const auto rank = static_cast<size_t>(query.rank());
  Shape key(rank, kAny), value(rank, kAny);
  key[rank - 1] = query.shape()[rank - 1];
  expect_shape(op, "key", key);
  value[rank - 2] = op.shape("key")[rank - 2];
  expect_shape(op, "value", value);
  const HeadExtents e = head_extents(op);
  if (op.has("attn_mask")) check_mask(op, e);
  return Type::tensor(query.dtype(), e.whole(e.queries, e.value_depth));
}

AddedMask added_mask(Eval& e, const Shape& scores) {
  if (!e.has("attn_mask")) return {{0}, std::vector<int64_t>(scores.size(), 0)};
  const Tensor& tensor = e.in("attn_mask");
  AddedMask mask{std::vector<double>(static_cast<size_t>(tensor.count())),
                 broadcast_strides(tensor.shape(), scores)};
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const double value = tensor.number_at(i);
    const bool keep = tensor.dtype() != DType::kBool || value != 0;
    mask.numbers[static_cast<size_t>(i)] = keep ? (tensor.dtype() == DType::kBool ? 0 : value)
                                                : -std::numeric_limits<double>::infinity();
  }
  return mask;
}

void softmax_of_scores(double* row, int64_t keys, double scale, const double* mask,
                       int64_t stride) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t s = 0; s < keys; ++s) {
    row[s] = row[s] * scale + mask[s * stride];
    largest = std::max(largest, row[s]);
  }
  for (int64_t s = 0; s < keys; ++s) sum += row[s] = std::exp(row[s] - largest);
  for (int64_t s = 0; s < keys; ++s) row[s] /= sum;
}

void evaluate_attention(Eval& e, double scale) {
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const HeadExtents x = head_extents(e);
  const AddedMask mask = added_mask(e, x.whole(x.queries, x.keys));
  const Tensor &query = e.in("query"), &key = e.in("key"), &value = e.in("value");
  dispatch_float(y.dtype(), [&](auto zero) {
    using T = decltype(zero);
    std::vector<Entry<T>> entries;
    Walk<4> w(x.batch, {broadcast_strides(x.query_batch, x.batch),
                        broadcast_strides(x.key_batch, x.batch),
                        broadcast_strides(x.value_batch, x.batch),
                        {mask.strides.begin(), mask.strides.end() - 2}});
    for (; !w.done(); w.next()) {
      entries.push_back({query.data<T>() + w.at(0) * x.queries * x.depth,
                         key.data<T>() + w.at(1) * x.keys * x.depth,
                         value.data<T>() + w.at(2) * x.keys * x.value_depth,
                         mask.numbers.data() + w.at(3),
                         y.mutable_data<T>() + w.flat() * x.queries * x.value_depth});
    }
    const int64_t blocks = (x.queries + kBlock - 1) / kBlock;
    parallel_for(static_cast<int64_t>(entries.size()) * blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task % blocks * kBlock;
        attend(x, scale, entries[static_cast<size_t>(task / blocks)], mask.strides, first,
               std::min(kBlock, x.queries - first));
      }
    });
  });
}

Expr attention_weights(const Expr& query, const Expr& key, const std::optional<Expr>& mask,
                       double scale, const Shape& shape) {
  // Of vectors without elements every product is zero.
  const bool any = query.shape().back() > 0;
  Expr scores =
      any ? matmul(query, key, false, true)
          : Expr(query.builder(), filled(query.builder(), Type::tensor(query.dtype(), shape), 0));
  scores = scores * scale;
  if (mask && mask->dtype() == DType::kBool) {
    scores = select(*mask, scores, -std::numeric_limits<double>::infinity());
  } else if (mask) {
    scores = scores + as(*mask, scores.dtype());
  }
  return scores.op("softmax", {{"axis", -1}});
}

Expr scores_gradient(const Expr& weights, const Expr& gradient) {
  const auto last = static_cast<int64_t>(weights.shape().size()) - 1;
  return weights * (gradient - reduce_sum(gradient * weights, {last}, true));
}

}  // namespace mw::ops
