// The list of devices: each is its backend with the kernels that it has for ops.
#include "devices/devices.h"

#include <memory>
#include <string>

#include "base/error.h"
#include "cpu/backend.h"
#include "ops/catalog.h"
#include "ops/catalog_plan.h"
#include "ops/kernels_cpu.h"

namespace mw::devices {

const std::vector<const plan::Backend*>& backends() {
  static const std::unique_ptr<const plan::Backend> kCpu = cpu::make_backend(ops::cpu_kernels());
  static const std::vector<const plan::Backend*> kBackends = {kCpu.get()};
  return kBackends;
}

plan::Platform platform(std::string_view device) {
  std::string names;
  for (const plan::Backend* backend : backends()) {
    if (backend->name() == device) return {&ops::catalog(), &ops::op_plans(), backend};
    names += (names.empty() ? "" : ", ") + std::string(backend->name());
  }
  fail(ErrorCode::kInvalidArgument, "device: expected one of {}, got '{}'", names, device);
}

}  // namespace mw::devices
