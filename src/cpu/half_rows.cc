// A row at a time, or its part.
#include "cpu/half_rows.h"

#include <algorithm>

#include "base/error.h"
#include "cpu/primitives.h"

namespace mw::cpu {
namespace {

class HalfRows : public plan::WeightReader {
 public:
  explicit HalfRows(const Tensor& weight)
      : weight_(weight),
        width_(weight.count() / std::max<int64_t>(weight.dim(0), 1)),
        load_(load_loop(weight.dtype())) {}

  void read(int64_t first, int64_t count, float* out) const override {
    load_(at(first, 0), out, static_cast<size_t>(count * width_));
  }
  void read_part(int64_t first, int64_t count, int64_t from, int64_t length,
                 float* out) const override {
    for (int64_t row = 0; row < count; ++row) {
      load_(at(first + row, from), out + row * length, static_cast<size_t>(length));
    }
  }

 private:
  [[nodiscard]] const void* at(int64_t row, int64_t element) const {
    return static_cast<const std::byte*>(weight_.raw()) +
           bytes_of(weight_.dtype(), row * width_ + element);
  }

  Tensor weight_;
  int64_t width_;
  LoadLoop load_;
};

}  // namespace

std::shared_ptr<const plan::WeightReader> half_rows(const Tensor& weight) {
  MW_CHECK(!weight.shape().empty());
  MW_CHECK(weight.dtype() == DType::kF16 || weight.dtype() == DType::kBF16);
  return std::make_shared<HalfRows>(weight);
}

}  // namespace mw::cpu
