#include "ir/cast.h"

namespace mw::ir {

std::unique_ptr<Operation> make_cast(Value* x, DType dtype, const std::string& name, Block& block) {
  auto op = std::make_unique<Operation>();
  op->type = kCastOp;
  op->parent = &block;
  op->attributes = {{"name", Constant::string(name)}};
  op->inputs = {{"x", {{x, nullptr}}},
                {"dtype", {{nullptr, Constant::string(std::string(name_of(dtype)))}}}};
  op->add_output(name, x->type.with_dtype(dtype));
  return op;
}

}  // namespace mw::ir
