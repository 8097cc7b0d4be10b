// What the files that call a BLAS share: its header, and one product.
#pragma once

#ifdef __APPLE__
#include <Accelerate/Accelerate.h>
#else
#include <cblas.h>
#endif

#include <cstdint>
#include <memory>

#include "cpu/convolution.h"
#include "cpu/matmul.h"

namespace mw::cpu::blas {

// A matrix of fp32 in memory; strides in elements.
struct Matrix {
  const float* data = nullptr;
  int64_t row_stride = 0, column_stride = 1;
};

// Whether a BLAS takes a rows x columns matrix with these strides: one axis without gaps, and lines
// that do not overlap.
bool takes(int64_t rows, int64_t columns, const Matrix& matrix);

// c[m, n] = a[m, k] b[k, n], or that added to c; rows of c are `stride` >= n apart. Extents are
// positive, and takes() holds for a and b.
struct Product {
  int64_t m = 0, n = 0, k = 0;
  Matrix a, b;
  float* c = nullptr;
  int64_t stride = 0;
  bool add = false;
};
void multiply(const Product& product);

// What the library is asked for: see cpu/library.h.
std::unique_ptr<Matmul> make_matmul(const MatmulShape& shape);
std::unique_ptr<plan::Kernel> make_convolution(plan::Claim& claim, const Convolution& c);

// Throws unsupported where the library computes a product wrongly; tried once.
void expect_right_products();

}  // namespace mw::cpu::blas
