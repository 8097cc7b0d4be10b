// Registers the planned executor with the suite behind OP_CASES.
#include "cpu/copy.h"
#include "devices/devices.h"
#include "exec/session.h"
#include "ops/op_case.h"

namespace mw {
namespace {

std::vector<Tensor> run_planned(const ir::Function& function,
                                const std::vector<std::pair<std::string, Tensor>>& arguments,
                                const plan::Platform& platform) {
  exec::SessionOptions options;
  options.poison = true;
  const exec::Session session(
      function, [&](const Shapes&) { return ir::clone(function); }, platform, options);
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

// Has nothing but copies: all else is a reference step.
class ReferenceSteps : public plan::Backend {
 public:
  [[nodiscard]] std::string_view name() const override { return "reference steps"; }
  [[nodiscard]] const plan::KernelMaker* kernel(std::string_view) const override { return nullptr; }
  [[nodiscard]] bool runs_rows() const override { return false; }
  [[nodiscard]] std::unique_ptr<plan::Kernel> make_rows(plan::RowProgram,
                                                        const plan::Workspace&) const override {
    return nullptr;
  }
  [[nodiscard]] std::unique_ptr<plan::Kernel> make_copy(const plan::Place& from,
                                                        const plan::Place& to) const override {
    return cpu::make_copy(from, to);
  }
  [[nodiscard]] int slots() const override { return 1; }
};

const bool g_registered = [] {
  ops::register_case_runner("planned", [](const auto& function, const auto& arguments) {
    return run_planned(function, arguments, devices::platform("cpu"));
  });
  ops::register_case_runner("planned, reference steps",
                            [](const auto& function, const auto& arguments) {
                              static const ReferenceSteps kBackend;
                              plan::Platform platform = devices::platform("cpu");
                              platform.backend = &kBackend;
                              return run_planned(function, arguments, platform);
                            });
  return true;
}();

}  // namespace
}  // namespace mw
