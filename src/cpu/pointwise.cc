// Rows of channels, which are copied where they do not lie so.
#include "cpu/pointwise.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cpu/dots.h"
#include "cpu/gemm.h"
#include "cpu/parallel.h"

namespace mw::cpu {
namespace {

using plan::Claim;
using plan::Frame;
using plan::Place;
using plan::Ref;

constexpr int64_t kTileColumns = 64;

int64_t positions_of(const Shape& x) { return count_of({x.begin() + 2, x.end()}); }

// Maps, whose channels lie apart, are left to a library.
bool is_sequence(const Shape& x) {
  return std::count_if(x.begin() + 2, x.end(), [](int64_t extent) { return extent > 1; }) <= 1;
}

// [n * d, k]; nothing where the strides do not say it.
std::optional<Place> as_rows(const Place& x) {
  Place rows = x;
  rows.shape = {x.shape[0]};
  rows.strides = {x.strides[0]};
  rows.shape.insert(rows.shape.end(), x.shape.begin() + 2, x.shape.end());
  rows.strides.insert(rows.strides.end(), x.strides.begin() + 2, x.strides.end());
  std::vector<plan::Strides> strides{rows.strides};
  plan::coalesce(rows.shape, strides);
  if (rows.shape.size() > 1 || (x.strides[1] != 1 && x.shape[1] != 1)) return std::nullopt;
  const int64_t stride = rows.shape.empty() ? x.shape[1] : strides[0][0];
  if (stride < x.shape[1]) return std::nullopt;
  rows.shape = {x.shape[0] * positions_of(x.shape), x.shape[1]};
  rows.strides = {stride, 1};
  return rows;
}

// The same after a copy.
class Turned : public plan::Kernel {
 public:
  Turned(const Place& x, Ref rows) : channels_(x.shape[1]), x_(x.ref), rows_(rows) {
    images_ = x.shape[0];
    positions_ = positions_of(x.shape);
  }
  void set_product(std::unique_ptr<plan::Kernel> product) { product_ = std::move(product); }

  void run(const Frame& frame) const override {
    const int64_t tiles = (positions_ + kTileColumns - 1) / kTileColumns;
    parallel_for(images_ * tiles, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t image = i / tiles, first = i % tiles * kTileColumns;
        const float* from = frame.as<float>(x_) + image * channels_ * positions_ + first;
        float* to = frame.as<float>(rows_) + (image * positions_ + first) * channels_;
        transpose({const_cast<float*>(from), positions_}, channels_,
                  std::min(kTileColumns, positions_ - first), to, channels_);
      }
    });
    product_->run(frame);
  }

 private:
  int64_t images_ = 1, channels_, positions_ = 1;
  Ref x_, rows_;
  std::unique_ptr<plan::Kernel> product_;
};

// [n, outputs, *d] as rows of outputs.
plan::Strides channels_last(const Shape& x, int64_t outputs) {
  plan::Strides strides(x.size(), 1);
  int64_t stride = outputs;
  for (size_t axis = x.size(); axis-- > 2;) {
    strides[axis] = stride;
    stride *= x[axis];
  }
  strides[0] = stride;
  return strides;
}

bool wants_rows(const Claim& claim, const plan::Weight& weight, int64_t rows) {
  if (weight.reader != nullptr) return true;
  return weight.dense.dtype() != DType::kF32 &&
         (rows <= kMaxDotRows || is_packed_nowhere(claim, weight.dense));
}

}  // namespace

std::unique_ptr<plan::Kernel> make_pointwise(Claim& claim, Pointwise p) {
  const Shape shape = claim.op().shape("x");
  WeightGemm gemm;
  gemm.m = shape[0] * positions_of(shape);
  gemm.k = shape[1];
  gemm.n = p.outputs;
  if (!is_sequence(shape) || !wants_rows(claim, p.weight, gemm.m)) return nullptr;
  gemm.weight = std::move(p.weight);
  gemm.weight_by_output = p.weight_by_output;
  gemm.bias = std::move(p.bias);
  gemm.result_strides = channels_last(shape, p.outputs);
  if (const auto rows = as_rows(claim.strided("x"))) {
    gemm.x = *rows;
    return make_gemm(claim, std::move(gemm));
  }
  gemm.x = claim.workspace(gemm.m * gemm.k * static_cast<int64_t>(sizeof(float)));
  gemm.x.dtype = DType::kF32;
  gemm.x.shape = {gemm.m, gemm.k};
  gemm.x.strides = {gemm.k, 1};
  auto turned = std::make_unique<Turned>(claim.dense("x"), gemm.x.ref);
  turned->set_product(make_gemm(claim, std::move(gemm)));
  return turned;
}

}  // namespace mw::cpu
