// CoreMLModelWrapper and State: loading, checking what callers pass, running.
#include "api/coerce.h"
#include "api/impl.h"
#include "api/open.h"
#include "base/error.h"
#include "lm/language_model.h"
#include "ops/catalog.h"
#include "ops/state/places.h"
#include "passes/specialise.h"
#include "train/ending.h"

namespace mw {
namespace {

std::string allowed_text(const package::Feature& feature, const ir::Type& type) {
  std::string text;
  if (!feature.enumerated.empty()) {
    for (const Shape& shape : feature.enumerated) {
      text += (text.empty() ? "one of " : ", ") + to_string(shape);
    }
    return text;
  }
  if (feature.ranges.empty()) return type.has_rank() ? to_string(type.shape()) : "of any rank";
  for (const auto& range : feature.ranges) {
    const std::string upper = range.upper < 0 ? "" : std::to_string(range.upper);
    text += text.empty() ? "[" : ", ";
    text += range.lower == range.upper ? upper : fmt::format("{}..{}", range.lower, upper);
  }
  return text + "]";
}

Tensor default_tensor(const package::Feature& feature, const ir::Type& type) {
  Shape shape = feature.shape;
  if (shape.empty() && type.has_rank()) shape = type.shape();
  Tensor tensor(type.dtype(), shape);
  const double value = feature.default_value.value_or(0);
  for (int64_t i = 0; i < tensor.count() && value != 0; ++i) tensor.set_number(i, value);
  return tensor;
}

FeatureDescription describe(const package::Feature& feature, const ir::Value* value) {
  static constexpr const char* kKinds[] = {"Int64",      "Double",     "String",   "Image",
                                           "MultiArray", "Dictionary", "Sequence", "State"};
  FeatureDescription result;
  result.name = feature.name;
  result.kind = kKinds[static_cast<size_t>(feature.kind)];
  result.optional = feature.optional;
  result.description = feature.description;
  result.enumerated = feature.enumerated;
  for (const auto& range : feature.ranges) result.ranges.emplace_back(range.lower, range.upper);
  result.dtype = feature.dtype.value_or(DType::kF32);
  result.shape = feature.shape;
  if (value != nullptr && (value->type.is_tensor() || value->type.is_state())) {
    result.dtype = value->type.dtype();
    if (result.shape.empty() && value->type.has_rank()) result.shape = value->type.shape();
  }
  return result;
}

const ir::Value* output_named(const ir::Function& function, const std::string& name) {
  for (const ir::Value* output : function.body.outputs) {
    if (output->name == name) return output;
  }
  return nullptr;
}

// A state that the model does not have would keep what it holds, and look as if it were used.
void expect_own(const exec::States& states, const ir::Function& function) {
  for (const auto& [name, cell] : states.cells()) {
    const ir::Value* argument = function.find_argument(name);
    if (argument != nullptr && argument->type.is_state()) continue;
    fail(ErrorCode::kInvalidArgument,
         "state '{}': the model has none of that name; pass one that its own make_state() made",
         name);
  }
}

}  // namespace

TensorMap CoreMLModelWrapper::Impl::prepare(const TensorMap& given) const {
  TensorMap prepared;
  std::string names;
  for (const auto& argument : function->body.arguments) {
    if (argument->type.is_state()) continue;
    names += (names.empty() ? "" : ", ") + argument->name;
    static const package::Feature kNone;
    const package::Feature* feature = description->find_input(argument->name);
    const package::Feature& declared = feature == nullptr ? kNone : *feature;
    const auto found = given.find(argument->name);
    if (found == given.end()) {
      if (!declared.optional) {
        fail(ErrorCode::kInvalidArgument, "input '{}': expected a tensor, got none",
             argument->name);
      }
      prepared[argument->name] = default_tensor(declared, argument->type);
      continue;
    }
    Tensor tensor = coerced(argument->name, found->second, argument->type.dtype());
    if (!compatible(ir::Type::tensor(tensor.dtype(), tensor.shape()), argument->type) ||
        !declared.accepts(tensor.shape())) {
      fail(ErrorCode::kInvalidArgument, "input '{}': expected shape {}, got {}", argument->name,
           allowed_text(declared, argument->type), to_string(tensor.shape()));
    }
    prepared[argument->name] = std::move(tensor);
  }
  for (const auto& [name, tensor] : given) {
    if (!prepared.contains(name)) {
      fail(ErrorCode::kInvalidArgument, "input '{}': unknown; the model takes {}", name, names);
    }
  }
  return prepared;
}

exec::RunResult CoreMLModelWrapper::Impl::run(const TensorMap& inputs, exec::States* states,
                                              const std::vector<std::string>& taps) const {
  return in_context([&] { return path.string(); },
                    [&] {
                      if (!description->states.empty() && states == nullptr) {
                        fail(ErrorCode::kInvalidArgument,
                             "the model has states; pass one made by make_state()");
                      }
                      if (states != nullptr) expect_own(*states, *function);
                      if (taps.empty()) return session->run(prepare(inputs), states);
                      return tapped(taps)->run(prepare(inputs), states);
                    });
}

std::shared_ptr<const exec::Session> CoreMLModelWrapper::Impl::tapped(
    const std::vector<std::string>& taps) const {
  const std::lock_guard lock(tapped_mutex_);
  if (tapped_ == nullptr || taps != taps_) {
    tapped_ = make_session(*this, *lowered, taps);
    taps_ = taps;
  }
  return tapped_;
}

TensorMap CoreMLModelWrapper::predict(const TensorMap& inputs) const {
  return predict(inputs, nullptr, {});
}
TensorMap CoreMLModelWrapper::predict(const TensorMap& inputs, State& state) const {
  return predict(inputs, &state, {});
}

TensorMap CoreMLModelWrapper::predict(const TensorMap& inputs, State* state,
                                      const std::vector<std::string>& taps) const {
  exec::RunResult result =
      impl_->run(inputs, state == nullptr ? nullptr : &state->impl_->cells, taps);
  TensorMap outputs = std::move(result.taps);
  for (auto& [name, datum] : result.outputs) {
    if (!datum.list) {
      outputs[name] = std::move(datum.tensor);
      continue;
    }
    // A dictionary: keys under the output's name with ".keys", values under the name itself.
    if (datum.list->size() == 2) {
      outputs[name + ".keys"] = (*datum.list)[0];
      outputs[name] = (*datum.list)[1];
      continue;
    }
    for (size_t i = 0; i < datum.list->size(); ++i) {
      outputs[fmt::format("{}.{}", name, i)] = (*datum.list)[i];
    }
  }
  return outputs;
}

State CoreMLModelWrapper::make_state() const {
  State state;
  state.impl_->cells = impl_->make_states();
  return state;
}

Tensor CoreMLModelWrapper::forward(const std::vector<int32_t>& ids) const {
  return forward(Tensor::from(ids, {1, static_cast<int64_t>(ids.size())}));
}

Tensor CoreMLModelWrapper::forward(const Tensor& ids) const {
  return lm::LanguageModel(*impl_).logits(coerced("input_ids", ids, DType::kI32)).values();
}

const Tokenizer& CoreMLModelWrapper::Impl::tokenizer() const {
  std::call_once(tokenizer_once_, [this] {
    try {
      tokenizer_ = Tokenizer::find(path.string(), options.tokenizer.string());
    } catch (const Error& e) {
      tokenizer_error_ = e;
    }
  });
  if (tokenizer_error_) throw Error(*tokenizer_error_);
  MW_CHECK(tokenizer_.has_value());
  return *tokenizer_;
}
lm::Ending CoreMLModelWrapper::Impl::ending(const std::string& output,
                                            const std::function<Shapes()>& shapes) const {
  const std::lock_guard lock(endings_mutex_);
  const auto known = endings_.find(output);
  if (known != endings_.end()) return known->second;
  const auto at = passes::specialise(*function, ops::catalog(), {.shapes = shapes()});
  for (ir::Value* value : at->body.outputs) {
    if (value->name == output) return endings_[output] = training::ending_of(output, value);
  }
  return endings_[output] = {};
}

std::optional<Shape> CoreMLModelWrapper::Impl::shape_of(const std::string& output,
                                                        const Shapes& inputs) const {
  const auto at = passes::specialise(*function, ops::catalog(), {.shapes = inputs});
  const ir::Value* value = output_named(*at, output);
  if (value == nullptr || !value->type.is_tensor() || !value->type.is_static()) return {};
  return value->type.shape();
}

lm::Target CoreMLModelWrapper::Impl::target(const std::string& wanted) const {
  return lm::find_target(*description, *function, wanted, [this] { return vocabulary(); });
}

int64_t CoreMLModelWrapper::Impl::vocabulary() const {
  try {
    return tokenizer().id_limit();
  } catch (const Error&) {
    return 0;
  }
}

const Tokenizer& CoreMLModelWrapper::tokenizer() const { return impl_->tokenizer(); }

std::vector<FeatureDescription> CoreMLModelWrapper::Impl::described(
    const std::vector<package::Feature>& arguments) const {
  std::vector<FeatureDescription> result;
  result.reserve(arguments.size());
  for (const auto& feature : arguments) {
    result.push_back(describe(feature, function->find_argument(feature.name)));
  }
  return result;
}
std::vector<FeatureDescription> CoreMLModelWrapper::Impl::inputs() const {
  return described(description->inputs);
}
std::vector<FeatureDescription> CoreMLModelWrapper::Impl::states() const {
  return described(description->states);
}
std::vector<FeatureDescription> CoreMLModelWrapper::inputs() const { return impl_->inputs(); }
std::vector<FeatureDescription> CoreMLModelWrapper::Impl::outputs() const {
  std::vector<FeatureDescription> result;
  result.reserve(description->outputs.size());
  for (const auto& feature : description->outputs) {
    result.push_back(describe(feature, output_named(*function, feature.name)));
  }
  return result;
}
std::vector<FeatureDescription> CoreMLModelWrapper::outputs() const { return impl_->outputs(); }
std::vector<FeatureDescription> CoreMLModelWrapper::states() const { return impl_->states(); }
std::string CoreMLModelWrapper::function() const { return impl_->description->name; }
std::vector<std::string> CoreMLModelWrapper::functions() const {
  std::vector<std::string> names;
  for (const auto& function : impl_->model.functions) names.push_back(function.name);
  return names;
}
std::map<std::string, std::string> CoreMLModelWrapper::metadata() const {
  return impl_->metadata();
}
std::optional<int64_t> CoreMLModelWrapper::Impl::places(const std::string& state) const {
  return ops::places_of(*function, state);
}
std::map<std::string, std::string> CoreMLModelWrapper::Impl::metadata() const {
  const package::Metadata& m = model.metadata;
  std::map<std::string, std::string> result = m.user_defined;
  if (!m.short_description.empty()) result["shortDescription"] = m.short_description;
  if (!m.version.empty()) result["version"] = m.version;
  if (!m.author.empty()) result["author"] = m.author;
  if (!m.license.empty()) result["license"] = m.license;
  return result;
}
std::shared_ptr<const lm::Model> shared_model(const CoreMLModelWrapper& model) {
  const auto held = std::make_shared<const CoreMLModelWrapper>(model);
  return {held, &held->impl()};
}
std::filesystem::path CoreMLModelWrapper::path() const { return impl_->path; }
uint64_t CoreMLModelWrapper::weight_bytes_held() const { return impl_->weight_bytes_held(); }

State::State() : impl_(std::make_unique<Impl>()) {}
State::~State() = default;
State::State(State&&) noexcept = default;
State& State::operator=(State&&) noexcept = default;
void State::reset() { impl_->cells.reset(); }
std::vector<std::string> State::names() const {
  std::vector<std::string> names;
  for (const auto& [name, cell] : impl_->cells.cells()) names.push_back(name);
  return names;
}
Tensor State::get(const std::string& name) const { return impl_->cells.get(name).clone(); }
void State::set(const std::string& name, const Tensor& value) { impl_->cells.set(name, value); }

}  // namespace mw
