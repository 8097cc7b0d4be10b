// Session: the cache of plans and bindings, pools of working memory, and the way in and out of a
// run.
#include "exec/session.h"

#include <algorithm>

#include "base/error.h"
#include "base/glob.h"
#include "base/parallel.h"
#include "base/signals.h"
#include "base/threads.h"
#include "exec/cache.h"
#include "exec/naive.h"

namespace mw::exec {
namespace {

// Threads of the calling thread's parallel regions for the length of a run.
class ThreadScope {
 public:
  explicit ThreadScope(int threads)
      : before_(thread_count()),
        changes_(threads > 0),
        computation_(threads > 0 ? threads : before_) {
    if (changes_) set_thread_count(threads);
  }
  ~ThreadScope() {
    if (changes_) set_thread_count(before_);
  }
  ThreadScope(const ThreadScope&) = delete;
  ThreadScope& operator=(const ThreadScope&) = delete;

 private:
  int before_;
  bool changes_;
  SignalsHeld held_;
  Computation computation_;
};

const Tensor& input_named(const TensorMap& inputs, const std::string& name) {
  const auto found = inputs.find(name);
  if (found == inputs.end()) {
    fail(ErrorCode::kInvalidArgument, "input '{}': expected a tensor, got none", name);
  }
  return found->second;
}

}  // namespace

// --- States ---------------------------------------------------------------------------------

std::shared_ptr<ir::StateCell> States::find(const std::string& name) const {
  const auto found = cells_.find(name);
  return found == cells_.end() ? nullptr : found->second;
}

const Tensor& States::get(const std::string& name) const {
  const auto cell = find(name);
  if (cell == nullptr) {
    fail(ErrorCode::kInvalidArgument, "state '{}': there is none of that name", name);
  }
  return cell->value;
}

void States::set(const std::string& name, const Tensor& value) {
  const Tensor& known = get(name);
  if (known.dtype() != value.dtype() || known.shape() != value.shape()) {
    fail(ErrorCode::kInvalidArgument, "state '{}': expected {} {}, got {} {}", name,
         name_of(known.dtype()), to_string(known.shape()), name_of(value.dtype()),
         to_string(value.shape()));
  }
  cells_.at(name)->value = value.clone();
}

void States::reset() {
  for (auto& [name, cell] : cells_) {
    cell->value = Tensor(cell->value.dtype(), cell->value.shape());
  }
}

// --- Session --------------------------------------------------------------------------------

class Session::Impl {
 public:
  Impl(const ir::Function& signature, Specialiser specialiser, const plan::Platform& platform,
       SessionOptions options)
      : name_(signature.name),
        options_(std::move(options)),
        cache_(signature, std::move(specialiser), platform, options_),
        catalog_(*platform.catalog) {
    for (const auto& argument : signature.body.arguments) {
      if (argument->type.is_state()) states_.emplace_back(argument->name, argument->type);
    }
  }

  void run(const TensorMap& inputs, States* states, RunResult& result) const {
    const ThreadScope threads(options_.threads);
    in_context([&] { return fmt::format("function '{}'", name_); },
               [&] {
                 check_states(states);
                 const std::shared_ptr<Binding> binding = cache_.binding(inputs);
                 if (options_.naive) {
                   run_naively(*binding, inputs, states, result);
                 } else {
                   run_planned(*binding, inputs, states, result);
                 }
                 for (const auto& file : options_.files) file->check_intact();
               });
  }

  void prepare(const Shapes& shapes) const {
    const ThreadScope threads(options_.threads);
    in_context([&] { return fmt::format("function '{}'", name_); },
               [&] { cache_.prepare(shapes); });
  }

  std::string plan_text(const Shapes& shapes) const {
    return in_context([&] { return fmt::format("function '{}'", name_); },
                      [&] { return cache_.plan_text(shapes); });
  }

  States make_states() const {
    std::map<std::string, std::shared_ptr<ir::StateCell>> cells;
    for (const auto& [name, type] : states_) {
      auto cell = std::make_shared<ir::StateCell>();
      cell->value = Tensor(type.dtype(), type.shape());
      cells[name] = std::move(cell);
    }
    return States(std::move(cells));
  }

  PlanCache& cache() const { return cache_; }

 private:
  static std::shared_ptr<ir::StateCell> cell_named(const States* states, const std::string& name) {
    auto cell = states != nullptr ? states->find(name) : nullptr;
    if (cell == nullptr) {
      fail(ErrorCode::kInvalidArgument, "state '{}': expected a state, got none", name);
    }
    return cell;
  }

  void check_states(const States* states) const {
    for (const auto& [name, type] : states_) {
      const Tensor& value = cell_named(states, name)->value;
      if (value.dtype() == type.dtype() && value.shape() == type.shape()) continue;
      fail(ErrorCode::kInvalidArgument, "state '{}': expected {} {}, got {} {}", name,
           name_of(type.dtype()), to_string(type.shape()), name_of(value.dtype()),
           to_string(value.shape()));
    }
  }

  void run_planned(Binding& binding, const TensorMap& inputs, const States* states,
                   RunResult& result) const {
    const Borrowed work(binding);
    const plan::Plan& plan = *binding.plan;
    work->states.resize(plan.inputs.size());
    work->inputs.clear();
    for (size_t i = 0; i < plan.inputs.size(); ++i) {
      const ir::Value& value = *plan.inputs[i].value;
      if (plan.inputs[i].is_state) {
        work->states[i].state = cell_named(states, value.name);
        work->inputs.push_back({nullptr, &work->states[i]});
      } else {
        work->inputs.push_back({&input_named(inputs, value.name), nullptr});
      }
    }
    exchange(plan, result, work->outputs);
    int64_t blocks_entered = 0;
    work->run.execute(*work->arena, work->inputs, work->outputs, blocks_entered);
    exchange(plan, result, work->outputs);
    for (ir::Datum& state : work->states) state.state.reset();
  }

  // Moves tensors between the result and the outputs in the order of the plan.
  static void exchange(const plan::Plan& plan, RunResult& result, std::vector<ir::Datum>& outputs) {
    outputs.resize(plan.outputs.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      const std::string& name = plan.outputs[i].name;
      if (i < plan.function->body.outputs.size()) {
        std::swap(result.outputs[name], outputs[i]);
      } else {
        std::swap(result.taps[name], outputs[i].tensor);
      }
    }
  }

  void run_naively(const Binding& binding, const TensorMap& inputs, const States* states,
                   RunResult& result) const {
    NaiveOptions options;
    options.block_limit = options_.block_limit;
    for (const auto& op : binding.function->body.ops) {
      for (const auto& value : op->outputs) {
        if (matches_any(options_.taps, value->name)) options.taps.push_back(value->name);
      }
    }
    auto data = run_naive(*binding.function, catalog_, inputs,
                          states != nullptr ? states->cells() : StateCells{}, options);
    result = {};
    for (const std::string& name : options.taps) result.taps[name] = data.at(name).tensor;
    for (const ir::Value* output : binding.function->body.outputs) {
      result.outputs[output->name] = data.at(output->name);
    }
  }

  std::string name_;
  SessionOptions options_;
  mutable PlanCache cache_;
  const ir::Catalog& catalog_;
  std::vector<std::pair<std::string, ir::Type>> states_;
};

Session::Session(const ir::Function& signature, Specialiser specialiser,
                 const plan::Platform& platform, SessionOptions options)
    : impl_(std::make_unique<Impl>(signature, std::move(specialiser), platform,
                                   std::move(options))) {}
Session::~Session() = default;

RunResult Session::run(const TensorMap& inputs, States* states) const {
  RunResult result;
  impl_->run(inputs, states, result);
  return result;
}
void Session::run_into(const TensorMap& inputs, States* states, RunResult& result) const {
  impl_->run(inputs, states, result);
}
std::string Session::plan_text(const Shapes& shapes) const { return impl_->plan_text(shapes); }
void Session::prepare(const Shapes& shapes) const { impl_->prepare(shapes); }
States Session::make_states() const { return impl_->make_states(); }
Profile Session::profile() const { return impl_->cache().profile(); }
uint64_t Session::weight_bytes_held() const { return impl_->cache().weight_bytes(); }
int64_t Session::bytes_copied() const { return impl_->cache().bytes_copied(); }
size_t Session::plans_made() const { return impl_->cache().plans_made(); }
size_t Session::specialisations() const { return impl_->cache().specialisations(); }
uint64_t Session::arena_bytes() const { return impl_->cache().arena_bytes(); }

}  // namespace mw::exec
