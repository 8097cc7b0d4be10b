// Matmul through a BLAS: matrices of a stack one by one, the bias as what a product is added to.
#include "cpu/matmul.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "cpu/blas/library.h"

namespace mw::cpu::blas {
namespace {

// Where matrix `index` of a stack begins; extents of 1 repeat.
int64_t offset_of(const MatrixLayout& layout, const Shape& batch, int64_t index) {
  int64_t offset = 0;
  for (size_t axis = batch.size(); axis-- > 0;) {
    const int64_t at = index % batch[axis];
    index /= batch[axis];
    if (layout.batch[axis] != 1) offset += at * layout.batch_strides[axis];
  }
  return offset;
}

blas::Matrix matrix_of(const MatrixLayout& layout, const float* data = nullptr) {
  return {data, layout.row_stride, layout.column_stride};
}

class PlainMatmul : public Matmul {
 public:
  explicit PlainMatmul(MatmulShape shape) : shape_(std::move(shape)) {}

  [[nodiscard]] std::string layout() const override { return "rows"; }
  [[nodiscard]] int64_t packed_bytes() const override {
    return shape_.k * shape_.n * static_cast<int64_t>(sizeof(float));
  }
  [[nodiscard]] int64_t scratch_bytes() const override { return 0; }
  void pack(const void* b, int64_t row_stride, int64_t column_stride, void* packed) const override;
  void run(const void* a, const void* b, const float* bias, void* c, void* scratch) const override;

 private:
  void multiply(const float* a, const float* b, const float* bias, float* c) const {
    const int64_t stride = shape_.m == 1 ? shape_.n : shape_.c.row_stride;
    for (int64_t row = 0; shape_.bias && row < shape_.m; ++row) {
      std::copy_n(bias, shape_.n, c + row * stride);
    }
    blas::multiply({shape_.m, shape_.n, shape_.k, matrix_of(shape_.a, a), matrix_of(shape_.b, b), c,
                    stride, shape_.bias || shape_.adds});
  }

  MatmulShape shape_;
};

void PlainMatmul::pack(const void* b, int64_t row_stride, int64_t column_stride,
                       void* packed) const {
  const auto* from = static_cast<const float*>(b);
  auto* rows = static_cast<float*>(packed);
  const int64_t width = shape_.n;
  parallel_for(shape_.k, std::max<int64_t>(1, (1 << 14) / width), [&](int64_t k, int64_t end) {
    for (; k < end; ++k) {
      for (int64_t n = 0; n < width; ++n) {
        rows[k * width + n] = from[k * row_stride + n * column_stride];
      }
    }
  });
}

void PlainMatmul::run(const void* a, const void* b, const float* bias, void* c,
                      void* /*scratch*/) const {
  const auto* x = static_cast<const float*>(a);
  const auto* weight = static_cast<const float*>(b);
  auto* y = static_cast<float*>(c);
  const Shape& batch = shape_.c.batch;
  const int64_t count = count_of(batch);
  const auto one = [&](int64_t i) {
    multiply(x + offset_of(shape_.a, batch, i),
             weight + (shape_.b.batch.empty() ? 0 : offset_of(shape_.b, batch, i)), bias,
             y + offset_of(shape_.c, batch, i));
  };
  if (count < thread_count()) {  // the library's own threads share each product
    for (int64_t i = 0; i < count; ++i) one(i);
    return;
  }
  parallel_for(count, 1, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) one(i);
  });
}

}  // namespace

std::unique_ptr<Matmul> make_matmul(const MatmulShape& given) {
  MW_CHECK(!given.adds || (!given.bias && !given.activation));
  expect_right_products();
  MatmulShape shape = given;
  if (shape.packed_b) shape.b = {{}, {}, shape.n, 1};
  if (shape.activation || shape.m < 1 || shape.n < 1 || shape.k < 1) return nullptr;
  for (const MatrixLayout* matrix : {&shape.a, &shape.b, &shape.c}) {
    if (matrix->dtype != DType::kF32) return nullptr;
  }
  const bool plain_c = shape.c.column_stride == 1 || shape.n == 1;
  if (!plain_c || (shape.m > 1 && shape.c.row_stride < shape.n)) return nullptr;
  if (!takes(shape.m, shape.k, matrix_of(shape.a)) ||
      !takes(shape.k, shape.n, matrix_of(shape.b)) ||
      !takes(shape.m, shape.n, matrix_of(shape.c))) {
    return nullptr;
  }
  return std::make_unique<PlainMatmul>(std::move(shape));
}

}  // namespace mw::cpu::blas
