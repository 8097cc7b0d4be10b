// What the constexpr op files share: decoders of operands, and evaluation through a decoder.
#pragma once

#include <array>

#include "ops/quant/bits.h"
#include "ops/quant/blocks.h"
#include "ops/quant/decode.h"
#include "ops/support.h"

namespace mw::ops {

using Decoder = std::unique_ptr<WeightDecoder>;

// How the decoder of an op's result is made. The inputs have passed infer(), whose results are
// `types`; `depth` counts the constexpr ops around this one.
using MakeDecoder = Decoder (*)(const OpView& op, const std::vector<Type>& types, size_t result,
                                int depth);

Decoder decode_affine(const OpView& op, const std::vector<Type>& types, size_t result, int depth);
Decoder decode_blockwise(const OpView& op, const std::vector<Type>& types, size_t result,
                         int depth);
Decoder decode_cast(const OpView& op, const std::vector<Type>& types, size_t result, int depth);
Decoder decode_lut(const OpView& op, const std::vector<Type>& types, size_t result, int depth);
Decoder decode_sparse(const OpView& op, const std::vector<Type>& types, size_t result, int depth);
Decoder decode_sparse_lut(const OpView& op, const std::vector<Type>& types, size_t result,
                          int depth);
Decoder decode_sparse_blockwise(const OpView& op, const std::vector<Type>& types, size_t result,
                                int depth);

// The values of a tensor in memory, rounded to `dtype`.
Decoder decode_tensor(Tensor tensor, DType dtype);
// The values of `input`: a constant or the result of a constexpr op.
Decoder decode_input(const OpView& op, std::string_view input, int depth);
// The tensor of `input` in memory: a constant, or the mask that a sparse constexpr op returns.
Tensor tensor_of(const OpView& op, std::string_view input, int depth);
// The mask that constexpr_lut_to_sparse or constexpr_sparse_blockwise_shift_scale returns.
Tensor sparse_mask(const OpView& op, int depth);
// All values of a decoder.
std::vector<float> all_values(const WeightDecoder& decoder);

// The value of the input `shape` of the ios16 forms.
Shape packed_shape(const OpView& op);
// Checks that each extent of `grid` (the shape of `input`) divides that of `shape`.
void expect_grid(const OpView& op, std::string_view input, const Shape& grid, const Shape& shape);
// scale * (value - offset), with one scale and offset per block.
class ShiftScale {
 public:
  // No offset: zero.
  ShiftScale(Decoder scale, Decoder offset)
      : scale_(std::move(scale)), offset_(std::move(offset)) {}
  static constexpr int64_t kMaxBlocks = 1024;
  // The parameters of consecutive blocks, at most kMaxBlocks.
  struct Parameters {
    std::array<float, kMaxBlocks> scales, offsets;
  };
  void load(int64_t group, int64_t blocks, Parameters& parameters) const;
  static void apply(float scale, float offset, int64_t count, float* values) {
    // Whole vectors first: blocks are short, and most of their lengths are multiples of 8.
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
      for (int64_t k = 0; k < 8; ++k) values[i + k] = scale * (values[i + k] - offset);
    }
    for (; i < count; ++i) values[i] = scale * (values[i] - offset);
  }
  [[nodiscard]] const Shape& grid() const { return scale_->shape(); }
  // Gives a packed matrix its scales and zeros; false where they do not lie in memory so.
  [[nodiscard]] bool describe(PackedMatrix& matrix) const;

 private:
  Decoder scale_, offset_;
};

// Sets a result to what its decoder says: result 0, or another one.
void evaluate_decoded(Eval& e);
void evaluate_result(Eval& e, size_t result);

}  // namespace mw::ops
