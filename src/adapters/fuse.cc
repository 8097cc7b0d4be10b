// The weights changed in place, or consts of their own where others read them, too.
#include "adapters/fuse.h"

#include <algorithm>
#include <map>
#include <set>

#include "adapters/magnitude.h"
#include "adapters/sites.h"
#include "base/error.h"
#include "ir/builder.h"
#include "ops/weights/shared_weights.h"

namespace mw::adapters {
namespace {

using ir::Operation;
using ir::Value;

// scale * B A in the layout of the weight, in fp64.
Tensor change_of(const AdaptableWeight& weight, const Adapter& adapter) {
  const int64_t rank = adapter.a.dim(0), outputs = adapter.b.dim(0);
  const int64_t inputs = adapter.a.count() / rank;
  Tensor change(DType::kF64, weight.type().shape());
  const Tensor a = adapter.a.to(DType::kF64), b = adapter.b.to(DType::kF64);
  const double *from_a = a.data<double>(), *from_b = b.data<double>();
  double* to = change.mutable_data<double>();
  const bool by_output = weight.outputs_first();
  const int64_t o_stride = by_output ? inputs : 1, i_stride = by_output ? 1 : outputs;
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t r = 0; r < rank; ++r) {
      const double factor = adapter.scale * from_b[o * rank + r];
      double* row = to + o * o_stride;
      for (int64_t i = 0; i < inputs; ++i) row[i * i_stride] += factor * from_a[r * inputs + i];
    }
  }
  return change;
}

// The constants that hold one changed weight: the same object wherever the shape is the same, so
// that a file holds it once.
class Replacement {
 public:
  Replacement(Tensor stored, std::optional<ir::BlobRef> ref)
      : stored_(std::move(stored)), ref_(std::move(ref)) {}

  const ir::ConstantPtr& of(const Shape& shape) {
    ir::ConstantPtr& known = constants_[shape];
    if (known == nullptr) {
      Tensor value = stored_.reshaped(shape);
      known = ref_ ? ir::Constant::blob(std::move(value), *ref_)
                   : ir::Constant::tensor(std::move(value));
    }
    return known;
  }

 private:
  Tensor stored_;
  std::optional<ir::BlobRef> ref_;
  std::map<Shape, ir::ConstantPtr> constants_;
};

// Puts one changed weight into a function.
class Replacer {
 public:
  Replacer(ir::Function& function, const ir::Catalog& catalog, const ir::ConstantPtr& constant)
      : function_(function),
        catalog_(catalog),
        constant_(constant),
        uses_(ir::uses_in(function.body)) {}

  void run(const AdaptableWeight& weight) {
    for (const AdapterSite& site : weight.sites) sites_.emplace(site.op, site.input);
    for (Value* value : weight.values) replace(*value);
  }

 private:
  void replace(Value& value) {
    Operation& producer = *value.producer;
    if (!reaches(value, false)) return;
    if (producer.is_const() && reaches(value, true)) {
      ir::set_attribute(producer.attributes, "val", constant_);
      return;
    }
    ir::Block& block = *producer.parent;
    ir::Builder b(block, catalog_, function_.opset);
    Operation* next = after(producer);
    if (next != nullptr) b.insert_before(next);
    const std::string name = value.name;
    Value* own = b.constant(constant_, name + "_adapted");
    redirect(value, own);
    if (drop_unused(producer)) {
      own->name = name;
      ir::set_attribute(own->producer->attributes, "name", ir::Constant::string(name));
    }
  }

  // Whether all (or any) uses of a value, through casts, are sites.
  bool reaches(const Value& value, bool all) const {
    const auto found = uses_.find(&value);
    if (found == uses_.end()) return false;
    const auto is_site = [&](const ir::Use& use) {
      if (use.op == nullptr) return false;
      if (sites_.contains({use.op, use.input})) return true;
      return use.op->type == ir::kCastOp && reaches(*use.op->outputs[0], all);
    };
    return all ? std::all_of(found->second.begin(), found->second.end(), is_site)
               : std::any_of(found->second.begin(), found->second.end(), is_site);
  }

  [[nodiscard]] bool is_constant(const Operation& op) const {
    const ir::OpDef* def = catalog_.find(op.type, function_.opset);
    return op.is_const() || (def != nullptr && def->has_trait(ir::kConstexpr));
  }

  static Operation* after(const Operation& op) {
    auto& ops = op.parent->ops;
    const auto at =
        std::find_if(ops.begin(), ops.end(), [&](const auto& other) { return other.get() == &op; });
    return std::next(at) == ops.end() ? nullptr : std::next(at)->get();
  }

  // The sites behind `from` take `to`; a cast that others need, too, is copied.
  void redirect(const Value& from, Value* to) {
    for (const ir::Use& use : uses_.at(&from)) {
      if (use.op == nullptr) continue;
      ir::Operand& operand = use.op->inputs[use.input].operands[use.operand];
      if (sites_.contains({use.op, use.input})) {
        operand.value = to;
      } else if (use.op->type == ir::kCastOp && reaches(*use.op->outputs[0], false)) {
        if (reaches(*use.op->outputs[0], true)) {
          operand.value = to;
          continue;
        }
        ir::Builder b(*use.op->parent, catalog_, function_.opset);
        if (Operation* next = after(*use.op)) b.insert_before(next);
        const auto dtype = std::string(name_of(use.op->outputs[0]->type.dtype()));
        Value* copy = b.op(ir::kCastOp, {{"x", to}, {"dtype", dtype}}, to->name + "_cast");
        redirect(*use.op->outputs[0], copy);
      }
    }
  }

  // Drops a constant op that nothing uses any more, and then those it was made of.
  bool drop_unused(Operation& op) {
    const auto uses = ir::uses_in(function_.body);
    for (const auto& output : op.outputs) {
      const auto found = uses.find(output.get());
      if (found != uses.end() && !found->second.empty()) return false;
    }
    std::set<Operation*> parts;
    for (const ir::Operand& operand : ir::operands(op)) {
      if (operand.value == nullptr || operand.value->producer == nullptr) continue;
      if (is_constant(*operand.value->producer)) parts.insert(operand.value->producer);
    }
    op.parent->ops.remove_if([&](const auto& other) { return other.get() == &op; });
    for (Operation* part : parts) drop_unused(*part);
    return true;
  }

  ir::Function& function_;
  const ir::Catalog& catalog_;
  const ir::ConstantPtr& constant_;
  std::unordered_map<const Value*, std::vector<ir::Use>> uses_;
  std::set<std::pair<const Operation*, size_t>> sites_;
};

// A weight that one function has as another function has it.
struct Follower {
  ir::Function* function;
  const AdaptableWeight* weight;
};

// The other functions of a program, as they were before anything changed.
class Others {
 public:
  Others(const ir::Function& function, const std::vector<ir::Function*>& others,
         const ir::Catalog& catalog) {
    for (ir::Function* other : others) {
      functions_.push_back(
          {other, ops::SharedWeights(function, *other), adaptable_weights(*other, catalog)});
    }
  }

  [[nodiscard]] std::vector<Follower> followers(const AdaptableWeight& weight) const {
    std::vector<Follower> followers;
    for (const Entry& other : functions_) {
      std::set<const Value*> twins;
      for (const Value* value : weight.values) {
        for (const ops::Twin& twin : other.shared.twins(*value)) twins.insert(twin.value);
      }
      for (const AdaptableWeight& theirs : other.weights) {
        if (std::any_of(theirs.values.begin(), theirs.values.end(),
                        [&](const Value* value) { return twins.contains(value); })) {
          followers.push_back({other.function, &theirs});
        }
      }
    }
    return followers;
  }

 private:
  struct Entry {
    ir::Function* function;
    ops::SharedWeights shared;
    std::vector<AdaptableWeight> weights;
  };
  std::vector<Entry> functions_;
};

const AdaptableWeight& weight_named(const std::vector<AdaptableWeight>& weights,
                                    const std::string& name) {
  const auto found = std::find_if(weights.begin(), weights.end(), [&](const auto& weight) {
    return weight.name() == name && weight.obstacle.empty();
  });
  MW_CHECK(found != weights.end());
  return *found;
}

std::optional<ir::BlobRef> blob_of(const Value& value) {
  const ir::ConstantPtr constant = ir::constant_of(&value);
  return constant == nullptr ? std::nullopt : constant->blob_ref();
}

void follow(const Follower& follower, const ir::Catalog& catalog, Replacement& replacement,
            FusedWeight& made) {
  const AdaptableWeight& weight = *follower.weight;
  if (!weight.obstacle.empty()) {
    made.kept.push_back(fmt::format("function '{}' keeps '{}' as it was: {}",
                                    follower.function->name, weight.name(), weight.obstacle));
    return;
  }
  Replacer(*follower.function, catalog, replacement.of(weight.type().shape())).run(weight);
  made.functions.push_back(follower.function->name);
}

}  // namespace

void fuse_adapters(ir::Function& function, const std::vector<ir::Function*>& others,
                   const ir::Catalog& catalog, const std::vector<Adapter>& adapters,
                   const std::function<void(const FusedWeight&)>& fused) {
  const std::vector<AdaptableWeight> weights = adaptable_weights(function, catalog);
  const Others rest(function, others, catalog);
  // All are looked up before anything changes.
  std::vector<std::vector<Follower>> followers;
  followers.reserve(adapters.size());
  for (const Adapter& adapter : adapters) {
    followers.push_back(rest.followers(weight_named(weights, adapter.weight)));
  }
  for (size_t i = 0; i < adapters.size(); ++i) {
    const Adapter& adapter = adapters[i];
    const AdaptableWeight& weight = weight_named(weights, adapter.weight);
    FusedWeight made{.name = adapter.weight};
    made.original = value_of(weight, function, catalog);
    made.exact = change_of(weight, adapter);
    for (int64_t k = 0; k < made.exact.count(); ++k) {
      made.exact.set_number(k, made.exact.number_at(k) + made.original.number_at(k));
    }
    if (!adapter.magnitude.empty()) {
      scale_outputs(weight, factors_of(weight, made.original, adapter), made.exact);
    }
    made.stored = made.exact.to(weight.type().dtype());
    if (!bit_equal(made.stored, made.original)) {
      Replacement replacement(made.stored, blob_of(*weight.values.front()));
      Replacer(function, catalog, replacement.of(weight.type().shape())).run(weight);
      for (const Follower& follower : followers[i]) follow(follower, catalog, replacement, made);
    }
    fused(made);
  }
}

}  // namespace mw::adapters
