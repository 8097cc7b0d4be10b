// Kernels of attention: of the ops, of the chain of ops that older programs have in their place,
// and of the gradients.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "cpu/attention.h"
#include "cpu/attention_gradients.h"
#include "cpu/dots.h"

#include "ir/widening.h"
#include "ops/attention/attention.h"
#include "ops/attention/chain.h"
#include "ops/attention/heads_plan.h"
#include "ops/kernels_cpu.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

using plan::Claim;
using plan::Kernel;
using plan::Place;

// A mask is widened for all its users at once, or for none of them.
const Operand& stored_mask(const Claim& claim, const Operand& operand) {
  const Operand* narrow = ir::before_widening(operand, DType::kF16);
  return narrow != nullptr && claim.is_put_off(operand) ? *narrow : operand;
}

// An operand as [batch.., rows, columns]; `swapped`: it is given as [batch.., columns, rows].
Place as_heads(const Place& place, bool swapped, const Shape& batch) {
  Place matrix = place;
  const size_t rank = matrix.shape.size();
  if (swapped) {
    std::swap(matrix.shape[rank - 2], matrix.shape[rank - 1]);
    std::swap(matrix.strides[rank - 2], matrix.strides[rank - 1]);
  }
  // An extent of 1 keeps its stride along rows and columns: only the batch repeats.
  const int64_t row = matrix.strides[rank - 2], column = matrix.strides[rank - 1];
  Shape full = batch;
  full.insert(full.end(), matrix.shape.end() - 2, matrix.shape.end());
  matrix.strides = plan::broadcast(matrix, full);
  matrix.shape = std::move(full);
  matrix.strides[batch.size()] = row;
  matrix.strides[batch.size() + 1] = matrix.shape.back() == 1 ? 1 : column;
  return matrix;
}

// As if broadcast to the shape.
Place spread(const Place& place, const Shape& shape) {
  Place result = place;
  result.strides = plan::broadcast(place, shape);
  result.shape = shape;
  return result;
}

void drop_axis(Place& place, size_t axis) {
  place.shape.erase(place.shape.begin() + static_cast<int64_t>(axis));
  place.strides.erase(place.strides.begin() + static_cast<int64_t>(axis));
}

// Single queries of several heads over the same keys and values are the rows of one head.
void gather_queries(cpu::Attention& a) {
  while (a.queries == 1 && !a.batch.empty()) {
    const size_t axis = a.batch.size() - 1;
    if (a.key.strides[axis] != 0 || a.value.strides[axis] != 0) return;
    a.queries = a.batch.back();
    a.batch.pop_back();
    drop_axis(a.key, axis);
    drop_axis(a.value, axis);
    drop_axis(a.query, axis + 1);
    if (a.mask) drop_axis(*a.mask, axis + 1);
    a.shares_keys = true;
  }
}

// A half operand behind a widening cast that has not been computed: it is read as it is kept.
const Operand& half_or_given(const Claim& claim, const Operand& operand) {
  return stored(claim, operand, {DType::kF16, DType::kBF16});
}

// The operands as they lie, or as dense copies; nullopt: they do not lie as heads do.
std::optional<cpu::Attention> attention_of(Claim& claim, const AttentionChain& chain,
                                           const Shape& batch, bool dense) {
  const Operand &key = half_or_given(claim, *chain.key),
                &value = half_or_given(claim, *chain.value);
  const auto place = [&](const Operand& operand) {
    return dense ? claim.dense(operand) : claim.strided(operand);
  };
  std::optional<SharedHeads> shared_key, shared_value;
  if (!dense) shared_key = shared_heads(claim, key, batch);
  if (!dense) shared_value = shared_heads(claim, value, batch);
  if (shared_key && shared_value && shared_key->batch != shared_value->batch) shared_value.reset();
  cpu::Attention a;
  a.batch = shared_key ? shared_key->batch : shared_value ? shared_value->batch : batch;
  const auto heads = [&](const Operand& operand, const std::optional<SharedHeads>& shared,
                         bool swapped) {
    if (shared) return std::optional(as_heads(place(*shared->operand), swapped, a.batch));
    return recut(as_heads(place(operand), swapped, batch), a.batch);
  };
  // Few queries are better widened once than for each key.
  const Shape queries = claim.op().operation().outputs[0]->type.shape();
  const bool few = queries[queries.size() - 2] <= cpu::kMaxSumRows;
  const auto query_heads =
      heads(few ? *chain.query : half_or_given(claim, *chain.query), std::nullopt, false);
  const auto key_heads = heads(key, shared_key, chain.key_swapped),
             value_heads = heads(value, shared_value, false);
  if (!query_heads || !key_heads || !value_heads) return std::nullopt;
  a.query = *query_heads;
  a.key = *key_heads;
  a.value = *value_heads;
  const size_t rank = a.batch.size();
  a.queries = a.query.shape[rank];
  a.depth = a.query.shape.back();
  a.keys = a.key.shape[rank];
  a.value_depth = a.value.shape.back();
  a.scale = static_cast<float>(chain.scale);
  if (chain.mask != nullptr) {
    Shape scores = batch;
    scores.insert(scores.end(), {a.queries, a.keys});
    const Operand& mask = stored_mask(claim, *chain.mask);
    a.mask = recut(spread(place(mask), scores), a.batch);
    if (!a.mask) return std::nullopt;
  }
  return a;
}

std::unique_ptr<Kernel> attend(Claim& claim, const AttentionChain& chain, const Shape& batch) {
  for (const bool dense : {false, true}) {
    std::optional<cpu::Attention> a = attention_of(claim, chain, batch, dense);
    if (!a) continue;
    gather_queries(*a);
    if (cpu::can_attend(*a)) return cpu::make_attention(claim, *a);
  }
  return nullptr;
}

// What has not been computed when a kernel is made.
class WaitingLinks : public Links {
 public:
  explicit WaitingLinks(const Claim& claim) : claim_(claim) {}
  [[nodiscard]] const Operation* behind(const Operand& operand,
                                        const std::vector<const Operation*>& users) const override {
    return users.empty() ? claim_.waiting(operand) : claim_.waiting_for(operand, users);
  }
  [[nodiscard]] OpView view(const Operation& op) const override { return claim_.view(op); }

 private:
  const Claim& claim_;
};

// For a matmul that ends such a chain: one kernel for all of it.
std::unique_ptr<Kernel> make_spelled_attention(Claim& claim) {
  const OpView& op = claim.op();
  if (op.dtype("x") != DType::kF32) return nullptr;
  const std::optional<AttentionChain> chain = find_attention(WaitingLinks(claim), op);
  if (!chain) return nullptr;
  const Shape result = op.operation().outputs[0]->type.shape();
  if (count_of(op.shape("x")) == 0 || count_of(result) == 0) return nullptr;
  return attend(claim, *chain, {result.begin(), result.end() - 2});
}

// The operands of an op that has them by their names; nullopt: of other dtypes or no elements.
std::optional<AttentionChain> named_operands(const OpView& op, double scale) {
  if (op.dtype("query") != DType::kF32) return std::nullopt;
  AttentionChain chain;
  chain.query = &op.operand("query");
  chain.key = &op.operand("key");
  chain.value = &op.operand("value");
  chain.scale = scale;
  if (op.has("attn_mask")) {
    chain.mask = &op.operand("attn_mask");
    const DType dtype = op.dtype("attn_mask");
    if (dtype != DType::kF32 && dtype != DType::kBool) return std::nullopt;
  }
  for (const char* input : {"query", "key", "value"}) {
    if (count_of(op.shape(input)) == 0) return std::nullopt;
  }
  return chain;
}

std::unique_ptr<Kernel> attend_to_named(Claim& claim, double scale) {
  const std::optional<AttentionChain> chain = named_operands(claim.op(), scale);
  if (!chain) return nullptr;
  const Shape result = claim.op().operation().outputs[0]->type.shape();
  return attend(claim, *chain, {result.begin(), result.end() - 2});
}

std::unique_ptr<Kernel> make_scaled_attention(Claim& claim) {
  return attend_to_named(claim,
                         1 / std::sqrt(static_cast<double>(claim.op().shape("query").back())));
}

std::unique_ptr<Kernel> make_attention(Claim& claim) {
  return attend_to_named(claim, claim.op().number("scale"));
}

std::unique_ptr<Kernel> make_gradients(Claim& claim) {
  const OpView& op = claim.op();
  const std::optional<AttentionChain> chain = named_operands(op, op.number("scale"));
  if (!chain) return nullptr;
  const Shape y = op.shape("y_grad");
  const Shape batch(y.begin(), y.end() - 2);
  for (const bool dense : {false, true}) {
    const std::optional<cpu::Attention> a = attention_of(claim, *chain, batch, dense);
    if (!a) continue;
    const Operand& given = half_or_given(claim, op.operand("y_grad"));
    const Place lies = dense ? claim.dense(given) : claim.strided(given);
    const std::optional<Place> y_grad = recut(as_heads(lies, false, batch), a->batch);
    if (!y_grad) continue;
    cpu::AttentionGradients gradients{*y_grad, {}, {}, {}, {}};
    if (!cpu::can_make_gradients(*a, gradients)) continue;
    // Results have no gaps: any batch of as many heads is one of theirs.
    const auto result = [&](std::string_view input) -> std::optional<Place> {
      const std::optional<size_t> index = attention_gradient_result(op, input);
      return index ? recut(claim.result(*index), a->batch) : std::nullopt;
    };
    gradients.query = result("query");
    gradients.key = result("key");
    gradients.value = result("value");
    gradients.mask = result("attn_mask");
    return cpu::make_attention_gradients(claim, *a, gradients);
  }
  return nullptr;
}

}  // namespace

void add_attention_kernels(cpu::KernelTable& table) {
  table["scaled_dot_product_attention"].makes = {make_scaled_attention};
  table["mw.scaled_attention"].makes = {make_attention};
  table["mw.scaled_attention_gradient"].makes = {make_gradients};
  table["matmul"].makes.emplace_back(make_spelled_attention);
}

}  // namespace mw::ops
