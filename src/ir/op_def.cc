// OpDef declaration helpers and the Catalog that resolves each op for every opset.
#include "ir/op_def.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "ir/op_view.h"

namespace mw::ir {

OpDef& OpDef::types(std::string domain, std::vector<DType> dtypes) {
  domains_[std::move(domain)] = std::move(dtypes);
  return *this;
}

namespace {
void put(std::vector<InputSpec>& inputs, InputSpec spec) {
  for (InputSpec& existing : inputs) {
    if (existing.name == spec.name) {
      existing = std::move(spec);
      return;
    }
  }
  inputs.push_back(std::move(spec));
}
}  // namespace

OpDef& OpDef::input(std::string name, std::string domain, uint32_t flags, Default value) {
  put(inputs_, {std::move(name), std::move(domain), {}, flags, std::move(value)});
  return *this;
}
OpDef& OpDef::input(std::string name, const char* domain, uint32_t flags, Default value) {
  return input(std::move(name), std::string(domain), flags, std::move(value));
}
OpDef& OpDef::input(std::string name, DType dtype, uint32_t flags, Default value) {
  put(inputs_, {std::move(name), "", {dtype}, flags, std::move(value)});
  return *this;
}
OpDef& OpDef::input(std::string name, std::vector<DType> dtypes, uint32_t flags, Default value) {
  put(inputs_, {std::move(name), "", std::move(dtypes), flags, std::move(value)});
  return *this;
}
OpDef& OpDef::any_input(std::string name, uint32_t flags) {
  put(inputs_, {std::move(name), "", {}, flags, {}});
  return *this;
}
OpDef& OpDef::remove_input(std::string_view name) {
  std::erase_if(inputs_, [&](const InputSpec& spec) { return spec.name == name; });
  return *this;
}
OpDef& OpDef::retype(const std::vector<std::string>& inputs, const std::string& domain) {
  for (InputSpec& spec : inputs_) {
    if (std::find(inputs.begin(), inputs.end(), spec.name) == inputs.end()) continue;
    spec.domain = domain;
    spec.dtypes.clear();
  }
  return *this;
}
OpDef& OpDef::dtype_input(std::string name) {
  dtype_input_ = std::move(name);
  return *this;
}
OpDef& OpDef::traits(uint32_t traits) {
  traits_ |= traits;
  return *this;
}
OpDef& OpDef::first(Opset opset) {
  first_ = opset;
  return *this;
}
OpDef& OpDef::since(Opset opset, const std::function<void(OpDef&)>& change) {
  changes_.emplace_back(opset, change);
  return *this;
}
OpDef& OpDef::infer(Infer function) {
  infer_ = std::move(function);
  return *this;
}
OpDef& OpDef::infer(Type (*function)(const OpView&)) {
  infer_ = [function](const OpView& op) { return std::vector<Type>{function(op)}; };
  return *this;
}
OpDef& OpDef::declared_as(Type (*function)(const OpView&)) {
  declared_as_ = [function](const OpView& op) { return std::vector<Type>{function(op)}; };
  return *this;
}
OpDef& OpDef::eval(EvalFn function) {
  eval_ = std::move(function);
  return *this;
}
std::string_view text_of(NoGradient reason) {
  switch (reason) {
    case NoGradient::kMissing:
      return "no gradient rule";
    case NoGradient::kIntegerOutput:
      return "integer output";
    case NoGradient::kRandom:
      return "random";
    case NoGradient::kOpaque:
      return "opaque";
    case NoGradient::kDataDependent:
      return "data-dependent trip count";
  }
  return "";
}

OpDef& OpDef::vjp(VjpRule rule) {
  vjp_ = std::move(rule);
  return *this;
}
OpDef& OpDef::no_vjp(NoGradient reason) {
  no_vjp_ = reason;
  return *this;
}
OpDef& OpDef::expand(Expand function) {
  expand_ = std::move(function);
  return *this;
}

OpDef& OpDef::adapter(AdapterRule rule) {
  adapters_.push_back(std::move(rule));
  return *this;
}

const AdapterRule* OpDef::find_adapter(std::string_view weight) const {
  for (const AdapterRule& rule : adapters_) {
    if (rule.weight == weight) return &rule;
  }
  return nullptr;
}

const InputSpec* OpDef::find_input(std::string_view name) const {
  for (const InputSpec& spec : inputs_) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

std::vector<DType> OpDef::dtypes_of(const InputSpec& spec) const {
  if (spec.domain.empty()) return spec.dtypes;
  const auto found = domains_.find(spec.domain);
  MW_CHECK(found != domains_.end());
  return found->second;
}

void Catalog::add(OpDef def) {
  static constexpr std::array kAll = {Opset::kIos15, Opset::kIos16, Opset::kIos17, Opset::kIos18,
                                      Opset::kIos26};
  MW_CHECK(!ops_.contains(def.name()));
  MW_CHECK(def.infer_ != nullptr);
  Versions& versions = ops_[def.name()];
  versions.first = def.first_;
  const auto changes = std::move(def.changes_);
  def.changes_.clear();
  for (const Opset opset : kAll) {
    for (const auto& [since, change] : changes) {
      if (since == opset) change(def);
    }
    if (opset >= versions.first) versions.by_opset.emplace(opset, def);
  }
}

const OpDef* Catalog::find(std::string_view name, Opset opset) const {
  const auto found = ops_.find(name);
  if (found == ops_.end()) return nullptr;
  const auto version = found->second.by_opset.find(opset);
  return version == found->second.by_opset.end() ? nullptr : &version->second;
}

std::optional<Opset> Catalog::first_opset(std::string_view name) const {
  const auto found = ops_.find(name);
  if (found == ops_.end()) return std::nullopt;
  return found->second.first;
}

const OpDef& Catalog::at(const Operation& op, Opset opset) const {
  if (const OpDef* def = find(op.type, opset)) return *def;
  if (const auto since = first_opset(op.type)) {
    fail(ErrorCode::kInvalidModel, "{} '{}': expected opset {} or later, got {}", op.type,
         op.name(), name_of(*since), name_of(opset));
  }
  fail(ErrorCode::kUnsupported, "{} '{}': unknown op type; docs/ops.md lists the known ones",
       op.type, op.name());
}

std::vector<std::string> Catalog::names() const {
  std::vector<std::string> names;
  names.reserve(ops_.size());
  for (const auto& [name, versions] : ops_) names.push_back(name);
  return names;
}

}  // namespace mw::ir
