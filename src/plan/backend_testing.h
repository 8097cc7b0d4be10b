// Devices for tests that have no kernels: everything but copies is a reference step. The memory of
// one of them is not the host's.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <vector>

#include "base/error.h"
#include "plan/backend.h"

namespace mw::plan {

// Element by element, whatever the strides.
inline void copy_elements(const Place& from, const std::byte* source, const Place& to,
                          std::byte* target) {
  std::vector<int64_t> index(to.shape.size(), 0);
  for (int64_t left = to.count(); left > 0; --left) {
    int64_t s = 0, t = 0;
    for (size_t axis = 0; axis < index.size(); ++axis) {
      s += index[axis] * from.strides[axis];
      t += index[axis] * to.strides[axis];
    }
    std::memmove(target + t * to.item(), source + s * to.item(), static_cast<size_t>(to.item()));
    for (size_t axis = index.size(); axis-- > 0 && ++index[axis] == to.shape[axis];) {
      index[axis] = 0;
    }
  }
}

// In the memory of the host.
class ReferenceBackend : public Backend {
 public:
  [[nodiscard]] std::string_view name() const override { return "reference"; }
  [[nodiscard]] const Memory& memory() const override { return host_memory(); }
  [[nodiscard]] std::unique_ptr<Stream> make_stream() const override {
    return std::make_unique<Stream>();
  }
  [[nodiscard]] const KernelMaker* kernel(std::string_view) const override { return nullptr; }
  [[nodiscard]] bool runs_rows() const override { return false; }
  [[nodiscard]] std::unique_ptr<Kernel> make_rows(RowProgram, const Workspace&) const override {
    fail(ErrorCode::kInternal, "no row program was asked for");
  }
  [[nodiscard]] std::unique_ptr<Kernel> make_copy(const Place& from,
                                                  const Place& to) const override {
    return std::make_unique<Copy>(from, to);
  }
  [[nodiscard]] int slots() const override { return 1; }

 private:
  class Copy : public Kernel {
   public:
    Copy(Place from, Place to) : from_(std::move(from)), to_(std::move(to)) {}
    void run(const Frame& frame) const override {
      copy_elements(from_, frame.at(from_.ref), to_, frame.at(to_.ref));
    }

   private:
    Place from_, to_;
  };
};

// Does nothing before somebody waits.
class LazyStream : public Stream {
 public:
  ~LazyStream() override { MW_CHECK(work_.empty()); }
  void add(std::function<void()> work) { work_.push_back(std::move(work)); }
  void wait() override {
    for (const auto& work : std::exchange(work_, {})) work();
  }

 private:
  std::vector<std::function<void()>> work_;
};

// Who looks behind one of its addresses ends the process: the elements lie elsewhere.
class ForeignMemory : public Memory {
 public:
  [[nodiscard]] bool is_host() const override { return false; }

  [[nodiscard]] std::shared_ptr<std::byte> allocate(int64_t bytes,
                                                    std::string_view what) const override {
    const auto size = static_cast<size_t>(std::max<int64_t>(bytes, 1));
    void* address =
        mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED) fail(ErrorCode::kOutOfMemory, "no {} bytes for {}", bytes, what);
    auto* base = static_cast<std::byte*>(address);
    const std::lock_guard lock(mutex_);
    blocks_[base].assign(size, std::byte{0xA5});
    return {base, [this, size](std::byte* data) {
              const std::lock_guard inner(mutex_);
              blocks_.erase(data);
              munmap(data, size);
            }};
  }
  void write(Stream& stream, const void* from, std::byte* to, int64_t bytes) const override {
    if (bytes == 0) return;
    ++writes;
    const auto* first = static_cast<const std::byte*>(from);
    dynamic_cast<LazyStream&>(stream).add([this, to, data = std::vector(first, first + bytes)] {
      std::memcpy(behind(to), data.data(), data.size());
    });
  }
  void read(Stream& stream, const std::byte* from, void* to, int64_t bytes) const override {
    if (bytes == 0) return;
    ++reads;
    stream.wait();
    std::memcpy(to, behind(from), static_cast<size_t>(bytes));
  }

  // Where the elements of an address lie.
  [[nodiscard]] std::byte* behind(const std::byte* address) const {
    const std::lock_guard lock(mutex_);
    auto after = blocks_.upper_bound(const_cast<std::byte*>(address));
    MW_CHECK(after != blocks_.begin());
    auto& [base, data] = *--after;
    const auto offset = static_cast<size_t>(address - base);
    MW_CHECK(offset < data.size());
    return data.data() + offset;
  }
  [[nodiscard]] size_t blocks() const {
    const std::lock_guard lock(mutex_);
    return blocks_.size();
  }

  mutable std::atomic<int64_t> writes = 0, reads = 0;

 private:
  mutable std::mutex mutex_;
  mutable std::map<std::byte*, std::vector<std::byte>> blocks_;  // by address
};

class ForeignBackend : public ReferenceBackend {
 public:
  [[nodiscard]] std::string_view name() const override { return "foreign"; }
  [[nodiscard]] const ForeignMemory& memory() const override { return memory_; }
  [[nodiscard]] std::unique_ptr<Stream> make_stream() const override {
    return std::make_unique<LazyStream>();
  }
  [[nodiscard]] const KernelMaker* kernel(std::string_view) const override {
    ++kernels_asked;
    return nullptr;
  }
  [[nodiscard]] std::unique_ptr<Kernel> make_copy(const Place& from,
                                                  const Place& to) const override {
    return std::make_unique<Copy>(*this, from, to);
  }

  mutable std::atomic<int64_t> kernels_asked = 0, copies = 0;

 private:
  class Copy : public Kernel {
   public:
    Copy(const ForeignBackend& device, Place from, Place to)
        : device_(device), from_(std::move(from)), to_(std::move(to)) {}
    void run(const Frame& frame) const override {
      if (to_.count() == 0) return;
      ++device_.copies;
      const std::byte* from = frame.at(from_.ref);
      std::byte* to = frame.at(to_.ref);
      dynamic_cast<LazyStream&>(frame.stream()).add([this, from, to] {
        const ForeignMemory& memory = device_.memory();
        copy_elements(from_, memory.behind(from), to_, memory.behind(to));
      });
    }

   private:
    const ForeignBackend& device_;
    Place from_, to_;
  };

  ForeignMemory memory_;
};

}  // namespace mw::plan
