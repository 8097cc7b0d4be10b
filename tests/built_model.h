// Small models that a test builds op by op, written as a package.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "ir/builder.h"
#include "ops/catalog.h"
#include "package/package.h"

namespace mw::testing {

inline ir::ConstantPtr floats(const std::vector<float>& values, const Shape& shape) {
  return ir::Constant::tensor(Tensor::from(values, shape));
}

// What a classifier chooses from.
inline ir::ConstantPtr classes(const std::vector<std::string>& names) {
  std::vector<ir::ConstantPtr> items;
  for (const std::string& name : names) items.push_back(ir::Constant::string(name));
  return ir::Constant::aggregate(ir::Type::list(ir::Type::scalar(DType::kString)), items);
}
inline ir::ConstantPtr classes(const std::vector<int64_t>& numbers) {
  std::vector<ir::ConstantPtr> items;
  for (const int64_t number : numbers) {
    items.push_back(ir::Constant::tensor(Tensor::scalar(number)));
  }
  return ir::Constant::aggregate(ir::Type::list(ir::Type::scalar(DType::kI64)), items);
}

class BuiltModel {
 public:
  explicit BuiltModel(ir::Opset opset = ir::Opset::kIos18)
      : program_(std::make_unique<ir::Program>()),
        main_(program_->add_function("main", opset)),
        builder_(main_->body, ops::catalog(), opset) {
    program_->version = "1.3";
  }

  ir::Builder& b() { return builder_; }
  ir::Value* input(const std::string& name, const Shape& shape, DType dtype = DType::kF32) {
    Shape usual = shape;
    package::Feature feature{.name = name, .dtype = dtype};
    for (int64_t& extent : usual) {
      feature.ranges.push_back(extent < 0 ? package::ShapeRange{1, 64}
                                          : package::ShapeRange{extent, extent});
      if (extent < 0) extent = 1;
    }
    if (usual == shape) feature.ranges.clear();
    feature.shape = usual;
    description_.inputs.push_back(feature);
    return main_->body.add_argument(name, ir::Type::tensor(dtype, shape));
  }
  ir::Value* weight(const std::string& name, const std::vector<float>& values, const Shape& shape) {
    return builder_.constant(floats(values, shape), name);
  }
  void output(ir::Value* value, const std::string& name) {
    value->name = name;
    package::Feature feature{.name = name};
    if (value->type.kind() == ir::Type::Kind::kDict) {
      const bool named = value->type.elements()[0].dtype() == DType::kString;
      feature.kind = package::Feature::Kind::kDictionary;
      feature.element =
          named ? package::Feature::Element::kString : package::Feature::Element::kInt64;
      description_.predicted_probabilities_name = name;
    } else if (value->type.dtype() == DType::kString || value->type.dtype() == DType::kI64) {
      const bool named = value->type.dtype() == DType::kString;
      feature.kind = named ? package::Feature::Kind::kString : package::Feature::Kind::kInt64;
      description_.predicted_feature_name = name;
    } else {
      feature.dtype = value->type.dtype();
    }
    description_.outputs.push_back(feature);
    main_->body.outputs.push_back(value);
  }
  void classifier(ir::Value* probabilities, const ir::ConstantPtr& labels) {
    const auto results =
        builder_.op_results("classify", {{"probabilities", probabilities}, {"classes", labels}});
    output(results[0], "label");
    output(results[1], "label_probs");
  }

  std::filesystem::path write(const std::filesystem::path& path) {
    package::Model model;
    model.program = std::move(program_);
    description_.name = "main";
    model.functions = {description_};
    model.default_function = "main";
    model.spec_version = 9;
    package::write(model, path);
    return path;
  }

 private:
  std::unique_ptr<ir::Program> program_;
  ir::Function* main_;
  ir::Builder builder_;
  package::FunctionDescription description_;
};

}  // namespace mw::testing
