// with_weights(): a copy of the program whose trained constants are replaced in place.
#include "exporter/export.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "adapters/fuse.h"
#include "base/error.h"
#include "base/finite.h"
#include "ir/parameter.h"
#include "ops/catalog.h"
#include "ops/weights/shared_weights.h"

namespace mw::exporter {
namespace {

using ir::Operation;
using ir::Value;

// Where `value` is infinite or NaN and the original is not; a model may hold infinities itself.
std::optional<int64_t> first_spoilt(const Tensor& value, const Tensor& original) {
  auto at = first_not_finite(value);
  while (at && !std::isfinite(original.number_at(*at))) at = first_not_finite(value, *at + 1);
  return at;
}

// What rounding does to the change of a parameter. Throws invalid_argument where training has made
// a number of it infinite or NaN.
std::string warning_for(const std::string& name, const Tensor& value, const Tensor& stored,
                        const Tensor& original) {
  if (const auto at = first_spoilt(value, original)) {
    fail(ErrorCode::kInvalidArgument,
         "parameter '{}': expected finite numbers to write, got {}; lower the learning rate, or go "
         "on from an earlier checkpoint",
         name, not_finite_text(value, *at));
  }
  int64_t overflowed = 0, changed = 0, vanished = 0;
  for (int64_t i = 0; i < value.count(); ++i) {
    const double v = value.number_at(i), s = stored.number_at(i), o = original.number_at(i);
    if (std::isfinite(v) && !std::isfinite(s)) ++overflowed;
    if (v != o) {
      ++changed;
      if (s == o) ++vanished;
    }
  }
  if (overflowed > 0) {
    return fmt::format("parameter '{}': {} of {} numbers overflow {}", name, overflowed,
                       value.count(), name_of(stored.dtype()));
  }
  if (changed > 0 && vanished == changed) {
    return fmt::format("parameter '{}': all {} changes are too small for {} and vanish", name,
                       changed, name_of(stored.dtype()));
  }
  return "";
}

// Throws invalid_argument where a weight and its adapter together are out of range.
void expect_held(const adapters::FusedWeight& fused) {
  if (const auto at = first_spoilt(fused.stored, fused.original)) {
    fail(ErrorCode::kInvalidArgument,
         "parameter '{}': expected numbers that {} holds with the adapter added, got {} as {}; the "
         "adapter is of another model, or too large",
         fused.name, name_of(fused.stored.dtype()), fused.exact.number_at(*at),
         not_finite_text(fused.stored, *at));
  }
}

// The constants that hold one trained weight: one object for all places without a blob of their
// own, so that a file holds it once.
class Stored {
 public:
  explicit Stored(Tensor value) : value_(std::move(value)) {}

  [[nodiscard]] const Tensor& value() const { return value_; }
  ir::ConstantPtr in_place_of(const ir::Constant& old) {
    const Shape& shape = old.type().shape();
    if (old.blob_ref()) return ir::Constant::blob(value_.reshaped(shape), *old.blob_ref());
    return of(shape);
  }
  ir::ConstantPtr of(const Shape& shape) {
    ir::ConstantPtr& known = constants_[shape];
    if (known == nullptr) known = ir::Constant::tensor(value_.reshaped(shape));
    return known;
  }

 private:
  Tensor value_;
  std::map<Shape, ir::ConstantPtr> constants_;
};

// A const of its own for one use of a const that several ops share.
void split(Operation& op, int64_t number, const ir::ConstantPtr& value, const ir::Use& use) {
  const std::string name = op.outputs[0]->name + fmt::format("_trained{}", number);
  auto made = std::make_unique<Operation>();
  made->type = ir::kConstOp;
  made->parent = op.parent;
  made->attributes = {{"name", ir::Constant::string(name)}, {"val", value}};
  Value* out = made->add_output(name, op.outputs[0]->type);
  auto& ops = op.parent->ops;
  const auto at =
      std::find_if(ops.begin(), ops.end(), [&](const auto& o) { return o.get() == &op; });
  ops.insert(std::next(at), std::move(made));
  if (use.op != nullptr) {
    use.op->inputs[use.input].operands[use.operand].value = out;
  } else {
    use.block->outputs[use.operand] = out;
  }
}

void set_value(Operation& op, Stored& stored) {
  const ir::ConstantPtr old = ir::constant_of(op.outputs[0].get());
  ir::set_attribute(op.attributes, "val", stored.in_place_of(*old));
}

// The other functions of the exported program, looked up in before they change.
class Followers {
 public:
  Followers(const ir::Function& function, const ir::Program& exported)
      : constants_(ir::constants_by_name(function)) {
    for (const auto& other : exported.functions) {
      if (other->name != function.name) shared_.emplace_back(function, *other);
    }
  }

  void change(const training::Parameter& parameter, Stored& stored) {
    std::set<const Value*> done;
    for (const ops::SharedWeights& shared : shared_) {
      for (const ir::ParameterId& place : parameter.places) {
        for (const ops::Twin& twin : shared.twins(*constants_.at(place.value), place.use)) {
          if (!done.insert(twin.value).second) continue;
          Operation& op = *twin.value->producer;
          if (twin.whole) {
            set_value(op, stored);
          } else {
            split(op, place.use, stored.of(twin.value->type.shape()), twin.uses[0]);
          }
        }
      }
    }
  }

 private:
  std::map<std::string, Value*> constants_;
  std::vector<ops::SharedWeights> shared_;
};

}  // namespace

Exported with_weights(const package::Model& model, const ir::Function& function,
                      const std::vector<TrainedWeight>& weights, Reach reach) {
  Exported result{model.clone(), {}};
  ir::Function* copy = result.model.program->find_function(function.name);
  MW_CHECK(copy != nullptr);
  const auto constants = ir::constants_by_name(*copy);
  const auto uses = ir::uses_in(copy->body);
  std::optional<Followers> followers;
  if (reach == Reach::kAllFunctions) followers.emplace(function, *result.model.program);
  for (const TrainedWeight& weight : weights) {
    const training::Parameter& parameter = *weight.parameter;
    const Tensor original = ir::constant_of(constants.at(parameter.places.front().value))->value();
    Stored stored(weight.value.to(parameter.stored).clone());
    if (std::string warning = warning_for(parameter.name, weight.value, stored.value(), original);
        !warning.empty()) {
      result.warnings.push_back(std::move(warning));
    }
    if (bit_equal(stored.value(), original)) continue;
    for (const ir::ParameterId& place : parameter.places) {
      const Value* value = constants.at(place.value);
      Operation& op = *value->producer;
      if (place.use >= 0) {
        split(op, place.use, stored.of(parameter.shape),
              uses.at(value).at(static_cast<size_t>(place.use)));
      } else {
        set_value(op, stored);
      }
    }
    if (followers) followers->change(parameter, stored);
  }
  return result;
}

std::vector<std::string> fuse(package::Model& model, const std::string& function,
                              const adapters::AdapterSet& set, Reach reach) {
  ir::Function* adapted = model.program->find_function(function);
  MW_CHECK(adapted != nullptr);
  if (set.adapters.empty()) return {};
  std::vector<ir::Function*> others;
  for (const auto& other : model.program->functions) {
    if (reach == Reach::kAllFunctions && other.get() != adapted) others.push_back(other.get());
  }
  std::vector<std::string> warnings;
  adapters::fuse_adapters(*adapted, others, ops::catalog(), set.adapters,
                          [&](const adapters::FusedWeight& fused) {
                            expect_held(fused);
                            const std::string warning =
                                warning_for(fused.name, fused.exact, fused.stored, fused.original);
                            if (!warning.empty()) warnings.push_back(warning);
                            warnings.insert(warnings.end(), fused.kept.begin(), fused.kept.end());
                          });
  model.metadata.user_defined[adapters::kLoraMetadata] = adapters::describe(set);
  return warnings;
}

}  // namespace mw::exporter
