// select: a where cond holds, else b; the three broadcast together.
#include "ops/expr.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_numeric(op, "cond");
  expect_numeric(op, "a");
  const DType dtype = op.dtype("a");
  if (op.dtype("b") != dtype) {
    op.reject("b", "expected dtype {} as a has, got {}", mw::name_of(dtype),
              mw::name_of(op.dtype("b")));
  }
  const Shape values = broadcast(op, "b", op.shape("a"), op.shape("b"));
  return Type::tensor(dtype, broadcast(op, "cond", values, op.shape("cond")));
}

// coremltools forgets cond: `where(mask, 0.0, -1e4)` is declared a scalar.
Type declared(const OpView& op) {
  return Type::tensor(op.dtype("a"), broadcast(op, "b", op.shape("a"), op.shape("b")));
}

void evaluate(Eval& e) {
  const Tensor cond = e.in("cond").to(DType::kBool);
  const Tensor &a = e.in("a"), &b = e.in("b");
  Tensor& out = e.out();
  const Shape& shape = out.shape();
  const bool* holds = cond.data<bool>();
  dispatch_bits(out.dtype(), [&]<class T>(T) {
    const T *from_a = bits_of<T>(a), *from_b = bits_of<T>(b);
    T* to = mutable_bits_of<T>(out);
    for (Walk<3> w(shape,
                   {broadcast_strides(cond.shape(), shape), broadcast_strides(a.shape(), shape),
                    broadcast_strides(b.shape(), shape)});
         !w.done(); w.next()) {
      to[w.flat()] = holds[w.at(0)] ? from_a[w.at(1)] : from_b[w.at(2)];
    }
  });
}

void rule(Vjp& v) {
  const Expr flag = operand(v, "cond"), g = grad(v);
  if (v.wants("a")) v.add("a", select(flag, g, 0.0));
  if (v.wants("b")) v.add("b", select(flag, 0.0, g));
}

}  // namespace

OpDef select_op() {
  return OpDef("select")
      .types("T", {DType::kF16, DType::kF32, DType::kBool, DType::kI32})
      .input("cond", DType::kBool)
      .input("a", "T", kNoWeight)
      .input("b", "T", kNoWeight)
      .traits(kElementwise)
      .infer(infer)
      .declared_as(declared)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
