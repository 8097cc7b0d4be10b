// Filler: a function beside a language model's that takes many tokens a call and puts them into the
// same cache (`prefill` beside `infer`). Its logits, where it gives any, are not read.
#pragma once

#include <cstdint>
#include <memory>

#include "lm/model.h"
#include "lm/roles.h"

namespace mw::lm {

class Filler {
 public:
  // Of a model with these roles. Null where no function beside it takes more tokens a call than the
  // model, all inputs made from token ids, over the same states with a place for each token.
  static std::unique_ptr<const Filler> beside(const Model& model, const Roles& roles);

  [[nodiscard]] int64_t block() const { return block_; }  // tokens a call
  // How many of the next `count` tokens, none of whose logits are read, the next call takes, where
  // the cache has so many places left; the rest of the block are pads. 0: the model's own calls
  // cost less.
  [[nodiscard]] int64_t takes(int64_t count, int64_t places) const;
  // Of ids [1, block]; `states` follow. Throws what the model throws.
  void run(const Tensor& ids, const Place& place, exec::States& states) const;

 private:
  Filler(std::shared_ptr<const Model> model, Roles roles, int64_t block)
      : model_(std::move(model)), roles_(std::move(roles)), block_(block) {}

  std::shared_ptr<const Model> model_;
  Roles roles_;
  int64_t block_;
};

}  // namespace mw::lm
