// identity: y = x, for any type.
#include "ops/expr.h"
#include "ops/support.h"

namespace mw::ops {

OpDef identity() {
  return OpDef("identity")
      .any_input("x")
      .traits(kMovesElements)
      .infer([](const OpView& op) { return op.type("x"); })
      .eval([](Eval& e) { e.set_datum(0, e.datum("x")); })
      .vjp([](Vjp& v) { v.add("x", grad(v)); });
}

}  // namespace mw::ops
