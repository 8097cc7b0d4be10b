// OutputPool: the memory of results that callers have dropped, for those of the next run. A step
// that is repeated takes no new pages from the system, whoever keeps what it gives for how long.
//
//   std::vector<Tensor> results = pool.take({{DType::kF32, {8, 256, 32000}}});
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "millwright/tensor.hpp"

namespace mw::exec {

// Thread-safe. Tensors outlive it; the memory of one that is dropped later is freed.
class OutputPool {
 public:
  OutputPool();
  ~OutputPool();
  OutputPool(const OutputPool&) = delete;
  OutputPool& operator=(const OutputPool&) = delete;

  struct Wanted {
    DType dtype;
    Shape shape;
  };
  // The results of a run, not zeroed. Their memory comes back when they and all that share it are
  // gone; no more is kept for the next run than they take together. What lies idle and fits none of
  // them is freed, and before new memory is asked for, what lies idle in any pool. Throws
  // out_of_memory.
  std::vector<Tensor> take(const std::vector<Wanted>& wanted);
  // Frees what lies idle in all pools of the process: before much memory is asked for.
  static void release_all();
  [[nodiscard]] int64_t idle_bytes() const;

 private:
  struct Idle;
  static Tensor lent(const std::shared_ptr<Idle>& idle, Tensor block, const Wanted& wanted);
  std::shared_ptr<Idle> idle_;
};

}  // namespace mw::exec
