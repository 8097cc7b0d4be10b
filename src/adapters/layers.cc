// Numbers of layers in names.
#include "adapters/layers.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "adapters/module_names.h"
#include "base/error.h"

namespace mw::adapters {

std::optional<int64_t> layer_of(const std::string& name) {
  constexpr std::array<std::string_view, 5> kWords = {"layers", "layer", "blocks", "block", "h"};
  const std::string plain = plain_name(name);
  std::string_view rest = plain, before;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('_'), rest.size());
    const std::string_view part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (std::find(kWords.begin(), kWords.end(), before) != kWords.end()) {
      int64_t number = 0;
      const auto [last, error] = std::from_chars(part.data(), part.data() + part.size(), number);
      if (error == std::errc() && last == part.data() + part.size()) return number;
    }
    before = part;
  }
  return std::nullopt;
}

LastLayers::LastLayers(const std::vector<std::string>& names, int64_t count) : all_(count == 0) {
  if (all_) return;
  std::set<int64_t> layers;
  for (const std::string& name : names) {
    if (const auto layer = layer_of(name)) layers.insert(*layer);
  }
  if (layers.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected weights that are named by their layers, as layers_3_mlp, found none; {} or "
         "{} choose by name",
         setting("last_layers"), setting("lora_targets"), setting("trainable"));
  }
  const auto all = static_cast<int64_t>(layers.size());
  const int64_t skipped = count < 0 ? 0 : std::max<int64_t>(all - count, 0);
  first_ = *std::next(layers.begin(), skipped);
}

bool LastLayers::takes(const std::string& name, const std::string& glob) const {
  if (all_) return true;
  const auto layer = layer_of(name);
  return layer ? *layer >= first_ : glob != "*";
}

}  // namespace mw::adapters
