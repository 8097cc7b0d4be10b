// lift(): groups the candidates by what they share, then replaces each by a read of its state.
#include "train/lift.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "ir/op_pairs.h"
#include "ops/expr.h"
#include "ops/rewrites/shared_weights.h"

namespace mw::train {
namespace {

using ir::Value;

class Lifter {
 public:
  Lifter(const ir::Function& source, const ir::Catalog& catalog, DType dtype)
      : catalog_(catalog), dtype_(dtype) {
    lifted_.function = ir::clone(source);
    copies_ = ir::pair_ops(source.body, lifted_.function->body);
    uses_ = ir::uses_in(lifted_.function->body);
  }

  Lifted run(const std::vector<Candidate>& candidates) {
    for (const Candidate& candidate : candidates) add(candidate);
    return std::move(lifted_);
  }

 private:
  void add(const Candidate& candidate) {
    const ir::ConstantPtr constant = ir::constant_of(candidate.op->outputs[0].get());
    if (constant == nullptr || !constant->is_tensor() || !is_float(constant->type().dtype())) {
      fail(ErrorCode::kInvalidArgument,
           "parameter '{}': expected a const of floats; train compressed weights through an "
           "adapter",
           candidate.name);
    }
    Value* value = copies_.at(candidate.op)->outputs[0].get();
    const auto used = uses_.find(value);
    if (used == uses_.end()) return;
    const std::vector<ir::Use> uses = used->second;
    const bool is_economy = !candidate.whole && ops::is_one_number(constant->value());
    if (const auto& ref = constant->blob_ref(); ref && !is_economy) {
      const auto key = std::pair{ref->path, ref->offset};
      if (const auto known = by_blob_.find(key); known != by_blob_.end()) {
        lifted_.parameters[known->second].consts.push_back(candidate.op);
        return redirect(uses, lifted_.parameters[known->second], value);
      }
      by_blob_[key] = lifted_.parameters.size();
    }
    if (uses.size() > 1 && is_economy) {
      for (size_t i = 0; i < uses.size(); ++i) {
        make(candidate, *constant, i == 0 ? "" : fmt::format("_use{}", i));
        lifted_.parameters.back().use = static_cast<int64_t>(i);
        redirect({uses[i]}, lifted_.parameters.back(), value);
      }
      return;
    }
    make(candidate, *constant, "");
    redirect(uses, lifted_.parameters.back(), value);
  }

  void make(const Candidate& candidate, const ir::Constant& constant, const std::string& suffix) {
    Lifted::Parameter parameter;
    parameter.name = candidate.name + suffix;
    parameter.state = parameter.name + "_master";
    parameter.shape = constant.value().shape();
    parameter.stored = constant.type().dtype();
    parameter.initial = constant.value().to(dtype_);
    if (parameter.initial.raw() == constant.value().raw()) {
      parameter.initial = parameter.initial.clone();
    }
    parameter.consts = {candidate.op};
    lifted_.function->body.add_argument(parameter.state,
                                        ir::Type::state(ir::Type::tensor(dtype_, parameter.shape)));
    lifted_.parameters.push_back(std::move(parameter));
  }

  // The value of a parameter in the dtype and shape its const had, at the beginning of the
  // function.
  Value* read(const Lifted::Parameter& parameter, const Value* like) {
    Value*& known = reads_[{parameter.state, like->type.shape()}];
    if (known == nullptr) {
      ir::Block& body = lifted_.function->body;
      ir::Builder b(body, catalog_, lifted_.function->opset);
      if (!body.ops.empty()) b.insert_before(body.ops.front().get());
      Value* state = lifted_.function->find_argument(parameter.state);
      ops::Expr value = ops::read_parameter(b, state, parameter.name + "_value");
      if (value.dtype() != like->type.dtype()) value = ops::as(value, like->type.dtype());
      if (value.shape() != like->type.shape()) value = ops::reshape(value, like->type.shape());
      known = value;
    }
    return known;
  }

  void redirect(const std::vector<ir::Use>& uses, const Lifted::Parameter& parameter,
                const Value* replaced) {
    Value* value = read(parameter, replaced);
    for (const ir::Use& use : uses) {
      if (use.op != nullptr) {
        use.op->inputs[use.input].operands[use.operand].value = value;
      } else {
        use.block->outputs[use.operand] = value;
      }
    }
  }

  const ir::Catalog& catalog_;
  DType dtype_;
  Lifted lifted_;
  ir::OpPairs copies_;
  std::unordered_map<const Value*, std::vector<ir::Use>> uses_;
  std::map<std::pair<std::string, uint64_t>, size_t> by_blob_;
  std::map<std::pair<std::string, Shape>, Value*> reads_;
};

}  // namespace

Lifted lift(const ir::Function& function, const ir::Catalog& catalog,
            const std::vector<Candidate>& candidates, DType dtype) {
  return Lifter(function, catalog, dtype).run(candidates);
}

}  // namespace mw::train
