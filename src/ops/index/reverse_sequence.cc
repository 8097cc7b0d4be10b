// reverse_sequence: y = x, with the first lengths[b] elements along seq_axis turned round in the
// slice b of batch_axis.
#include "ops/index/indices.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

Type infer(const OpView& op) {
  Type x = expect_movable(op, "x");
  const int64_t batch = op.axis("batch_axis", x.rank());
  if (op.axis("seq_axis", x.rank()) == batch) {
    op.reject("seq_axis", "expected an axis other than batch_axis, got {} for both", batch);
  }
  expect_index_vector(op, "lengths", x.shape()[static_cast<size_t>(batch)]);
  return x;
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const auto batch = static_cast<size_t>(e.axis("batch_axis", x.rank()));
  const auto sequence = static_cast<size_t>(e.axis("seq_axis", x.rank()));
  const std::vector<int64_t> lengths = integers_of(e.in("lengths")),
                             strides = strides_of(x.shape());
  const int64_t extent = x.shape()[sequence];
  Tensor& y = e.out_from(x);
  Shape part = x.shape();
  part[batch] = 1;
  for (size_t b = 0; b < lengths.size(); ++b) {
    part[sequence] = lengths[b];
    if (lengths[b] < 0 || lengths[b] > extent) {
      e.reject("lengths", "expected values in [0, {}], got {}", extent, lengths[b]);
    }
    Layout from{strides}, to{strides};
    to.offset = static_cast<int64_t>(b) * strides[batch];
    from.offset = to.offset + (lengths[b] - 1) * strides[sequence];
    from.strides[sequence] = -strides[sequence];
    copy_elements(part, x, from, y, to);
  }
}

void rule(Vjp& v) {
  v.add("x", grad(v).op("reverse_sequence", same_inputs(v, {"lengths", "seq_axis", "batch_axis"})));
}

}  // namespace

OpDef reverse_sequence() {
  return OpDef("reverse_sequence")
      .types("T", moved_dtypes())
      .types("U", {DType::kI32})
      .input("x", "T")
      .input("lengths", "U")
      .input("seq_axis", DType::kI32, kConst | kOptional, 0)
      .input("batch_axis", DType::kI32, kConst | kOptional, 0)
      .since(
          Opset::kIos17,
          [](OpDef& def) { def.types("T", moved_dtypes_ios17()).types("U", index_dtypes_ios17()); })
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
