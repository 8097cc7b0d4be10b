// A walk over the producers, each visited once; the depth is bounded, because a file may be deep.
#include "ops/loss/range.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "ops/loss/moves.h"

namespace mw::ops {
namespace {

constexpr int kDeepest = 64;
constexpr int64_t kLargestConstant = 1 << 12;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Every element of the result lies between elements of x.
constexpr std::array<std::string_view, 3> kBetween = {"reduce_max", "reduce_min", "reduce_mean"};

struct Known {
  std::string_view type;
  Range range;
};
constexpr std::array<Known, 7> kActivations = {{{"softmax", {0, 1}},
                                                {"sigmoid", {0, 1}},
                                                {"sigmoid_hard", {0, 1}},
                                                {"relu6", {0, 6}},
                                                {"tanh", {-1, 1}},
                                                {"softsign", {-1, 1}},
                                                {"square", {0, kInfinity}}}};

double product(double a, double b) { return a == 0 || b == 0 ? 0 : a * b; }

Range hull(const Range& a, const Range& b) {
  return {std::min(a.low, b.low), std::max(a.high, b.high)};
}

Range times(const Range& a, const Range& b) {
  const auto [low, high] = std::minmax({product(a.low, b.low), product(a.low, b.high),
                                        product(a.high, b.low), product(a.high, b.high)});
  return {low, high};
}

Range of_tensor(const Tensor& tensor) {
  if (tensor.count() == 0 || tensor.count() > kLargestConstant ||
      tensor.dtype() == DType::kString) {
    return {};
  }
  Range range{kInfinity, -kInfinity};
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const double number = tensor.number_at(i);
    if (std::isnan(number)) return {};
    range = hull(range, {number, number});
  }
  return range;
}

class RangeWalk {
 public:
  Range of(const Value* value, int depth) {
    if (depth > kDeepest) return {};
    const auto found = known_.find(value);
    if (found != known_.end()) return found->second;
    const Range range = value->producer == nullptr ? Range{} : of(*value->producer, depth + 1);
    known_[value] = range;
    return range;
  }

 private:
  Range of(const Operand& operand, int depth) {
    if (const ConstantPtr constant = constant_of(operand)) {
      return constant->is_tensor() ? of_tensor(constant->value()) : Range{};
    }
    return operand.value != nullptr ? of(operand.value, depth) : Range{};
  }
  Range input(const Operation& op, std::string_view name, int depth) {
    const Input* input = op.find_input(name);
    return input == nullptr || input->operands.empty() ? Range{} : of(input->operands[0], depth);
  }
  Range all_of(const Operation& op, std::string_view name, int depth) {
    const Input* input = op.find_input(name);
    if (input == nullptr || input->operands.empty()) return {};
    Range range{kInfinity, -kInfinity};
    for (const Operand& operand : input->operands) range = hull(range, of(operand, depth));
    return range;
  }

  Range of(const Operation& op, int depth) {
    const auto is = [&](std::string_view type) { return op.type == type; };
    const auto x = [&] { return input(op, "x", depth); };
    const auto y = [&] { return input(op, "y", depth); };
    for (const Known& known : kActivations) {
      if (is(known.type)) return known.range;
    }
    if (moves_elements(op) ||
        std::find(kBetween.begin(), kBetween.end(), op.type) != kBetween.end()) {
      return x();
    }
    if (picks_elements(op)) return x();
    if (is("relu")) return {std::max(x().low, 0.0), std::max(x().high, 0.0)};
    if (is("abs")) return {0, std::max(std::fabs(x().low), std::fabs(x().high))};
    if (is("exp")) return {std::exp(x().low), std::exp(x().high)};
    if (is("log")) return {std::log(std::max(x().low, 0.0)), std::log(std::max(x().high, 0.0))};
    if (is("add")) return {x().low + y().low, x().high + y().high};
    if (is("sub")) return {x().low - y().high, x().high - y().low};
    if (is("mul")) return times(x(), y());
    if (is("maximum")) return {std::max(x().low, y().low), std::max(x().high, y().high)};
    if (is("minimum")) return {std::min(x().low, y().low), std::min(x().high, y().high)};
    if (is("real_div")) return quotient(op, depth);
    if (is("clip")) {
      const Range low = input(op, "alpha", depth), high = input(op, "beta", depth);
      return {std::max(x().low, low.low), std::min(x().high, high.high)};
    }
    if (is("concat") || is("stack")) return all_of(op, "values", depth);
    if (is("select")) return hull(input(op, "a", depth), input(op, "b", depth));
    return {};
  }

  Range quotient(const Operation& op, int depth) {
    const Range x = input(op, "x", depth), y = input(op, "y", depth);
    // A share of a sum of what is nowhere negative.
    Value *part = op.input("x"), *whole = op.input("y");
    if (part != nullptr && whole != nullptr && x.low >= 0) {
      const Operation* sum = behind_moves(whole)->producer;
      if (sum != nullptr && sum->type == "reduce_sum" && sum->input("x") == part) return {0, 1};
    }
    if (!(y.low > 0)) return {};
    return times(x, {1 / y.high, 1 / y.low});
  }

  std::unordered_map<const Value*, Range> known_;
};

}  // namespace

Range range_of(const Value* value) { return RangeWalk().of(value, 0); }

}  // namespace mw::ops
