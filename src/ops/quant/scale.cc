// constexpr_affine_dequantize, constexpr_blockwise_shift_scale: scale * (data - offset), scale and
// offset per tensor, channel or block; and constexpr_cast.
#include "ops/quant/quant.h"

namespace mw::ops {
namespace {

const std::vector<DType> kFloats = {DType::kF16, DType::kF32};
const std::vector<DType> kBytes = {DType::kU8, DType::kI8};
const std::vector<DType> kBlockwise = {DType::kI4, DType::kU4,  DType::kI8,
                                       DType::kU8, DType::kF16, DType::kF32};
constexpr int64_t kChunk = ShiftScale::kMaxBlocks;

class ScaleDecoder : public WeightDecoder {
 public:
  ScaleDecoder(const Type& type, Decoder data, ShiftScale shift_scale, const Shape& grid)
      : WeightDecoder(type.dtype(), type.shape()),
        data_(std::move(data)),
        shift_scale_(std::move(shift_scale)),
        blocks_(type.shape(), grid),
        grid_(grid) {}

  [[nodiscard]] std::optional<PackedMatrix> packed() const override {
    const Tensor* codes = data_->tensor();
    const bool are_codes =
        codes != nullptr && (codes->dtype() == DType::kI4 || codes->dtype() == DType::kU4 ||
                             codes->dtype() == DType::kI8 || codes->dtype() == DType::kU8);
    if (!are_codes) return std::nullopt;
    std::optional<PackedMatrix> matrix = packed_grid(shape(), grid_);
    if (!matrix || !shift_scale_.describe(*matrix)) return std::nullopt;
    matrix->codes = *codes;
    matrix->dtype = dtype();
    return matrix;
  }

  void read(int64_t first, int64_t count, float* out) const override {
    while (count > 0) {
      const Line line = blocks_.line_at(first, std::min(count, kChunk));
      data_->read(first, line.length, out);
      apply(line, out);
      round_to(dtype(), out, line.length);
      first += line.length;
      out += line.length;
      count -= line.length;
    }
  }

 private:
  void apply(const Line& line, float* values) const {
    ShiftScale::Parameters p;
    shift_scale_.load(line.group, (line.within + line.length + line.block - 1) / line.block, p);
    if (line.block == 1) {
      for (int64_t i = 0; i < line.length; ++i) {
        const auto k = static_cast<size_t>(i);
        values[i] = p.scales[k] * (values[i] - p.offsets[k]);
      }
      return;
    }
    int64_t left = line.length, within = line.within;
    for (size_t k = 0; left > 0; ++k) {
      const int64_t length = std::min(left, line.block - within);
      ShiftScale::apply(p.scales[k], p.offsets[k], length, values);
      values += length;
      left -= length;
      within = 0;
    }
  }

  Decoder data_;
  ShiftScale shift_scale_;
  Blocks blocks_;
  Shape grid_;
};

// A scalar, or one value per element of the axis.
void expect_per_axis(const OpView& op, const char* input, int64_t extent) {
  expect_numeric(op, input);
  const Shape shape = op.shape(input);
  const int64_t count = product(shape, 0, shape.size());
  if (shape.size() > 1 || (count != 1 && count != extent && count != kAny && extent != kAny)) {
    op.reject(input, "expected a scalar or a vector of {}, got shape {}", extent, to_string(shape));
  }
}

Type infer_affine(const OpView& op) {
  expect_numeric(op, "quantized_data");
  expect_float(op, "scale");
  const Shape shape = op.shape("quantized_data");
  if (shape.empty()) op.reject("quantized_data", "expected rank 1 or more, got a scalar");
  const int64_t extent = shape[static_cast<size_t>(op.axis("axis", op.rank("quantized_data")))];
  expect_per_axis(op, "scale", extent);
  expect_per_axis(op, "zero_point", extent);
  return Type::tensor(op.dtype("scale"), shape);
}

Type infer_blockwise(const OpView& op) {
  expect_numeric(op, "data");
  expect_float(op, "scale");
  const Shape shape = op.shape("data");
  if (shape.empty()) op.reject("data", "expected rank 1 or more, got a scalar");
  expect_grid(op, "scale", op.shape("scale"), shape);
  if (op.has("offset")) {
    expect_numeric(op, "offset");
    expect_shape(op, "offset", op.shape("scale"));
  }
  return Type::tensor(op.dtype("scale"), shape);
}

Type infer_cast(const OpView& op) {
  expect_float(op, "source_val");
  const DType dtype = op.dtype_named_by("output_dtype");
  if (!is_float(dtype)) {
    op.reject("output_dtype", "expected a float dtype, got '{}'", mw::name_of(dtype));
  }
  return Type::tensor(dtype, op.shape("source_val"));
}

// One number for each of `count`.
Decoder spread(Decoder decoder, int64_t count) {
  if (decoder->count() == count) return decoder;
  return decode_tensor(
      Tensor::from(std::vector<float>(static_cast<size_t>(count), all_values(*decoder)[0]),
                   {count}),
      DType::kF32);
}

}  // namespace

void ShiftScale::load(int64_t group, int64_t blocks, Parameters& parameters) const {
  MW_CHECK(blocks <= kMaxBlocks);
  scale_->read(group, blocks, parameters.scales.data());
  if (offset_) {
    offset_->read(group, blocks, parameters.offsets.data());
  } else {
    std::fill_n(parameters.offsets.data(), blocks, 0.0F);
  }
}

bool ShiftScale::describe(PackedMatrix& matrix) const {
  const Tensor* scales = scale_->tensor();
  const Tensor* zeros = offset_ ? offset_->tensor() : nullptr;
  if (scales == nullptr || (offset_ && zeros == nullptr)) return false;
  matrix.scales = *scales;
  if (zeros != nullptr) matrix.zeros = *zeros;
  return true;
}

Decoder decode_affine(const OpView& op, const std::vector<Type>& types, size_t, int depth) {
  const Shape& shape = types[0].shape();
  Decoder scale = decode_input(op, "scale", depth);
  Decoder offset = decode_input(op, "zero_point", depth);
  const auto axis = static_cast<size_t>(op.axis("axis", types[0].rank()));
  const bool vector = scale->count() != 1 || offset->count() != 1;
  Shape grid(shape.size(), 1);
  if (vector) grid[axis] = shape[axis];
  ShiftScale shift_scale(spread(std::move(scale), grid[axis]),
                         spread(std::move(offset), grid[axis]));
  return std::make_unique<ScaleDecoder>(types[0], decode_input(op, "quantized_data", depth),
                                        std::move(shift_scale), grid);
}

Decoder decode_blockwise(const OpView& op, const std::vector<Type>& types, size_t, int depth) {
  ShiftScale shift_scale(decode_input(op, "scale", depth),
                         op.has("offset") ? decode_input(op, "offset", depth) : nullptr);
  const Shape grid = shift_scale.grid();
  return std::make_unique<ScaleDecoder>(types[0], decode_input(op, "data", depth),
                                        std::move(shift_scale), grid);
}

Decoder decode_cast(const OpView& op, const std::vector<Type>& types, size_t, int depth) {
  return decode_tensor(tensor_of(op, "source_val", depth), types[0].dtype());
}

OpDef constexpr_affine_dequantize() {
  return OpDef("constexpr_affine_dequantize")
      .types("SrcT", kBytes)
      .types("ZeroPointT", {DType::kU8, DType::kI8, DType::kF32})
      .types("DstT", kFloats)
      .input("quantized_data", "SrcT", kConst)
      .input("zero_point", "ZeroPointT", kConst)
      .input("scale", "DstT", kConst)
      .input("axis", DType::kI32, kConst)
      .first(Opset::kIos16)
      .traits(kConstexpr)
      .infer(infer_affine)
      .eval(evaluate_decoded)
      .no_vjp(NoGradient::kOpaque);
}

OpDef constexpr_blockwise_shift_scale() {
  return OpDef("constexpr_blockwise_shift_scale")
      .types("SrcT", kBlockwise)
      .types("OffsetT", kBlockwise)
      .types("DstT", kFloats)
      .input("data", "SrcT", kConst)
      .input("scale", "DstT", kConst)
      .input("offset", "OffsetT", kConst | kOptional)
      .first(Opset::kIos18)
      .traits(kConstexpr)
      .infer(infer_blockwise)
      .eval(evaluate_decoded)
      .no_vjp(NoGradient::kOpaque);
}

OpDef constexpr_cast() {
  return OpDef("constexpr_cast")
      .input("source_val", DType::kF16, kConst)
      .input("output_dtype", DType::kString, kConst)
      .dtype_input("output_dtype")
      .first(Opset::kIos16)
      .traits(kConstexpr)
      .infer(infer_cast)
      .eval(evaluate_decoded)
      .no_vjp(NoGradient::kOpaque);
}

}  // namespace mw::ops
