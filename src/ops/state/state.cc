// read_state and write_state: a state is a tensor that outlives a run; both copy, so that a value
// read stays what it was when the state is written later.
#include "ir/builder.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

// The tensor type within the state type of `input`.
Type wrapped(const OpView& op) {
  const Type state = op.type("input");
  if (!state.is_state() || !state.element().is_tensor()) {
    op.reject("input", "expected a state, got {}", state.str());
  }
  return state.element();
}

// The state keeps its dtype when a change of precision gives the program another float.
std::vector<Type> infer_write_state(const OpView& op) {
  const Type state = wrapped(op);
  const DType data = op.dtype("data");
  if (data != state.dtype() && !(is_float(data) && is_float(state.dtype()))) {
    op.reject("data", "expected dtype {} as the state has, got {}", mw::name_of(state.dtype()),
              mw::name_of(data));
  }
  expect_shape(op, "data", state.shape());
  return {};
}

void evaluate_write_state(Eval& e) {
  StateCell& cell = e.state("input");
  const DType dtype = wrapped(e).dtype();
  const Tensor data = e.datum("data").tensor;
  cell.value = data.dtype() == dtype ? data.clone() : data.to(dtype);
}

OpDef reading(const char* name, Opset first) {
  return OpDef(name)
      .first(first)
      .any_input("input")
      .traits(kReadsState)
      .infer([](const OpView& op) { return wrapped(op); })
      .eval([](Eval& e) { e.set_out(0, e.state("input").value.clone()); })
      .no_vjp(NoGradient::kOpaque);
}

OpDef writing(const char* name, Opset first) {
  return OpDef(name)
      .first(first)
      .any_input("input")
      .any_input("data")
      .traits(kWritesState)
      .infer(infer_write_state)
      .eval(evaluate_write_state)
      .no_vjp(NoGradient::kOpaque);
}

}  // namespace

OpDef read_state() { return reading("read_state", Opset::kIos18); }
OpDef write_state() { return writing("write_state", Opset::kIos18); }

// For the parameters of programs in training, whatever their opset.
OpDef mw_read_state() {
  return reading("mw.read_state", Opset::kIos15).expand([](Builder& b, const OpView& op) {
    return b.op_results("read_state", {{"input", op.operand("input").value}});
  });
}
OpDef mw_write_state() {
  return writing("mw.write_state", Opset::kIos15).expand([](Builder& b, const OpView& op) {
    return b.op_results("write_state",
                        {{"input", op.operand("input").value}, {"data", op.operand("data").value}});
  });
}

}  // namespace mw::ops
