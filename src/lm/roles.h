// Roles: which input of a model takes what of a text, and the tensors that say it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lm/call_shapes.h"
#include "millwright/feature.hpp"

namespace mw::lm {

// ids [time] or [batch, time] as [batch, time]; throws invalid_argument for other ranks.
Tensor rows_of(const Tensor& ids);

class Roles {
 public:
  Roles() = default;
  // Roles by name, dtype and rank. Throws invalid_argument for an input that cannot be made from
  // token ids and where none takes ids, unsupported for a mask of fixed width beside a cache.
  Roles(const std::vector<FeatureDescription>& inputs, bool has_cache);

  // Tensors for ids, [time] or [batch, time], after `past` cached ones; the last `pads` columns
  // hold no tokens.
  [[nodiscard]] TensorMap inputs_for(const Tensor& ids, int64_t past, int64_t pads) const;
  [[nodiscard]] const std::string& ids_input() const;  // the name of the input that takes the ids
  // What one call takes.
  [[nodiscard]] const CallShapes& shapes() const { return shapes_; }
  [[nodiscard]] bool has_causal_mask() const { return has_causal_mask_; }
  // The widest text that a causal mask covers; INT64_MAX where nothing tells.
  [[nodiscard]] int64_t max_total() const { return max_total_; }

 private:
  enum class Kind : uint8_t { kIds, kAttentionMask, kCausalMask, kPositions };
  struct Role {
    std::string name;
    Kind kind;
    DType dtype;
    int64_t rank;
  };
  void add(const FeatureDescription& input, const std::vector<FeatureDescription>& all,
           bool has_cache);

  std::vector<Role> roles_;
  CallShapes shapes_;
  bool has_causal_mask_ = false;
  int64_t max_total_;
};

}  // namespace mw::lm
