// ConstantPool: values made from constants once (casts, packed and decompressed weights), shared by
// the plans of a session and dropped with the last plan that uses them.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/constant.h"
#include "plan/backend.h"

namespace mw::plan {

// Thread-safe.
class ConstantPool {
 public:
  struct Made {
    std::shared_ptr<const void> value;
    int64_t bytes = 0;
  };

  // The value for `key`, made on first use. The key names `sources` by address; they live as long
  // as the value, so an address never comes to mean another constant. `make` may use the pool
  // itself.
  std::shared_ptr<const void> get(const std::string& key, std::vector<ir::ConstantPtr> sources,
                                  const std::function<Made()>& make);
  template <class T>
  std::shared_ptr<const T> get(const std::string& key, std::vector<ir::ConstantPtr> sources,
                               const std::function<Made()>& make) {
    return std::static_pointer_cast<const T>(get(key, std::move(sources), make));
  }

  // Bytes of all values that are in use.
  [[nodiscard]] int64_t bytes() const;

 private:
  struct Entry {
    std::vector<ir::ConstantPtr> sources;
    Made made;
  };

  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::weak_ptr<const Entry>> entries_;
  size_t prune_at_ = 64;
};

// The elements of a constant in the memory of a device: where they lie, or copied there once for
// all that ask the pool.
std::shared_ptr<const std::byte> on_device(const Tensor& constant, const Backend& backend,
                                           ConstantPool& pool);

}  // namespace mw::plan
