// From the last product back to the first.
#include "ops/attention/chain.h"

#include <algorithm>

#include "ops/support.h"

namespace mw::ops {
namespace {

std::optional<double> number_in(const OpView& op, const char* input) {
  const Tensor* known = op.known(input);
  if (known == nullptr || known->count() != 1 || !is_float(known->dtype())) return std::nullopt;
  return known->number_at(0);
}

using Users = std::vector<const Operation*>;

// One op further up a chain, where it is of that type. `users`: all that use it, if not one op.
const Operation* link(const Links& links, const Operand& operand, const char* type,
                      const Users& users = {}) {
  const Operation* op = links.behind(operand, users);
  return op != nullptr && op->type == type ? op : nullptr;
}

// x c, c x or x / c with a known c: the operand x.
const Operand* scaled(const Links& links, const Operand& operand, double& scale,
                      const Users& users) {
  if (const Operation* op = link(links, operand, "mul", users)) {
    const OpView view = links.view(*op);
    for (const auto& [x, c] : {std::pair{"x", "y"}, std::pair{"y", "x"}}) {
      const auto number = number_in(view, c);
      if (!number || view.shape(x) != op->outputs[0]->type.shape()) continue;
      scale = *number;
      return &view.operand(x);
    }
  }
  if (const Operation* op = link(links, operand, "real_div", users)) {
    const OpView view = links.view(*op);
    const auto number = number_in(view, "y");
    if (number && view.shape("x") == op->outputs[0]->type.shape()) {
      scale = 1 / *number;
      return &view.operand("x");
    }
  }
  return &operand;
}

// The product of queries and keys behind the scores, its operands entered.
bool find_product(const Links& links, const Operand& scores, const Users& users,
                  AttentionChain& found) {
  double scale = 1;
  const Operand* product = scaled(links, scores, scale, users);
  const Operation* op = link(links, *product, "matmul", product == &scores ? users : Users());
  if (op == nullptr) return false;
  const OpView view = links.view(*op);
  if (view.rank("x") < 2 || view.rank("y") < 2 || view.flag("transpose_x")) return false;
  if (view.dtype("x") != view.dtype("y")) return false;
  found.query = &view.operand("x");
  found.key = &view.operand("y");
  found.key_swapped = !view.flag("transpose_y");
  found.scale = scale;
  return true;
}

bool find_scores(const Links& links, const Operand& scores, const Users& users,
                 AttentionChain& found) {
  if (find_product(links, scores, users, found)) return true;
  const Operation* op = link(links, scores, "add", users);
  if (op == nullptr) return false;
  const OpView view = links.view(*op);
  for (const auto& [x, mask] : {std::pair{"x", "y"}, std::pair{"y", "x"}}) {
    if (view.shape(x) != op->outputs[0]->type.shape()) continue;
    if (!find_product(links, view.operand(x), {}, found)) continue;
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
const Operation* reduction(const Links& links, const Operand& operand, const char* type,
                           const Value* value) {
  const Operation* op = link(links, operand, type);
  if (op == nullptr || op->input("x") != value) return nullptr;
  return reduces_last_axis(links.view(*op)) ? op : nullptr;
}

// e / sum(e) with e = exp(scores - max(scores)).
std::optional<Softmax> spelled_softmax(const Links& links, const Operand& operand) {
  const Operation* quotient = link(links, operand, "real_div");
  if (quotient == nullptr) return std::nullopt;
  const OpView division = links.view(*quotient);
  const Operand& powers = division.operand("x");
  const Operation* sum = reduction(links, division.operand("y"), "reduce_sum", powers.value);
  if (sum == nullptr) return std::nullopt;
  const Operation* exp = link(links, powers, "exp", {quotient, sum});
  const Operation* difference =
      exp != nullptr ? link(links, links.view(*exp).operand("x"), "sub") : nullptr;
  if (difference == nullptr) return std::nullopt;
  const OpView subtraction = links.view(*difference);
  const Operand& scores = subtraction.operand("x");
  const Operation* largest = reduction(links, subtraction.operand("y"), "reduce_max", scores.value);
  if (largest == nullptr) return std::nullopt;
  return Softmax{&scores, {difference, largest}};
}

std::optional<Softmax> find_softmax(const Links& links, const Operand& operand) {
  const Operation* op = link(links, operand, "softmax");
  if (op == nullptr) return spelled_softmax(links, operand);
  const OpView view = links.view(*op);
  const int64_t rank = view.rank("x");
  if (view.axis("axis", rank) != rank - 1) return std::nullopt;
  return Softmax{&view.operand("x"), {}};
}

}  // namespace

std::optional<AttentionChain> find_attention(const Links& links, const OpView& op) {
  const Shape scores = op.shape("x");
  if (scores.size() < 2 || op.rank("y") < 2 || op.dtype("x") != op.dtype("y")) return std::nullopt;
  if (op.flag("transpose_x") || op.flag("transpose_y")) return std::nullopt;
  const std::optional<Softmax> softmax = find_softmax(links, op.operand("x"));
  AttentionChain chain;
  if (!softmax || !find_scores(links, *softmax->scores, softmax->users, chain)) {
    return std::nullopt;
  }
  chain.value = &op.operand("y");
  const Shape result = op.operation().outputs[0]->type.shape();
  if (!std::equal(scores.begin(), scores.end() - 2, result.begin(), result.end() - 2)) {
    return std::nullopt;
  }
  return chain;
}

}  // namespace mw::ops
