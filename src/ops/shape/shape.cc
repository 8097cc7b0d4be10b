// shape: y = the extents of x, as a vector of int32.
#include <limits>

#include "ops/support.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) { return Type::tensor(DType::kI32, {op.tensor_type("x").rank()}); }

void evaluate(Eval& e) {
  Shape extents = e.shape("x");
  for (const int64_t extent : extents) {
    if (extent == kAny) {
      extents = e.in("x").shape();
      break;
    }
  }
  auto* y = e.out().mutable_data<int32_t>();
  for (size_t i = 0; i < extents.size(); ++i) {
    if (extents[i] > std::numeric_limits<int32_t>::max()) {
      e.reject("x", "expected extents that fit int32, got {}", extents[i]);
    }
    y[i] = static_cast<int32_t>(extents[i]);
  }
}

}  // namespace

OpDef shape() {
  return OpDef("shape").any_input("x").traits(kTypeOnly).infer(infer).eval(evaluate).no_vjp(
      NoGradient::kIntegerOutput);
}

}  // namespace mw::ops
