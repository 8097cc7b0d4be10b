// Inserting the products of thin factors beside their sites.
#include "adapters/insert.h"

#include <algorithm>
#include <map>

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

class Inserter {
 public:
  Inserter(ir::Function& function, const ir::Catalog& catalog)
      : function_(function), catalog_(catalog), front_(function.body, catalog, function.opset) {
    if (!function.body.ops.empty()) front_.insert_before(function.body.ops.front().get());
  }

  // The factors of all weights stand before the first op beside a site.
  InsertedAdapter add_factors(const AdaptableWeight& weight, const Adapter& adapter) {
    Value* a = front_.constant(ir::Constant::tensor(adapter.a), name_of_a(adapter.weight));
    Value* b = front_.constant(ir::Constant::tensor(adapter.b), name_of_b(adapter.weight));
    const Expr scaled = Expr(front_, b) * adapter.scale;
    std::map<DType, Factors> factors;
    for (const AdapterSite& site : weight.sites) {
      const DType dtype = site.op->outputs[0]->type.dtype();
      auto found = factors.find(dtype);
      if (found == factors.end()) {
        const Factors made = {ops::as(Expr(front_, a), dtype), ops::as(scaled, dtype)};
        found = factors.emplace(dtype, made).first;
      }
      work_.push_back({&site, site.outputs_first == weight.outputs_first(), found->second});
    }
    return {adapter.weight, a->producer, b->producer};
  }

  // Every use of a result takes the sum in its place.
  void finish() {
    for (const Work& work : work_) add(*work.site, work.same, work.factors);
    ops::substitute(function_, catalog_, sums_);
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
    ir::Block& block = *site.op->parent;
    ir::Builder b(block, catalog_, function_.opset);
    const auto at = std::find_if(block.ops.begin(), block.ops.end(),
                                 [&](const auto& op) { return op.get() == site.op; });
    if (std::next(at) != block.ops.end()) b.insert_before(std::next(at)->get());
    const Expr change(b, site.rule->product(b, *site.op, factors.a, factors.b, !same));
    Value* result = site.op->outputs[0].get();
    sums_[result] = Expr(b, result) + change;
  }

  ir::Function& function_;
  const ir::Catalog& catalog_;
  ir::Builder front_;
  std::vector<Work> work_;
  ir::ValueMap sums_;
};

}  // namespace

std::string name_of_a(const std::string& weight) { return weight + ".lora_A"; }
std::string name_of_b(const std::string& weight) { return weight + ".lora_B"; }

std::vector<InsertedAdapter> insert_adapters(ir::Function& function, const ir::Catalog& catalog,
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

}  // namespace mw::adapters
