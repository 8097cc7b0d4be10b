// cond: runs the first of its two blocks where `pred` holds, else the second; the results are the
// outputs of that block.
#include "ir/vjp.h"
#include "ops/control/blocks.h"

namespace mw::ops {
namespace {

std::vector<Type> infer(const OpView& op) {
  expect_flag(op, "pred", op.type("pred"));
  const Block& yes = nested_block(op, 0, 2);
  const Block& no = nested_block(op, 1, 2);
  if (yes.outputs.size() != no.outputs.size()) {
    fail(ErrorCode::kInvalidModel, "{}: expected as many outputs of both blocks, got {} and {}",
         op.where(), yes.outputs.size(), no.outputs.size());
  }
  if (!yes.arguments.empty() || !no.arguments.empty()) {
    fail(ErrorCode::kInvalidModel, "{}: expected blocks without arguments, got {} and {}",
         op.where(), yes.arguments.size(), no.arguments.size());
  }
  std::vector<Type> results;
  for (size_t i = 0; i < yes.outputs.size(); ++i) {
    const Type &a = yes.outputs[i]->type, &b = no.outputs[i]->type;
    const std::optional<Type> both = joined(a, b);
    if (!both) {
      fail(ErrorCode::kInvalidModel,
           "{}: expected outputs {} of both blocks of one type, got {} and {}", op.where(), i,
           a.str(), b.str());
    }
    results.push_back(*both);
  }
  return results;
}

void evaluate(Eval& e) {
  const Tensor& pred = e.in("pred");
  if (pred.count() != 1) {
    e.reject("pred", "expected one bool, got shape {}", to_string(pred.shape()));
  }
  std::vector<Datum> outputs = e.run_block(pred.integer_at(0) != 0 ? 0 : 1, {});
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Type got = type_of_datum(outputs[i], e.result_type(i));
    if (!compatible(got, e.result_type(i))) {
      e.reject("pred", "expected {} as output {} of the block, got {}", e.result_type(i).str(), i,
               got.str());
    }
    e.set_datum(i, std::move(outputs[i]));
  }
}

// The same choice between the gradients of the two blocks.
void rule(Vjp& v) {
  BlockVjp& blocks = v.blocks();
  const size_t count = blocks.captured().size();
  if (count == 0) return;
  std::vector<Value*> seeds;
  for (size_t i = 0; i < v.operation().outputs.size(); ++i) seeds.push_back(v.grad(i));
  Operation* op = v.builder().open("cond", {{"pred", v.in("pred")}}, "cond_grad");
  for (size_t i = 0; i < 2; ++i) blocks.differentiate(i, *op->add_block(), seeds);
  const std::vector<Value*> gradients = v.builder().close(op);
  for (size_t i = 0; i < count; ++i) blocks.add_captured(i, gradients[i]);
}

}  // namespace

OpDef cond() {
  return OpDef("cond")
      .input("pred", DType::kBool)
      .traits(kControlFlow)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
