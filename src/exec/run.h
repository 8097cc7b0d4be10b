// Run: the working memory of one execution of a plan, and the execution itself.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/mapped_file.h"
#include "exec/output_pool.h"
#include "exec/run_memory.h"
#include "exec/watch.h"

namespace mw::exec {

// Memory of a device that runs of one layout take turns with. Not zeroed.
class Arena {
 public:
  Arena(const plan::Memory& memory, int64_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  [[nodiscard]] std::byte* data() const { return data_.get(); }

 private:
  std::shared_ptr<std::byte> data_;
  int64_t host_bytes_;  // 0: the host does not see them
};

// One input of a run: a tensor for a buffer, or a datum for a slot (a tensor will do there, too).
struct InputView {
  const Tensor* tensor = nullptr;
  const ir::Datum* datum = nullptr;
};

struct StepTime {
  double seconds = 0;
  int64_t calls = 0;
};

struct RunSettings {
  bool profile = false;
  bool poison = false;  // overwrites arena memory once it is free: finds steps that read too late
  int64_t block_limit = 10'000'000;  // nested blocks one run may enter
  // Mapped files behind the constants. None was truncated before a state is written, so that what a
  // lost page stood for does not stay.
  const std::vector<std::shared_ptr<const MappedFile>>* files = nullptr;
  // Where given: adds up what steps have copied (plan::Step::copied), and states that had to be
  // because somebody else held their tensor.
  std::atomic<int64_t>* copied = nullptr;
  OutputPool* outputs = nullptr;  // where given, the memory of results comes from it
};

// Not thread-safe; reusable. The plan outlives it.
class Run {
 public:
  Run(std::shared_ptr<const plan::Plan> plan, const RunSettings& settings);

  // `inputs` are those of the plan, in order. `outputs` keep their tensors where these fit and
  // nobody else holds them.
  void execute(const Arena& arena, const std::vector<InputView>& inputs,
               std::vector<ir::Datum>& outputs, int64_t& blocks_entered);

  [[nodiscard]] const plan::Plan& plan() const { return *plan_; }
  [[nodiscard]] std::vector<StepTime>& times() { return times_; }
  // Runs of nested blocks, for the profile.
  [[nodiscard]] const std::vector<std::unique_ptr<Run>>& nested() const { return nested_; }

 private:
  void bind_inputs(const std::vector<InputView>& inputs);
  void bind_state(const plan::Input& input, const ir::Datum& datum);
  void bind_outputs(std::vector<ir::Datum>& outputs);
  void make_outputs(std::vector<ir::Datum>& outputs);
  void bind_arena(const Arena& arena);
  void run_steps(int64_t& blocks_entered);
  void fetch_results(std::vector<ir::Datum>& outputs);
  void count_copied(int64_t bytes) const;
  void step(size_t index, int64_t& blocks_entered);
  [[nodiscard]] bool writes_state(const plan::Step& step) const;
  void bind_apart();
  std::vector<ir::Datum> run_nested(const std::shared_ptr<const plan::Plan>& plan,
                                    const std::vector<ir::Datum>& arguments,
                                    int64_t& blocks_entered);
  Run& nested_run(const std::shared_ptr<const plan::Plan>& plan);

  std::shared_ptr<const plan::Plan> plan_;
  const RunSettings& settings_;
  RunMemory memory_;
  const Arena* arena_ = nullptr;
  std::unique_ptr<Watch> watch_;              // null: nothing is watched
  std::vector<std::shared_ptr<void>> apart_;  // with MW_GUARD, the buffers of the arena
  std::vector<StepTime> times_;
  int64_t copied_ = 0;              // by the steps of one run, nested blocks left out
  std::vector<char> writes_state_;  // by step
  std::vector<std::unique_ptr<Run>> nested_;
  std::unique_ptr<Arena> own_arena_;  // of a nested run
  std::unique_ptr<OutputPool> own_outputs_;
  OutputPool* output_pool_;
};

}  // namespace mw::exec
