// OutputPool: blocks that come back through the owner of a tensor.
#include "exec/output_pool.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "base/memory.h"
#include "base/memory_checks.h"
#include "base/tensor_memory.h"

namespace mw::exec {
namespace {

// Smaller ones an allocator gives again without asking the system.
constexpr int64_t kSmallest = int64_t{64} << 10;
constexpr int64_t kLookUp = int64_t{64} << 20;  // the memory left is looked up for so many bytes

// Of about the same size: results that grow by a row at a time fit the memory of one before.
int64_t capacity_for(int64_t bytes) {
  const auto step = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(bytes)) / 8);
  return (bytes + step - 1) / step * step;
}

// The checks of memory are to see every tensor begin and end.
bool recycles(DType dtype, int64_t bytes) {
  static const bool kPlain =
      !kSanitized && poison_mode() == Poison::kNone && guard_mode() == Guard::kNone;
  return kPlain && dtype != DType::kString && bytes >= kSmallest;
}

Tensor new_block(int64_t capacity, const Shape& shape) {
  if (capacity >= kLookUp) expect_memory(capacity, "a tensor " + to_string(shape));
  return zeros_in_large_pages(DType::kU8, {capacity});
}

}  // namespace

// Blocks of bytes.
struct OutputPool::Idle {
  std::mutex mutex;
  std::vector<Tensor> blocks;
  int64_t bytes = 0;
  int64_t most = 0;  // bytes that are kept; of blocks as many as the vector has room for
  bool open = true;

  void take_back(Tensor& block) {
    const std::lock_guard lock(mutex);
    const bool fits = open && bytes + block.nbytes() <= most && blocks.size() < blocks.capacity();
    if (!fits) return;
    bytes += block.nbytes();
    blocks.push_back(std::move(block));
  }
  Tensor give(int64_t capacity) {
    const std::lock_guard lock(mutex);
    const auto found = std::ranges::find(blocks, capacity, &Tensor::nbytes);
    if (found == blocks.end()) return {};
    Tensor block = std::move(*found);
    blocks.erase(found);
    bytes -= capacity;
    return block;
  }
  void release() {
    const std::lock_guard lock(mutex);
    blocks.clear();
    bytes = 0;
  }
  // Empties it for results that take so much.
  void begin(size_t count, int64_t expected) {
    const std::lock_guard lock(mutex);
    blocks.clear();
    blocks.reserve(count);
    bytes = 0;
    most = expected;
  }
  void close() {
    const std::lock_guard lock(mutex);
    open = false;
    blocks.clear();
  }

  // Of all pools. Never destroyed: a pool may be static, too.
  struct All {
    std::mutex mutex;
    std::set<Idle*> pools;
  };
  static All& all() {
    static All* const kAll = new All;
    return *kAll;
  }
};

OutputPool::OutputPool() : idle_(std::make_shared<Idle>()) {
  Idle::All& all = Idle::all();
  const std::lock_guard lock(all.mutex);
  all.pools.insert(idle_.get());
}

OutputPool::~OutputPool() {
  {
    Idle::All& all = Idle::all();
    const std::lock_guard lock(all.mutex);
    all.pools.erase(idle_.get());
  }
  idle_->close();
}

void OutputPool::release_all() {
  Idle::All& all = Idle::all();
  const std::lock_guard lock(all.mutex);
  for (Idle* idle : all.pools) idle->release();
}

Tensor OutputPool::lent(const std::shared_ptr<Idle>& idle, Tensor block, const Wanted& wanted) {
  const void* data = block.raw();
  std::shared_ptr<const void> owner(
      data, [idle, block = std::move(block)](const void*) mutable { idle->take_back(block); });
  return {wanted.dtype, wanted.shape, std::move(owner), data};
}

std::vector<Tensor> OutputPool::take(const std::vector<Wanted>& wanted) {
  std::vector<Tensor> results(wanted.size());
  std::vector<int64_t> capacities(wanted.size(), 0);
  int64_t all = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    const int64_t bytes = bytes_of(wanted[i].dtype, count_of(wanted[i].shape));
    if (!recycles(wanted[i].dtype, bytes)) continue;
    capacities[i] = capacity_for(bytes);
    all += capacities[i];
    Tensor block = idle_->give(capacities[i]);
    if (!block.empty()) results[i] = lent(idle_, std::move(block), wanted[i]);
  }
  idle_->begin(wanted.size(), all);
  bool released = false;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (!results[i].empty()) continue;
    const auto& [dtype, shape] = wanted[i];
    if (capacities[i] == 0) {
      results[i] = Tensor(dtype, shape);
      continue;
    }
    if (!std::exchange(released, true)) release_all();
    results[i] = lent(idle_, new_block(capacities[i], shape), wanted[i]);
  }
  return results;
}

int64_t OutputPool::idle_bytes() const {
  const std::lock_guard lock(idle_->mutex);
  return idle_->bytes;
}

}  // namespace mw::exec
