// described_library(): products, convolutions and means without one: operands as they lie, no
// scratch memory, weights packed as plain fp32.
#include "base/error.h"
#include "cpu/library.h"
#include "plan/constant_pool.h"

namespace mw::cpu {
namespace {

using plan::Claim;
using plan::RowOp;

class Described : public plan::Kernel {
 public:
  void run(const plan::Frame& /*frame*/) const override {
    fail(ErrorCode::kInternal, "a step that is only described was run");
  }
};

class DescribedMatmul : public Matmul {
 public:
  explicit DescribedMatmul(int64_t packed_bytes) : packed_bytes_(packed_bytes) {}

  [[nodiscard]] std::string layout() const override { return "described"; }
  [[nodiscard]] int64_t packed_bytes() const override { return packed_bytes_; }
  [[nodiscard]] int64_t scratch_bytes() const override { return 0; }
  void pack(const void* /*b*/, int64_t /*row_stride*/, int64_t /*column_stride*/,
            void* /*packed*/) const override {}
  void run(const void* /*a*/, const void* /*b*/, const float* /*bias*/, void* /*c*/,
           void* /*scratch*/) const override {
    fail(ErrorCode::kInternal, "a product that is only described was run");
  }

 private:
  int64_t packed_bytes_;
};

class DescribedLibrary : public Library {
 public:
  [[nodiscard]] bool activates(RowOp op) const override {
    return op == RowOp::kRelu || op == RowOp::kLeakyRelu || op == RowOp::kGelu ||
           op == RowOp::kGeluTanh || op == RowOp::kSilu || op == RowOp::kSigmoid ||
           op == RowOp::kTanh || op == RowOp::kElu || op == RowOp::kClip || op == RowOp::kAffine;
  }

  [[nodiscard]] std::unique_ptr<Matmul> matmul(const MatmulShape& shape,
                                               const Matmul* /*like*/) const override {
    return std::make_unique<DescribedMatmul>(bytes_of(DType::kF32, shape.k * shape.n));
  }

  [[nodiscard]] std::unique_ptr<plan::Kernel> convolution(Claim& claim,
                                                          const Convolution& c) const override {
    (void)take_activation(claim);
    if (c.frozen_weight) {
      const auto dense = claim.pool().get<Tensor>(c.weight_key + "|fp32", c.weight_sources, [&] {
        auto made = std::make_shared<Tensor>(c.frozen_weight->to(DType::kF32));
        return plan::ConstantPool::Made{made, made->nbytes()};
      });
      (void)claim.hold(*dense, dense);
    }
    (void)claim.result();
    return std::make_unique<Described>();
  }

  [[nodiscard]] std::unique_ptr<plan::Kernel> mean_pooling(Claim& claim,
                                                           const MeanPooling& p) const override {
    claim.set_kind("pool");
    claim.set_cost(static_cast<double>(count_of(p.x)),
                   4 * static_cast<double>(count_of(p.x) + count_of(p.y)));
    (void)claim.result();
    return std::make_unique<Described>();
  }
};

}  // namespace

const Library& described_library() {
  static const DescribedLibrary kLibrary;
  return kLibrary;
}

const Library& library_of(const Claim& claim) {
  return claim.described() ? described_library() : built_library();
}

std::optional<plan::Activation> take_activation(Claim& claim) {
  const Library& library = library_of(claim);
  return claim.take_activation([&](RowOp op) { return library.activates(op); });
}

}  // namespace mw::cpu
