// Plans of the elementwise family: each op as instructions of a row program.
#include <cmath>

#include "ops/catalog_plan.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

using plan::Lane;
using plan::RowBuilder;
using plan::RowDomain;
using plan::RowOp;

std::optional<RowDomain> elementwise(const OpView& op) {
  return RowDomain{op.operation().outputs[0]->type.shape(), 0};
}

std::optional<RowDomain> on_floats(const OpView& op) {
  if (op.dtype("x") != DType::kF32) return std::nullopt;
  return elementwise(op);
}

std::optional<RowDomain> on_float_pairs(const OpView& op) {
  if (op.dtype("y") != DType::kF32) return std::nullopt;
  return on_floats(op);
}

bool is_int32(const OpView& op, const char* input) { return op.dtype(input) == DType::kI32; }

std::optional<RowDomain> on_number_pairs(const OpView& op) {
  if (is_int32(op, "x") && is_int32(op, "y")) return elementwise(op);
  return on_float_pairs(op);
}

std::optional<RowDomain> on_bools(const OpView& op) {
  for (const char* input : {"x", "y"}) {
    if (op.has(input) && op.dtype(input) != DType::kBool) return std::nullopt;
  }
  return elementwise(op);
}

// A parameter that must be known while planning.
std::optional<double> parameter(const OpView& op, const char* input) {
  if (!op.has(input)) return std::nullopt;
  const Tensor* known = op.known(input);
  if (known == nullptr || known->count() != 1) return std::nullopt;
  return static_cast<double>(static_cast<float>(known->number_at(0)));
}

plan::RowRule unary(RowOp code) {
  return {on_floats, [code](RowBuilder& b, const OpView&) { b.result(b.emit(code, b.in("x"))); }};
}

plan::RowRule binary(RowOp code) {
  return {on_float_pairs, [code](RowBuilder& b, const OpView&) {
            b.result(b.emit(code, {b.in("x"), b.in("y")}));
          }};
}

// Floats and int32 by different instructions.
plan::RowRule binary(RowOp code, RowOp code_of_ints) {
  return {on_number_pairs, [code, code_of_ints](RowBuilder& b, const OpView& op) {
            b.result(b.emit(is_int32(op, "x") ? code_of_ints : code, {b.in("x"), b.in("y")}));
          }};
}

// x > y as y < x.
plan::RowRule swapped(RowOp code, RowOp code_of_ints) {
  return {on_number_pairs, [code, code_of_ints](RowBuilder& b, const OpView& op) {
            b.result(b.emit(is_int32(op, "x") ? code_of_ints : code, {b.in("y"), b.in("x")}));
          }};
}

plan::RowRule logic(RowOp code) {
  return {on_bools, [code](RowBuilder& b, const OpView&) {
            b.result(b.emit(code, {b.in("x"), b.in("y")}));
          }};
}

// f(x + epsilon)
plan::RowRule with_epsilon(RowOp code) {
  return {[](const OpView& op) -> std::optional<RowDomain> {
            if (op.has("epsilon") && !parameter(op, "epsilon")) return std::nullopt;
            return on_floats(op);
          },
          [code](RowBuilder& b, const OpView& op) {
            // An epsilon of 0 is added, too: it makes -0 to 0.
            const auto epsilon = static_cast<float>(op.number("epsilon"));
            b.result(b.emit(code, b.emit(RowOp::kAdd, {b.in("x"), b.number(epsilon)})));
          }};
}

// Instructions with alpha, or alpha and beta, as immediate numbers.
plan::RowRule with_parameters(RowOp code, bool has_beta) {
  return {[has_beta](const OpView& op) -> std::optional<RowDomain> {
            if (!parameter(op, "alpha") || (has_beta && !parameter(op, "beta"))) {
              return std::nullopt;
            }
            return on_floats(op);
          },
          [code, has_beta](RowBuilder& b, const OpView& op) {
            const double beta = has_beta ? *parameter(op, "beta") : 0;
            b.result(b.emit_with(code, b.in("x"), *parameter(op, "alpha"), beta));
          }};
}

plan::RowRule two_parameters(void (*emit)(RowBuilder& b, int x, double alpha, double beta)) {
  plan::RowRule rule = with_parameters(RowOp::kCopy, true);
  rule.emit = [emit](RowBuilder& b, const OpView& op) {
    emit(b, b.in("x"), *parameter(op, "alpha"), *parameter(op, "beta"));
  };
  return rule;
}

RowOp gelu_of(const OpView& op) {
  const std::string mode = op.text("mode");
  if (mode == "TANH_APPROXIMATION") return RowOp::kGeluTanh;
  return mode == "SIGMOID_APPROXIMATION" ? RowOp::kGeluSigmoid : RowOp::kGelu;
}

void emit_gelu(RowBuilder& b, const OpView& op) { b.result(b.emit(gelu_of(op), b.in("x"))); }

// Exponents that stand for something simpler.
void emit_pow(RowBuilder& b, const OpView& op) {
  const int x = b.in("x");
  const auto exponent = parameter(op, "y");
  if (exponent == 1.0) return b.result(b.emit(RowOp::kCopy, x));
  if (exponent == 2.0) return b.result(b.emit(RowOp::kSquare, x));
  if (exponent == 3.0) return b.result(b.emit(RowOp::kMul, {b.emit(RowOp::kSquare, x), x}));
  if (exponent == -1.0) return b.result(b.emit(RowOp::kInverse, x));
  b.result(b.emit(RowOp::kPow, {x, b.in("y")}));
}

std::optional<RowDomain> castable(const OpView& op) {
  const DType from = op.dtype("x"), to = op.operation().outputs[0]->type.dtype();
  for (const DType dtype : {from, to}) {
    switch (dtype) {
      case DType::kF32:
      case DType::kF16:
      case DType::kBF16:
      case DType::kI32:
      case DType::kBool:
        continue;
      default:
        return std::nullopt;
    }
  }
  return elementwise(op);
}

int as_float(RowBuilder& b, int x) {
  return b.lane(x) == Lane::kF32 ? x : b.emit(RowOp::kToFloat, x);
}

void emit_cast(RowBuilder& b, const OpView& op) {
  const int x = b.in("x");
  const bool from_float = b.lane(x) == Lane::kF32;
  switch (op.operation().outputs[0]->type.dtype()) {
    case DType::kF32:
      return b.result(b.emit(RowOp::kCopy, as_float(b, x)));
    case DType::kF16:
      return b.result(b.emit(RowOp::kRoundHalf, as_float(b, x)));
    case DType::kBF16:
      return b.result(b.emit(RowOp::kRoundBf16, as_float(b, x)));
    case DType::kBool:
      return b.result(b.emit(from_float ? RowOp::kToBool : RowOp::kIntToBool, x));
    default:
      break;
  }
  // A bool is the int32 it becomes.
  b.result(from_float ? b.emit(RowOp::kToInt, x) : b.emit(RowOp::kAddInt, {b.integer(0), x}));
}

std::optional<RowDomain> selectable(const OpView& op) {
  const DType dtype = op.dtype("a");
  if (op.dtype("cond") != DType::kBool || op.dtype("b") != dtype) return std::nullopt;
  if (dtype != DType::kF32 && dtype != DType::kI32 && dtype != DType::kBool) return std::nullopt;
  return elementwise(op);
}

// softmax over the last axis: e / sum(e) with e = exp(x - max(x)).
std::optional<RowDomain> last_axis(const OpView& op) {
  const int64_t rank = op.rank("x");
  if (op.dtype("x") != DType::kF32 || op.axis("axis", rank) != rank - 1) return std::nullopt;
  return RowDomain{op.shape("x"), 1};
}

void emit_softmax(RowBuilder& b, const OpView&) {
  const int x = b.in("x");
  const int e = b.emit(RowOp::kExp, b.emit(RowOp::kSub, {x, b.emit(RowOp::kRowMax, x)}));
  b.result(b.emit(RowOp::kMul, {e, b.emit(RowOp::kInverse, b.emit(RowOp::kRowSum, e))}));
}

// An activation without parameters.
plan::Activation plain(RowOp code) { return {code, 0, 0}; }

plan::ActivationRule activation(RowOp code, bool has_beta) {
  return [code, has_beta](const OpView& op, const Value*) -> std::optional<plan::Activation> {
    const auto alpha = parameter(op, "alpha");
    const auto beta = has_beta ? parameter(op, "beta") : 0.0;
    if (!alpha || !beta) return std::nullopt;
    return plan::Activation{code, static_cast<float>(*alpha), static_cast<float>(*beta)};
  };
}

// With a known number c as the other operand: x c, x + c, x / c.
plan::ActivationRule affine(bool commutes, std::optional<plan::Activation> (*with)(float c)) {
  return [commutes, with](const OpView& op, const Value* x) -> std::optional<plan::Activation> {
    const bool first = op.operand("x").value == x;
    if (!first && !commutes) return std::nullopt;
    const auto c = parameter(op, first ? "y" : "x");
    if (!c) return std::nullopt;
    return with(static_cast<float>(*c));
  };
}

void add_activations(plan::OpPlans& plans) {
  const std::pair<const char*, RowOp> rows[] = {
      {"relu", RowOp::kRelu}, {"sigmoid", RowOp::kSigmoid},   {"silu", RowOp::kSilu},
      {"tanh", RowOp::kTanh}, {"softplus", RowOp::kSoftplus},
  };
  for (const auto& [name, code] : rows) {
    plans[name].activation = [code](const OpView&, const Value*) { return plain(code); };
  }
  plans["gelu"].activation = [](const OpView& op, const Value*) { return plain(gelu_of(op)); };
  plans["relu6"].activation = [](const OpView&, const Value*) {
    return plan::Activation{RowOp::kClip, 0, 6};
  };
  plans["elu"].activation = activation(RowOp::kElu, false);
  plans["leaky_relu"].activation = activation(RowOp::kLeakyRelu, false);
  plans["clip"].activation = activation(RowOp::kClip, true);
  plans["linear_activation"].activation = activation(RowOp::kAffine, true);
  // Adding -0 leaves every number as it is.
  using Made = std::optional<plan::Activation>;
  plans["mul"].activation = affine(true, [](float c) -> Made {
    return plan::Activation{RowOp::kAffine, c, -0.0f};
  });
  plans["add"].activation = affine(true, [](float c) -> Made {
    return plan::Activation{RowOp::kAffine, 1, c};
  });
  plans["real_div"].activation = affine(false, [](float c) -> Made {
    if (!std::isnormal(1 / c)) return std::nullopt;
    return plan::Activation{RowOp::kAffine, 1 / c, -0.0f};
  });
  plans["add"].adds = true;
}

void add_unary_plans(plan::OpPlans& plans) {
  const std::pair<const char*, RowOp> rows[] = {
      {"abs", RowOp::kAbs},           {"acos", RowOp::kAcos},   {"asin", RowOp::kAsin},
      {"atan", RowOp::kAtan},         {"atanh", RowOp::kAtanh}, {"ceil", RowOp::kCeil},
      {"cos", RowOp::kCos},           {"cosh", RowOp::kCosh},   {"erf", RowOp::kErf},
      {"exp", RowOp::kExp},           {"exp2", RowOp::kExp2},   {"floor", RowOp::kFloor},
      {"round", RowOp::kRound},       {"sign", RowOp::kSign},   {"sin", RowOp::kSin},
      {"sinh", RowOp::kSinh},         {"sqrt", RowOp::kSqrt},   {"square", RowOp::kSquare},
      {"tan", RowOp::kTan},           {"tanh", RowOp::kTanh},   {"relu", RowOp::kRelu},
      {"sigmoid", RowOp::kSigmoid},   {"silu", RowOp::kSilu},   {"softplus", RowOp::kSoftplus},
      {"softsign", RowOp::kSoftsign},
  };
  for (const auto& [name, code] : rows) plans[name].row = unary(code);
  plans["inverse"].row = with_epsilon(RowOp::kInverse);
  plans["log"].row = with_epsilon(RowOp::kLog);
  plans["rsqrt"].row = with_epsilon(RowOp::kRsqrt);
  plans["logical_not"].row = {
      on_bools, [](RowBuilder& b, const OpView&) { b.result(b.emit(RowOp::kNot, b.in("x"))); }};
}

void add_activation_plans(plan::OpPlans& plans) {
  plans["gelu"].row = {on_floats, emit_gelu};
  plans["relu6"].row = {on_floats, [](RowBuilder& b, const OpView&) {
                          b.result(b.emit_with(RowOp::kClip, b.in("x"), 0, 6));
                        }};
  plans["elu"].row = with_parameters(RowOp::kElu, false);
  plans["leaky_relu"].row = with_parameters(RowOp::kLeakyRelu, false);
  plans["thresholded_relu"].row = with_parameters(RowOp::kThresholdedRelu, false);
  plans["clip"].row = with_parameters(RowOp::kClip, true);
  plans["linear_activation"].row = with_parameters(RowOp::kAffine, true);
  plans["threshold"].row = with_parameters(RowOp::kCopy, false);
  plans["threshold"].row->emit = [](RowBuilder& b, const OpView& op) {
    b.result(b.emit_with(RowOp::kClip, b.in("x"), *parameter(op, "alpha"), HUGE_VAL));
  };
  plans["clamped_relu"].row = two_parameters([](RowBuilder& b, int x, double alpha, double beta) {
    b.result(b.emit_with(RowOp::kClip, b.emit_with(RowOp::kLeakyRelu, x, alpha), -HUGE_VAL, beta));
  });
  plans["scaled_tanh"].row = two_parameters([](RowBuilder& b, int x, double alpha, double beta) {
    const int inner = b.emit(RowOp::kMul, {x, b.number(beta)});
    b.result(b.emit(RowOp::kMul, {b.emit(RowOp::kTanh, inner), b.number(alpha)}));
  });
  plans["sigmoid_hard"].row = two_parameters([](RowBuilder& b, int x, double alpha, double beta) {
    b.result(b.emit_with(RowOp::kClip, b.emit_with(RowOp::kAffine, x, alpha, beta), 0, 1));
  });
}

void add_binary_plans(plan::OpPlans& plans) {
  plans["add"].row = binary(RowOp::kAdd, RowOp::kAddInt);
  plans["sub"].row = binary(RowOp::kSub, RowOp::kSubInt);
  plans["mul"].row = binary(RowOp::kMul, RowOp::kMulInt);
  plans["maximum"].row = binary(RowOp::kMax, RowOp::kMaxInt);
  plans["minimum"].row = binary(RowOp::kMin, RowOp::kMinInt);
  plans["real_div"].row = binary(RowOp::kDiv);
  plans["floor_div"].row = binary(RowOp::kFloorDiv);
  plans["mod"].row = binary(RowOp::kMod);
  plans["pow"].row = {on_float_pairs, emit_pow};
  plans["equal"].row = binary(RowOp::kEqual, RowOp::kEqualInt);
  plans["not_equal"].row = binary(RowOp::kNotEqual, RowOp::kNotEqualInt);
  plans["less"].row = binary(RowOp::kLess, RowOp::kLessInt);
  plans["less_equal"].row = binary(RowOp::kLessEqual, RowOp::kLessEqualInt);
  plans["greater"].row = swapped(RowOp::kLess, RowOp::kLessInt);
  plans["greater_equal"].row = swapped(RowOp::kLessEqual, RowOp::kLessEqualInt);
  plans["logical_and"].row = logic(RowOp::kAnd);
  plans["logical_or"].row = logic(RowOp::kOr);
  plans["logical_xor"].row = logic(RowOp::kXor);
}

}  // namespace

void add_elementwise_plans(plan::OpPlans& plans) {
  add_unary_plans(plans);
  add_activation_plans(plans);
  add_binary_plans(plans);
  add_activations(plans);
  plans["cast"].row = {castable, emit_cast};
  plans["select"].row = {selectable, [](RowBuilder& b, const OpView&) {
                           b.result(b.emit(RowOp::kSelect, {b.in("cond"), b.in("a"), b.in("b")}));
                         }};
  plans["softmax"].row = {last_axis, emit_softmax};
}

}  // namespace mw::ops
