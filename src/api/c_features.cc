// The C API of what a model says of itself.
#include <utility>

#include "api/c_api.h"

namespace mw::c_api {

Features::Features(std::vector<FeatureDescription> features) : features_(std::move(features)) {
  for (const FeatureDescription& f : features_) {
    auto& ranges = ranges_.emplace_back();
    for (const auto& [least, most] : f.ranges) ranges.push_back({least, most});
    auto& shapes = shapes_.emplace_back();
    for (const Shape& shape : f.enumerated) shapes.push_back({shape.size(), shape.data()});
    views_.push_back({.name = f.name.c_str(),
                      .kind = f.kind.c_str(),
                      .dtype = name_of(f.dtype).data(),
                      .rank = f.shape.size(),
                      .shape = f.shape.data(),
                      .ranges = ranges.data(),
                      .range_count = ranges.size(),
                      .enumerated = shapes.data(),
                      .enumerated_count = shapes.size(),
                      .optional = f.optional ? 1 : 0,
                      .description = f.description.c_str()});
  }
}

std::unique_ptr<mw_model> opened(const char* path, const LoadOptions& options) {
  const auto model = CoreMLModelWrapper::load(path, options);
  std::unique_ptr<mw_model> made(new mw_model{.model = model,
                                              .inputs = Features(model.inputs()),
                                              .outputs = Features(model.outputs()),
                                              .states = Features(model.states()),
                                              .function = model.function(),
                                              .functions = model.functions(),
                                              .metadata = model.metadata(),
                                              .metadata_views = {}});
  for (const auto& [key, value] : made->metadata) {
    made->metadata_views.push_back({key.c_str(), value.c_str()});
  }
  return made;
}

}  // namespace mw::c_api

namespace {

const char* name_of(const mw_feature* feature) {
  return feature == nullptr ? nullptr : feature->name;
}

}  // namespace

size_t mw_model_input_count(const mw_model* model) {
  return model == nullptr ? 0 : model->inputs.count();
}
size_t mw_model_output_count(const mw_model* model) {
  return model == nullptr ? 0 : model->outputs.count();
}
size_t mw_model_state_count(const mw_model* model) {
  return model == nullptr ? 0 : model->states.count();
}
const mw_feature* mw_model_input_at(const mw_model* model, size_t index) {
  return model == nullptr ? nullptr : model->inputs.at(index);
}
const mw_feature* mw_model_output_at(const mw_model* model, size_t index) {
  return model == nullptr ? nullptr : model->outputs.at(index);
}
const mw_feature* mw_model_state_at(const mw_model* model, size_t index) {
  return model == nullptr ? nullptr : model->states.at(index);
}
const char* mw_model_input_name(const mw_model* model, size_t index) {
  return name_of(mw_model_input_at(model, index));
}
const char* mw_model_output_name(const mw_model* model, size_t index) {
  return name_of(mw_model_output_at(model, index));
}

const char* mw_model_function(const mw_model* model) {
  return model == nullptr ? nullptr : model->function.c_str();
}
size_t mw_model_function_count(const mw_model* model) {
  return model == nullptr ? 0 : model->functions.size();
}
const char* mw_model_function_at(const mw_model* model, size_t index) {
  return index < mw_model_function_count(model) ? model->functions[index].c_str() : nullptr;
}

size_t mw_model_metadata_count(const mw_model* model) {
  return model == nullptr ? 0 : model->metadata_views.size();
}
const mw_metadata* mw_model_metadata_at(const mw_model* model, size_t index) {
  return index < mw_model_metadata_count(model) ? &model->metadata_views[index] : nullptr;
}
