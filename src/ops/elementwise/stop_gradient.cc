// mw.stop_gradient: y = x, for any type; its gradient is zero.
#include "ops/expr.h"
#include "ops/support.h"

namespace mw::ops {

OpDef stop_gradient() {
  return OpDef("mw.stop_gradient")
      .any_input("x")
      .traits(kMovesElements)
      .infer([](const OpView& op) { return op.type("x"); })
      .eval([](Eval& e) { e.set_datum(0, e.datum("x")); })
      .vjp(flat);
}

}  // namespace mw::ops
