// Which function fills the cache, and for how many tokens that pays.
#include "lm/filler.h"

#include <algorithm>

#include "base/error.h"
#include "lm/signature.h"

namespace mw::lm {
namespace {

constexpr const char* kFunction = "prefill";
// A block costs what a few tokens one by one cost: each of these reads all weights. With fewer than
// a block by this factor, pads are the larger part of the work.
constexpr int64_t kMostPadding = 4;

bool have_same_states(const Model& a, const Model& b) {
  const auto x = a.states(), y = b.states();
  return std::ranges::is_permutation(x, y, [](const auto& s, const auto& t) {
    return s.name == t.name && s.dtype == t.dtype && s.shape == t.shape;
  });
}

}  // namespace

std::unique_ptr<const Filler> Filler::beside(const Model& model, const Roles& roles) {
  if (model.states().empty() || !roles.caches().empty() || !roles.can_rewrite()) return nullptr;
  std::shared_ptr<const Model> found = model.beside(kFunction);
  if (found == nullptr || !have_same_states(model, *found)) return nullptr;
  Roles own;
  try {
    own = Roles(signature_of(*found));
  } catch (const Error&) {
    return nullptr;  // it takes what no text tells, so that a person alone can call it
  }
  const int64_t block = own.shapes().min_time();
  if (block != own.shapes().max_time() || block <= roles.shapes().max_time() ||
      !own.shapes().allow({1, block}) || !own.caches().empty() || own.places() != roles.places()) {
    return nullptr;
  }
  return std::unique_ptr<const Filler>(new Filler(std::move(found), std::move(own), block));
}

int64_t Filler::takes(int64_t count, int64_t places) const {
  if (places < block_ || count < 2) return 0;
  if (count >= block_) return block_;
  return count * kMostPadding >= block_ ? count : 0;
}

void Filler::run(const Tensor& ids, const Place& place, exec::States& states) const {
  (void)model_->read(roles_.inputs_for(ids, place), states, {});
}

}  // namespace mw::lm
