// constexpr_sparse_to_dense, constexpr_lut_to_sparse, constexpr_sparse_blockwise_shift_scale: a
// mask of one bit per element, and the elements where it is set in row-major order.
#include <bit>

#include "ops/quant/lut.h"

namespace mw::ops {
namespace {

const std::vector<DType> kBlockwise = {DType::kI4, DType::kU4,  DType::kI8,
                                       DType::kU8, DType::kF16, DType::kF32};
constexpr int64_t kChunk = 1024;

void expect_vector(const OpView& op, const char* input) {
  expect_numeric(op, input);
  expect_rank(op, input, 1, 1);
}

void expect_mask(const OpView& op, const char* input) { expect_dtype(op, input, DType::kU1); }

Type infer_dense(const OpView& op) {
  expect_vector(op, "nonzero_data");
  if (!op.has("shape")) {
    expect_mask(op, "mask");
    return Type::tensor(op.dtype("nonzero_data"), op.shape("mask"));
  }
  const Shape shape = packed_shape(op);
  expect_dtype(op, "mask", DType::kU8);
  expect_shape(op, "mask", {dim_add(product(shape, 0, shape.size()), 7) / 8});
  return Type::tensor(op.dtype("nonzero_data"), shape);
}

std::vector<Type> infer_lut(const OpView& op) {
  expect_numeric(op, "lut");
  expect_mask(op, "indices_mask");
  expect_vector(op, "indices_nonzero_data");
  const Shape shape = infer_vectors(op, "indices_nonzero_data", op.shape("indices_mask"));
  const int64_t count = dim_mul(op.shape("indices_nonzero_data")[0], op.shape("lut").back());
  return {Type::tensor(DType::kU1, shape), Type::tensor(op.dtype("lut"), {count})};
}

std::vector<Type> infer_blockwise(const OpView& op) {
  expect_mask(op, "data_mask");
  expect_vector(op, "nonzero_data");
  expect_float(op, "scale");
  const Shape shape = op.shape("data_mask");
  expect_grid(op, "scale", op.shape("scale"), shape);
  if (op.has("offset")) {
    expect_numeric(op, "offset");
    expect_shape(op, "offset", op.shape("scale"));
  }
  return {Type::tensor(DType::kU1, shape),
          Type::tensor(op.dtype("scale"), op.shape("nonzero_data"))};
}

Bitmap mask_of(const OpView& op, const char* mask, const Shape& shape, const char* values,
               int64_t count, int depth) {
  Bitmap bitmap(reinterpret(tensor_of(op, mask, depth), DType::kU1, shape));
  if (bitmap.ones() != count) {
    op.reject(values, "expected one value per set bit of {}, {}, got {}", mask, bitmap.ones(),
              count);
  }
  return bitmap;
}

class SparseDecoder : public WeightDecoder {
 public:
  SparseDecoder(const Type& type, Bitmap mask, Decoder values)
      : WeightDecoder(type.dtype(), type.shape()),
        mask_(std::move(mask)),
        values_(std::move(values)) {}

  void read(int64_t first, int64_t count, float* out) const override {
    std::array<float, kChunk> values;
    for (int64_t rank = mask_.rank(first); count > 0;) {
      const int64_t n = std::min(count, kChunk), ones = mask_.ones_in(first, n);
      values_->read(rank, ones, values.data());
      scatter(first, n, values.data(), out);
      first += n;
      out += n;
      count -= n;
      rank += ones;
    }
  }

 private:
  void scatter(int64_t first, int64_t count, const float* values, float* out) const {
    std::fill_n(out, count, 0.0F);
    for (int64_t at = 0; at < count; at += 64) {
      uint64_t word = mask_.word_at(first + at);
      if (count - at < 64) word &= (uint64_t{1} << (count - at)) - 1;
      for (; word != 0; word &= word - 1) out[at + std::countr_zero(word)] = *values++;
    }
  }

  Bitmap mask_;
  Decoder values_;
};

// Calls f(length, group) for runs of set bits `first`, first + 1, ... (`count` of them) whose
// positions lie in one block.
template <class F>
void for_each_run(const Bitmap& mask, const Blocks& blocks, int64_t first, int64_t count,
                  const F& f) {
  if (count == 0) return;
  if (blocks.groups() == 1) return f(count, 0);
  const int64_t position = mask.select(first);
  blocks.for_each_piece(position, mask.size() - position,
                        [&](int64_t at, int64_t length, int64_t group) {
                          const int64_t ones = std::min(count, mask.ones_in(at, length));
                          if (ones > 0) f(ones, group);
                          count -= ones;
                          return count > 0;
                        });
}

class SparseScaleDecoder : public WeightDecoder {
 public:
  SparseScaleDecoder(const Type& type, Bitmap mask, Decoder values, ShiftScale shift_scale)
      : WeightDecoder(type.dtype(), type.shape()),
        mask_(std::move(mask)),
        values_(std::move(values)),
        blocks_(mask_.tensor().shape(), shift_scale.grid()),
        shift_scale_(std::move(shift_scale)) {}

  void read(int64_t first, int64_t count, float* out) const override {
    values_->read(first, count, out);
    ShiftScale::Parameters p;
    int64_t position = count > 0 ? mask_.select(first) : 0;
    for (int64_t left = count; left > 0;) {
      Line line = blocks_.line_at(position, mask_.size() - position);
      const int64_t blocks = std::min(ShiftScale::kMaxBlocks,
                                      (line.within + line.length + line.block - 1) / line.block);
      shift_scale_.load(line.group, blocks, p);
      for (size_t k = 0; k < static_cast<size_t>(blocks) && left > 0; ++k) {
        const int64_t length = std::min(line.length, line.block - line.within);
        const int64_t ones = std::min(left, mask_.ones_in(position, length));
        ShiftScale::apply(p.scales[k], p.offsets[k], ones, out);
        out += ones;
        left -= ones;
        position += length;
        line.length -= length;
        line.within = 0;
      }
    }
    round_to(dtype(), out - count, count);
  }

 private:
  Bitmap mask_;
  Decoder values_;
  Blocks blocks_;
  ShiftScale shift_scale_;
};

class SparseLutDecoder : public WeightDecoder {
 public:
  // `expanded` is `mask` with every bit repeated for the numbers of a table entry.
  SparseLutDecoder(const Type& type, Bitmap mask, Bitmap expanded, Palette palette)
      : WeightDecoder(type.dtype(), type.shape()),
        mask_(std::move(mask)),
        expanded_(std::move(expanded)),
        palette_(std::move(palette)) {}

  void read(int64_t first, int64_t count, float* out) const override {
    if (palette_.width() == 1) return read_runs(first, count, 0, out);
    if (count == 0) return;
    int64_t position = expanded_.select(first);
    while (count > 0) {
      const VectorPiece piece = palette_.piece_at(position, expanded_.size() - position);
      const int64_t ones = std::min(count, mask_.ones_in(piece.index, piece.length));
      read_runs(mask_.rank(piece.index), ones, piece.component, out);
      position += piece.length;
      out += ones;
      count -= ones;
    }
  }

 private:
  void read_runs(int64_t first, int64_t count, int64_t component, float* out) const {
    for_each_run(mask_, palette_.blocks(), first, count, [&](int64_t length, int64_t group) {
      palette_.lookup(group, first, length, component, out);
      first += length;
      out += length;
    });
  }

  Bitmap mask_, expanded_;
  Palette palette_;
};

// The mask with every bit repeated `width` times along `axis`.
Tensor repeated(const Tensor& mask, int64_t axis, int64_t width, const Shape& shape) {
  if (width == 1) return mask;
  const int64_t inner = product(shape, static_cast<size_t>(axis) + 1, shape.size());
  Tensor result(DType::kU1, shape);
  auto* bytes = static_cast<uint8_t*>(result.mutable_raw());
  const Bitmap from(mask);
  for (int64_t index = 0; index < from.size(); ++index) {
    if ((from.word_at(index) & 1) == 0) continue;
    const int64_t first = index / inner * width * inner + index % inner;
    for (int64_t k = 0; k < width; ++k) {
      const int64_t at = first + k * inner;
      bytes[at / 8] = static_cast<uint8_t>(bytes[at / 8] | 1U << (at % 8));
    }
  }
  return result;
}

}  // namespace

Tensor sparse_mask(const OpView& op, int depth) {
  if (op.operation().type == "constexpr_sparse_blockwise_shift_scale") {
    return tensor_of(op, "data_mask", depth);
  }
  Tensor mask = tensor_of(op, "indices_mask", depth);
  const int64_t width = op.shape("lut").back();
  if (width == 1) return mask;
  const int64_t axis = op.axis("vector_axis", mask.rank());
  return repeated(mask, axis, width, infer_vectors(op, "indices_nonzero_data", mask.shape()));
}

Decoder decode_sparse(const OpView& op, const std::vector<Type>& types, size_t, int depth) {
  Decoder values = decode_input(op, "nonzero_data", depth);
  Bitmap mask = mask_of(op, "mask", types[0].shape(), "nonzero_data", values->count(), depth);
  return std::make_unique<SparseDecoder>(types[0], std::move(mask), std::move(values));
}

Decoder decode_sparse_lut(const OpView& op, const std::vector<Type>& types, size_t result,
                          int depth) {
  const Tensor expanded = sparse_mask(op, depth);
  if (result == 0) return decode_tensor(expanded, DType::kU1);
  const Shape shape = op.shape("indices_mask");
  Bitmap mask = mask_of(op, "indices_mask", shape, "indices_nonzero_data",
                        op.shape("indices_nonzero_data")[0], depth);
  return std::make_unique<SparseLutDecoder>(types[1], std::move(mask), Bitmap(expanded),
                                            palette_of(op, "indices_nonzero_data", shape, depth));
}

Decoder decode_sparse_blockwise(const OpView& op, const std::vector<Type>& types, size_t result,
                                int depth) {
  if (result == 0) return decode_tensor(sparse_mask(op, depth), DType::kU1);
  ShiftScale shift_scale(decode_input(op, "scale", depth),
                         op.has("offset") ? decode_input(op, "offset", depth) : nullptr);
  Decoder values = decode_input(op, "nonzero_data", depth);
  Bitmap mask =
      mask_of(op, "data_mask", op.shape("data_mask"), "nonzero_data", values->count(), depth);
  return std::make_unique<SparseScaleDecoder>(types[1], std::move(mask), std::move(values),
                                              std::move(shift_scale));
}

namespace {

void evaluate_sparse(Eval& e) {
  e.set_out(0, sparse_mask(e, 0));
  evaluate_result(e, 1);
}

}  // namespace

OpDef constexpr_sparse_to_dense() {
  return OpDef("constexpr_sparse_to_dense")
      .types("T", {DType::kI8, DType::kU8, DType::kF16, DType::kF32})
      .input("nonzero_data", "T", kConst)
      .input("mask", DType::kU8, kConst)
      .input("shape", DType::kU32, kConst)
      .first(Opset::kIos16)
      .since(Opset::kIos18,
             [](OpDef& def) {
               def.types("T", kBlockwise).input("mask", DType::kU1, kConst).remove_input("shape");
             })
      .traits(kConstexpr)
      .infer(infer_dense)
      .eval(evaluate_decoded)
      .no_vjp(NoGradient::kOpaque);
}

OpDef constexpr_lut_to_sparse() {
  return OpDef("constexpr_lut_to_sparse")
      .types("T", {DType::kI8, DType::kU8, DType::kF16, DType::kF32})
      .types("IndicesT", {DType::kU1, DType::kU2, DType::kU3, DType::kU4, DType::kU6, DType::kU8})
      .input("indices_mask", DType::kU1, kConst)
      .input("indices_nonzero_data", "IndicesT", kConst)
      .input("lut", "T", kConst)
      .input("vector_axis", DType::kI32, kConst | kOptional)
      .first(Opset::kIos18)
      .traits(kConstexpr)
      .infer(infer_lut)
      .eval(evaluate_sparse)
      .no_vjp(NoGradient::kOpaque);
}

OpDef constexpr_sparse_blockwise_shift_scale() {
  return OpDef("constexpr_sparse_blockwise_shift_scale")
      .types("SrcT", kBlockwise)
      .types("OffsetT", kBlockwise)
      .types("DstT", {DType::kF16, DType::kF32})
      .input("data_mask", DType::kU1, kConst)
      .input("nonzero_data", "SrcT", kConst)
      .input("scale", "DstT", kConst)
      .input("offset", "OffsetT", kConst | kOptional)
      .first(Opset::kIos18)
      .traits(kConstexpr)
      .infer(infer_blockwise)
      .eval(evaluate_sparse)
      .no_vjp(NoGradient::kOpaque);
}

}  // namespace mw::ops
