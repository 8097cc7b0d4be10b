// RunMemory: what one run of a plan works on: where its buffers lie, what its slots hold, and the
// stream of the device.
#pragma once

#include <memory>
#include <vector>

#include "ir/evaluate.h"
#include "plan/device_memory.h"
#include "plan/plan.h"

namespace mw::exec {

// Tensors that show memory of a run have this owner; whoever keeps one clones it.
const std::shared_ptr<const void>& borrowed_owner();
Tensor owned(Tensor tensor);
ir::Datum owned(ir::Datum datum);
// Of a tensor without elements, too, an address.
const void* base_of(const Tensor& tensor);

// Not thread-safe. The plan outlives it.
class RunMemory {
 public:
  // Constants are bound, all else is not.
  explicit RunMemory(const plan::Plan& plan);

  [[nodiscard]] plan::Frame& frame() { return frame_; }
  [[nodiscard]] const plan::Frame& frame() const { return frame_; }
  [[nodiscard]] plan::Stream& stream() const { return *stream_; }
  [[nodiscard]] bool is_host() const { return memory_.is_host(); }
  [[nodiscard]] const plan::Memory& memory() const { return memory_; }
  [[nodiscard]] std::vector<ir::Datum>& slots() { return slots_; }
  [[nodiscard]] ir::Datum& slot(int index) { return slots_[static_cast<size_t>(index)]; }

  // What lies there: the memory itself where the host sees it, else a copy.
  [[nodiscard]] Tensor tensor_at(const plan::Place& place) const;
  [[nodiscard]] ir::Datum datum_at(const plan::Where& where) const;
  void store(const plan::Place& place, const Tensor& tensor) const;
  // Binds a window to where it begins in this run.
  void locate(const plan::Locating& locating);
  // Binds a buffer to a tensor of the caller, or copies its elements there; and back.
  void give(int buffer, const Tensor& tensor);
  void fetch(int buffer, Tensor& tensor) const;

 private:
  // Where the host finds what lies there; null: only the device does.
  [[nodiscard]] const std::byte* seen_by_host(const plan::Ref& ref) const;
  // Of memory that the host does not see: what stands there for tensors of the caller.
  void reserve_for_caller();

  const plan::Plan& plan_;
  const plan::Memory& memory_;
  std::unique_ptr<plan::Stream> stream_;
  plan::Frame frame_;
  std::vector<std::shared_ptr<std::byte>> for_caller_;
  std::vector<ir::Datum> slots_;
  std::vector<std::byte> integers_;  // of a device whose memory the host does not see
};

}  // namespace mw::exec
