// LastLayers: what of a decoder stands in its last layers, by the numbers in names.
//
//   model_layers_3_self_attn_q_proj_weight      in layer 3
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mw::adapters {

// The number behind the first part of the name that says `layers`, `layer`, `blocks`, `block` or
// `h`; nothing where there is none.
std::optional<int64_t> layer_of(const std::string& name);

class LastLayers {
 public:
  // As StudentOptions::last_layers. Throws where it asks for layers and no name has one.
  LastLayers(const std::vector<std::string>& names, int64_t count);

  // Whether a glob that matches the name takes it in.
  [[nodiscard]] bool takes(const std::string& name, const std::string& glob) const;

 private:
  bool all_ = false;  // layers do not matter
  int64_t first_ = 0;
};

}  // namespace mw::adapters
