// Chains are found from their last product.
#include "ops/rewrites/join_attention.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "ops/attention/chain.h"
#include "ops/expr.h"
#include "ops/rewrites/live_uses.h"
#include "ops/rewrites/substitute.h"

namespace mw::ops {
namespace {

class LiveLinks : public Links {
 public:
  LiveLinks(const Function& function, const Catalog& catalog)
      : function_(function), catalog_(catalog), uses_(function, catalog) {}

  [[nodiscard]] const LiveUses& uses() const { return uses_; }
  [[nodiscard]] const Operation* behind(const Operand& operand,
                                        const std::vector<const Operation*>& users) const override {
    if (operand.value == nullptr || operand.value->producer == nullptr) return nullptr;
    const bool theirs =
        users.empty() ? uses_.has_one(operand.value) : uses_.are_of(operand.value, users);
    return theirs ? operand.value->producer : nullptr;
  }
  [[nodiscard]] OpView view(const Operation& op) const override {
    return {op, catalog_.at(op, function_.opset), function_.opset};
  }

 private:
  const Function& function_;
  const Catalog& catalog_;
  LiveUses uses_;
};

bool is_static_float(const Operand& operand) {
  const Type type = operand.value != nullptr ? operand.value->type : operand.literal->type();
  return type.is_tensor() && type.is_static() && is_float(type.dtype());
}

int64_t rank_of(const Operand& operand) {
  return operand.value != nullptr ? operand.value->type.rank() : operand.literal->type().rank();
}

// `x` with its last two axes exchanged; what `x` is the transposition of is transposed once.
Value* swapped(Builder& b, const Operand& operand) {
  Value* x = operand.value != nullptr ? operand.value : b.constant(operand.literal, "key");
  std::vector<int64_t> perm(x->type.shape().size());
  std::iota(perm.begin(), perm.end(), 0);
  std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  const Operation* op = x->producer;
  if (op != nullptr && op->type == "transpose") {
    const Input* given = op->find_input("perm");
    const ir::ConstantPtr known = given != nullptr ? ir::constant_of(given->operands[0]) : nullptr;
    if (known != nullptr && op->input("x") != nullptr) {
      const auto rank = static_cast<int64_t>(perm.size());
      for (int64_t& axis : perm) axis = (known->value().integer_at(axis) + rank) % rank;
      x = op->input("x");
    }
  }
  return std::ranges::is_sorted(perm) ? x : transpose(Expr(b, x), perm).value();
}

class Joiner {
 public:
  Joiner(Function& function, const Catalog& catalog)
      : function_(function), catalog_(catalog), links_(function, catalog) {}

  void run() {
    ValueMap map;
    for (const auto& op : function_.body.ops) {
      if (!links_.uses().is_live(*op)) continue;
      const std::optional<AttentionChain> chain = chain_of(*op);
      if (chain) join(*op, *chain, map);
    }
    substitute(function_, catalog_, map);
  }

 private:
  [[nodiscard]] std::optional<AttentionChain> chain_of(const Operation& op) const {
    if (op.type == "matmul") {
      const OpView view = links_.view(op);
      for (const char* input : {"x", "y"}) {
        if (!is_static_float(view.operand(input))) return std::nullopt;
      }
      return find_attention(links_, view);
    }
    if (op.type != "scaled_dot_product_attention") return std::nullopt;
    const OpView view = links_.view(op);
    AttentionChain chain{&view.operand("query"), &view.operand("key"), &view.operand("value")};
    if (view.has("attn_mask")) chain.mask = &view.operand("attn_mask");
    chain.scale = 1 / std::sqrt(static_cast<double>(view.shape("query").back()));
    return chain;
  }

  void join(Operation& op, const AttentionChain& chain, ValueMap& map) {
    Value* result = op.outputs[0].get();
    if (!result->type.is_static() || count_of(result->type.shape()) == 0) return;
    for (const Operand* operand : {chain.query, chain.key, chain.value}) {
      if (!is_static_float(*operand) || rank_of(*operand) != result->type.rank()) return;
    }
    Builder b(function_.body, catalog_, function_.opset);
    b.insert_before(&op);
    const auto argument = [](std::string_view input, const Operand& operand) {
      return operand.value != nullptr ? Argument(input, operand.value)
                                      : Argument(input, operand.literal);
    };
    std::vector<Argument> inputs = {argument("query", *chain.query),
                                    argument("key", *chain.key),
                                    argument("value", *chain.value),
                                    {"scale", ir::Constant::number(DType::kF32, chain.scale)}};
    if (chain.key_swapped) inputs[1] = {"key", swapped(b, *chain.key)};
    if (chain.mask != nullptr) inputs.push_back(argument("attn_mask", *chain.mask));
    Value* joined = b.op("mw.scaled_attention", inputs, "attention");
    if (joined->type == result->type) map[result] = joined;
  }

  Function& function_;
  const Catalog& catalog_;
  LiveLinks links_;
};

}  // namespace

void join_attention(Function& function, const Catalog& catalog) { Joiner(function, catalog).run(); }

}  // namespace mw::ops
