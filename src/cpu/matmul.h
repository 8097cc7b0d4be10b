// Matmul: a matrix product as a library computes it.
#pragma once

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
  DType dtype = DType::kF32;  // or kBF16; sums are of fp32
};

struct MatmulShape {
  int64_t m = 0, n = 0, k = 0;
  MatrixLayout a, b, c;
  bool packed_b = false;  // b is packed by pack(); its layout is the library's choice
  bool bias = false;      // n numbers added to every row
  bool adds = false;      // to what C holds; without a bias and an activation
  std::optional<plan::Activation> activation;
};

// C = f(A B + bias), or C += A B. Thread-safe.
class Matmul {
 public:
  Matmul() = default;
  virtual ~Matmul() = default;
  Matmul(const Matmul&) = delete;
  Matmul& operator=(const Matmul&) = delete;

  [[nodiscard]] virtual std::string layout() const = 0;  // names the packing of b
  [[nodiscard]] virtual int64_t packed_bytes() const = 0;
  [[nodiscard]] virtual int64_t scratch_bytes() const = 0;
  // Packs a matrix of k x n elements of b's dtype with these strides.
  virtual void pack(const void* b, int64_t row_stride, int64_t column_stride,
                    void* packed) const = 0;
  virtual void run(const void* a, const void* b, const float* bias, void* c,
                   void* scratch) const = 0;
};

}  // namespace mw::cpu
