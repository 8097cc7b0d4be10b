// A walk over the producers, each visited once; the depth is bounded, because a file may be deep.
#include "ops/loss/range.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <unordered_map>

#include "ops/loss/moves.h"

namespace mw::ops {
namespace {

constexpr int kDeepest = 64;
constexpr int64_t kLargestConstant = 1 << 12;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Every element of the result is one of x or lies between some.
constexpr std::array<std::string_view, 17> kBetween = {"topk",
                                                       "crop",
                                                       "depth_to_space",
                                                       "space_to_depth",
                                                       "pixel_shuffle",
                                                       "pixel_unshuffle",
                                                       "reverse_sequence",
                                                       "batch_to_space",
                                                       "max_pool",
                                                       "reduce_max",
                                                       "reduce_min",
                                                       "reduce_mean",
                                                       "resize",
                                                       "resize_bilinear",
                                                       "resize_nearest_neighbor",
                                                       "upsample_bilinear",
                                                       "upsample_nearest_neighbor"};
// The same, or zeros, or between the two.
constexpr std::array<std::string_view, 5> kBetweenOrZero = {
    "avg_pool", "band_part", "space_to_batch", "crop_resize", "thresholded_relu"};

struct Known {
  std::string_view type;
  Range range;
};
constexpr std::array<Known, 11> kActivations = {{{"softmax", {0, 1}},
                                                 {"sigmoid", {0, 1}},
                                                 {"sigmoid_hard", {0, 1}},
                                                 {"relu6", {0, 6}},
                                                 {"tanh", {-1, 1}},
                                                 {"softsign", {-1, 1}},
                                                 {"erf", {-1, 1}},
                                                 {"reduce_l1_norm", {0, kInfinity}},
                                                 {"reduce_l2_norm", {0, kInfinity}},
                                                 {"reduce_sum_square", {0, kInfinity}},
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

// Of what rises with its operand.
template <class F>
Range rising(const Range& x, const F& f) {
  return {f(x.low), f(x.high)};
}

// 1 / x
Range inverted(const Range& x) {
  if (!(x.low >= 0)) return {};
  return {1 / x.high, 1 / x.low};
}

Range power(const Range& x, const Range& y) {
  if (!(x.low >= 0)) return {};
  if (x.low == 0 && y.low < 0) return {0, kInfinity};
  const auto [low, high] = std::minmax({std::pow(x.low, y.low), std::pow(x.low, y.high),
                                        std::pow(x.high, y.low), std::pow(x.high, y.high)});
  return {low, high};
}

int64_t elements_of(const Value* value) {
  return value != nullptr && value->type.is_tensor() && value->type.is_static()
             ? count_of(value->type.shape())
             : 0;
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
    const Operation* op = value->producer;
    const Range range = op == nullptr        ? Range{}
                        : op->type == "cond" ? of_branches(*op, *value, depth + 1)
                                             : of(*op, depth + 1);
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

  Range of_branches(const Operation& op, const Value& value, int depth) {
    Range range{kInfinity, -kInfinity};
    for (size_t i = 0; i < op.outputs.size(); ++i) {
      if (op.outputs[i].get() != &value) continue;
      for (const auto& block : op.blocks) range = hull(range, of(block->outputs.at(i), depth));
    }
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
    if (std::find(kBetweenOrZero.begin(), kBetweenOrZero.end(), op.type) != kBetweenOrZero.end()) {
      return hull(x(), {0, 0});
    }
    if (const auto range = of_function(op, depth)) return *range;
    if (is("relu")) return {std::max(x().low, 0.0), std::max(x().high, 0.0)};
    if (is("abs")) return {0, std::max(std::fabs(x().low), std::fabs(x().high))};
    if (is("exp")) return {std::exp(x().low), std::exp(x().high)};
    if (is("exp2")) return rising(x(), [](double v) { return std::exp2(v); });
    if (is("log")) return {std::log(std::max(x().low, 0.0)), std::log(std::max(x().high, 0.0))};
    if (is("add")) return {x().low + y().low, x().high + y().high};
    if (is("sub")) return {x().low - y().high, x().high - y().low};
    if (is("mul")) return is_share(op, depth) ? Range{0, 1} : times(x(), y());
    if (is("pow")) return power(x(), y());
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

  // Functions of one number with settings, and sums of a known count of them.
  std::optional<Range> of_function(const Operation& op, int depth) {
    const auto is = [&](std::string_view type) { return op.type == type; };
    const auto named = [&](const char* name, double otherwise) {
      return op.find_input(name) == nullptr ? Range{otherwise, otherwise} : input(op, name, depth);
    };
    const Range x = input(op, "x", depth);
    const auto plus = [](const Range& a, const Range& b) {
      return Range{a.low + b.low, a.high + b.high};
    };
    if (is("softplus")) {
      return rising(
          x, [](double v) { return std::max(v, 0.0) + std::log1p(std::exp(-std::fabs(v))); });
    }
    if (is("sqrt")) return rising(x, [](double v) { return std::sqrt(std::max(v, 0.0)); });
    if (is("inverse")) return inverted(plus(x, named("epsilon", 1e-4)));
    if (is("rsqrt")) {
      const Range shifted = plus(x, named("epsilon", 1e-12));
      return inverted(rising(shifted, [](double v) { return std::sqrt(std::max(v, 0.0)); }));
    }
    if (is("linear_activation")) return plus(times(x, named("alpha", 1)), named("beta", 0));
    if (is("leaky_relu")) return hull(x, times(x, named("alpha", 0)));
    if (is("clamped_relu")) {
      const Range leaky = hull(x, times(x, named("alpha", 0))), most = named("beta", 0);
      return Range{std::min(leaky.low, most.low), std::min(leaky.high, most.high)};
    }
    if (is("scaled_tanh")) return times({-1, 1}, named("alpha", 1));
    if (is("pad")) return hull(x, named("constant_val", 0));
    if (is("slice_update")) return hull(x, named("update", 0));
    if (is("reduce_prod") && x.low >= 0) return Range{0, x.high <= 1 ? 1 : kInfinity};
    if (is("reduce_sum")) {
      const int64_t results = elements_of(op.outputs[0].get());
      if (results == 0 || elements_of(op.input("x")) == 0) return Range{};
      const int64_t each = elements_of(op.input("x")) / results;
      const auto parts = static_cast<double>(each);
      return times(x, {parts, parts});
    }
    return std::nullopt;
  }

  // Whether `whole` is the sum of `part`, which is nowhere negative.
  static bool is_sum_of(Value* whole, Value* part) {
    const Operation* sum = behind_moves(whole)->producer;
    return sum != nullptr && (sum->type == "reduce_sum" || sum->type == "reduce_l1_norm") &&
           sum->input("x") == part;
  }

  // part * inverse(sum of parts)
  bool is_share(const Operation& product, int depth) {
    for (const auto& [one, other] : {std::pair{"x", "y"}, std::pair{"y", "x"}}) {
      Value *part = product.input(one), *factor = product.input(other);
      if (part == nullptr || factor == nullptr) continue;
      const Operation* inverse = behind_moves(factor)->producer;
      if (inverse == nullptr || inverse->type != "inverse" || inverse->input("x") == nullptr) {
        continue;
      }
      if (is_sum_of(inverse->input("x"), part) && of(part, depth).low >= 0) return true;
    }
    return false;
  }

  Range quotient(const Operation& op, int depth) {
    const Range x = input(op, "x", depth), y = input(op, "y", depth);
    Value *part = op.input("x"), *whole = op.input("y");
    if (part != nullptr && whole != nullptr && x.low >= 0 && is_sum_of(whole, part)) return {0, 1};
    if (!(y.low > 0)) return {};
    return times(x, {1 / y.high, 1 / y.low});
  }

  std::unordered_map<const Value*, Range> known_;
};

}  // namespace

Range range_of(const Value* value) { return RangeWalk().of(value, 0); }

}  // namespace mw::ops
