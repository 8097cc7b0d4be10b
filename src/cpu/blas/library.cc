// Products through a BLAS: forms of its operands, and a product that shows that it computes.
#include "cpu/blas/library.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "base/error.h"
#include "cpu/library.h"

namespace mw::cpu {

std::string library_text() {
#ifdef __APPLE__
  return "Accelerate";
#elif defined(OPENBLAS_VERSION)
  return openblas_get_config();
#else
  return "BLAS";
#endif
}

namespace blas {
namespace {

struct Form {
  CBLAS_TRANSPOSE transposed;
  int lines;  // how far rows, or columns of a transposed matrix, are apart
};

std::optional<Form> form_of(int64_t rows, int64_t columns, const Matrix& matrix) {
  constexpr int64_t kMost = std::numeric_limits<int>::max();
  const auto form = [](CBLAS_TRANSPOSE transposed, int64_t lines, int64_t length, int64_t count) {
    if (count == 1) lines = length;  // there is no other line
    return lines >= length && lines <= kMost
               ? std::optional(Form{transposed, static_cast<int>(lines)})
               : std::nullopt;
  };
  if (rows > kMost || columns > kMost) return std::nullopt;
  std::optional<Form> found;
  if (matrix.column_stride == 1 || columns == 1) {
    found = form(CblasNoTrans, matrix.row_stride, columns, rows);
  }
  if (!found && (matrix.row_stride == 1 || rows == 1)) {
    found = form(CblasTrans, matrix.column_stride, rows, columns);
  }
  return found;
}

// Of small numbers that fp32 multiplies without rounding, beside sums in fp64.
bool computes_rightly() {
  constexpr int64_t kM = 33, kN = 17, kK = 65;
  std::vector<float> a(kM * kK), b(kK * kN), c(kM * kN, std::numeric_limits<float>::quiet_NaN());
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i * 37 % 101) / 64 - 0.75F;
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i * 53 % 97) / 64 - 0.75F;
  multiply({kM, kN, kK, {a.data(), kK, 1}, {b.data(), 1, kK}, c.data(), kN});
  for (size_t i = 0; i < c.size(); ++i) {
    const size_t row = i / kN * kK, column = i % kN * kK;
    double sum = 0;
    for (size_t k = 0; k < kK; ++k) sum += static_cast<double>(a[row + k]) * b[column + k];
    if (!(std::abs(c[i] - sum) < 1e-4)) return false;
  }
  return true;
}

}  // namespace

bool takes(int64_t rows, int64_t columns, const Matrix& matrix) {
  return form_of(rows, columns, matrix).has_value();
}

void multiply(const Product& p) {
  const Form a = form_of(p.m, p.k, p.a).value(), b = form_of(p.k, p.n, p.b).value();
  cblas_sgemm(CblasRowMajor, a.transposed, b.transposed, static_cast<int>(p.m),
              static_cast<int>(p.n), static_cast<int>(p.k), 1, p.a.data, a.lines, p.b.data, b.lines,
              p.add ? 1 : 0, p.c, static_cast<int>(p.stride));
}

void expect_right_products() {
  static const bool kRight = computes_rightly();
  if (kRight) return;
  fail(ErrorCode::kUnsupported,
       "{} computes wrong products on this machine; install another BLAS, or build with oneDNN",
       library_text());
}

namespace {

// It has no packing, no activations and no windows.
class Blas : public Library {
 public:
  [[nodiscard]] bool activates(plan::RowOp /*op*/) const override { return false; }
  [[nodiscard]] std::unique_ptr<Matmul> matmul(const MatmulShape& shape,
                                               const Matmul* /*like*/) const override {
    return make_matmul(shape);
  }
  [[nodiscard]] std::unique_ptr<plan::Kernel> convolution(plan::Claim& claim,
                                                          const Convolution& c) const override {
    return make_convolution(claim, c);
  }
  [[nodiscard]] std::unique_ptr<plan::Kernel> mean_pooling(
      plan::Claim& /*claim*/, const MeanPooling& /*p*/) const override {
    return nullptr;
  }
};

}  // namespace
}  // namespace blas

const Library& built_library() {
  static const blas::Blas kLibrary;
  return kLibrary;
}

}  // namespace mw::cpu
