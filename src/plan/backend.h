// Backend: a device: its memory, its kernels, its row programs, its copies, its workers.
//
//   const plan::KernelMaker* maker = backend.kernel("softmax");  // null: a reference step
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "plan/device_memory.h"
#include "plan/kernel.h"
#include "plan/place.h"
#include "plan/row.h"

namespace mw::plan {

class Claim;

// How a device comes to a kernel for an op.
struct KernelMaker {
  // Null: not for this op as it stands.
  using Make = std::function<std::unique_ptr<Kernel>(Claim&)>;
  std::vector<Make> makes;  // the first that returns a kernel
  // The kernel is made when something asks for the result: it may become a part of a larger one.
  bool waits = false;
};

// What the kernel of a row program works in.
struct Workspace {
  std::function<Ref(int64_t bytes)> reserve;  // memory for the duration of the step
  int slots = 1;                              // workers to cut it for
};

// Immutable; outlives all plans made for it.
class Backend {
 public:
  Backend() = default;
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  [[nodiscard]] virtual std::string_view name() const = 0;
  // Where all buffers of its plans lie.
  [[nodiscard]] virtual const Memory& memory() const = 0;
  // For the kernels and copies of one run at a time.
  [[nodiscard]] virtual std::unique_ptr<Stream> make_stream() const = 0;
  // Null: none for this op.
  [[nodiscard]] virtual const KernelMaker* kernel(std::string_view op) const = 0;
  // Whether make_rows() can be asked.
  [[nodiscard]] virtual bool runs_rows() const = 0;
  [[nodiscard]] virtual std::unique_ptr<Kernel> make_rows(RowProgram program,
                                                          const Workspace& workspace) const = 0;
  // Copies elements of any byte-sized dtype between places of equal shape, whatever their strides.
  [[nodiscard]] virtual std::unique_ptr<Kernel> make_copy(const Place& from,
                                                          const Place& to) const = 0;
  // Whether a program is computed faster with what it multiplies in bf16 than in fp32.
  [[nodiscard]] virtual bool prefers_bf16() const { return false; }
  // Workers that a kernel may use at once, where whoever plans does not say.
  [[nodiscard]] virtual int slots() const = 0;
};

}  // namespace mw::plan
