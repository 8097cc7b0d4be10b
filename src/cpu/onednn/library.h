// What the files that call oneDNN share. Includes its headers: for those files alone.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cpu/convolution.h"
#include "cpu/matmul.h"
#include "plan/op_plan.h"

namespace mw::cpu::onednn {

const dnnl::engine& dnnl_engine();
dnnl::stream& dnnl_stream();  // of this thread

// The library reads through null when it runs out of memory while it makes a primitive. Called
// before one is made; throws out_of_memory where little is left.
void expect_headroom();
// Has the library nothing for what it was asked?
bool is_unsupported(const dnnl::error& error);
// Throws what it means: code that could not be written for lack of memory, or a fault of ours.
[[noreturn]] void refuse(const dnnl::error& error);

// What `body` gives. An error of the library becomes an mw::Error.
template <class Body>
decltype(auto) in_library(Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const dnnl::error& error) {
    refuse(error);
  }
}

// An element-wise function in the library's terms; kind undef when it has none.
struct Eltwise {
  dnnl::algorithm kind = dnnl::algorithm::undef;
  float alpha = 0, beta = 0;
};
Eltwise eltwise_of(const plan::Activation& activation);

// What the library is asked for: see cpu/library.h.
std::unique_ptr<Matmul> make_matmul(const MatmulShape& shape, const Matmul* like);
std::unique_ptr<plan::Kernel> make_convolution(plan::Claim& claim, const Convolution& c);
std::unique_ptr<plan::Kernel> make_mean_pooling(plan::Claim& claim, const MeanPooling& p);

// User scratchpad, and the activation as a post-op.
dnnl::primitive_attr attributes_for(const std::optional<plan::Activation>& activation);

// Runs one primitive with memory objects made ahead and pooled: concurrent runs each take a set.
class PooledPrimitive {
 public:
  PooledPrimitive() = default;
  PooledPrimitive(dnnl::primitive primitive, std::vector<std::pair<int, dnnl::memory::desc>> descs)
      : primitive_(std::move(primitive)), descs_(std::move(descs)) {}
  // `data`: an address per descriptor, in their order.
  void run(const void* const* data) const;

 private:
  using Arguments = std::unordered_map<int, dnnl::memory>;
  [[nodiscard]] std::unique_ptr<Arguments> take() const;

  dnnl::primitive primitive_;
  std::vector<std::pair<int, dnnl::memory::desc>> descs_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Arguments>> idle_;
};

}  // namespace mw::cpu::onednn
