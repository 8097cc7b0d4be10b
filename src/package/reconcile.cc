// reconcile() and correct(): the description of a model and the signatures of its program made to
// agree.
#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "package/description_proto.h"
#include "package/flexible_shapes.h"

namespace mw::package {
namespace {

void apply(const FlexibleShapes& shapes, Feature& feature) {
  if (const auto found = shapes.ranges.find(feature.name); found != shapes.ranges.end()) {
    feature.ranges = found->second;
  }
  if (const auto found = shapes.enumerated.find(feature.name); found != shapes.enumerated.end()) {
    feature.ranges.clear();
    feature.enumerated = found->second;
  }
  if (const auto found = shapes.defaults.find(feature.name); found != shapes.defaults.end()) {
    feature.shape = found->second;
  }
}

class Reconciler {
 public:
  Reconciler(ir::Function& function, FunctionDescription& description)
      : function_(function), description_(description), shapes_(flexible_shapes_of(function)) {}

  void run() {
    inputs();
    outputs();
    // From here on the description alone says which shapes are allowed.
    if (shapes_) {
      std::erase_if(function_.attributes,
                    [](const auto& row) { return row.first == kFlexibleShapes; });
    }
  }

 private:
  void inputs() {
    std::unordered_map<std::string_view, const ir::Value*> missing;
    for (const auto& argument : function_.body.arguments) {
      missing.emplace(argument->name, argument.get());
    }
    for (const auto* list : {&description_.inputs, &description_.states}) {
      for (const Feature& feature : *list) {
        const auto found = missing.find(feature.name);
        if (found == missing.end()) {
          fail(ErrorCode::kInvalidModel,
               "input '{}': expected one of the function's inputs under each name once, got "
               "a description of another",
               feature.name);
        }
        const bool is_state = found->second->type.is_state();
        if (is_state != (list == &description_.states)) {
          fail(ErrorCode::kInvalidModel, "'{}': described as {}, but the function declares {}",
               feature.name, is_state ? "an input" : "a state", found->second->type.str());
        }
        missing.erase(found);
      }
    }
    for (const auto& argument : function_.body.arguments) {
      if (!missing.contains(argument->name)) continue;
      Feature feature = feature_of(*argument);
      if (shapes_) apply(*shapes_, feature);
      (argument->type.is_state() ? description_.states : description_.inputs)
          .push_back(std::move(feature));
    }
  }

  void outputs() {
    // A function may return one value several times: it is described as often, under one name.
    std::unordered_map<std::string_view, int64_t> missing;
    for (const ir::Value* output : function_.body.outputs) ++missing[output->name];
    for (const Feature& feature : description_.outputs) {
      const auto found = missing.find(feature.name);
      if (found == missing.end() || found->second-- == 0) {
        fail(ErrorCode::kInvalidModel,
             "output '{}': expected one of the function's outputs as often as it returns it, got a "
             "description of another",
             feature.name);
      }
    }
    for (const ir::Value* output : function_.body.outputs) {
      if (missing[output->name]-- > 0) description_.outputs.push_back(feature_of(*output));
    }
  }

  ir::Function& function_;
  FunctionDescription& description_;
  std::optional<FlexibleShapes> shapes_;
};

void follow(Feature& feature, const ir::Type& type) {
  if (feature.kind != Feature::Kind::kMultiArray || feature.shape.empty()) return;
  feature.ranges.clear();
  feature.enumerated.clear();
  feature.shape = type.is_static() ? type.shape() : Shape{};
}

}  // namespace

std::vector<ir::Correction> correct(Model& model, const ir::Catalog& catalog) {
  std::vector<ir::Correction> corrections = ir::correct(*model.program, catalog);
  std::unordered_set<const ir::Value*> corrected;
  for (const ir::Correction& correction : corrections) corrected.insert(correction.value);
  if (corrected.empty()) return corrections;
  for (FunctionDescription& description : model.functions) {
    const ir::Function* function = model.program->find_function(description.name);
    if (function == nullptr) continue;
    for (const ir::Value* output : function->body.outputs) {
      if (!corrected.contains(output)) continue;
      for (Feature& feature : description.outputs) {
        if (feature.name == output->name) follow(feature, output->type);
      }
    }
  }
  return corrections;
}

Feature feature_of(const ir::Value& value) {
  Feature feature;
  feature.name = value.name;
  const ir::Type& type = value.type;
  if (type.kind() == ir::Type::Kind::kDict) {
    feature.kind = Feature::Kind::kDictionary;
    const ir::Type& key = type.elements()[0];
    const bool of_strings = key.is_tensor() && key.dtype() == DType::kString;
    feature.element = of_strings ? Feature::Element::kString : Feature::Element::kInt64;
    return feature;
  }
  if (!type.is_tensor() && !type.is_state()) return feature;
  if (type.is_tensor() && type.dtype() == DType::kString) {
    feature.kind = Feature::Kind::kString;
    return feature;
  }
  if (type.is_tensor() && type.dtype() == DType::kI64 && type.has_rank() && type.rank() == 0) {
    feature.kind = Feature::Kind::kInt64;
    return feature;
  }
  feature.kind = type.is_state() ? Feature::Kind::kState : Feature::Kind::kMultiArray;
  feature.dtype = type.dtype();
  const bool is_result = value.producer != nullptr;
  // What is not known is not said of an output.
  if (!type.has_rank() || (!type.is_static() && is_result)) return feature;
  feature.shape = type.shape();
  if (type.is_static()) return feature;
  for (int64_t& extent : feature.shape) {
    feature.ranges.push_back(extent < 0 ? ShapeRange{1, -1} : ShapeRange{extent, extent});
    extent = std::max<int64_t>(extent, 1);
  }
  return feature;
}

void reconcile(Model& model) {
  ir::Program& program = *model.program;
  if (!model.multi_function && !model.functions.empty()) {
    const ir::Function* main = program.functions.size() == 1 ? program.functions.front().get()
                                                             : program.find_function("main");
    if (main == nullptr) main = program.functions.front().get();
    model.functions.front().name = main->name;
    model.default_function = main->name;
  }
  std::unordered_map<std::string_view, FunctionDescription*> described;
  for (FunctionDescription& description : model.functions) {
    if (!described.emplace(description.name, &description).second) {
      fail(ErrorCode::kInvalidModel, "function '{}' is described twice", description.name);
    }
  }
  std::vector<FunctionDescription> added;
  for (const auto& function : program.functions) {
    in_context([&] { return fmt::format("function '{}'", function->name); },
               [&] {
                 const auto found = described.find(function->name);
                 if (found != described.end()) {
                   Reconciler(*function, *found->second).run();
                   described.erase(found);
                   return;
                 }
                 added.push_back({.name = function->name});
                 Reconciler(*function, added.back()).run();
               });
  }
  if (!described.empty()) {
    fail(ErrorCode::kInvalidModel,
         "function '{}' is described, but the program has none of that name",
         described.begin()->first);
  }
  for (FunctionDescription& description : added) model.functions.push_back(std::move(description));
  model.multi_function |= model.functions.size() > 1;
  if (model.default_function.empty()) {
    model.default_function =
        program.find_function("main") != nullptr ? "main" : program.functions.front()->name;
  }
  if (model.find_function(model.default_function) == nullptr) {
    fail(ErrorCode::kInvalidModel, "the default function '{}': the program has none of that name",
         model.default_function);
  }
}

}  // namespace mw::package
