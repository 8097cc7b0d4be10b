// host_memory(): from the allocator, in huge pages where it is large.
#include <algorithm>
#include <cstring>
#include <new>

#include "base/error.h"
#include "base/memory.h"
#include "base/os.h"
#include "base/quantity_text.h"
#include "plan/device_memory.h"

namespace mw::plan {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

class HostMemory : public Memory {
 public:
  [[nodiscard]] bool is_host() const override { return true; }

  [[nodiscard]] std::shared_ptr<std::byte> allocate(int64_t bytes,
                                                    std::string_view what) const override {
    if (bytes > total_memory()) {
      fail(ErrorCode::kOutOfMemory, "{} need {} and this machine has {}", what, memory_text(bytes),
           memory_text(total_memory()));
    }
    const auto size = static_cast<size_t>(std::max<int64_t>(bytes, 64));
    std::align_val_t align{size >= kHugePage ? kHugePage : 64};
    void* memory = ::operator new(size, align, std::nothrow);
    if (memory == nullptr && size >= kHugePage) {  // room beside it is needed to begin there
      align = std::align_val_t{64};
      memory = ::operator new(size, align, std::nothrow);
    }
    if (memory == nullptr) {
      fail(ErrorCode::kOutOfMemory, "cannot allocate {} for {}", memory_text(size), what);
    }
    if (size >= kHugePage) os::prefer_huge_pages(memory, size);
    return {static_cast<std::byte*>(memory),
            [align](std::byte* data) { ::operator delete(data, align); }};
  }

  void write(Stream& stream, const void* from, std::byte* to, int64_t bytes) const override {
    stream.wait();
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
  void read(Stream& stream, const std::byte* from, void* to, int64_t bytes) const override {
    stream.wait();
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
};

}  // namespace

const Memory& host_memory() {
  static const HostMemory kMemory;
  return kMemory;
}

}  // namespace mw::plan
