// Registers the planned executor with the suite behind OP_CASES.
#include "exec/session.h"
#include "ops/catalog.h"
#include "ops/kernels_cpu.h"
#include "ops/op_case.h"

namespace mw {
namespace {

std::vector<Tensor> run_planned(const ir::Function& function,
                                const std::vector<std::pair<std::string, Tensor>>& arguments,
                                const plan::Backend* backend) {
  exec::SessionOptions options;
  options.poison = true;
  const exec::Session session(
      function, [&](const Shapes&) { return ir::clone(function); }, ops::catalog(), backend,
      options);
  const TensorMap inputs(arguments.begin(), arguments.end());
  exec::States states = session.make_states();
  exec::RunResult result = session.run(inputs, &states);
  session.run_into(inputs, &states, result);
  std::vector<Tensor> outputs;
  for (const ir::Value* output : function.body.outputs) {
    outputs.push_back(result.outputs.at(output->name).tensor);
  }
  return outputs;
}

const bool g_registered = [] {
  ops::register_case_runner("planned", [](const auto& function, const auto& arguments) {
    return run_planned(function, arguments, &ops::cpu_backend());
  });
  ops::register_case_runner("planned, reference steps",
                            [](const auto& function, const auto& arguments) {
                              return run_planned(function, arguments, nullptr);
                            });
  return true;
}();

}  // namespace
}  // namespace mw
