// Attention: the op itself, and the chain of ops that programs of older opsets have in its place.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "cpu/attention.h"
#include "ir/widening.h"
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

struct Operands {
  const Operand *query = nullptr, *key = nullptr, *value = nullptr, *mask = nullptr;
  bool key_swapped = false;  // given as [depth, keys]
  double scale = 1;
};

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

// With the operands as they lie, and if that does not do, as dense copies.
std::unique_ptr<Kernel> attend(Claim& claim, const Operands& operands, const Shape& batch) {
  const Operand &key = stored(claim, *operands.key), &value = stored(claim, *operands.value);
  for (const bool dense : {false, true}) {
    const auto place = [&](const Operand& operand) {
      return dense ? claim.dense(operand) : claim.strided(operand);
    };
    std::optional<SharedHeads> shared_key, shared_value;
    if (!dense) shared_key = shared_heads(claim, key, batch);
    if (!dense) shared_value = shared_heads(claim, value, batch);
    if (shared_key && shared_value && shared_key->batch != shared_value->batch) {
      shared_value.reset();
    }
    cpu::Attention a;
    a.batch = shared_key ? shared_key->batch : shared_value ? shared_value->batch : batch;
    const auto heads = [&](const Operand& operand, const std::optional<SharedHeads>& shared,
                           bool swapped) {
      if (shared) return as_heads(place(*shared->operand), swapped, a.batch);
      return recut(as_heads(place(operand), swapped, batch), a.batch);
    };
    a.query = heads(*operands.query, std::nullopt, false);
    a.key = heads(key, shared_key, operands.key_swapped);
    a.value = heads(value, shared_value, false);
    const size_t rank = a.batch.size();
    a.queries = a.query.shape[rank];
    a.depth = a.query.shape.back();
    a.keys = a.key.shape[rank];
    a.value_depth = a.value.shape.back();
    a.scale = static_cast<float>(operands.scale);
    if (operands.mask != nullptr) {
      Shape scores = batch;
      scores.insert(scores.end(), {a.queries, a.keys});
      const Operand& mask = stored_mask(claim, *operands.mask);
      a.mask = recut(spread(place(mask), scores), a.batch);
    }
    gather_queries(a);
    if (cpu::can_attend(a)) return cpu::make_attention(claim, a);
  }
  return nullptr;
}

std::optional<double> number_in(const OpView& op, const char* input) {
  const Tensor* known = op.known(input);
  if (known == nullptr || known->count() != 1 || !is_float(known->dtype())) return std::nullopt;
  return known->number_at(0);
}

using Users = std::vector<const Operation*>;

// One op further up a chain: the op that computes `operand` and waits, or null. `users`: all that
// use it, where it is not one.
const Operation* link(Claim& claim, const Operand& operand, const char* type,
                      const Users& users = {}) {
  const Operation* op = users.empty() ? claim.waiting(operand) : claim.waiting_for(operand, users);
  return op != nullptr && op->type == type ? op : nullptr;
}

// x c, c x or x / c with a known c: the operand x.
const Operand* scaled(Claim& claim, const Operand& operand, double& scale, const Users& users) {
  if (const Operation* op = link(claim, operand, "mul", users)) {
    const OpView view = claim.view(*op);
    for (const auto& [x, c] : {std::pair{"x", "y"}, std::pair{"y", "x"}}) {
      if (const auto number = number_in(view, c)) {
        scale = *number;
        return &view.operand(x);
      }
    }
  }
  if (const Operation* op = link(claim, operand, "real_div", users)) {
    const OpView view = claim.view(*op);
    if (const auto number = number_in(view, "y")) {
      scale = 1 / *number;
      return &view.operand("x");
    }
  }
  return &operand;
}

// The product of queries and keys behind the scores, its operands entered.
bool find_product(Claim& claim, const Operand& scores, const Users& users, Operands& found) {
  double scale = 1;
  const Operand* product = scaled(claim, scores, scale, users);
  const Operation* op = link(claim, *product, "matmul", product == &scores ? users : Users());
  if (op == nullptr) return false;
  const OpView view = claim.view(*op);
  if (view.rank("x") < 2 || view.rank("y") < 2 || view.flag("transpose_x")) return false;
  if (view.dtype("x") != DType::kF32 || view.dtype("y") != DType::kF32) return false;
  found.query = &view.operand("x");
  found.key = &view.operand("y");
  found.key_swapped = !view.flag("transpose_y");
  found.scale = scale;
  return true;
}

bool find_scores(Claim& claim, const Operand& scores, const Users& users, Operands& found) {
  if (find_product(claim, scores, users, found)) return true;
  const Operation* op = link(claim, scores, "add", users);
  if (op == nullptr) return false;
  const OpView view = claim.view(*op);
  for (const auto& [x, mask] : {std::pair{"x", "y"}, std::pair{"y", "x"}}) {
    if (view.shape(x) != op->outputs[0]->type.shape()) continue;
    if (!find_product(claim, view.operand(x), {}, found)) continue;
    found.mask = &view.operand(mask);
    return true;
  }
  return false;
}

// A softmax over the last axis: its input, and who uses that.
struct Softmax {
  const Operand* scores = nullptr;
  Users users;
};

bool reduces_last_axis(const OpView& op) {
  if (!op.has("axes")) return false;
  const int64_t rank = op.rank("x");
  const std::vector<int64_t> axes = op.axes("axes", rank);
  return axes.size() == 1 && axes[0] == rank - 1 && op.flag("keep_dims");
}

// A reduction of what `value` holds, too.
const Operation* reduction(Claim& claim, const Operand& operand, const char* type,
                           const Value* value) {
  const Operation* op = link(claim, operand, type);
  if (op == nullptr || op->input("x") != value) return nullptr;
  return reduces_last_axis(claim.view(*op)) ? op : nullptr;
}

// e / sum(e) with e = exp(scores - max(scores)).
std::optional<Softmax> spelled_softmax(Claim& claim, const Operand& operand) {
  const Operation* quotient = link(claim, operand, "real_div");
  if (quotient == nullptr) return std::nullopt;
  const OpView division = claim.view(*quotient);
  const Operand& powers = division.operand("x");
  const Operation* sum = reduction(claim, division.operand("y"), "reduce_sum", powers.value);
  if (sum == nullptr) return std::nullopt;
  const Operation* exp = link(claim, powers, "exp", {quotient, sum});
  const Operation* difference =
      exp != nullptr ? link(claim, claim.view(*exp).operand("x"), "sub") : nullptr;
  if (difference == nullptr) return std::nullopt;
  const OpView subtraction = claim.view(*difference);
  const Operand& scores = subtraction.operand("x");
  const Operation* largest = reduction(claim, subtraction.operand("y"), "reduce_max", scores.value);
  if (largest == nullptr) return std::nullopt;
  return Softmax{&scores, {difference, largest}};
}

std::optional<Softmax> find_softmax(Claim& claim, const Operand& operand) {
  const Operation* op = link(claim, operand, "softmax");
  if (op == nullptr) return spelled_softmax(claim, operand);
  const OpView view = claim.view(*op);
  const int64_t rank = view.rank("x");
  if (view.axis("axis", rank) != rank - 1) return std::nullopt;
  return Softmax{&view.operand("x"), {}};
}

// For a matmul that ends matmul - scale - mask - softmax - matmul: one kernel for all of them. Null
// when the op is not the end of such a chain, or something else needs a link of it.
std::unique_ptr<Kernel> make_spelled_attention(Claim& claim) {
  const OpView& op = claim.op();
  if (op.dtype("x") != DType::kF32) return nullptr;
  if (op.rank("y") < 2 || op.flag("transpose_x") || op.flag("transpose_y")) return nullptr;
  const Shape scores = op.shape("x");
  if (scores.size() < 2 || op.dtype("y") != DType::kF32) return nullptr;
  const std::optional<Softmax> softmax = find_softmax(claim, op.operand("x"));
  Operands operands;
  if (!softmax || !find_scores(claim, *softmax->scores, softmax->users, operands)) return nullptr;
  operands.value = &op.operand("y");
  const Shape result = op.operation().outputs[0]->type.shape();
  const Shape batch(result.begin(), result.end() - 2);
  // The values must not add batch axes that the scores do not have.
  if (!std::equal(scores.begin(), scores.end() - 2, batch.begin(), batch.end())) return nullptr;
  if (count_of(scores) == 0 || count_of(result) == 0) return nullptr;
  return attend(claim, operands, batch);
}

std::unique_ptr<Kernel> make_attention(Claim& claim) {
  const OpView& op = claim.op();
  if (op.dtype("query") != DType::kF32) return nullptr;
  Operands operands;
  operands.query = &op.operand("query");
  operands.key = &op.operand("key");
  operands.value = &op.operand("value");
  if (op.has("attn_mask")) {
    operands.mask = &op.operand("attn_mask");
    const DType dtype = op.dtype("attn_mask");
    if (dtype != DType::kF32 && dtype != DType::kBool) return nullptr;
  }
  operands.scale = 1 / std::sqrt(static_cast<double>(op.shape("query").back()));
  const Shape result = op.operation().outputs[0]->type.shape();
  const Shape batch(result.begin(), result.end() - 2);
  if (count_of(result) == 0 || count_of(op.shape("key")) == 0) return nullptr;
  return attend(claim, operands, batch);
}

}  // namespace

void add_attention_kernels(cpu::KernelTable& table) {
  table["scaled_dot_product_attention"].makes = {make_attention};
  table["matmul"].makes.emplace_back(make_spelled_attention);
}

}  // namespace mw::ops
