// scaled_dot_product_attention: y = softmax(query * transposed(key) / sqrt(E) + mask) * value.
#include <cmath>

#include "ops/attention/heads.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) { return infer_attention(op, 3); }

double scale_of(const OpView& op) {
  return 1 / std::sqrt(static_cast<double>(op.shape("query").back()));
}

void evaluate(Eval& e) { evaluate_attention(e, scale_of(e)); }

void rule(Vjp& v) {
  const Shape query = v.shape("query");
  if (count_of(v.out()->type.shape()) == 0 || v.shape("key")[query.size() - 2] == 0) return;
  std::optional<Expr> mask;
  if (v.has("attn_mask")) mask = operand(v, "attn_mask");
  // Computed again: the weights of the values are not among the results.
  const HeadExtents x = head_extents(v);
  const Expr g = grad(v), weights = attention_weights(operand(v, "query"), operand(v, "key"), mask,
                                                      scale_of(v), x.whole(x.queries, x.keys));
  if (v.wants("value")) v.add("value", matmul(weights, g, true, false));
  if (!v.wants("query") && !v.wants("key") && !v.wants("attn_mask")) return;
  const Expr of_scores = scores_gradient(weights, matmul(g, operand(v, "value"), false, true));
  contribute(v, "attn_mask", of_scores);
  if (!v.wants("query") && !v.wants("key")) return;
  const Expr scaled = of_scores * scale_of(v);
  if (v.wants("query")) v.add("query", matmul(scaled, operand(v, "key")));
  if (v.wants("key")) v.add("key", matmul(scaled, operand(v, "query"), true, false));
}

}  // namespace

OpDef scaled_dot_product_attention() {
  return with_heads(OpDef("scaled_dot_product_attention"))
      .first(Opset::kIos18)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
