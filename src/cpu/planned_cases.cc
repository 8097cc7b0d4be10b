// Registers the planned executor with the suite behind OP_CASES.
#include "devices/devices.h"
#include "exec/session.h"
#include "ops/op_case.h"
#include "plan/backend_testing.h"

namespace mw {
namespace {

std::vector<Tensor> run_planned(const ir::Function& function,
                                const std::vector<std::pair<std::string, Tensor>>& arguments,
                                const plan::Platform& platform) {
  exec::SessionOptions options;
  options.poison = true;
  const exec::Session session(
      function, [&](const Shapes&) { return ir::clone(function).function; }, platform, options);
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
    return run_planned(function, arguments, devices::platform("cpu"));
  });
  static const plan::ReferenceBackend kReference;
  static const plan::ForeignBackend kForeign;
  const std::pair<const char*, const plan::Backend*> without_kernels[] = {
      {"planned, reference steps", &kReference}, {"planned, on a foreign device", &kForeign}};
  for (const auto& [name, backend] : without_kernels) {
    plan::Platform platform = devices::platform("cpu");
    platform.backend = backend;
    ops::register_case_runner(name, [platform](const auto& function, const auto& arguments) {
      return run_planned(function, arguments, platform);
    });
  }
  return true;
}();

}  // namespace
}  // namespace mw
