// Session: runs a function for any input shapes, planning once per shape.
//
//   exec::Session session(*function, specialiser, devices::platform("cpu"));
//   exec::States states = session.make_states();
//   exec::RunResult result = session.run({{"input_ids", ids}}, &states);
//   use(result.outputs.at("logits").tensor);
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "exec/profile.h"
#include "ir/adjustable.h"
#include "ir/evaluate.h"
#include "plan/plan.h"
#include "plan/platform.h"

namespace mw::passes {
class Watch;
}
namespace mw::plan {
class ConstantPool;
}

namespace mw::exec {

// The states of one sequence of runs, by name. Copies share the cells.
class States {
 public:
  States() = default;
  explicit States(std::map<std::string, std::shared_ptr<ir::StateCell>> cells)
      : cells_(std::move(cells)) {}

  [[nodiscard]] const std::map<std::string, std::shared_ptr<ir::StateCell>>& cells() const {
    return cells_;
  }
  [[nodiscard]] std::shared_ptr<ir::StateCell> find(const std::string& name) const;
  // The tensor of a state; throws invalid_argument when there is none of that name.
  [[nodiscard]] const Tensor& get(const std::string& name) const;
  // Replaces the tensor; dtype and shape must stay.
  void set(const std::string& name, const Tensor& value);
  void reset();  // all zeros

 private:
  std::map<std::string, std::shared_ptr<ir::StateCell>> cells_;
};

struct RunResult {
  std::map<std::string, ir::Datum> outputs;
  std::map<std::string, Tensor> taps;
};

// What the plan of a function takes beside its inputs, outputs and states.
struct Footprint {
  std::shared_ptr<const plan::Plan> plan;
  uint64_t arena = 0;    // intermediate results
  uint64_t weights = 0;  // as Session::weight_bytes_held()
};
using Planner = std::function<Footprint(const ir::Function&)>;

struct SessionOptions {
  int threads = 0;     // 0: as many as the caller's setting
  bool naive = false;  // op by op with the reference implementations, nothing shared or fused
  bool profile = false;
  bool poison = false;               // for tests: freed arena memory is overwritten at once
  int64_t block_limit = 10'000'000;  // nested blocks that one run may enter before it is stopped
  size_t plan_cache = 8;             // memory layouts kept
  uint64_t binding_bytes = uint64_t{64} << 20;  // about how much plans for known shapes may take
  std::vector<std::string> taps;                // globs over value names
  // Upper bounds of the flexible extents of inputs, where known. Plans are made for the next power
  // of two of each extent, at most the bound.
  Shapes largest_shapes;
  // Where given, shapes that differ from known ones in nothing but extents are planned from these.
  ir::Adjustables adjustable;
  // Where given, what plans make from constants is shared with the other sessions that have it.
  std::shared_ptr<plan::ConstantPool> pool;
  std::shared_ptr<passes::Watch> watch;  // of what is done to a function to plan it; may be null
  // Where given, what is planned in the place of a function; it may ask what others would take.
  std::function<std::unique_ptr<ir::Function>(std::unique_ptr<ir::Function>, const Planner&)>
      refine;
  // Mapped files behind the constants: a run that met a truncated one fails.
  std::vector<std::shared_ptr<const MappedFile>> files;
};

// The function to run for concrete input shapes (specialised, folded, in its compute precision).
using Specialiser = std::function<std::unique_ptr<ir::Function>(const Shapes&)>;

class Session {
 public:
  // `signature` gives names and types of inputs, states and outputs; it is not kept.
  Session(const ir::Function& signature, Specialiser specialiser, const plan::Platform& platform,
          SessionOptions options = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Thread-safe; runs that share states must take turns. `states` may be null when there are none.
  [[nodiscard]] RunResult run(const TensorMap& inputs, States* states = nullptr) const;
  // The same, writing into the tensors of `result` where they fit and nobody else holds them: a run
  // of a known shape then allocates nothing.
  void run_into(const TensorMap& inputs, States* states, RunResult& result) const;
  // Makes the plan for these inputs ahead of their first run.
  void prepare(const Shapes& shapes) const;
  // The plan for these inputs as text, described for no particular machine (plan::text()).
  [[nodiscard]] std::string plan_text(const Shapes& shapes) const;

  [[nodiscard]] States make_states() const;
  [[nodiscard]] Profile profile() const;
  // Mapped weights that plans read, and everything made from weights.
  [[nodiscard]] uint64_t weight_bytes_held() const;
  // What all runs so far have written without computing it: copies, fills, casts, updates of parts,
  // states that others held. Of kernels, what they copy for themselves counts, too.
  [[nodiscard]] int64_t bytes_copied() const;
  // Memory layouts made.
  [[nodiscard]] size_t plans_made() const;
  // How often the whole function was specialised and planned.
  [[nodiscard]] size_t specialisations() const;
  // Bytes of intermediate results of the largest cached plan.
  [[nodiscard]] uint64_t arena_bytes() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace mw::exec
