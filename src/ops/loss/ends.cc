// Activations by the ops they are written in; layers by where their features lie.
#include "ops/loss/ends.h"

#include "ir/op_view.h"
#include "ops/loss/moves.h"
#include "ops/loss/range.h"

namespace mw::ops {
namespace {

using Kind = End::Kind;

// An activation whose result is `result`, of the axis of its own operand.
struct Activation {
  Kind kind;
  Value* source;
  std::optional<int64_t> axis;
  std::optional<Pair> pair = std::nullopt;
  bool exact = true;  // no epsilon stands in it
};
using Found = std::optional<Activation>;

// The largest epsilon that is taken for what keeps a sum from being 0.
constexpr double kMostEpsilon = 1e-3;
// What is commonly added to a probability so that its logarithm is finite.
constexpr double kSlack = 1e-3;

const Operation* made_by(const Value* value, std::string_view type) {
  const Operation* op = value == nullptr ? nullptr : value->producer;
  return op != nullptr && op->type == type ? op : nullptr;
}

// Casts between floats, and nothing else that moves_elements() passes over.
Value* behind_casts(Value* value) {
  while (value != nullptr && value->producer != nullptr &&
         (value->producer->type == kCastOp || value->producer->type == "identity") &&
         moves_elements(*value->producer)) {
    value = value->producer->input("x");
  }
  return value;
}

class Analysis {
 public:
  explicit Analysis(const Catalog& catalog) : catalog_(catalog) {}

  // With log(f(x)), written as two ops.
  End end_of(Value* output) const {
    End end;
    Value* last = behind_moves(output, &end.moves);
    if (const Found found = activation_of(last)) return finished(std::move(end), *found);
    if (const Operation* log = made_by(last, "log"); log != nullptr && is_exact(*log)) {
      std::vector<const Operation*> inner;
      Value* inside = behind_moves(log->input("x"), &inner);
      Found found = activation_of(inside);
      const bool known = found && (found->kind == Kind::kSoftmax || found->kind == Kind::kSigmoid);
      if (known && found->exact) {
        found->kind = found->kind == Kind::kSoftmax ? Kind::kLogSoftmax : Kind::kLogSigmoid;
        end.moves.insert(end.moves.begin(), inner.begin(), inner.end());
        return finished(std::move(end), *found);
      }
    }
    const Range range = range_of(last);
    if (range.within(-kSlack, 1 + kSlack)) end.kind = Kind::kProbabilities;
    if (range.low < -kSlack && range.high <= kSlack) end.kind = Kind::kLogProbabilities;
    end.of_layer = end.kind == Kind::kPlain && is_of_layer(last);
    end.source = last;
    end.source_axis = features_of(last);
    end.axis = axis_after(end.moves, end.source_axis);
    return end;
  }

 private:
  [[nodiscard]] End finished(End end, const Activation& found) const {
    end.kind = found.kind;
    end.source = found.source;
    end.pair = found.pair;
    end.source_axis = found.axis;
    end.axis = axis_after(end.moves, found.axis);
    const bool is_softmax = found.kind == Kind::kSoftmax || found.kind == Kind::kLogSoftmax;
    if (is_softmax && !found.pair && found.source->type.is_static()) {
      const auto features = features_of(found.source);
      const bool several =
          features && found.source->type.shape()[static_cast<size_t>(*features)] > 1;
      if (several && features != found.axis) end.features = axis_after(end.moves, features);
    }
    return end;
  }

  [[nodiscard]] OpView view(const Operation& op) const {
    const Opset opset = op.parent->function->opset;
    return {op, catalog_.at(op, opset), opset};
  }

  // What is added to the operand; nothing where it is not known.
  [[nodiscard]] std::optional<double> epsilon_of(const Operation& op) const {
    const Input* input = op.find_input("epsilon");
    if (input == nullptr) return view(op).number("epsilon");
    const ConstantPtr given = constant_of(input->operands[0]);
    if (given == nullptr) return std::nullopt;
    return given->value().number_at(0);
  }

  // The epsilon that is added to the operand is nothing.
  [[nodiscard]] bool is_exact(const Operation& log) const {
    return log.input("x") != nullptr && epsilon_of(log).value_or(1) < 1e-30;
  }

  Found activation_of(Value* value) const {
    const Operation* op = value->producer;
    if (op == nullptr) return std::nullopt;
    if (op->type == "softmax" && op->input("x") != nullptr) {
      return Activation{Kind::kSoftmax, op->input("x"),
                        view(*op).axis("axis", view(*op).rank("x"))};
    }
    if (op->type == "sigmoid" && op->input("x") != nullptr) {
      return Activation{Kind::kSigmoid, op->input("x"), features_of(op->input("x"))};
    }
    if (op->type == "real_div") return share_of_sum(op->input("x"), op->input("y"));
    if (op->type == "mul") return part_times_inverse(*op);
    if (op->type == "sub") return log_softmax(*op);
    if (op->type == "mw.log_softmax") {
      return Activation{Kind::kLogSoftmax, op->input("x"),
                        view(*op).axis("axis", view(*op).rank("x"))};
    }
    if (op->type == "concat") return complements(*op);
    if (op->type == "exp") {
      const Operation* inner = made_by(behind_casts(op->input("x")), "sub");
      Found found = inner == nullptr ? std::nullopt : log_softmax(*inner);
      if (found) found->kind = Kind::kSoftmax;
      return found;
    }
    return std::nullopt;
  }

  // concat(1 - s, s) or concat(s, 1 - s), s = sigmoid(x)
  [[nodiscard]] Found complements(const Operation& concat) const {
    const OpView op = view(concat);
    if (op.operand_count("values") != 2) return std::nullopt;
    Value *a = op.operand("values", 0).value, *b = op.operand("values", 1).value;
    if (a == nullptr || b == nullptr) return std::nullopt;
    const bool first = is_complement(b, a);
    if (!first && !is_complement(a, b)) return std::nullopt;
    Pair pair;
    const Operation* sigmoid = made_by(behind_moves(first ? a : b, &pair.moves), "sigmoid");
    if (sigmoid == nullptr || sigmoid->input("x") == nullptr) return std::nullopt;
    pair.axis = op.axis("axis", a->type.rank());
    pair.first = first;
    if (a->type.shape()[static_cast<size_t>(pair.axis)] != 1) return std::nullopt;
    return Activation{Kind::kSoftmax, sigmoid->input("x"), pair.axis, pair};
  }

  static bool is_complement(Value* value, Value* of) {
    const Operation* difference = made_by(behind_casts(value), "sub");
    if (difference == nullptr || behind_casts(difference->input("y")) != behind_casts(of)) {
      return false;
    }
    return is_one(*difference, "x");
  }

  static bool is_one(const Operation& op, std::string_view input) {
    const ConstantPtr one = constant_of(op.find_input(input)->operands[0]);
    return one && one->is_tensor() && one->value().count() == 1 && one->value().number_at(0) == 1;
  }

  // The only axis of a reduction that keeps it; nothing otherwise.
  [[nodiscard]] std::optional<int64_t> kept_axis(const Operation& reduction) const {
    const OpView op = view(reduction);
    if (!op.flag("keep_dims") || !op.has("axes")) return std::nullopt;
    const std::vector<int64_t> axes = op.axes("axes", op.rank("x"));
    if (axes.size() != 1) return std::nullopt;
    return axes[0];
  }

  // exp(z) / reduce_sum(exp(z))
  Found share_of_sum(Value* share, Value* whole) const {
    Value* part = behind_casts(share);
    const Operation* sum = made_by(behind_casts(whole), "reduce_sum");
    const Operation* exponential = made_by(part, "exp");
    if (sum == nullptr || exponential == nullptr || behind_casts(sum->input("x")) != part) {
      return std::nullopt;
    }
    const auto axis = kept_axis(*sum);
    if (!axis || exponential->input("x") == nullptr) return std::nullopt;
    return Activation{Kind::kSoftmax, exponential->input("x"), axis};
  }

  // exp(z) * inverse(reduce_sum(exp(z))), exp(z) * (1 / reduce_sum(exp(z)))
  [[nodiscard]] Found part_times_inverse(const Operation& product) const {
    for (const auto& [one, other] : {std::pair{"x", "y"}, std::pair{"y", "x"}}) {
      Value *factor = behind_casts(product.input(other)), *whole = nullptr;
      double epsilon = 0;
      if (const Operation* inverse = made_by(factor, "inverse")) {
        whole = inverse->input("x");
        epsilon = epsilon_of(*inverse).value_or(1);
      } else if (const Operation* quotient = made_by(factor, "real_div")) {
        if (is_one(*quotient, "x")) whole = quotient->input("y");
      }
      if (whole == nullptr || epsilon > kMostEpsilon) continue;
      Found found = share_of_sum(product.input(one), whole);
      if (!found) continue;
      found->exact = epsilon < 1e-30;
      return found;
    }
    return std::nullopt;
  }

  // Whether all numbers along the axis of x have the same m taken off; then log_softmax(x - m) is
  // log_softmax(x).
  static bool is_even(const Type& shift, const Type& x, int64_t axis) {
    if (!shift.is_static() || !x.is_static() || shift.rank() > x.rank()) return false;
    const int64_t at = axis - (x.rank() - shift.rank());
    return at < 0 || shift.shape()[static_cast<size_t>(at)] == 1;
  }

  // x - log(reduce_sum(exp(x))), x - reduce_log_sum_exp(x), and with an m that is even along the
  // axis taken off x first and added to the logarithm again.
  [[nodiscard]] Found log_softmax(const Operation& difference) const {
    Value* x = behind_casts(difference.input("x"));
    Value* normaliser = behind_casts(difference.input("y"));
    if (x == nullptr || normaliser == nullptr) return std::nullopt;
    if (const auto axis = log_sum_exp_of(x, normaliser)) {
      return Activation{Kind::kLogSoftmax, x, axis};
    }
    const Operation* sum = made_by(normaliser, "add");
    if (sum == nullptr) return std::nullopt;
    for (const auto& [one, other] : {std::pair{"x", "y"}, std::pair{"y", "x"}}) {
      Value *log = behind_casts(sum->input(one)), *shift = behind_casts(sum->input(other));
      if (log == nullptr || shift == nullptr) continue;
      Value* shifted = inside_log_sum_exp(log);
      const Operation* less = made_by(shifted, "sub");
      if (less == nullptr || behind_casts(less->input("x")) != x ||
          behind_casts(less->input("y")) != shift) {
        continue;
      }
      const auto axis = log_sum_exp_of(shifted, log);
      if (!axis || shifted->type.shape() != x->type.shape()) continue;
      if (is_even(shift->type, x->type, *axis)) return Activation{Kind::kLogSoftmax, x, axis};
    }
    return std::nullopt;
  }

  // What the exponentials are of; null: `value` is no logarithm of a sum of exponentials.
  Value* inside_log_sum_exp(Value* value) const {
    if (const Operation* whole = made_by(value, "reduce_log_sum_exp")) {
      return behind_casts(whole->input("x"));
    }
    const Operation* log = made_by(value, "log");
    if (log == nullptr || !is_exact(*log)) return nullptr;
    const Operation* sum = made_by(behind_casts(log->input("x")), "reduce_sum");
    const Operation* exponential =
        sum == nullptr ? nullptr : made_by(behind_casts(sum->input("x")), "exp");
    return exponential == nullptr ? nullptr : behind_casts(exponential->input("x"));
  }

  std::optional<int64_t> log_sum_exp_of(const Value* x, Value* value) const {
    if (inside_log_sum_exp(value) != x) return std::nullopt;
    const Operation* reduction = value->producer;
    if (reduction->type == "log") reduction = behind_casts(reduction->input("x"))->producer;
    return kept_axis(*reduction);
  }

  // --- layers ---

  bool is_weight(Value* value) const {
    value = value == nullptr ? nullptr : behind_moves(value);
    if (value == nullptr) return true;  // a literal
    if (value->producer == nullptr) return false;
    const Operation& op = *value->producer;
    return op.is_const() ||
           catalog_.at(op, op.parent->function->opset).has_trait(kConstexpr | kReadsState);
  }

  // Whether each number is one of a layer, moved, picked or by itself made into another.
  bool is_of_layer(const Value* value) const {
    while (value != nullptr && value->producer != nullptr) {
      const Operation& op = *value->producer;
      if (features_of_layer(op)) return !mixes_probabilities(op);
      value = moves_elements(op) || picks_elements(op) ? op.input("x") : only_operand(op);
    }
    return false;
  }

  // What a layer makes of numbers from 0 to 1 may be such numbers again, in another order say.
  [[nodiscard]] bool mixes_probabilities(const Operation& layer) const {
    Value* given = layer.input("x");
    if (layer.type == "matmul" && is_weight(given)) given = layer.input("y");
    return given != nullptr && range_of(given).within(-kSlack, 1 + kSlack);
  }

  // Of an elementwise op, what is no weight; null where that is not one operand.
  [[nodiscard]] const Value* only_operand(const Operation& op) const {
    if (!catalog_.at(op, op.parent->function->opset).has_trait(kElementwise)) return nullptr;
    const Value* only = nullptr;
    for (const Operand& operand : ir::operands(op)) {
      if (operand.value == nullptr || is_weight(operand.value)) continue;
      if (only != nullptr && only != operand.value) return nullptr;
      only = operand.value;
    }
    return only;
  }

  // The axis of a result that counts the features of the layer it comes from.
  std::optional<int64_t> features_of(Value* value) const {
    std::vector<const Operation*> path;
    std::optional<int64_t> axis;
    while (value->producer != nullptr) {
      axis = features_of_layer(*value->producer);
      if (axis) break;
      Value* next = passed_on(*value->producer, value->type);
      if (next == nullptr) return std::nullopt;
      path.push_back(value->producer);
      value = next;
    }
    for (auto step = path.rbegin(); step != path.rend() && axis; ++step) {
      if (moves_elements(**step)) axis = axis_after(**step, *axis);
    }
    return axis;
  }

  [[nodiscard]] std::optional<int64_t> features_of_layer(const Operation& op) const {
    const Type& type = op.outputs.empty() ? Type() : op.outputs[0]->type;
    if (!type.is_tensor() || !type.has_rank() || type.rank() == 0) return std::nullopt;
    if (op.type == "linear") return type.rank() - 1;
    if (op.type == "conv" || op.type == "conv_transpose") return 1;
    if (op.type != "matmul" || type.rank() < 2) return std::nullopt;
    const bool x = is_weight(op.input("x")), y = is_weight(op.input("y"));
    if (x == y) return std::nullopt;
    return y ? type.rank() - 1 : type.rank() - 2;
  }

  // The operand that a result is, element by element or moved.
  [[nodiscard]] Value* passed_on(const Operation& op, const Type& type) const {
    if (moves_elements(op)) return op.input("x");
    const bool normalises = op.type == "batch_norm";
    if (!normalises && !catalog_.at(op, op.parent->function->opset).has_trait(kElementwise)) {
      return nullptr;
    }
    for (const Operand& operand : ir::operands(op)) {
      Value* value = operand.value;
      if (value == nullptr || !value->type.is_tensor() || is_weight(value)) continue;
      if (value->type.has_rank() && value->type.shape() == type.shape()) return value;
    }
    return nullptr;
  }

  const Catalog& catalog_;
};

}  // namespace

std::string_view name_of(End::Kind kind) {
  switch (kind) {
    case Kind::kSoftmax:
      return "softmax";
    case Kind::kLogSoftmax:
      return "log softmax";
    case Kind::kSigmoid:
      return "sigmoid";
    case Kind::kLogSigmoid:
      return "log sigmoid";
    default:
      return "";
  }
}

End end_of(Value* output, const Catalog& catalog) { return Analysis(catalog).end_of(output); }

Value* before_activation(Builder& b, const End& end) {
  if (!end.pair) return moved_alike(b, end.source, end.moves);
  const Expr x(b, moved_alike(b, end.source, end.pair->moves));
  const Expr zero = filled(b, x.value()->type, 0);
  const bool first = end.pair->first;
  const Expr both = concat({first ? x : zero, first ? zero : x}, end.pair->axis);
  return moved_alike(b, both, end.moves);
}

}  // namespace mw::ops
