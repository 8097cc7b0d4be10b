// quantize: clip(round(input / scale) + zero_point), halves to even; dequantize: scale * (input -
// zero_point). Scale and zero_point are numbers, or vectors along `axis`.
#include <cmath>
#include <limits>

#include "ops/support.h"

namespace mw::ops {
namespace {

// A scalar, or one value per element of the axis.
void expect_parameter(const OpView& op, const char* input) {
  const Shape shape = op.shape(input);
  if (shape.empty()) return;
  if (!op.has("axis")) {
    op.reject("axis", "{} of shape {} needs an axis to lie along, got none", input,
              to_string(shape));
  }
  expect_shape(op, input,
               {op.shape("input")[static_cast<size_t>(op.axis("axis", op.rank("input")))]});
}

Type infer_quantize(const OpView& op) {
  expect_float(op, "input");
  expect_float(op, "scale");
  const DType dtype = op.dtype_named_by("output_dtype");
  if (dtype != DType::kI8 && dtype != DType::kU8) {
    op.reject("output_dtype", "expected 'int8' or 'uint8', got '{}'", mw::name_of(dtype));
  }
  expect_parameter(op, "scale");
  if (op.has("zero_point")) {
    expect_dtype(op, "zero_point", dtype);
    expect_parameter(op, "zero_point");
  }
  return Type::tensor(dtype, op.shape("input"));
}

Type infer_dequantize(const OpView& op) {
  expect_numeric(op, "input");
  expect_float(op, "scale");
  expect_parameter(op, "scale");
  if (op.has("zero_point")) {
    expect_dtype(op, "zero_point", op.dtype("input"));
    expect_parameter(op, "zero_point");
  }
  return Type::tensor(op.dtype("scale"), op.shape("input"));
}

// A parameter as one number per element of the axis, or one for all.
Tensor parameter(Eval& e, const char* input, DType dtype) {
  return e.has(input) ? e.in(input).to(dtype) : Tensor(dtype, {});
}

// out = f(input, scale, zero_point), with the arithmetic of P.
template <class P, class F>
void map_with_parameters(Eval& e, const Tensor& input, Tensor& out, const F& f) {
  const DType dtype = dtype_of<P>();
  const Tensor scale = parameter(e, "scale", dtype), zero = parameter(e, "zero_point", dtype);
  const Shape& shape = input.shape();
  const bool per_axis = e.has("axis");
  const auto axis = per_axis ? static_cast<size_t>(e.axis("axis", input.rank())) : 0;
  const int64_t inner = per_axis ? product(shape, axis + 1, shape.size()) : 1;
  const int64_t extent = per_axis ? shape[axis] : 1;
  const bool many_scales = scale.rank() > 0, many_zeros = zero.rank() > 0;
  const P *scales = scale.data<P>(), *zeros = zero.data<P>();
  for (int64_t i = 0; i < input.count(); ++i) {
    const int64_t k = i / inner % extent;
    f(i, scales[many_scales ? k : 0], zeros[many_zeros ? k : 0], out);
  }
}

void evaluate_quantize(Eval& e) {
  const Tensor& input = e.in("input");
  Tensor& out = e.out();
  const bool is_signed = out.dtype() == DType::kI8;
  dispatch_float(input.dtype(), [&]<class T>(T) {
    const T low = is_signed ? -128 : 0, high = is_signed ? 127 : 255;
    const T* x = input.data<T>();
    map_with_parameters<T>(e, input, out, [&](int64_t i, T scale, T zero, Tensor& to) {
      const T level = std::nearbyint(x[i] / scale) + zero;
      to.set_number(i, level < low ? low : level > high ? high : level);
    });
  });
}

void evaluate_dequantize(Eval& e) {
  Tensor& out = e.out();
  dispatch_float(out.dtype(), [&]<class T>(T) {
    const Tensor input = e.in("input").to(out.dtype());
    const T* x = input.data<T>();
    map_with_parameters<T>(e, input, out, [&](int64_t i, T scale, T zero, Tensor& to) {
      to.mutable_data<T>()[i] = scale * (x[i] - zero);
    });
  });
}

}  // namespace

OpDef quantize() {
  return OpDef("quantize")
      .types("SrcT", {DType::kF16, DType::kF32})
      .types("DstT", {DType::kU8, DType::kI8})
      .input("input", "SrcT")
      .input("zero_point", "DstT", kConst | kOptional)
      .input("scale", "SrcT", kConst)
      .input("axis", DType::kI32, kConst | kOptional)
      .input("output_dtype", DType::kString, kConst)
      .dtype_input("output_dtype")
      .first(Opset::kIos17)
      .infer(infer_quantize)
      .eval(evaluate_quantize)
      .no_vjp(NoGradient::kIntegerOutput);
}

OpDef dequantize() {
  return OpDef("dequantize")
      .types("SrcT", {DType::kU8, DType::kI8})
      .types("DstT", {DType::kF16, DType::kF32})
      .input("input", "SrcT")
      .input("zero_point", "SrcT", kConst | kOptional)
      .input("scale", "DstT", kConst)
      .input("axis", DType::kI32, kConst | kOptional)
      .first(Opset::kIos17)
      .infer(infer_dequantize)
      .eval(evaluate_dequantize)
      .no_vjp(NoGradient::kOpaque);
}

}  // namespace mw::ops
