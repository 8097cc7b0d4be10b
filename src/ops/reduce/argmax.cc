// reduce_argmax and reduce_argmin: the index along `axis` of the first extreme; NaN counts as
// extreme.
#include "ops/elementwise/elementwise.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_numeric(op, "x");
  Shape shape = op.shape("x");
  if (shape.empty()) op.reject("x", "expected rank 1 or more, got a scalar");
  const auto axis = static_cast<size_t>(op.axis("axis", op.rank("x")));
  const int64_t extent = shape[axis];
  if (extent == 0) op.reject("x", "expected elements along axis {}, got none", axis);
  const bool named = op.def().find_input("output_dtype") != nullptr;
  const DType dtype = named ? op.dtype_named_by("output_dtype") : DType::kI32;
  if (dtype != DType::kI32 && dtype != DType::kU16) {
    op.reject("output_dtype", "expected 'int32' or 'uint16', got '{}'", mw::name_of(dtype));
  }
  if (dtype == DType::kU16 && extent > 65536) {
    op.reject("output_dtype", "uint16 holds indices below 65536, got an axis of {}; use int32",
              extent);
  }
  if (op.flag("keep_dims")) {
    shape[axis] = 1;
  } else {
    shape.erase(shape.begin() + static_cast<int64_t>(axis));
  }
  return Type::tensor(dtype, shape);
}

template <class T, class Better>
int64_t first_extreme(const T* x, int64_t count, int64_t stride, const Better& better) {
  int64_t best = 0;
  for (int64_t i = 0; i < count; ++i) {
    const T value = x[i * stride];
    if (value != value) return i;
    if (better(value, x[best * stride])) best = i;
  }
  return best;
}

template <class Better>
OpDef extreme(const char* name, Better better) {
  const auto evaluate = [better](Eval& e) {
    const Tensor x = computable(e.in("x"));
    const auto axis = static_cast<size_t>(e.axis("axis", x.rank()));
    const int64_t count = x.shape()[axis];
    const int64_t outer = product(x.shape(), 0, axis);
    const int64_t inner = product(x.shape(), axis + 1, x.shape().size());
    Tensor found(DType::kI64, e.result_type().shape());
    int64_t* to = found.mutable_data<int64_t>();
    dispatch_number(x.dtype(), [&]<class T>(T) {
      for (int64_t o = 0; o < outer; ++o) {
        for (int64_t i = 0; i < inner; ++i) {
          const T* first = x.data<T>() + o * count * inner + i;
          to[o * inner + i] = first_extreme(first, count, inner, better);
        }
      }
    });
    e.set_out(0, found.to(e.result_type().dtype()));
  };
  return OpDef(name)
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("x", "T")
      .input("axis", DType::kI32, kConst | kOptional, -1)
      .input("keep_dims", DType::kBool, kConst | kOptional, false)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.input("output_dtype", DType::kString, kConst | kOptional, "int32")
                   .dtype_input("output_dtype");
             })
      .infer(infer)
      .eval(evaluate)
      .no_vjp(NoGradient::kIntegerOutput);
}

}  // namespace

OpDef reduce_argmax() {
  return extreme("reduce_argmax", [](auto a, auto b) { return a > b; });
}
OpDef reduce_argmin() {
  return extreme("reduce_argmin", [](auto a, auto b) { return a < b; });
}

}  // namespace mw::ops
