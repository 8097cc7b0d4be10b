// RelatedPlans: a family at a time, and how many are worth beginning.
#include "exec/related_plans.h"

#include <algorithm>
#include <utility>

namespace mw::exec {
namespace {

// A family that does not last is not worth beginning again and again.
constexpr size_t kFamilies = 4, kPlansPerFamily = 16;

bool same_ones(const Shape& a, const Shape& b) {
  return std::ranges::equal(a, b, [](int64_t x, int64_t y) { return (x == 1) == (y == 1); });
}

}  // namespace

RelatedPlans::RelatedPlans(Shapes first, Begin begin)
    : first_(std::move(first)), begin_(std::move(begin)) {}

bool RelatedPlans::relates(const Shapes& shapes) const {
  return std::ranges::equal(shapes, first_, [](const auto& a, const auto& b) {
    return a.first == b.first && same_ones(a.second, b.second);
  });
}

std::shared_ptr<const plan::Plan> RelatedPlans::plan(
    const Shapes& shapes, const std::shared_ptr<const plan::Layout>& layout) {
  while (family_ != nullptr || begin_family(shapes)) {
    std::shared_ptr<const plan::Plan> plan;
    try {
      plan = family_->plan(shapes, layout);
    } catch (...) {
      end_family();  // it may be half adjusted
      throw;
    }
    if (plan != nullptr) {
      ++plans_;
      return plan;
    }
    end_family();
  }
  return nullptr;
}

// The first family begins at the first shapes: moving on from there tells it what varies.
bool RelatedPlans::begin_family(const Shapes& shapes) {
  if (!adjustable_ || families_ >= kFamilies + plans_ / kPlansPerFamily) return false;
  family_ = begin_(families_++ == 0 ? first_ : shapes, varying_);
  adjustable_ = family_ != nullptr;
  return adjustable_;
}

void RelatedPlans::end_family() {
  varying_ = family_->varying();
  family_ = nullptr;
}

}  // namespace mw::exec
