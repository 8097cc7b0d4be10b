// lift(): replaces each place of a parameter by a read of its state.
#include "train/lift.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "ops/expr.h"

namespace mw::training {
namespace {

using ir::Value;

// A const to replace, and where it is used.
struct Place {
  ir::ParameterId id;
  Value* value;
  std::vector<ir::Use> uses;
};

class Lifter {
 public:
  Lifter(const ir::Function& source, const ir::Catalog& catalog, DType dtype)
      : catalog_(catalog), dtype_(dtype) {
    lifted_.function = ir::clone(source).function;
    constants_ = ir::constants_by_name(*lifted_.function);
    uses_ = ir::uses_in(lifted_.function->body);
  }

  Lifted run(const std::vector<Parameter>& chosen) {
    for (const Parameter& parameter : chosen) add(parameter);
    return std::move(lifted_);
  }

 private:
  void add(const Parameter& chosen) {
    const std::vector<Place> places = places_of(chosen.places);
    if (places.empty()) return;
    const Place& first = places.front();
    const bool is_economy =
        !chosen.is_factor && ir::is_one_number(ir::constant_of(first.value)->value());
    if (!is_economy || first.uses.size() == 1) return make(chosen, places);
    for (size_t i = 0; i < first.uses.size(); ++i) {
      Parameter part = chosen;
      if (i > 0) part.name += fmt::format("_use{}", i);
      make(part, {{{first.id.value, static_cast<int64_t>(i)}, first.value, {first.uses[i]}}});
    }
  }

  // Those of the consts that are used.
  [[nodiscard]] std::vector<Place> places_of(const std::vector<ir::ParameterId>& ids) const {
    std::vector<Place> places;
    for (const ir::ParameterId& id : ids) {
      Value* value = const_of(id);
      const auto used = uses_.find(value);
      if (used != uses_.end()) places.push_back({id, value, used->second});
    }
    return places;
  }

  Value* const_of(const ir::ParameterId& id) const {
    const auto found = constants_.find(id.value);
    const ir::ConstantPtr constant =
        found == constants_.end() ? nullptr : ir::constant_of(found->second);
    if (constant == nullptr || !constant->is_tensor() || !is_float(constant->type().dtype())) {
      fail(ErrorCode::kInvalidArgument,
           "parameter '{}': expected a const of floats; train compressed weights through an "
           "adapter",
           id.value);
    }
    return found->second;
  }

  void make(Parameter parameter, const std::vector<Place>& places) {
    const Tensor& value = ir::constant_of(places.front().value)->value();
    parameter.state = ir::Builder(lifted_.function->body, catalog_, lifted_.function->opset)
                          .fresh(parameter.name + "_master");
    parameter.shape = value.shape();
    parameter.stored = value.dtype();
    parameter.places.clear();
    Tensor initial = value.to(dtype_);
    lifted_.initial.push_back(initial.raw() == value.raw() ? initial.clone() : initial);
    lifted_.function->body.add_argument(parameter.state,
                                        ir::Type::state(ir::Type::tensor(dtype_, parameter.shape)));
    for (const Place& place : places) parameter.places.push_back(place.id);
    read(parameter, places, "_value");
    if (!parameter.still.empty()) read(parameter, places_of({{parameter.still}}), "_still");
    lifted_.parameters.push_back(std::move(parameter));
  }

  // A state is read once, so that its gradient is that of one value (and once more where there is
  // to be none), at the beginning of the function; consts that are tied may have several shapes.
  void read(const Parameter& parameter, const std::vector<Place>& places, const char* suffix) {
    ir::Block& body = lifted_.function->body;
    ir::Builder b(body, catalog_, lifted_.function->opset);
    if (!body.ops.empty()) b.insert_before(body.ops.front().get());
    Value* state = lifted_.function->find_argument(parameter.state);
    const ops::Expr master = ops::read_parameter(b, state, parameter.name + suffix);
    std::map<Shape, Value*> shaped;
    for (const Place& place : places) {
      const ir::Type& type = place.value->type;
      Value*& known = shaped[type.shape()];
      if (known == nullptr) {
        ops::Expr value = master;
        if (value.dtype() != type.dtype()) value = ops::as(value, type.dtype());
        if (value.shape() != type.shape()) value = ops::reshape(value, type.shape());
        known = value;
      }
      redirect(place.uses, known);
    }
  }

  static void redirect(const std::vector<ir::Use>& uses, Value* value) {
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
  std::map<std::string, Value*> constants_;
  std::unordered_map<const Value*, std::vector<ir::Use>> uses_;
};

}  // namespace

Lifted lift(const ir::Function& function, const ir::Catalog& catalog,
            const std::vector<Parameter>& chosen, DType dtype) {
  return Lifter(function, catalog, dtype).run(chosen);
}

}  // namespace mw::training
