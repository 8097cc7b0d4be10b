// Matmul through a BLAS: matrices of a stack one by one, the bias as what a product is added to.
#include "cpu/matmul.h"

#include <algorithm>

#include "base/error.h"
#include "base/parallel.h"
#include "cpu/blas/library.h"

namespace mw::cpu {
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

}  // namespace

bool can_activate(plan::RowOp /*op*/) { return false; }

struct Matmul::Impl {
  MatmulShape shape;

  void multiply(const float* a, const float* b, const float* bias, float* c) const {
    const int64_t stride = shape.m == 1 ? shape.n : shape.c.row_stride;
    for (int64_t row = 0; shape.bias && row < shape.m; ++row) {
      std::copy_n(bias, shape.n, c + row * stride);
    }
    blas::multiply({shape.m, shape.n, shape.k, matrix_of(shape.a, a), matrix_of(shape.b, b), c,
                    stride, shape.bias});
  }
};

std::unique_ptr<Matmul> Matmul::make(const MatmulShape& given, const Matmul* /*like*/) {
  blas::expect_right_products();
  auto impl = std::make_unique<Impl>();
  MatmulShape& shape = impl->shape;
  shape = given;
  if (shape.packed_b) shape.b = {{}, {}, shape.n, 1};
  if (shape.activation || shape.m < 1 || shape.n < 1 || shape.k < 1) return nullptr;
  const bool plain_c = shape.c.column_stride == 1 || shape.n == 1;
  if (!plain_c || (shape.m > 1 && shape.c.row_stride < shape.n)) return nullptr;
  if (!blas::takes(shape.m, shape.k, matrix_of(shape.a)) ||
      !blas::takes(shape.k, shape.n, matrix_of(shape.b)) ||
      !blas::takes(shape.m, shape.n, matrix_of(shape.c))) {
    return nullptr;
  }
  return std::unique_ptr<Matmul>(new Matmul(std::move(impl)));
}

Matmul::Matmul(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Matmul::~Matmul() = default;

std::string Matmul::layout() const { return "rows"; }
int64_t Matmul::packed_bytes() const {
  return impl_->shape.k * impl_->shape.n * static_cast<int64_t>(sizeof(float));
}
int64_t Matmul::scratch_bytes() const { return 0; }

void Matmul::pack(const float* b, int64_t row_stride, int64_t column_stride, void* packed) const {
  auto* rows = static_cast<float*>(packed);
  const int64_t width = impl_->shape.n;
  parallel_for(impl_->shape.k, std::max<int64_t>(1, (1 << 14) / width),
               [&](int64_t k, int64_t end) {
                 for (; k < end; ++k) {
                   for (int64_t n = 0; n < width; ++n) {
                     rows[k * width + n] = b[k * row_stride + n * column_stride];
                   }
                 }
               });
}

void Matmul::run(const float* a, const void* b, const float* bias, float* c,
                 void* /*scratch*/) const {
  const MatmulShape& shape = impl_->shape;
  const auto* weight = static_cast<const float*>(b);
  const Shape& batch = shape.c.batch;
  const int64_t count = count_of(batch);
  const auto one = [&](int64_t i) {
    impl_->multiply(a + offset_of(shape.a, batch, i),
                    weight + (shape.b.batch.empty() ? 0 : offset_of(shape.b, batch, i)), bias,
                    c + offset_of(shape.c, batch, i));
  };
  if (count < thread_count()) {  // the library's own threads share each product
    for (int64_t i = 0; i < count; ++i) one(i);
    return;
  }
  parallel_for(count, 1, [&](int64_t i, int64_t end) {
    for (; i < end; ++i) one(i);
  });
}

}  // namespace mw::cpu
