// scaled_dot_product_attention: y = softmax(query * transposed(key) / sqrt(E) + mask) * value.
#include <cmath>
#include <limits>

#include "ops/expr.h"
#include "ops/matmul/contract.h"

namespace mw::ops {
namespace {

// query [*B, L, E], key [*B, S, E], value [*B, S, EV]; the batch extents broadcast.
struct Extents {
  Shape batch, query_batch, key_batch, value_batch;
  int64_t queries = 0, keys = 0, depth = 0, value_depth = 0;
};

Shape batch_of(const OpView& op, std::string_view input) {
  const Shape shape = op.shape(input);
  return {shape.begin(), shape.end() - 2};
}

Extents extents_of(const OpView& op) {
  Extents e;
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

void check_mask(const OpView& op, const Extents& e) {
  const Type mask = op.tensor_type("attn_mask");
  if (mask.dtype() != DType::kBool && !is_float(mask.dtype())) {
    op.reject("attn_mask", "expected bool or a float dtype, got {}", mw::name_of(mask.dtype()));
  }
  Shape scores = e.batch;
  scores.push_back(e.queries);
  scores.push_back(e.keys);
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

Type infer(const OpView& op) {
  expect_float(op, "query");
  const Type query = op.tensor_type("query");
  if (query.rank() < 3) {
    op.reject("query", "expected rank 3 or more, got shape {}", to_string(query.shape()));
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
  const Extents e = extents_of(op);
  if (op.has("attn_mask")) check_mask(op, e);
  Shape shape = e.batch;
  shape.push_back(e.queries);
  shape.push_back(e.value_depth);
  return Type::tensor(query.dtype(), shape);
}

// The mask as numbers to add, read through broadcast strides.
struct Mask {
  std::vector<double> added;
  std::vector<int64_t> strides;  // batch axes, then query and key
};

Mask mask_of(Eval& e, const Shape& scores) {
  if (!e.has("attn_mask")) return {{0}, std::vector<int64_t>(scores.size(), 0)};
  const Tensor& tensor = e.in("attn_mask");
  Mask mask{std::vector<double>(static_cast<size_t>(tensor.count())),
            broadcast_strides(tensor.shape(), scores)};
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const double value = tensor.number_at(i);
    const bool keep = tensor.dtype() != DType::kBool || value != 0;
    mask.added[static_cast<size_t>(i)] = keep ? (tensor.dtype() == DType::kBool ? 0 : value)
                                              : -std::numeric_limits<double>::infinity();
  }
  return mask;
}

// Scales, adds the mask and takes the softmax of one row of scores. A row that is masked
// throughout gives NaN.
void softmax_row(double* row, int64_t keys, double scale, const double* mask, int64_t stride) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t s = 0; s < keys; ++s) {
    row[s] = row[s] * scale + mask[s * stride];
    largest = std::max(largest, row[s]);
  }
  for (int64_t s = 0; s < keys; ++s) sum += row[s] = std::exp(row[s] - largest);
  for (int64_t s = 0; s < keys; ++s) row[s] /= sum;
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
void attend(const Extents& x, const Entry<T>& entry, const std::vector<int64_t>& mask_strides,
            int64_t first, int64_t count) {
  std::vector<double> scores(static_cast<size_t>(count * x.keys));
  Contraction similarity;
  similarity.x_m = offsets(count, x.depth);
  similarity.x_k = offsets(x.depth, 1);
  similarity.w_k = offsets(x.depth, 1);
  similarity.w_n = offsets(x.keys, x.depth);
  similarity.y_m = offsets(count, x.keys);
  similarity.y_n = offsets(x.keys, 1);
  contract(similarity, entry.query + first * x.depth, entry.key, scores.data());
  const double scale = 1 / std::sqrt(static_cast<double>(x.depth));
  const size_t axis = mask_strides.size() - 2;
  for (int64_t q = 0; q < count; ++q) {
    softmax_row(scores.data() + q * x.keys, x.keys, scale,
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

void evaluate(Eval& e) {
  Tensor& y = e.out();
  if (y.count() == 0) return;
  const Extents x = extents_of(e);
  Shape scores = x.batch;
  scores.insert(scores.end(), {x.queries, x.keys});
  const Mask mask = mask_of(e, scores);
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
                         mask.added.data() + w.at(3),
                         y.mutable_data<T>() + w.flat() * x.queries * x.value_depth});
    }
    const int64_t blocks = (x.queries + kBlock - 1) / kBlock;
    parallel_for(static_cast<int64_t>(entries.size()) * blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task % blocks * kBlock;
        attend(x, entries[static_cast<size_t>(task / blocks)], mask.strides, first,
               std::min(kBlock, x.queries - first));
      }
    });
  });
}

// The weights of the values: computed again, they are not among the results.
Expr weights_of(const Vjp& v, double scale) {
  const Expr query = operand(v, "query");
  Expr scores = matmul(query, operand(v, "key"), false, true) * scale;
  if (v.has("attn_mask")) {
    if (v.dtype("attn_mask") == DType::kBool) {
      scores = select(operand(v, "attn_mask"), scores, -std::numeric_limits<double>::infinity());
    } else {
      scores = scores + operand_as(v, "attn_mask", query);
    }
  }
  return scores.op("softmax", {{"axis", -1}});
}

void rule(Vjp& v) {
  const Shape query = v.shape("query");
  if (count_of(v.out()->type.shape()) == 0 || v.shape("key")[query.size() - 2] == 0) return;
  const double scale = 1 / std::sqrt(static_cast<double>(query.back()));
  const Expr g = grad(v), weights = weights_of(v, scale);
  if (v.wants("value")) v.add("value", matmul(weights, g, true, false));
  if (!v.wants("query") && !v.wants("key") && !v.wants("attn_mask")) return;
  const Expr of_weights = matmul(g, operand(v, "value"), false, true);
  const Expr mean = reduce_sum(of_weights * weights, {v.rank("query") - 1}, true);
  const Expr of_scores = weights * (of_weights - mean);
  contribute(v, "attn_mask", of_scores);
  if (!v.wants("query") && !v.wants("key")) return;
  const Expr scaled = of_scores * scale;
  if (v.wants("query")) v.add("query", matmul(scaled, operand(v, "key")));
  if (v.wants("key")) v.add("key", matmul(scaled, operand(v, "query"), true, false));
}

}  // namespace

OpDef scaled_dot_product_attention() {
  return OpDef("scaled_dot_product_attention")
      .first(Opset::kIos18)
      .types("T", {DType::kF16, DType::kF32})
      .types("M", {DType::kBool, DType::kF16, DType::kF32})
      .input("query", "T", kFactor)
      .input("key", "T", kNoWeight | kFactor)
      .input("value", "T", kNoWeight | kFactor)
      .input("attn_mask", "M", kOptional | kNoWeight)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
