// Roles: which input of a model takes what of a text, and the tensors that say it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lm/caches.h"
#include "lm/call_shapes.h"
#include "lm/input_roles.h"
#include "millwright/feature.hpp"

namespace mw::lm {

// ids [time] or [batch, time] as [batch, time]; throws invalid_argument for other ranks.
Tensor rows_of(const Tensor& ids);

// What roles are found in.
struct Signature {
  std::vector<FeatureDescription> inputs, outputs, states;
  // Per state the extent along which tokens are written to it, where the program tells.
  std::map<std::string, int64_t> places;
  std::vector<StatedRole> stated;
  int64_t sliding_window = 0;  // that the model's metadata states; 0: none
};

// Where a call begins.
struct Place {
  int64_t past = 0;    // tokens of the text before it, which the cache holds
  int64_t hidden = 0;  // places of the cache before these, which hold nothing
  int64_t pads = 0;    // the last columns of the call hold no tokens
};

class Roles {
 public:
  Roles() = default;
  // Stated roles before those by name; where no input is called ids, the only one of integers
  // without another role. Throws invalid_argument for an input that cannot be made from token ids
  // and where none takes ids, unsupported for a sliding mask whose window nothing states.
  explicit Roles(const Signature& signature);

  // Tensors for ids, [time] or [batch, time], without the caches. Throws invalid_argument where a
  // mask of fixed width has no column for a token.
  [[nodiscard]] TensorMap inputs_for(const Tensor& ids, const Place& place) const;
  [[nodiscard]] const FeatureDescription& ids_input() const { return ids_; }
  // What one call takes.
  [[nodiscard]] const CallShapes& shapes() const { return shapes_; }
  [[nodiscard]] bool has(InputRole role) const;
  [[nodiscard]] const std::vector<Cache>& caches() const { return caches_; }
  // Whether earlier calls leave something for later ones.
  [[nodiscard]] bool has_cache() const { return has_cache_; }
  // Places for tokens in the cache, those that hold nothing left out, by what the program writes,
  // the widths of masks and the bounds of caches; INT64_MAX where nothing tells.
  [[nodiscard]] int64_t places() const { return places_; }
  // Whether a place of the cache that was written once may be written again, or for a pad: each
  // token has a place of its own, and a mask says which of them count.
  [[nodiscard]] bool can_rewrite() const { return can_rewrite_; }
  // Whether a mask leaves pads out.
  [[nodiscard]] bool masks_pads() const { return has(InputRole::kAttentionMask); }
  // The name of each input and its role as users state it, caches left out.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> names() const;

 private:
  struct Role {
    FeatureDescription input;
    Assignment as;
  };
  void assign(const Signature& signature);
  void find_ids();
  void find_places(const Signature& signature);
  [[nodiscard]] Tensor tensor_for(const Role& role, const Tensor& ids, const Place& place) const;

  std::vector<Role> roles_;
  std::vector<Cache> caches_;
  FeatureDescription ids_;
  CallShapes shapes_;
  bool has_cache_ = false, can_rewrite_ = false;
  int64_t places_ = 0;
};

}  // namespace mw::lm
