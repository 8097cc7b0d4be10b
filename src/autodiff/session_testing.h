// Programs as tests of rewrites run them: through a session, planned or op by op.
#pragma once

#include <cmath>
#include <string_view>

#include "autodiff/testing.h"
#include "devices/devices.h"
#include "exec/session.h"

namespace mw::autodiff {

inline int64_t count_of_ops(const ir::Function& function, std::string_view type) {
  return std::ranges::count_if(function.body.ops, [&](const auto& op) { return op->type == type; });
}

struct Ran {
  std::vector<Tensor> results;  // in the order of the outputs
  uint64_t arena = 0;           // bytes
};

inline Ran run(const ir::Function& function, const TensorMap& inputs, bool naive, int threads = 0) {
  exec::SessionOptions options;
  options.naive = naive;
  options.threads = threads;
  options.poison = true;
  const exec::Session session(
      function, [&](const Shapes&) { return ir::clone(function).function; },
      devices::platform("cpu"), options);
  exec::States states = session.make_states();
  const exec::RunResult result = session.run(inputs, &states);
  Ran ran;
  for (const ir::Value* output : function.body.outputs) {
    ran.results.push_back(result.outputs.at(output->name).tensor);
  }
  ran.arena = session.arena_bytes();
  return ran;
}

inline double norm(const Tensor& tensor) { return std::sqrt(dot(tensor, tensor)); }

}  // namespace mw::autodiff
