// The rule for the target, over what the description lists and the program types.
#include "lm/target.h"

#include <algorithm>
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
  return {value.name, &value, is_dictionary(value), is_logits_name(value.name)};
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
