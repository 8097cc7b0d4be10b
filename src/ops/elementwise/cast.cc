// cast: x in the dtype that `dtype` names. Floats become integers by truncation and saturate;
// anything becomes bool by comparison with zero.
#include "ops/expr.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_numeric(op, "x");
  const DType dtype = op.dtype_named_by("dtype");
  if (dtype == DType::kString) op.reject("dtype", "expected a dtype of numbers, got 'string'");
  return op.tensor_type("x").with_dtype(dtype);
}

}  // namespace

OpDef cast() {
  return OpDef("cast")
      .types("T", {DType::kF16, DType::kF32, DType::kI32, DType::kBool})
      .input("x", "T")
      .input("dtype", DType::kString, kConst)
      .dtype_input("dtype")
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("T", {DType::kF16, DType::kF32, DType::kI8, DType::kU8, DType::kI16,
                               DType::kU16, DType::kI32, DType::kBool});
             })
      .traits(kElementwise | kMovesElements)
      .infer(infer)
      .eval([](Eval& e) { e.set_out(0, e.in("x").to(e.result_type().dtype())); })
      .vjp([](Vjp& v) {
        v.add("x", grad(v).op(kCastOp, {{"dtype", std::string(name_of(v.dtype("x")))}}));
      });
}

}  // namespace mw::ops
