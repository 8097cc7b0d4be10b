// Memory of a device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "plan/kernel.h"

namespace mw::plan {

// Thread-safe. Addresses are the device's: the host may look behind them where is_host() says so,
// and nowhere else.
class Memory {
 public:
  Memory() = default;
  virtual ~Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // Whether it is the host's own: then tensors are used where they lie.
  [[nodiscard]] virtual bool is_host() const = 0;
  // At least one byte, at an address that vectors of the device like; not zeroed. `what` it is for
  // is said in the error when there is not so much.
  [[nodiscard]] virtual std::shared_ptr<std::byte> allocate(int64_t bytes,
                                                            std::string_view what) const = 0;
  // Copies from the host, in the order of the stream; `from` may change when this returns.
  virtual void write(Stream& stream, const void* from, std::byte* to, int64_t bytes) const = 0;
  // Copies to the host, in the order of the stream; `to` is filled when this returns.
  virtual void read(Stream& stream, const std::byte* from, void* to, int64_t bytes) const = 0;
};

// This machine's own.
const Memory& host_memory();

}  // namespace mw::plan
