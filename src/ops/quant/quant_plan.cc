// Plans of the compressed weights: kernels read them through their decoder.
#include "ops/catalog_plan.h"
#include "ops/quant/decode.h"

namespace mw::ops {
namespace {

class Reader : public plan::WeightReader {
 public:
  explicit Reader(std::unique_ptr<WeightDecoder> decoder)
      : decoder_(std::move(decoder)), packed_(decoder_->packed()) {}
  void read(int64_t first, int64_t count, float* out) const override {
    decoder_->decode(first, count, out);
  }
  void read_part(int64_t first, int64_t count, int64_t from, int64_t length,
                 float* out) const override {
    for (int64_t row = first; row < first + count; ++row, out += length) {
      decoder_->read(row * decoder_->row_length() + from, length, out);
    }
  }
  [[nodiscard]] const PackedMatrix* packed() const override {
    return packed_ ? &*packed_ : nullptr;
  }

 private:
  std::unique_ptr<WeightDecoder> decoder_;
  std::optional<PackedMatrix> packed_;
};

}  // namespace

void add_quant_plans(plan::OpPlans& plans) {
  for (const char* op : {"constexpr_affine_dequantize", "constexpr_blockwise_shift_scale",
                         "constexpr_cast", "constexpr_lut_to_dense", "constexpr_lut_to_sparse",
                         "constexpr_sparse_blockwise_shift_scale", "constexpr_sparse_to_dense"}) {
    plans[op].form = plan::Decodes{[](const ir::OpView& view, size_t result) {
      return std::make_shared<Reader>(make_decoder(view, result));
    }};
  }
}

}  // namespace mw::ops
