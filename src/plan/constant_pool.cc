// ConstantPool: weak entries under one lock; a race to make a value is won by the first to finish.
#include "plan/constant_pool.h"

#include <algorithm>

#include "base/error.h"

namespace mw::plan {

std::shared_ptr<const void> ConstantPool::get(const std::string& key,
                                              std::vector<ir::ConstantPtr> sources,
                                              const std::function<Made()>& make) {
  const auto share = [](const std::shared_ptr<const Entry>& entry) {
    return std::shared_ptr<const void>(entry, entry->made.value.get());
  };
  {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(key);
    if (found != entries_.end()) {
      if (const auto entry = found->second.lock()) return share(entry);
    }
  }
  const auto made = std::make_shared<const Entry>(Entry{std::move(sources), make()});
  const std::lock_guard lock(mutex_);
  if (entries_.size() >= prune_at_) {
    std::erase_if(entries_, [](const auto& item) { return item.second.expired(); });
    prune_at_ = std::max<size_t>(64, 2 * entries_.size());
  }
  std::weak_ptr<const Entry>& place = entries_[key];
  if (const auto entry = place.lock()) return share(entry);
  place = made;
  return share(made);
}

int64_t ConstantPool::bytes() const {
  const std::lock_guard lock(mutex_);
  int64_t total = 0;
  for (const auto& [key, entry] : entries_) {
    if (const auto held = entry.lock()) total += held->made.bytes;
  }
  return total;
}

std::shared_ptr<const std::byte> on_device(const Tensor& constant, const Backend& backend,
                                           ConstantPool& pool) {
  const Memory& memory = backend.memory();
  const auto* elements = static_cast<const std::byte*>(constant.raw());
  if (memory.is_host()) return {constant.owner(), elements};
  struct Copy {
    Tensor constant;  // kept: its address is in the key
    std::shared_ptr<std::byte> data;
  };
  const int64_t bytes = constant.nbytes();
  const std::string key = fmt::format("{}+{} on {}", fmt::ptr(elements), bytes, backend.name());
  const auto copy = pool.get<Copy>(key, {}, [&] {
    auto made = std::make_shared<Copy>(Copy{constant, memory.allocate(bytes, "constants")});
    const std::unique_ptr<Stream> stream = backend.make_stream();
    memory.write(*stream, elements, made->data.get(), bytes);
    stream->wait();
    return ConstantPool::Made{std::move(made), bytes};
  });
  return {copy, copy->data.get()};
}

}  // namespace mw::plan
