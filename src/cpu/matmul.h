// Matmul: a matrix product through the library that this build was made with.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plan/op_plan.h"

namespace mw::cpu {

// A matrix, or a stack of them, in memory: strides in elements. An empty `batch` is one matrix; a
// batch extent of 1 repeats.
struct MatrixLayout {
  Shape batch;
  plan::Strides batch_strides;
  int64_t row_stride = 0, column_stride = 1;
};

struct MatmulShape {
  int64_t m = 0, n = 0, k = 0;
  MatrixLayout a, b, c;
  bool packed_b = false;  // b is packed by pack(); its layout is the library's choice
  bool bias = false;      // n numbers added to every row
  std::optional<plan::Activation> activation;
};

// Whether `op` can be applied inside a matmul.
bool can_activate(plan::RowOp op);

// C = f(A B + bias). Thread-safe.
class Matmul {
 public:
  // Null when the library has no fast implementation for these strides. `like` asks for its
  // packing.
  static std::unique_ptr<Matmul> make(const MatmulShape& shape, const Matmul* like = nullptr);
  ~Matmul();
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;

  [[nodiscard]] std::string layout() const;  // names the packing of b
  [[nodiscard]] int64_t packed_bytes() const;
  [[nodiscard]] int64_t scratch_bytes() const;
  // Packs a matrix of k x n elements with these strides.
  void pack(const float* b, int64_t row_stride, int64_t column_stride, void* packed) const;
  void run(const float* a, const void* b, const float* bias, float* c, void* scratch) const;

 private:
  struct Impl;
  explicit Matmul(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace mw::cpu
