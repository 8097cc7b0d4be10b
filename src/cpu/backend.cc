// The CPU as a device: kernels from a table, row programs, copies; its workers are the threads of
// the caller.
#include "cpu/backend.h"

#include <utility>

#include "base/parallel.h"
#include "cpu/copy.h"
#include "cpu/library.h"
#include "cpu/rows.h"

namespace mw::cpu {
namespace {

class Backend : public plan::Backend {
 public:
  explicit Backend(KernelTable kernels) : kernels_(std::move(kernels)) {}

  [[nodiscard]] std::string_view name() const override { return "cpu"; }
  [[nodiscard]] const plan::Memory& memory() const override { return plan::host_memory(); }
  [[nodiscard]] std::unique_ptr<plan::Stream> make_stream() const override {
    return std::make_unique<plan::Stream>();
  }
  [[nodiscard]] const plan::KernelMaker* kernel(std::string_view op) const override {
    const auto found = kernels_.find(op);
    return found == kernels_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] bool runs_rows() const override { return true; }
  [[nodiscard]] std::unique_ptr<plan::Kernel> make_rows(
      plan::RowProgram program, const plan::Workspace& workspace) const override {
    return cpu::make_rows(std::move(program), workspace);
  }
  [[nodiscard]] std::unique_ptr<plan::Kernel> make_copy(const plan::Place& from,
                                                        const plan::Place& to) const override {
    return cpu::make_copy(from, to);
  }
  [[nodiscard]] bool prefers_bf16() const override { return built_library().multiplies_bf16(); }
  [[nodiscard]] int slots() const override { return thread_count(); }

 private:
  KernelTable kernels_;
};

}  // namespace

std::unique_ptr<const plan::Backend> make_backend(KernelTable kernels) {
  return std::make_unique<Backend>(std::move(kernels));
}

}  // namespace mw::cpu
