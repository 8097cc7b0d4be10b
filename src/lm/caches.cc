// Pairs of cache inputs and outputs, by what is left of their names.
#include "lm/caches.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string_view>

#include "base/error.h"
#include "base/plain_name.h"

namespace mw::lm {
namespace {

bool contains_any(const std::string& text, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(),
                     [&](auto part) { return text.find(part) != std::string::npos; });
}

// "past_key_values_3_key" and "present_3_key" -> "key 3"; "" for what is called like no cache.
std::string content_of(const std::string& name) {
  const std::string plain = plain_name(name);
  if (!contains_any(plain, {"cache", "past", "present", "key", "value"})) return "";
  std::string text, layer;
  for (const char c : plain) {
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      layer += c;
    } else if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
      text += c;
    }
  }
  // What says nothing about the content; longer ones first.
  for (const std::string_view word :
       {"pastkeyvalues", "pastkeyvalue", "keyvalues", "present", "updated", "output", "cache",
        "input", "layer", "past", "next", "new", "out", "in"}) {
    for (size_t at = text.find(word); at != std::string::npos; at = text.find(word)) {
      text.erase(at, word.size());
    }
  }
  if (text == "k" || text == "keys") text = "key";
  if (text == "v" || text == "values") text = "value";
  return text + " " + layer;
}

// An extent that is not known agrees with any.
bool agree(const FeatureDescription& input, const FeatureDescription& output) {
  if (output.dtype != input.dtype || !is_float(output.dtype)) return false;
  if (output.shape.empty()) return true;
  if (rank_of(output) != rank_of(input)) return false;
  for (int64_t axis = 0; axis < rank_of(input); ++axis) {
    const int64_t there = output.shape[static_cast<size_t>(axis)];
    if (is_fixed(input, axis) && there >= 0 && there != smallest(input, axis)) return false;
  }
  return true;
}

Cache cache_of(const FeatureDescription& input, const std::string& output) {
  Cache cache{.input = input.name, .output = output, .dtype = input.dtype};
  for (int64_t axis = 0; axis < rank_of(input); ++axis) {
    const int64_t least = smallest(input, axis), most = largest(input, axis);
    cache.empty.push_back(least);
    if (least == most || (cache.axis >= 0 && most <= cache.most)) continue;
    cache.axis = axis;
    cache.most = most;
  }
  if (cache.axis >= 0) cache.hidden = cache.empty[static_cast<size_t>(cache.axis)];
  return cache;
}

Cache stated_cache(const FeatureDescription& input, const std::string& wanted,
                   const std::vector<FeatureDescription>& outputs) {
  for (const FeatureDescription& output : outputs) {
    if (output.name == wanted && agree(input, output)) return cache_of(input, wanted);
  }
  fail(ErrorCode::kInvalidArgument,
       "{} '{}': expected the name of an output of {} as long as the input, got '{}'",
       setting("role"), input.name, name_of(input.dtype), wanted);
}

std::optional<Cache> cache_by_name(const FeatureDescription& input,
                                   const std::vector<FeatureDescription>& outputs) {
  const std::string content = content_of(input.name);
  if (content.empty() || !is_float(input.dtype) || rank_of(input) < 3) return std::nullopt;
  const FeatureDescription* found = nullptr;
  for (const FeatureDescription& output : outputs) {
    if (content_of(output.name) != content || !agree(input, output)) continue;
    if (found != nullptr) return std::nullopt;
    found = &output;
  }
  return found == nullptr ? std::nullopt : std::optional(cache_of(input, found->name));
}

}  // namespace

std::vector<Cache> caches_of(const std::vector<FeatureDescription>& inputs,
                             const std::vector<FeatureDescription>& outputs,
                             const std::vector<StatedRole>& stated) {
  std::vector<Cache> caches;
  for (const FeatureDescription& input : inputs) {
    const auto known = std::find_if(stated.begin(), stated.end(),
                                    [&](const StatedRole& r) { return r.input == input.name; });
    if (known == stated.end()) {
      if (auto cache = cache_by_name(input, outputs)) caches.push_back(std::move(*cache));
    } else if (known->as.role == InputRole::kCache && !known->as.output.empty()) {
      caches.push_back(stated_cache(input, known->as.output, outputs));
    } else if (known->as.role == InputRole::kCache) {
      auto cache = cache_by_name(input, outputs);
      if (!cache) {
        fail(ErrorCode::kInvalidArgument,
             "{} '{}': which output gives the cache anew cannot be told; name it, {}=cache:OUTPUT",
             setting("role"), input.name, input.name);
      }
      caches.push_back(std::move(*cache));
    }
  }
  return caches;
}

}  // namespace mw::lm
