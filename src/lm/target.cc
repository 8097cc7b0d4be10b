// The rule for the target, over what the description lists and the program types.
#include "lm/target.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/plain_name.h"

namespace mw::lm {
namespace {

const ir::Value* value_of(const ir::Function& function, const std::string& name) {
  for (const ir::Value* output : function.body.outputs) {
    if (output->name == name) return output;
  }
  return nullptr;
}

bool is_dictionary(const ir::Value& value) {
  return value.type.kind() == ir::Type::Kind::kDict && is_float(value.type.elements()[1].dtype());
}

bool holds_floats(const ir::Value& value) {
  return is_dictionary(value) || (value.type.is_tensor() && is_float(value.type.dtype()));
}

bool has_extent(const ir::Value& value, int64_t extent) {
  if (!value.type.is_tensor() || !value.type.has_rank()) return false;
  const Shape& shape = value.type.shape();
  return std::find(shape.begin(), shape.end(), extent) != shape.end();
}

Target target_of(const ir::Value& value) {
  return {
      value.name, &value, is_dictionary(value), is_logits_name(value.name), {{value.name, &value}},
      {}};
}

// The number at the end of a name whose rest ends in "logits"; -1: there is none.
int64_t number_of_logits(const std::string& name) {
  const std::string plain = plain_name(name);
  const size_t digits = plain.find_last_not_of("0123456789") + 1;
  if (digits == plain.size() || plain.size() - digits > 6) return -1;
  if (!plain.substr(0, digits).ends_with("logits")) return -1;
  return std::stoll(plain.substr(digits));
}

// Numbered from 0 or 1 without a gap; nothing where there are none.
std::optional<Target> numbered_parts(const std::vector<const ir::Value*>& floats) {
  std::vector<std::pair<int64_t, const ir::Value*>> parts;
  for (const ir::Value* value : floats) {
    const int64_t number = number_of_logits(value->name);
    if (number >= 0 && value->type.is_tensor()) parts.emplace_back(number, value);
  }
  if (parts.size() < 2) return std::nullopt;
  std::sort(parts.begin(), parts.end());
  Target target = target_of(*parts[0].second);
  target.name = fmt::format("{} to {}", parts[0].second->name, parts.back().second->name);
  target.is_logits = true;
  target.parts.clear();
  for (const auto& [number, value] : parts) {
    const int64_t expected = parts[0].first + static_cast<int64_t>(target.parts.size());
    if (number != expected || parts[0].first > 1) {
      fail(ErrorCode::kInvalidArgument,
           "outputs {}: expected logits numbered without a gap, got '{}'", target.name,
           value->name);
    }
    target.parts.push_back({value->name, value});
  }
  return target;
}

std::optional<Target> best_of_parts(const std::vector<const ir::Value*>& all) {
  const ir::Value *index = nullptr, *logit = nullptr;
  for (const ir::Value* value : all) {
    const std::string plain = plain_name(value->name);
    if (plain == "argmaxidx" && is_integer(value->type.dtype())) index = value;
    if (plain == "argmaxval" && is_float(value->type.dtype())) logit = value;
  }
  if (index == nullptr || logit == nullptr) return std::nullopt;
  Target target = target_of(*index);
  target.best = BestOfParts{{index->name, index}, {logit->name, logit}};
  return target;
}

std::string names_of(const std::vector<const ir::Value*>& values) {
  std::string names;
  for (const ir::Value* value : values) names += (names.empty() ? "" : ", ") + value->name;
  return names;
}

// The only one of `values` that fits; null where none or several do.
template <class Fits>
const ir::Value* only(const std::vector<const ir::Value*>& values, const Fits& fits) {
  const ir::Value* found = nullptr;
  for (const ir::Value* value : values) {
    if (!fits(*value)) continue;
    if (found != nullptr) return nullptr;
    found = value;
  }
  return found;
}

}  // namespace

bool is_logits_name(const std::string& name) { return plain_name(name) == "logits"; }

Target find_target(const package::FunctionDescription& description, const ir::Function& function,
                   const std::string& wanted, const std::function<int64_t()>& vocabulary) {
  std::vector<const ir::Value*> all, floats;
  for (const package::Feature& feature : description.outputs) {
    const ir::Value* value = value_of(function, feature.name);
    // One value may be returned several times.
    if (value == nullptr || std::find(all.begin(), all.end(), value) != all.end()) continue;
    all.push_back(value);
    if (holds_floats(*value)) floats.push_back(value);
  }
  if (!wanted.empty()) {
    const ir::Value* named = only(all, [&](const ir::Value& v) { return v.name == wanted; });
    if (named == nullptr && is_logits_name(wanted)) {
      if (auto parts = numbered_parts(floats)) return *parts;
    }
    if (named == nullptr) {
      fail(ErrorCode::kInvalidArgument, "{} '{}': expected one of the outputs {}",
           setting("target"), wanted, names_of(floats.empty() ? all : floats));
    }
    if (!holds_floats(*named)) {
      fail(ErrorCode::kInvalidArgument, "{} '{}': expected an output of floats, got {}{}",
           setting("target"), wanted, named->type.str(),
           floats.empty() ? "" : "; the model has " + names_of(floats));
    }
    return target_of(*named);
  }
  if (floats.empty()) {
    fail(ErrorCode::kInvalidArgument, "{}: expected an output of floats, got {}", setting("target"),
         all.empty() ? "none" : "only " + names_of(all));
  }
  const ir::Value* found = only(floats, [](const ir::Value& v) { return v.name == "logits"; });
  if (found == nullptr) {
    found = only(floats, [](const ir::Value& v) { return is_logits_name(v.name); });
  }
  if (found == nullptr) {
    if (auto parts = numbered_parts(floats)) return *parts;
    if (auto best = best_of_parts(all)) return *best;
  }
  if (found == nullptr && floats.size() == 1) found = floats.front();
  if (found == nullptr) {
    const int64_t known = vocabulary();
    if (known > 0) {
      found = only(floats, [&](const ir::Value& v) { return has_extent(v, known); });
    }
  }
  if (found != nullptr) return target_of(*found);
  fail(ErrorCode::kInvalidArgument,
       "{}: expected the name of an output, one of {}; which of them is meant cannot be told",
       setting("target"), names_of(floats));
}

}  // namespace mw::lm
