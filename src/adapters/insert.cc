// Inserting the products of thin factors beside their sites.
#include "adapters/insert.h"

#include <algorithm>
#include <map>
#include <optional>

#include "adapters/magnitude.h"
#include "adapters/sites.h"
#include "base/error.h"
#include "ops/expr.h"
#include "ops/rewrites/substitute.h"

namespace mw::adapters {
namespace {

using ir::Value;
using ops::Expr;

// The factors of one weight as ops want them: a, scale * b, in the dtype of what they multiply.
struct Factors {
  Value *a, *b;
};

// What the lengths of a weight with its adapter are computed of; or the factors themselves.
struct Magnitude {
  Value* known;  // [outputs]; null: to be computed
  Value *m, *a, *b;
  Value* squares;  // of the lengths of the weight itself: [outputs]
  double scale;
  bool outputs_first;
};

Expr as_matrix(const Expr& factor) {
  const Shape& shape = factor.shape();
  return shape.size() == 2 ? factor : reshape(factor, {shape[0], count_of(shape) / shape[0]});
}

// m / |W + s B A| for each output. The squared length is
//   |W|^2 + s B (2 (W A^T) + s B (A A^T)), summed over the rank,
// so that nothing as large as W is made. Of a weight of zeros it is tiny instead of none.
Expr factor_of(ir::Builder& builder, const Magnitude& m, const ir::AdapterRule& rule,
               Value* matrix) {
  constexpr double kLeast = 1e-24;
  if (m.known != nullptr) return {builder, m.known};
  const Expr a(builder, m.a), b = as_matrix({builder, m.b});
  const Expr weight = ops::as({builder, matrix}, a.dtype());
  const Expr rows = as_matrix({builder, rule.rows(builder, weight, a, m.outputs_first)});
  const Expr flat = as_matrix(a);
  const Expr gram = ops::matmul(flat, flat, false, true);
  const Expr inner = ops::transpose(rows, {1, 0}) * 2.0 + ops::matmul(b, gram) * m.scale;
  const Expr added = ops::reduce_sum(b * inner, {1}, false) * m.scale;
  const Expr squares = ops::maximum(added + Expr(builder, m.squares), kLeast);
  return Expr(builder, m.m) / ops::sqrt(squares);
}

class Inserter {
 public:
  Inserter(ir::Function& function, const ir::Catalog& catalog, Inserted how)
      : function_(function),
        catalog_(catalog),
        how_(how),
        front_(function.body, catalog, function.opset) {
    if (!function.body.ops.empty()) front_.insert_before(function.body.ops.front().get());
  }

  // The factors of all weights stand before the first op beside a site.
  InsertedAdapter add_factors(const AdaptableWeight& weight, const Adapter& adapter) {
    const bool scales = !adapter.magnitude.empty(), computes = how_ == Inserted::kToTrain;
    InsertedAdapter made{adapter.weight, {}};
    Value* a = add_part(made, name_of_a(adapter.weight), adapter.a, scales && computes);
    Value* b = add_part(made, name_of_b(adapter.weight), adapter.b, scales && computes);
    std::optional<Magnitude> magnitude;
    if (scales && !computes) {
      magnitude = {.known = known_factors(weight, adapter)};
    } else if (scales) {
      Value* m = add_part(made, name_of_magnitude(adapter.weight), adapter.magnitude, false);
      magnitude = {nullptr,
                   m,
                   made.parts[0].still->outputs[0].get(),
                   made.parts[1].still->outputs[0].get(),
                   squares_of(weight, adapter),
                   adapter.scale,
                   weight.outputs_first()};
    }
    const Expr scaled = Expr(front_, b) * adapter.scale;
    std::map<DType, Factors> factors;
    for (const AdapterSite& site : weight.sites) {
      const DType dtype = site.op->outputs[0]->type.dtype();
      auto found = factors.find(dtype);
      if (found == factors.end()) {
        const Factors made_of = {ops::as(Expr(front_, a), dtype), ops::as(scaled, dtype)};
        found = factors.emplace(dtype, made_of).first;
      }
      work_.push_back(
          {&site, site.outputs_first == weight.outputs_first(), found->second, magnitude});
    }
    return made;
  }

  // Every use of a result takes what stands beside it in its place.
  void finish() {
    for (const Work& work : work_) add(work);
    ops::substitute(function_, catalog_, results_);
    for (const auto& [result, sum] : sums_) {
      sum->producer->set_input("x", {{const_cast<Value*>(result), nullptr}});
    }
  }

 private:
  struct Work {
    const AdapterSite* site;
    bool same;  // the weight lies in this use as it does in its first one
    Factors factors;
    std::optional<Magnitude> magnitude;
  };

  Value* add_part(InsertedAdapter& made, const std::string& name, const Tensor& value, bool twice) {
    const ir::ConstantPtr constant = ir::Constant::tensor(value);
    Value* trained = front_.constant(constant, name);
    InsertedPart part{name, trained->producer, nullptr};
    if (twice) part.still = front_.constant(constant, name + "_still")->producer;
    made.parts.push_back(std::move(part));
    return trained;
  }

  Value* constant_of(const std::vector<double>& numbers, const Adapter& adapter,
                     const char* suffix) {
    Tensor vector(DType::kF64, {static_cast<int64_t>(numbers.size())});
    std::copy(numbers.begin(), numbers.end(), vector.mutable_data<double>());
    return front_.constant(ir::Constant::tensor(vector.to(adapter.a.dtype())),
                           adapter.weight + suffix);
  }
  Value* squares_of(const AdaptableWeight& weight, const Adapter& adapter) {
    const Tensor value = value_of(weight, function_, catalog_);
    return constant_of(squared_lengths(weight, value), adapter, ".squares");
  }
  Value* known_factors(const AdaptableWeight& weight, const Adapter& adapter) {
    const Tensor value = value_of(weight, function_, catalog_);
    return constant_of(factors_of(weight, value, adapter), adapter, ".lora_factor");
  }

  ir::Builder before(ir::Operation& op) {
    ir::Builder builder(*op.parent, catalog_, function_.opset);
    builder.insert_before(&op);
    return builder;
  }
  ir::Builder after(const ir::Operation& op) {
    ir::Block& block = *op.parent;
    ir::Builder builder(block, catalog_, function_.opset);
    const auto at = std::find_if(block.ops.begin(), block.ops.end(),
                                 [&](const auto& other) { return other.get() == &op; });
    if (std::next(at) != block.ops.end()) builder.insert_before(std::next(at)->get());
    return builder;
  }

  void add(const Work& work) {
    const AdapterSite& site = *work.site;
    ir::Operation& op = *site.op;
    std::optional<Expr> factor;
    ir::Builder ahead = before(op);
    if (work.magnitude) {
      Value* matrix = op.inputs[site.input].operands[0].value;
      factor = ops::as(factor_of(ahead, *work.magnitude, *site.rule, matrix),
                       op.outputs[0]->type.dtype());
      // Outputs of the weight that are what this use multiplies with are scaled before it.
      if (!work.same) {
        const Expr data(ahead, op.input(site.rule->data));
        op.set_input(site.rule->data, {{scaled(site, data, *factor, true).value(), nullptr}});
      }
    }
    ir::Builder b = after(op);
    const Expr change(b, site.rule->product(b, op, work.factors.a, work.factors.b, !work.same));
    Value* result = op.outputs[0].get();
    const Expr sum = Expr(b, result) + change;
    sums_[result] = sum;
    results_[result] = factor && work.same
                           ? with_bias(site, scaled(site, sum, {b, *factor}, false), {b, *factor})
                           : sum;
  }

  static Expr scaled(const AdapterSite& site, const Expr& x, const Expr& factor, bool swapped) {
    const auto rank = static_cast<int64_t>(x.shape().size());
    return x * ops::along_axis(factor, site.rule->outputs_axis(*site.op, swapped), rank);
  }

  // The bias was scaled, too, which it should not be.
  static Expr with_bias(const AdapterSite& site, const Expr& scaled, const Expr& factor) {
    const ir::Input* bias = site.op->find_input(site.rule->bias);
    if (bias == nullptr || bias->operands.empty()) return scaled;
    ir::Builder& b = scaled.builder();
    const ir::Operand& operand = bias->operands[0];
    const Expr given(b, operand.value != nullptr ? operand.value : b.constant(operand.literal));
    const Expr added = ops::as(given, scaled.dtype());
    const auto rank = static_cast<int64_t>(scaled.shape().size());
    const int64_t axis = site.rule->outputs_axis(*site.op, false);
    return scaled + ops::along_axis(added - added * factor, axis, rank);
  }

  ir::Function& function_;
  const ir::Catalog& catalog_;
  Inserted how_;
  ir::Builder front_;
  std::vector<Work> work_;
  ir::ValueMap sums_, results_;  // of each result: with the product beside it; what takes its place
};

}  // namespace

std::string name_of_a(const std::string& weight) { return weight + ".lora_A"; }
std::string name_of_b(const std::string& weight) { return weight + ".lora_B"; }
std::string name_of_magnitude(const std::string& weight) { return weight + ".lora_magnitude"; }

std::vector<std::pair<std::string, Tensor*>> parts_of(Adapter& adapter) {
  std::vector<std::pair<std::string, Tensor*>> parts = {{name_of_a(adapter.weight), &adapter.a},
                                                        {name_of_b(adapter.weight), &adapter.b}};
  if (!adapter.magnitude.empty()) {
    parts.emplace_back(name_of_magnitude(adapter.weight), &adapter.magnitude);
  }
  return parts;
}
std::vector<std::pair<std::string, const Tensor*>> parts_of(const Adapter& adapter) {
  const auto parts = parts_of(const_cast<Adapter&>(adapter));
  return {parts.begin(), parts.end()};
}

std::vector<InsertedAdapter> insert_adapters(ir::Function& function, const ir::Catalog& catalog,
                                             const std::vector<Adapter>& adapters, Inserted how) {
  const std::vector<AdaptableWeight> weights = adaptable_weights(function, catalog);
  Inserter inserter(function, catalog, how);
  std::vector<InsertedAdapter> inserted;
  for (const Adapter& adapter : adapters) {
    const auto weight = std::find_if(weights.begin(), weights.end(), [&](const auto& w) {
      return w.name() == adapter.weight && w.obstacle.empty();
    });
    MW_CHECK(weight != weights.end());
    inserted.push_back(inserter.add_factors(*weight, adapter));
  }
  inserter.finish();
  return inserted;
}

}  // namespace mw::adapters
