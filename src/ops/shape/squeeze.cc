// squeeze: y = x without those of `axes` whose extent is 1 (default: all such axes).
// An axis of another extent stays, as in PyTorch. One of unknown extent stays, too, unless the rank
// that the program states of y says that all listed ones go.
#include <algorithm>

#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  const Type x = op.tensor_type("x");
  const bool all = !op.has("axes");
  const std::vector<int64_t> axes = all ? std::vector<int64_t>{} : op.axes("axes", x.rank());
  Shape kept, squeezed;
  for (int64_t axis = 0; axis < x.rank(); ++axis) {
    const int64_t extent = x.shape()[static_cast<size_t>(axis)];
    const bool listed = all || std::find(axes.begin(), axes.end(), axis) != axes.end();
    if (extent != 1 || !listed) kept.push_back(extent);
    if ((extent != 1 && extent != kAny) || !listed) squeezed.push_back(extent);
  }
  const auto& outputs = op.operation().outputs;
  const bool stated = outputs.size() == 1 && outputs[0]->type.is_tensor() &&
                      outputs[0]->type.has_rank() &&
                      outputs[0]->type.rank() == static_cast<int64_t>(squeezed.size());
  return Type::tensor(x.dtype(), stated ? squeezed : kept);
}

}  // namespace

OpDef squeeze() {
  return OpDef("squeeze")
      .types("T", moved_dtypes())
      .input("x", "T")
      .input("axes", DType::kI32, kConst | kOptional)
      .since(Opset::kIos17, [](OpDef& def) { def.types("T", moved_dtypes_ios17()); })
      .traits(kMovesElements)
      .infer(infer)
      .eval([](Eval& e) { e.set_out(0, e.in("x").reshaped(e.result_type().shape())); })
      .vjp(reshape_back);
}

}  // namespace mw::ops
