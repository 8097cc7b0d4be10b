// Comparisons and logic: bool results, with broadcasting, a row of the table each.
#include "ops/elementwise/elementwise.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  expect_numeric(op, "x");
  return Type::tensor(DType::kBool, broadcast_xy(op).shape());
}

template <class F>
OpDef comparison(const char* name, F f) {
  return OpDef(name)
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("x", "T")
      .input("y", "T")
      .traits(kElementwise)
      .infer(infer)
      .eval([f](Eval& e) {
        const Tensor x = computable(e.in("x")), y = computable(e.in("y"));
        dispatch_number(x.dtype(), [&]<class T>(T) { zip<T, bool>(x, y, e.out(), f); });
      })
      .no_vjp(NoGradient::kIntegerOutput);
}

// A number counts as true when it is not zero.
template <class F>
OpDef logic(const char* name, F f) {
  return OpDef(name)
      .types("T", {DType::kBool})
      .input("x", "T")
      .input("y", "T")
      .traits(kElementwise)
      .infer(infer)
      .eval([f](Eval& e) {
        zip<bool, bool>(e.in("x").to(DType::kBool), e.in("y").to(DType::kBool), e.out(), f);
      })
      .no_vjp(NoGradient::kIntegerOutput);
}

}  // namespace

#define MW_BINARY(name, family, formula)                          \
  OpDef name##_op() {                                             \
    return family(#name, [](auto x, auto y) { return formula; }); \
  }
MW_BINARY(equal, comparison, x == y)
MW_BINARY(not_equal, comparison, x != y)
MW_BINARY(greater, comparison, x > y)
MW_BINARY(greater_equal, comparison, x >= y)
MW_BINARY(less, comparison, x < y)
MW_BINARY(less_equal, comparison, x <= y)
MW_BINARY(logical_and, logic, x&& y)
MW_BINARY(logical_or, logic, x || y)
MW_BINARY(logical_xor, logic, x != y)
#undef MW_BINARY

}  // namespace mw::ops
