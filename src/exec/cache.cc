// PlanCache: look-up, planning on demand, eviction of what was used longest ago.
#include "exec/cache.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "exec/bounds.h"
#include "plan/text.h"

namespace mw::exec {
namespace {

constexpr size_t kBoundsRemembered = 64;
constexpr size_t kRelatedRemembered = 16;

bool same_shapes(const Shapes& shapes, const TensorMap& inputs) {
  for (const auto& [name, shape] : shapes) {
    const auto found = inputs.find(name);
    if (found == inputs.end() || found->second.shape() != shape) return false;
  }
  return true;
}

uint64_t add_to_hash(uint64_t hash, const Shape& shape) {
  for (const int64_t extent : shape) {
    hash = (hash ^ static_cast<uint64_t>(extent)) * 0x9E3779B97F4A7C15ull;
    hash ^= hash >> 29;
  }
  return hash;
}

uint64_t bytes_of_plan(const plan::Plan* plan) {
  constexpr uint64_t kPerStep = 600, kPerBuffer = 160;  // measured, kernels included
  return plan == nullptr ? 0 : plan->steps.size() * kPerStep + plan->buffers.size() * kPerBuffer;
}

void add_weights(const plan::Plan& plan, std::unordered_set<const ir::Constant*>& seen,
                 uint64_t& bytes) {
  for (const ir::ConstantPtr& weight : plan.weights) {
    if (seen.insert(weight.get()).second) bytes += static_cast<uint64_t>(weight->value().nbytes());
  }
  for (const plan::Step& step : plan.steps) {
    if (step.call == nullptr) continue;
    for (const auto& block : step.call->blocks) add_weights(*block, seen, bytes);
  }
}

void add_times(Run& run, Profile& profile) {
  const auto& steps = run.plan().steps;
  for (size_t s = 0; s < steps.size(); ++s) {
    StepTime& time = run.times()[s];
    if (time.calls == 0) continue;
    const plan::Step& step = steps[s];
    const auto calls = static_cast<double>(time.calls);
    profile.add({step.kind, step.op != nullptr ? step.op->type : "",
                 step.op != nullptr ? step.op->name() : "", time.calls, time.seconds,
                 step.flops * calls, step.bytes * calls, step.copied * time.calls});
  }
  for (const auto& nested : run.nested()) add_times(*nested, profile);
}

}  // namespace

Borrowed::Borrowed(Binding& binding) : binding_(binding) {
  {
    const std::lock_guard lock(binding.mutex);
    if (!binding.idle.empty()) {
      work_ = std::move(binding.idle.back());
      binding.idle.pop_back();
    }
  }
  if (work_ == nullptr) work_ = std::make_unique<Work>(binding.plan, binding.settings);
  SharedLayout& layout = *binding.layout;
  {
    const std::lock_guard lock(layout.mutex);
    if (!layout.idle.empty()) {
      work_->arena = std::move(layout.idle.back());
      layout.idle.pop_back();
    }
  }
  if (work_->arena == nullptr) {
    work_->arena =
        std::make_unique<Arena>(binding.plan->backend->memory(), layout.layout->arena_bytes);
  }
}

Borrowed::~Borrowed() {
  {
    const std::lock_guard lock(binding_.layout->mutex);
    binding_.layout->idle.push_back(std::move(work_->arena));
  }
  const std::lock_guard lock(binding_.mutex);
  binding_.idle.push_back(std::move(work_));
}

PlanCache::PlanCache(const ir::Function& signature, Specialiser specialiser,
                     const plan::Platform& platform, const SessionOptions& options)
    : specialiser_(std::move(specialiser)),
      platform_(platform),
      options_(options),
      pool_(options.pool != nullptr ? options.pool : std::make_shared<plan::ConstantPool>()) {
  for (const auto& argument : signature.body.arguments) {
    if (argument->type.is_tensor()) inputs_.emplace_back(argument->name, argument->type);
  }
}

std::shared_ptr<Binding> PlanCache::find(const TensorMap& inputs) {
  uint64_t hash = 0;
  for (const auto& [name, type] : inputs_) {
    const auto found = inputs.find(name);
    if (found != inputs.end()) hash = add_to_hash(hash, found->second.shape());
  }
  const std::lock_guard lock(mutex_);
  for (const auto& binding : bindings_) {
    if (binding->hash != hash || !same_shapes(binding->shapes, inputs)) continue;
    binding->used = ++clock_;
    return binding;
  }
  return nullptr;
}

std::shared_ptr<Binding> PlanCache::binding(const TensorMap& inputs) {
  if (auto known = find(inputs)) return known;
  const std::lock_guard lock(making_);
  if (auto known = find(inputs)) return known;
  Shapes shapes;
  for (const auto& [name, type] : inputs_) {
    const auto found = inputs.find(name);
    if (found == inputs.end()) {
      fail(ErrorCode::kInvalidArgument, "input '{}': expected a tensor, got none", name);
    }
    shapes[name] = found->second.shape();
  }
  return make(shapes);
}

void PlanCache::prepare(const Shapes& shapes) {
  const std::lock_guard lock(making_);
  {
    const std::lock_guard inner(mutex_);
    for (const auto& binding : bindings_) {
      if (binding->shapes == shapes) return;
    }
  }
  (void)make(shapes);
}

// What a budget of memory turns the function into depends on the machine, and is left out.
std::string PlanCache::plan_text(const Shapes& shapes) const {
  plan::Request described = request();
  described.described = true;
  return plan::text(*plan::make(specialiser_(shapes), described));
}

plan::Request PlanCache::request() const {
  plan::Request request;
  request.platform = platform_;
  request.pool = pool_.get();
  request.slots = options_.threads;
  request.watch = options_.watch.get();
  request.taps = options_.taps;
  return request;
}

void PlanCache::count(const plan::Plan& plan) {
  const std::lock_guard lock(mutex_);
  if (!plan.reuses_layout) ++plans_made_;
}

void PlanCache::count_specialisation() {
  const std::lock_guard lock(mutex_);
  ++specialisations_;
}

std::shared_ptr<const plan::Plan> PlanCache::plan_alone(
    const Shapes& shapes, const std::shared_ptr<const plan::Layout>& reuse) {
  plan::Request wanted = request();
  wanted.layout = reuse;
  auto function = specialiser_(shapes);
  if (options_.refine) {
    function = options_.refine(std::move(function),
                               [&](const ir::Function& draft) { return footprint(draft); });
  }
  count_specialisation();
  return plan::make(std::move(function), wanted);
}

std::unique_ptr<plan::PlanFamily> PlanCache::begin_family(const Shapes& shapes,
                                                          std::set<std::string> varying) {
  auto adjustable = options_.adjustable(shapes);
  if (adjustable == nullptr) return nullptr;
  count_specialisation();
  return std::make_unique<plan::PlanFamily>(std::move(adjustable), std::move(varying), request());
}

std::shared_ptr<const plan::Plan> PlanCache::plan(
    const Shapes& shapes, RelatedPlans* related, const std::shared_ptr<const plan::Layout>& reuse) {
  std::shared_ptr<const plan::Plan> plan;
  if (related != nullptr) plan = related->plan(shapes, reuse);
  if (plan == nullptr) plan = plan_alone(shapes, reuse);
  count(*plan);
  return plan;
}

Footprint PlanCache::footprint(const ir::Function& function) const {
  Footprint footprint;
  footprint.plan = plan::make(ir::clone(function).function, request());
  footprint.arena = static_cast<uint64_t>(footprint.plan->layout->arena_bytes);
  std::unordered_set<const ir::Constant*> seen;
  footprint.weights = static_cast<uint64_t>(pool_->bytes());
  add_weights(*footprint.plan, seen, footprint.weights);
  return footprint;
}

// Null: the first shapes of their kind, or a function that is planned for each shape anew.
RelatedPlans* PlanCache::related_to(const Shapes& shapes) {
  if (!options_.adjustable || !options_.taps.empty()) return nullptr;
  const auto found =
      std::ranges::find_if(related_, [&](const auto& known) { return known->relates(shapes); });
  if (found != related_.end()) {
    std::rotate(found, found + 1, related_.end());
    return related_.back().get();
  }
  if (related_.size() >= kRelatedRemembered) related_.erase(related_.begin());
  related_.push_back(std::make_unique<RelatedPlans>(
      shapes, [this](const Shapes& at, std::set<std::string> varying) {
        return begin_family(at, std::move(varying));
      }));
  return nullptr;
}

void PlanCache::remember(std::vector<Shapes>& bounds, const Shapes& bound) {
  if (bounds.size() >= kBoundsRemembered) bounds.erase(bounds.begin());
  bounds.push_back(bound);
}

// A layout at the bound is made when a second shape asks for it: a program that runs at one shape
// only is planned once. A function may not take the bound of each of its inputs, only of all
// together, or not that either: then there is none.
std::shared_ptr<SharedLayout> PlanCache::layout_for(const Shapes& shapes, RelatedPlans* related) {
  const Shapes bound = bound_of(shapes, {inputs_, options_.largest_shapes, extents_depend_});
  {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < layouts_.size(); ++i) {
      if (layouts_[i]->bound != bound) continue;
      std::rotate(layouts_.begin() + static_cast<int64_t>(i),
                  layouts_.begin() + static_cast<int64_t>(i) + 1, layouts_.end());
      return layouts_.back();
    }
    if (std::find(refused_.begin(), refused_.end(), bound) != refused_.end()) return nullptr;
    const bool seen = std::find(seen_.begin(), seen_.end(), bound) != seen_.end();
    if (!seen) remember(seen_, bound);
    if (!seen && related == nullptr) return nullptr;
  }
  if (bound == shapes) return nullptr;
  auto made = std::make_shared<SharedLayout>();
  try {
    made->layout = plan(bound, related, nullptr)->layout;
  } catch (const Error& e) {
    if (e.code() == ErrorCode::kInternal) throw;
    if (!extents_depend_) {
      extents_depend_ = true;
      return layout_for(shapes, related);
    }
    const std::lock_guard lock(mutex_);
    remember(refused_, bound);
    return nullptr;
  }
  made->bound = bound;
  const std::lock_guard lock(mutex_);
  layouts_.push_back(made);
  return made;
}

std::shared_ptr<Binding> PlanCache::make(const Shapes& shapes) {
  auto binding = std::make_shared<Binding>();
  binding->shapes = shapes;
  binding->settings = {options_.profile, options_.poison, options_.block_limit,
                       &options_.files,  &copied_,        &outputs_};
  if (options_.naive) {
    binding->function = specialiser_(shapes);
  } else {
    RelatedPlans* related = related_to(shapes);
    // A layout for larger shapes would take more than what the function was refined to.
    std::shared_ptr<SharedLayout> layout;
    if (!options_.refine) layout = layout_for(shapes, related);
    binding->plan = plan(shapes, related, layout != nullptr ? layout->layout : nullptr);
    if (!binding->plan->reuses_layout) {
      layout = std::make_shared<SharedLayout>();
      layout->layout = binding->plan->layout;
      layout->bound = shapes;
      const std::lock_guard lock(mutex_);
      layouts_.push_back(layout);
    }
    binding->layout = std::move(layout);
  }
  for (const auto& [name, type] : inputs_) {
    binding->hash = add_to_hash(binding->hash, shapes.at(name));
  }
  binding->bytes = bytes_of_plan(binding->plan.get());
  const std::lock_guard lock(mutex_);
  binding->used = ++clock_;
  binding_bytes_ += binding->bytes;
  bindings_.push_back(binding);
  evict();
  return binding;
}

void PlanCache::retire(Binding& binding, Profile& into) {
  const std::lock_guard lock(binding.mutex);
  for (const auto& work : binding.idle) add_times(work->run, into);
}

// Requires mutex_.
void PlanCache::evict() {
  const size_t limit = std::max<size_t>(options_.plan_cache, 1);
  const auto drop = [&](auto which) {
    if (options_.profile) retire(**which, retired_);
    binding_bytes_ -= (*which)->bytes;
    bindings_.erase(which);
  };
  while (layouts_.size() > limit) {
    for (auto b = bindings_.begin(); b != bindings_.end();) {
      if ((*b)->layout != layouts_.front()) {
        ++b;
        continue;
      }
      const auto at = b - bindings_.begin();
      drop(b);
      b = bindings_.begin() + at;
    }
    layouts_.erase(layouts_.begin());
  }
  while (binding_bytes_ > options_.binding_bytes && bindings_.size() > 1) {
    drop(std::min_element(bindings_.begin(), bindings_.end(),
                          [](const auto& a, const auto& b) { return a->used < b->used; }));
  }
}

Profile PlanCache::profile() {
  const std::lock_guard lock(mutex_);
  Profile total = retired_;
  for (const auto& binding : bindings_) retire(*binding, total);
  return total;
}

uint64_t PlanCache::weight_bytes() {
  const std::lock_guard lock(mutex_);
  std::unordered_set<const ir::Constant*> seen;
  uint64_t bytes = static_cast<uint64_t>(pool_->bytes());
  for (const auto& binding : bindings_) {
    if (binding->plan != nullptr) add_weights(*binding->plan, seen, bytes);
  }
  return bytes;
}

uint64_t PlanCache::arena_bytes() {
  const std::lock_guard lock(mutex_);
  int64_t largest = 0;
  for (const auto& layout : layouts_) largest = std::max(largest, layout->layout->arena_bytes);
  return static_cast<uint64_t>(largest);
}

}  // namespace mw::exec
