// Finding the sites of adapters, and inserting the ops beside them.
#include "ops/rewrites/adapters.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "ops/expr.h"
#include "ops/rewrites/parameters.h"
#include "ops/rewrites/shared_weights.h"
#include "ops/rewrites/substitute.h"

namespace mw::ops {
namespace {

using Form = AdapterSite::Form;
using Uses = std::unordered_map<const Value*, std::vector<Use>>;

bool is_made_of_constants(const Operand& operand) {
  const Value* value = operand.value;
  while (value != nullptr && value->producer != nullptr && value->producer->type == kCastOp) {
    value = value->producer->input("x");
  }
  return value == nullptr ||
         (value->producer != nullptr &&
          (value->producer->is_const() || value->producer->type.starts_with("constexpr_")));
}

bool flag_of(const Operation& op, std::string_view input) {
  const Input* found = op.find_input(input);
  const ConstantPtr constant = found == nullptr ? nullptr : constant_of(found->operands[0]);
  return constant != nullptr && constant->value().integer_at(0) != 0;
}

bool has_one_group(const Operation& op) {
  const Input* groups = op.find_input("groups");
  if (groups == nullptr) return true;
  const ConstantPtr constant = constant_of(groups->operands[0]);
  return constant != nullptr && constant->value().integer_at(0) == 1;
}

// Collects the sites of one weight, or the reason why there are none.
class Finder {
 public:
  Finder(const Uses& uses, AdaptableWeight& weight) : uses_(uses), weight_(weight) {}

  void follow(const Value& value) {
    const auto found = uses_.find(&value);
    if (found == uses_.end()) return;
    for (const Use& use : found->second) {
      if (use.op == nullptr) {
        refuse("it is passed to the output of a block");
      } else if (use.op->type == kCastOp && is_float(use.op->outputs[0]->type.dtype())) {
        follow(*use.op->outputs[0]);
      } else {
        visit(use);
      }
    }
  }

 private:
  void refuse(std::string reason) {
    if (weight_.obstacle.empty()) weight_.obstacle = std::move(reason);
  }

  void visit(const Use& use) {
    const Operation& op = *use.op;
    const std::string& input = op.inputs[use.input].name;
    if (input == "weight" && op.type == "linear") return beside(use, "x", Form::kRight, true);
    if (op.type == "matmul" && input == "y") {
      return beside(use, "x", Form::kRight, flag_of(op, "transpose_y"));
    }
    if (op.type == "matmul" && input == "x") {
      return beside(use, "y", Form::kLeft, !flag_of(op, "transpose_x"));
    }
    if (input == "weight" && op.type == "conv") {
      if (!has_one_group(op)) return refuse(fmt::format("conv '{}' has groups", op.name()));
      return beside(use, "x", Form::kConv, true);
    }
    refuse(fmt::format("it is used as {} of {}", input, op.type));
  }

  void beside(const Use& use, const char* other, Form form, bool outputs_first) {
    const Operation& op = *use.op;
    const Input* x = op.find_input(other);
    const bool constant = x == nullptr || is_made_of_constants(x->operands[0]);
    if (constant) return refuse(fmt::format("{} '{}' has constants only", op.type, op.name()));
    const int64_t rank = weight_.type().rank();
    if (form != Form::kConv && rank != 2) {
      return refuse(fmt::format("{} '{}' takes it as a stack of matrices", op.type, op.name()));
    }
    const Type& type = x->operands[0].value->type;
    if (!type.has_rank() || !is_float(type.dtype()) || !op.outputs[0]->type.has_rank()) {
      return refuse(fmt::format("the rank of {} '{}' is not known", op.type, op.name()));
    }
    weight_.sites.push_back({use.op, use.input, form, outputs_first});
  }

  const Uses& uses_;
  AdaptableWeight& weight_;
};

// One weight per blob; other values are weights of their own, and so is one repeated number.
std::string key_of(const ParameterInfo& info) {
  const ConstantPtr constant = constant_of(info.value);
  if (constant == nullptr || !constant->blob_ref() ||
      (constant->has_value() && is_one_number(constant->value()))) {
    return fmt::format("{}", fmt::ptr(info.value));
  }
  const BlobRef& ref = *constant->blob_ref();
  return fmt::format("{} {} {}", ref.path, ref.offset, constant->type().str());
}

// The factors of one weight as ops want them: a, scale * b, in the dtype of what they multiply.
struct Factors {
  Value *a, *b;
};

class Inserter {
 public:
  Inserter(Function& function, const Catalog& catalog)
      : function_(function), catalog_(catalog), front_(function.body, catalog, function.opset) {
    if (!function.body.ops.empty()) front_.insert_before(function.body.ops.front().get());
  }

  // The factors of all weights stand before the first op beside a site.
  InsertedAdapter add_factors(const AdaptableWeight& weight, const Adapter& adapter) {
    Value* a = front_.constant(Constant::tensor(adapter.a), name_of_a(adapter.weight));
    Value* b = front_.constant(Constant::tensor(adapter.b), name_of_b(adapter.weight));
    const Expr scaled = Expr(front_, b) * adapter.scale;
    std::map<DType, Factors> factors;
    for (const AdapterSite& site : weight.sites) {
      const DType dtype = site.op->outputs[0]->type.dtype();
      auto found = factors.find(dtype);
      if (found == factors.end()) {
        const Factors made = {as(Expr(front_, a), dtype), as(scaled, dtype)};
        found = factors.emplace(dtype, made).first;
      }
      work_.push_back({&site, site.outputs_first == weight.outputs_first(), found->second});
    }
    return {adapter.weight, a->producer, b->producer};
  }

  // Every use of a result takes the sum in its place.
  void finish() {
    for (const Work& work : work_) add(*work.site, work.same, work.factors);
    substitute(function_, catalog_, sums_);
    for (const auto& [result, sum] : sums_) {
      sum->producer->set_input("x", {{const_cast<Value*>(result), nullptr}});
    }
  }

 private:
  struct Work {
    const AdapterSite* site;
    bool same;  // the weight lies in this use as it does in its first one
    Factors factors;
  };

  void add(const AdapterSite& site, bool same, const Factors& factors) {
    Block& block = *site.op->parent;
    Builder b(block, catalog_, function_.opset);
    const auto at = std::find_if(block.ops.begin(), block.ops.end(),
                                 [&](const auto& op) { return op.get() == site.op; });
    if (std::next(at) != block.ops.end()) b.insert_before(std::next(at)->get());
    const Expr change = site.form == Form::kConv   ? convolved(b, *site.op, factors)
                        : site.form == Form::kLeft ? from_left(b, *site.op, same, factors)
                                                   : from_right(b, *site.op, same, factors);
    Value* result = site.op->outputs[0].get();
    sums_[result] = Expr(b, result) + change;
  }

  static Expr from_right(Builder& b, const Operation& op, bool same, const Factors& f) {
    const Expr x(b, op.input("x"));
    const bool transposed = flag_of(op, "transpose_x");
    if (!same) return matmul(matmul(x, {b, f.b}, transposed, false), {b, f.a}, false, false);
    const Expr thin =
        transposed ? matmul(x, {b, f.a}, true, true) : x.op("linear", {{"weight", f.a}});
    return thin.op("linear", {{"weight", f.b}});
  }

  static Expr from_left(Builder& b, const Operation& op, bool same, const Factors& f) {
    const Expr y(b, op.input("y"));
    const bool transposed = flag_of(op, "transpose_y");
    const Expr a(b, f.a), scaled_b(b, f.b);
    if (same) return matmul(scaled_b, matmul(a, y, false, transposed), false, false);
    return matmul(a, matmul(scaled_b, y, true, transposed), true, false);
  }

  static Expr convolved(Builder& b, const Operation& op, const Factors& f) {
    std::vector<Argument> arguments = {{"weight", f.a}};
    for (const Input& input : op.inputs) {
      if (input.name == "x" || input.name == "weight" || input.name == "bias") continue;
      arguments.emplace_back(input.name, ConstantPtr());
      arguments.back().operands = input.operands;
    }
    const Expr thin = Expr(b, op.input("x")).op("conv", std::move(arguments));
    return thin.op("conv", {{"weight", f.b}});
  }

  Function& function_;
  const Catalog& catalog_;
  Builder front_;
  std::vector<Work> work_;
  ValueMap sums_;
};

}  // namespace

Shape AdaptableWeight::shape_of_a(int64_t rank) const {
  Shape shape = type().shape();
  if (!outputs_first()) std::swap(shape[0], shape[1]);
  shape[0] = rank;
  return shape;
}

Shape AdaptableWeight::shape_of_b(int64_t rank) const {
  Shape shape(type().shape().size(), 1);
  shape[0] = type().shape()[outputs_first() ? 0 : 1];
  shape[1] = rank;
  return shape;
}

int64_t AdaptableWeight::full_rank() const {
  return std::min(count_of(shape_of_a(1)), count_of(shape_of_b(1)));
}

std::string name_of_a(const std::string& weight) { return weight + ".lora_A"; }
std::string name_of_b(const std::string& weight) { return weight + ".lora_B"; }

std::vector<AdaptableWeight> adaptable_weights(const Function& function, const Catalog& catalog) {
  std::vector<AdaptableWeight> weights;
  std::map<std::string, size_t> known;
  const Uses uses = uses_in(function.body);
  for (const ParameterInfo& info : parameters_of(function, catalog)) {
    const Type& type = info.value->type;
    if (!type.is_tensor() || !is_float(type.dtype())) continue;
    const auto [place, first] = known.try_emplace(key_of(info), weights.size());
    if (first) weights.emplace_back();
    AdaptableWeight& weight = weights[place->second];
    weight.values.push_back(const_cast<Value*>(info.value));
    weight.names.push_back(info.name);
    if (!type.is_static()) {
      weight.obstacle = "its shape is not known";
    } else {
      Finder(uses, weight).follow(*info.value);
    }
  }
  std::set<std::string> names;
  for (AdaptableWeight& weight : weights) {
    if (!weight.sites.empty()) {
      // Branches may use a name twice.
      const bool first = names.insert(weight.name()).second;
      weight.obstacle = first ? "" : "another weight has its name";
    } else if (weight.obstacle.empty()) {
      weight.obstacle = "nothing uses it";
    }
  }
  return weights;
}

std::vector<InsertedAdapter> insert_adapters(Function& function, const Catalog& catalog,
                                             const std::vector<Adapter>& adapters) {
  const std::vector<AdaptableWeight> weights = adaptable_weights(function, catalog);
  Inserter inserter(function, catalog);
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

}  // namespace mw::ops
