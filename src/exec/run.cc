// Run: binds buffers to memory and executes the steps in order.
#include "exec/run.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/signals.h"
#include "exec/reference.h"

namespace mw::exec {
namespace {

using plan::Buffer;
using plan::Where;

bool can_hold(const ir::Datum& datum, const plan::Place& place) {
  const Tensor& tensor = datum.tensor;
  return !tensor.empty() && tensor.dtype() == place.dtype && tensor.shape() == place.shape &&
         tensor.owner().use_count() == 1;
}

}  // namespace

Arena::Arena(const plan::Memory& memory, int64_t bytes)
    : host_bytes_(memory.is_host() ? bytes : 0) {
  OutputPool::release_all();
  data_ = memory.allocate(bytes, "intermediate results");
  if (host_bytes_ > 0) forbid(data_.get(), host_bytes_);
}

Arena::~Arena() {
  if (host_bytes_ > 0) allow(data_.get(), host_bytes_);
}

Run::Run(std::shared_ptr<const plan::Plan> plan, const RunSettings& settings)
    : plan_(std::move(plan)),
      settings_(settings),
      memory_(*plan_),
      watch_(Watch::make(*plan_, settings.poison)),
      times_(plan_->steps.size()),
      output_pool_(settings.outputs) {
  MW_CHECK(!plan_->described);
  for (const plan::Step& step : plan_->steps) {
    writes_state_.push_back(writes_state(step) ? 1 : 0);
    copied_ += step.copied;
  }
}

void Run::count_copied(int64_t bytes) const {
  if (settings_.copied != nullptr) settings_.copied->fetch_add(bytes, std::memory_order_relaxed);
}

void Run::bind_arena(const Arena& arena) {
  if (arena_ == &arena) return;
  arena_ = &arena;
  if (guard_mode() != Guard::kNone && memory_.is_host()) return bind_apart();
  for (size_t b = 0; b < plan_->buffers.size(); ++b) {
    if (plan_->buffers[b].kind != Buffer::Kind::kArena) continue;
    memory_.frame().bind(b, arena.data() + plan_->layout->items[b].offset);
  }
}

// A buffer that takes over the memory of an earlier one begins where that one does.
void Run::bind_apart() {
  if (!apart_.empty()) return;
  apart_.resize(plan_->buffers.size());
  for (size_t b = 0; b < plan_->buffers.size(); ++b) {
    const Buffer& buffer = plan_->buffers[b];
    if (buffer.kind != Buffer::Kind::kArena) continue;
    apart_[b] = buffer.shares >= 0 ? apart_[static_cast<size_t>(buffer.shares)]
                                   : guarded_memory(guard_mode(), buffer.bytes);
    memory_.frame().bind(b, apart_[b].get());
  }
}

void Run::bind_inputs(const std::vector<InputView>& inputs) {
  MW_CHECK(inputs.size() == plan_->inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    const plan::Input& input = plan_->inputs[i];
    if (input.where.kind == Where::Kind::kSlot) {
      ir::Datum& slot = memory_.slot(input.where.slot);
      slot = inputs[i].datum != nullptr ? *inputs[i].datum
                                        : ir::Datum{*inputs[i].tensor, nullptr, nullptr};
      if (input.state_buffer >= 0) bind_state(input, slot);
      continue;
    }
    const Tensor& tensor = inputs[i].datum != nullptr ? inputs[i].datum->tensor : *inputs[i].tensor;
    if (tensor.dtype() != input.where.place.dtype || tensor.shape() != input.where.place.shape) {
      const plan::Place& place = input.where.place;
      fail(ErrorCode::kInvalidArgument, "'{}': expected {}, got {} {}", input.value->name,
           ir::Type::tensor(place.dtype, place.shape).str(), name_of(tensor.dtype()),
           to_string(tensor.shape()));
    }
    memory_.give(input.where.place.ref.buffer, tensor);
  }
}

// Where a state is written in the caller's memory, nobody else must have seen that as a tensor.
void Run::bind_state(const plan::Input& input, const ir::Datum& datum) {
  MW_CHECK(datum.state != nullptr);
  Tensor& value = datum.state->value;
  const ir::Type& type = input.value->type.element();
  if (value.dtype() != type.dtype() || value.shape() != type.shape()) {
    fail(ErrorCode::kInvalidArgument, "state '{}': expected {}, got {} {}", input.value->name,
         type.str(), name_of(value.dtype()), to_string(value.shape()));
  }
  if (!memory_.is_host()) {
    count_copied(value.nbytes());
    return memory_.give(input.state_buffer, value);
  }
  if (input.written && value.owner().use_count() > 1) {
    count_copied(value.nbytes());
    value = value.clone();
  }
  memory_.frame().bind(static_cast<size_t>(input.state_buffer), base_of(value));
  for (const int buffer : input.written_over) {
    memory_.frame().bind(static_cast<size_t>(buffer), base_of(value));
  }
}

// What an output holds that cannot be written is let go before memory is asked for.
void Run::make_outputs(std::vector<ir::Datum>& outputs) {
  std::vector<OutputPool::Wanted> wanted;
  std::vector<Tensor*> missing;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Where& where = plan_->outputs[i].where;
    if (where.kind != Where::Kind::kPlace || can_hold(outputs[i], where.place)) continue;
    outputs[i] = {};
    wanted.push_back({where.place.dtype, where.place.shape});
    missing.push_back(&outputs[i].tensor);
  }
  if (missing.empty()) return;
  if (output_pool_ == nullptr) {
    own_outputs_ = std::make_unique<OutputPool>();
    output_pool_ = own_outputs_.get();
  }
  std::vector<Tensor> made = output_pool_->take(wanted);
  for (size_t i = 0; i < missing.size(); ++i) *missing[i] = std::move(made[i]);
}

void Run::bind_outputs(std::vector<ir::Datum>& outputs) {
  outputs.resize(plan_->outputs.size());
  make_outputs(outputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Where& where = plan_->outputs[i].where;
    if (where.kind != Where::Kind::kPlace) continue;
    poison(outputs[i].tensor);
    if (!memory_.is_host()) continue;
    memory_.frame().bind(static_cast<size_t>(where.place.ref.buffer), outputs[i].tensor.raw());
  }
}

std::vector<ir::Datum> Run::run_nested(const std::shared_ptr<const plan::Plan>& plan,
                                       const std::vector<ir::Datum>& arguments,
                                       int64_t& blocks_entered) {
  if (++blocks_entered > settings_.block_limit) {
    fail(ErrorCode::kInvalidModel, "a loop ran more than {} times; the model does not end",
         settings_.block_limit);
  }
  Run& nested = nested_run(plan);
  std::vector<InputView> views;
  views.reserve(arguments.size());
  for (const ir::Datum& argument : arguments) views.push_back({nullptr, &argument});
  std::vector<ir::Datum> outputs;
  nested.execute(*nested.own_arena_, views, outputs, blocks_entered);
  return outputs;
}

Run& Run::nested_run(const std::shared_ptr<const plan::Plan>& plan) {
  for (const auto& run : nested_) {
    if (run->plan_ == plan) return *run;
  }
  auto& run = nested_.emplace_back(std::make_unique<Run>(plan, settings_));
  run->output_pool_ = nullptr;  // results of blocks are of other shapes than the function's
  run->own_arena_ = std::make_unique<Arena>(memory_.memory(), plan->layout->arena_bytes);
  return *run;
}

bool Run::writes_state(const plan::Step& step) const {
  if (step.call != nullptr && step.call->def->has_trait(ir::kWritesState)) return true;
  return std::any_of(step.writes.begin(), step.writes.end(), [&](int buffer) {
    return plan_->buffers[static_cast<size_t>(buffer)].kind == Buffer::Kind::kState;
  });
}

void Run::step(size_t index, int64_t& blocks_entered) {
  const plan::Step& step = plan_->steps[index];
  if (writes_state_[index] != 0 && settings_.files != nullptr) {
    for (const auto& file : *settings_.files) file->check_intact();
  }
  if (step.kernel != nullptr) {
    step.kernel->run(memory_.frame());
  } else if (step.locating != nullptr) {
    memory_.locate(*step.locating);
  } else {
    const auto run_block = [&](const auto& plan, const std::vector<ir::Datum>& arguments) {
      return run_nested(plan, arguments, blocks_entered);
    };
    ReferenceRun(memory_, *step.call, run_block).execute();
  }
}

void Run::run_steps(int64_t& blocks_entered) {
  using Clock = std::chrono::steady_clock;
  if (watch_ != nullptr) watch_->begin(memory_.frame());
  for (size_t s = 0; s < plan_->steps.size(); ++s) {
    const auto start = settings_.profile ? Clock::now() : Clock::time_point{};
    if (watch_ != nullptr) watch_->before(s, memory_.frame());
    SignalsHeld::deliver();
    step(s, blocks_entered);
    if (settings_.profile) {
      memory_.stream().wait();
      times_[s].seconds += std::chrono::duration<double>(Clock::now() - start).count();
      ++times_[s].calls;
    }
    if (watch_ != nullptr) watch_->after(s, memory_.frame());
  }
  memory_.stream().wait();
}

// States change here and not before: a run that throws leaves them as they were.
void Run::fetch_results(std::vector<ir::Datum>& outputs) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Where& where = plan_->outputs[i].where;
    if (where.kind == Where::Kind::kPlace) memory_.fetch(where.place.ref.buffer, outputs[i].tensor);
  }
  for (const plan::Input& input : plan_->inputs) {
    if (input.state_buffer < 0 || !input.written) continue;
    Tensor& value = memory_.slot(input.where.slot).state->value;
    if (value.owner().use_count() > 1) value = Tensor(value.dtype(), value.shape());
    memory_.fetch(input.state_buffer, value);
    count_copied(value.nbytes());
  }
}

void Run::execute(const Arena& arena, const std::vector<InputView>& inputs,
                  std::vector<ir::Datum>& outputs, int64_t& blocks_entered) {
  bind_arena(arena);
  bind_outputs(outputs);
  try {
    bind_inputs(inputs);
    run_steps(blocks_entered);
  } catch (...) {
    memory_.stream().wait();  // what it was given uses memory that others take next
    throw;
  }
  count_copied(copied_);
  if (!memory_.is_host()) fetch_results(outputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Where& where = plan_->outputs[i].where;
    if (where.kind == Where::Kind::kSlot) outputs[i] = memory_.slot(where.slot);
    if (where.kind == Where::Kind::kConstant) outputs[i] = {where.constant, nullptr, nullptr};
  }
  for (ir::Datum& slot : memory_.slots()) slot = {};
}

}  // namespace mw::exec
