// make_decoder: which op is decoded how, nesting, and constants as the base case.
#include "ops/quant/decode.h"

#include "base/parallel.h"
#include "ops/catalog.h"
#include "ops/quant/quant.h"

namespace mw::ops {
namespace {

// A constexpr op may take results of constexpr ops; converters nest them two or three deep.
constexpr int kMaxDepth = 4;

MakeDecoder maker_of(const std::string& type) {
  static const std::map<std::string, MakeDecoder, std::less<>> kMakers = {
      {"constexpr_affine_dequantize", decode_affine},
      {"constexpr_blockwise_shift_scale", decode_blockwise},
      {"constexpr_cast", decode_cast},
      {"constexpr_lut_to_dense", decode_lut},
      {"constexpr_lut_to_sparse", decode_sparse_lut},
      {"constexpr_sparse_blockwise_shift_scale", decode_sparse_blockwise},
      {"constexpr_sparse_to_dense", decode_sparse},
  };
  const auto found = kMakers.find(type);
  return found == kMakers.end() ? nullptr : found->second;
}

Decoder make(const OpView& op, size_t result, int depth) {
  const MakeDecoder maker = maker_of(op.operation().type);
  MW_CHECK(maker != nullptr);
  const std::vector<Type> types = op.def().infer()(op);
  MW_CHECK(result < types.size());
  return maker(op, types, result, depth);
}

// The constexpr op that computes an operand, or null.
const Operation* constexpr_behind(const Operand& operand) {
  const Operation* producer = operand.value != nullptr ? operand.value->producer : nullptr;
  return producer != nullptr && maker_of(producer->type) != nullptr ? producer : nullptr;
}

Decoder decode_operand(const Operand& operand, Opset opset, int depth) {
  const Operation* producer = constexpr_behind(operand);
  if (producer == nullptr) return nullptr;
  const OpView op(*producer, catalog().at(*producer, opset), opset);
  return make(op, operand.value->index, depth);
}

class TensorDecoder : public WeightDecoder {
 public:
  TensorDecoder(Tensor tensor, DType dtype)
      : WeightDecoder(dtype, tensor.shape()), tensor_(std::move(tensor)) {}
  void read(int64_t first, int64_t count, float* out) const override {
    read_floats(tensor_, first, count, out);
    if (tensor_.dtype() != dtype()) round_to(dtype(), out, count);
  }
  [[nodiscard]] const Tensor* tensor() const override {
    return tensor_.dtype() == dtype() ? &tensor_ : nullptr;
  }

 private:
  Tensor tensor_;
};

}  // namespace

WeightDecoder::WeightDecoder(DType dtype, Shape shape)
    : dtype_(dtype),
      shape_(std::move(shape)),
      count_(count_of(shape_)),
      rows_(shape_.empty() ? 1 : shape_[0]),
      row_length_(rows_ == 0 ? 0 : count_ / rows_) {}

std::unique_ptr<WeightDecoder> make_decoder(const OpView& op, size_t result) {
  return make(op, result, 0);
}

std::unique_ptr<WeightDecoder> make_decoder(const Operand& operand, Opset opset) {
  if (const ConstantPtr constant = constant_of(operand)) {
    if (!constant->is_tensor() || constant->type().dtype() == DType::kString) return nullptr;
    return decode_tensor(constant->value(), constant->type().dtype());
  }
  return decode_operand(operand, opset, 0);
}

Decoder decode_tensor(Tensor tensor, DType dtype) {
  return std::make_unique<TensorDecoder>(std::move(tensor), dtype);
}

namespace {

[[noreturn]] void reject_unknown(const OpView& op, std::string_view input) {
  if (constant_of(op.operand(input))) {
    op.reject(input, "expected a constant with a value, got a reference to a file not given");
  }
  op.reject(input, "expected a constant, got a value computed at run time");
}

// A const may be declared with less than its value tells; what infer() checked must hold of both.
void expect_declared(const OpView& op, std::string_view input, DType dtype, const Shape& shape) {
  const Type declared = op.type(input), held = Type::tensor(dtype, shape);
  if (declared == held) return;
  op.reject(input, "expected {} as declared, got {}", declared.str(), held.str());
}

}  // namespace

Decoder decode_input(const OpView& op, std::string_view input, int depth) {
  if (const Tensor* tensor = op.known(input)) {
    expect_declared(op, input, tensor->dtype(), tensor->shape());
    return decode_tensor(*tensor, tensor->dtype());
  }
  if (depth >= kMaxDepth) op.reject(input, "constexpr ops are nested more than {} deep", kMaxDepth);
  Decoder decoder = decode_operand(op.operand(input), op.opset(), depth + 1);
  if (!decoder) reject_unknown(op, input);
  expect_declared(op, input, decoder->dtype(), decoder->shape());
  return decoder;
}

Tensor tensor_of(const OpView& op, std::string_view input, int depth) {
  if (const Tensor* tensor = op.known(input)) {
    expect_declared(op, input, tensor->dtype(), tensor->shape());
    return *tensor;
  }
  const Operation* producer = constexpr_behind(op.operand(input));
  const bool sparse = producer != nullptr && producer->outputs.size() == 2;
  if (!sparse || op.operand(input).value->index != 0) reject_unknown(op, input);
  if (depth >= kMaxDepth) op.reject(input, "constexpr ops are nested more than {} deep", kMaxDepth);
  const OpView inner(*producer, catalog().at(*producer, op.opset()), op.opset());
  (void)inner.def().infer()(inner);
  return sparse_mask(inner, depth + 1);
}

std::vector<float> all_values(const WeightDecoder& decoder) {
  std::vector<float> values(static_cast<size_t>(decoder.count()));
  decoder.read(0, decoder.count(), values.data());
  return values;
}

Shape packed_shape(const OpView& op) {
  Shape shape = op.ints("shape");
  if (shape.size() > kMaxRank) {
    op.reject("shape", "expected at most {} extents, got {}", kMaxRank, shape.size());
  }
  for (const int64_t extent : shape) {
    if (extent < 0) op.reject("shape", "expected extents of 0 or more, got {}", extent);
  }
  return shape;
}

void expect_grid(const OpView& op, std::string_view input, const Shape& grid, const Shape& shape) {
  bool fits = grid.size() == shape.size();
  for (size_t k = 0; fits && k < grid.size(); ++k) {
    const bool known = grid[k] != kAny && shape[k] != kAny;
    fits = !known || (grid[k] > 0 && shape[k] % grid[k] == 0);
  }
  if (!fits) {
    op.reject(input, "expected extents that divide those of {}, got {}", to_string(shape),
              to_string(grid));
  }
}

void evaluate_result(Eval& e, size_t result) {
  constexpr int64_t kGrain = 1 << 14;
  const Decoder decoder = make_decoder(e, result);
  Tensor& out = e.out(result);
  if (out.dtype() == DType::kF32) {
    float* to = out.mutable_data<float>();
    parallel_for(out.count(), kGrain, [&](int64_t begin, int64_t end) {
      decoder->read(begin, end - begin, to + begin);
    });
    return;
  }
  const std::vector<float> values = all_values(*decoder);
  for (int64_t i = 0; i < out.count(); ++i) out.set_number(i, values[static_cast<size_t>(i)]);
}

void evaluate_decoded(Eval& e) { evaluate_result(e, 0); }

}  // namespace mw::ops
