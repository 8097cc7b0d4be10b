// PlanCache: plans by input shapes, bindings to smaller extents, and the working memory of their
// runs.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "exec/related_plans.h"
#include "exec/run.h"
#include "exec/session.h"
#include "plan/constant_pool.h"

namespace mw::exec {

// A layout and the arenas that runs over it take turns with.
struct SharedLayout {
  std::shared_ptr<const plan::Layout> layout;
  Shapes bound;  // the shapes it was made for
  std::mutex mutex;
  std::vector<std::unique_ptr<Arena>> idle;
};

// What one run needs besides the arena.
struct Work {
  Work(const std::shared_ptr<const plan::Plan>& plan, const RunSettings& settings)
      : run(plan, settings) {}
  Run run;
  std::unique_ptr<Arena> arena;
  std::vector<InputView> inputs;
  std::vector<ir::Datum> states, outputs;
};

// A plan for exact input shapes.
struct Binding {
  Shapes shapes;
  std::shared_ptr<const plan::Plan> plan;
  std::unique_ptr<ir::Function> function;  // instead of a plan, in a naive session
  std::shared_ptr<SharedLayout> layout;
  RunSettings settings;
  uint64_t used = 0;
  uint64_t hash = 0;   // of the extents
  uint64_t bytes = 0;  // about what it takes
  std::mutex mutex;
  std::vector<std::unique_ptr<Work>> idle;
};

// Working memory taken from a binding for the length of a run.
class Borrowed {
 public:
  explicit Borrowed(Binding& binding);
  ~Borrowed();
  Borrowed(const Borrowed&) = delete;
  Borrowed& operator=(const Borrowed&) = delete;
  Work* operator->() const { return work_.get(); }

 private:
  Binding& binding_;
  std::unique_ptr<Work> work_;
};

class PlanCache {
 public:
  PlanCache(const ir::Function& signature, Specialiser specialiser, const plan::Platform& platform,
            const SessionOptions& options);

  // The binding for these inputs; allocates nothing when it is known.
  std::shared_ptr<Binding> binding(const TensorMap& inputs);
  void prepare(const Shapes& shapes);
  [[nodiscard]] std::string plan_text(const Shapes& shapes) const;

  Profile profile();
  uint64_t weight_bytes();
  size_t plans_made() {
    const std::lock_guard lock(mutex_);
    return plans_made_;
  }
  size_t specialisations() {
    const std::lock_guard lock(mutex_);
    return specialisations_;
  }
  uint64_t arena_bytes();
  [[nodiscard]] int64_t bytes_copied() const { return copied_; }

 private:
  std::shared_ptr<Binding> find(const TensorMap& inputs);
  std::shared_ptr<Binding> make(const Shapes& shapes);
  // From related plans, if there are any.
  std::shared_ptr<const plan::Plan> plan(const Shapes& shapes, RelatedPlans* related,
                                         const std::shared_ptr<const plan::Layout>& reuse);
  std::shared_ptr<const plan::Plan> plan_alone(const Shapes& shapes,
                                               const std::shared_ptr<const plan::Layout>& reuse);
  std::unique_ptr<plan::PlanFamily> begin_family(const Shapes& shapes,
                                                 std::set<std::string> varying);
  plan::Request request() const;
  void count(const plan::Plan& plan);
  void count_specialisation();
  RelatedPlans* related_to(const Shapes& shapes);
  std::shared_ptr<SharedLayout> layout_for(const Shapes& shapes, RelatedPlans* related);
  static void remember(std::vector<Shapes>& bounds, const Shapes& bound);
  Footprint footprint(const ir::Function& function) const;
  void evict();
  void retire(Binding& binding, Profile& into);

  std::vector<std::pair<std::string, ir::Type>> inputs_;  // tensors only
  Specialiser specialiser_;
  const plan::Platform platform_;
  const SessionOptions& options_;
  const std::shared_ptr<plan::ConstantPool> pool_;
  OutputPool outputs_;

  std::mutex making_;  // taken before mutex_
  std::mutex mutex_;
  std::vector<std::shared_ptr<Binding>> bindings_;
  uint64_t binding_bytes_ = 0;
  std::vector<std::shared_ptr<SharedLayout>> layouts_;  // the most recently used last
  std::vector<Shapes> seen_;                            // bounds under which a shape was met
  std::vector<Shapes> refused_;                         // bounds that the function does not take
  bool extents_depend_ = false;                         // under making_: on each other
  std::vector<std::unique_ptr<RelatedPlans>> related_;  // under making_, the last used last
  Profile retired_;
  std::atomic<int64_t> copied_ = 0;
  uint64_t clock_ = 0;
  size_t plans_made_ = 0, specialisations_ = 0;
};

}  // namespace mw::exec
