// Functions as subjects of differentiation in tests, and their slopes by differences.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "autodiff/gradient.h"
#include "exec/naive.h"
#include "ops/catalog.h"
#include "ops/expr.h"
#include "passes/specialise.h"

namespace mw::autodiff {

inline constexpr double kTolerance = 1e-6;

// A function of its float arguments and constants, both as inputs to differentiate by.
struct Subject {
  std::unique_ptr<ir::Function> function;
  TensorMap arguments;
  std::vector<ir::Value*> wrt;
  size_t forward_ops = 0;

  [[nodiscard]] Tensor value_of(const ir::Value* value) const {
    const auto argument = arguments.find(value->name);
    return argument != arguments.end() ? argument->second : ir::constant_of(value)->value();
  }
  void set(ir::Value* value, const Tensor& tensor) {
    if (const auto found = arguments.find(value->name); found != arguments.end()) {
      found->second = tensor;
    } else {
      ir::set_attribute(value->producer->attributes, "val", ir::Constant::tensor(tensor));
    }
  }
  [[nodiscard]] std::vector<Tensor> evaluate(const std::vector<ir::Value*>& values) const {
    const std::vector<ir::Value*> outputs = std::exchange(function->body.outputs, values);
    const auto results = exec::run_naive(*function, ops::catalog(), arguments);
    function->body.outputs = outputs;
    std::vector<Tensor> tensors;
    for (const ir::Value* value : values) tensors.push_back(results.at(value->name).tensor);
    return tensors;
  }
};

inline Tensor noise(const Shape& shape, std::mt19937_64& random) {
  Tensor tensor(DType::kF64, shape);
  std::uniform_real_distribution<double> number(0.25, 1.25);
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.set_number(i, random() % 2 == 0 ? number(random) : -number(random));
  }
  return tensor;
}

inline double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.count(); ++i) sum += a.number_at(i) * b.number_at(i);
  return sum;
}

inline double dot_magnitude(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (int64_t i = 0; i < a.count(); ++i) sum += std::fabs(a.number_at(i) * b.number_at(i));
  return sum;
}

inline Tensor moved(const Tensor& x, const Tensor& direction, double step) {
  Tensor result(DType::kF64, x.shape());
  for (int64_t i = 0; i < x.count(); ++i) {
    result.set_number(i, x.number_at(i) + step * direction.number_at(i));
  }
  return result;
}

// sum over the ends of <weight, end>, as a value of the function, and as seeds of its gradient.
struct WeightedSum {
  ir::Value* scalar = nullptr;
  std::vector<Seed> seeds;
};
inline WeightedSum weighted_sum(ir::Function& function, const std::vector<ir::Value*>& ends,
                                std::mt19937_64& random) {
  ir::Builder b(function.body, ops::catalog(), function.opset);
  WeightedSum total;
  for (ir::Value* end : ends) {
    const ops::Expr weight(b, b.constant(ir::Constant::tensor(noise(end->type.shape(), random))));
    ops::Expr sum = ops::Expr(b, end) * weight;
    std::vector<int64_t> axes;
    for (int64_t i = 0; i < end->type.rank(); ++i) axes.push_back(i);
    if (!axes.empty()) sum = ops::reduce_sum(sum, axes, false);
    total.scalar =
        total.scalar == nullptr ? sum.value() : (ops::Expr(b, total.scalar) + sum).value();
    total.seeds.push_back({end, weight});
  }
  return total;
}

// Slopes of a scalar along a direction: from the left, from the right, and both.
struct Slopes {
  double left = 0, right = 0, central = 0, error = 0;
  bool jump = false;  // of the function itself: the differences grow without bound
  [[nodiscard]] bool kink() const {
    return std::fabs(left - right) > 1e-4 * (1 + std::fabs(left) + std::fabs(right));
  }
};

inline Slopes slopes_of(Subject& subject, ir::Value* value, const Tensor& direction,
                        ir::Value* scalar) {
  const Tensor x = subject.value_of(value);
  const auto f = [&](double step) {
    subject.set(value, moved(x, direction, step));
    return subject.evaluate({scalar})[0].number_at(0);
  };
  Slopes best;
  best.error = INFINITY;
  double first = 0;
  bool jump = false;
  for (const double h : {1e-3, 1e-4, 1e-5}) {
    const double at = f(0), r1 = f(h), r2 = f(2 * h), l1 = f(-h), l2 = f(-2 * h);
    Slopes s;
    s.right = (4 * r1 - r2 - 3 * at) / (2 * h);
    s.left = (3 * at - 4 * l1 + l2) / (2 * h);
    s.central = (8 * (r1 - l1) - (r2 - l2)) / (12 * h);
    const double coarse = (r1 - l1) / (2 * h), coarser = (r2 - l2) / (4 * h);
    const double rounding = 4e-16 * (std::fabs(r1) + std::fabs(l1) + std::fabs(r2)) / h;
    // The rule of five points errs by far less than its two parts differ.
    s.error = rounding + std::fabs(coarse - coarser) * 1e-2 * h * 1e2;
    if (s.error < best.error) best = s;
    if (h == 1e-3) first = std::fabs(s.central);
    jump = std::fabs(s.central) > 20 * (1 + first);
  }
  best.jump = jump;
  subject.set(value, x);
  return best;
}

// "" or what is wrong with `gradient` along the direction.
inline std::string compare(const Slopes& s, const Tensor& gradient, const Tensor& direction) {
  const double along = dot(gradient, direction);
  const double scale = 1 + std::fabs(s.central) + dot_magnitude(gradient, direction);
  const double allowed = kTolerance * scale;
  if (s.kink()) {
    const double low = std::min(s.left, s.right), high = std::max(s.left, s.right);
    const double slack = 1e-3 * scale;
    if (along >= low - slack && along <= high + slack) return "";
    return fmt::format("at a kink: {} is not between {} and {}", along, low, high);
  }
  if (std::fabs(along - s.central) <= allowed) return "";
  return fmt::format("{} by rule, {} by differences", along, s.central);
}

// The function with its integer, flag and text arguments as constants, so that extents which follow
// from them are known, and the float arguments that are left.
inline std::unique_ptr<ir::Function> with_settings_known(
    const ir::Function& function, const std::vector<std::pair<std::string, Tensor>>& arguments,
    std::vector<std::pair<std::string, Tensor>>& left) {
  const std::unique_ptr<ir::Function> bound = ir::clone(function).function;
  auto& list = bound->body.arguments;
  ir::Builder b(bound->body, ops::catalog(), bound->opset);
  if (!bound->body.ops.empty()) b.insert_before(bound->body.ops.front().get());
  for (const auto& [name, tensor] : arguments) {
    if (tensor.dtype() == DType::kF64) {
      left.emplace_back(name, tensor);
      continue;
    }
    ir::Value* known = b.constant(ir::Constant::tensor(tensor), name + "_known");
    const auto at = std::find_if(list.begin(), list.end(),
                                 [&n = name](const auto& value) { return value->name == n; });
    for (const auto& op : bound->body.ops) {
      for (ir::Operand& operand : ir::operands(*op)) {
        if (operand.value == at->get()) operand.value = known;
      }
    }
    list.erase(at);
  }
  return passes::specialise(*bound, ops::catalog(), {.shapes = {}, .fold_limit = 0});
}

}  // namespace mw::autodiff
