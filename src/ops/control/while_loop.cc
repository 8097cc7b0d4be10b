// while_loop: as long as its first block, given the loop variables, answers true, the second block
// computes their next values; the results are the last ones.
#include "ops/control/blocks.h"

namespace mw::ops {
namespace {

void check_arguments(const OpView& op, const Block& block, const char* what) {
  const size_t count = op.operand_count("loop_vars");
  if (block.arguments.size() != count) {
    op.reject("loop_vars", "expected {} values as the {} block has arguments, got {}",
              block.arguments.size(), what, count);
  }
  for (size_t i = 0; i < count; ++i) {
    const Type type = op.type("loop_vars", i);
    if (!compatible(type, block.arguments[i]->type)) {
      op.reject("loop_vars", "expected {} for argument '{}' of the {} block, got {}",
                block.arguments[i]->type.str(), block.arguments[i]->name, what, type.str());
    }
  }
}

std::vector<Type> infer(const OpView& op) {
  const Block& condition = nested_block(op, 0, 2);
  const Block& body = nested_block(op, 1, 2);
  check_arguments(op, condition, "condition");
  check_arguments(op, body, "body");
  if (condition.outputs.size() != 1) {
    op.reject("loop_vars", "expected one output of the condition block, got {}",
              condition.outputs.size());
  }
  expect_flag(op, "loop_vars", condition.outputs[0]->type);
  if (body.outputs.size() != body.arguments.size()) {
    op.reject("loop_vars", "expected {} outputs of the body block, one per loop variable, got {}",
              body.arguments.size(), body.outputs.size());
  }
  std::vector<Type> results;
  for (size_t i = 0; i < body.outputs.size(); ++i) {
    const Type &next = body.outputs[i]->type, &argument = body.arguments[i]->type;
    const std::optional<Type> both = joined(op.type("loop_vars", i), next);
    if (!both || !compatible(next, argument)) {
      op.reject("loop_vars", "expected the body block to give {} for '{}', got {}", argument.str(),
                body.arguments[i]->name, next.str());
    }
    results.push_back(*both);
  }
  return results;
}

// Data-dependent extents inside the body may break what its arguments were declared to be.
void check_next(Eval& e, const std::vector<Datum>& variables) {
  const auto& arguments = e.operation().blocks[1]->arguments;
  for (size_t i = 0; i < variables.size(); ++i) {
    const Type& declared = arguments[i]->type;
    const Type got = type_of_datum(variables[i], declared);
    if (!compatible(got, declared) || !compatible(got, e.result_type(i))) {
      e.reject("loop_vars", "expected the body block to give {} for '{}', got {}", declared.str(),
               arguments[i]->name, got.str());
    }
  }
}

bool goes_on(Eval& e, const std::vector<Datum>& variables) {
  const std::vector<Datum> answer = e.run_block(0, variables);
  const Tensor& flag = answer.at(0).tensor;
  if (flag.count() != 1) {
    e.reject("loop_vars", "expected one bool from the condition block, got shape {}",
             to_string(flag.shape()));
  }
  return flag.integer_at(0) != 0;
}

void evaluate(Eval& e) {
  std::vector<Datum> variables;
  for (size_t i = 0; i < e.operand_count("loop_vars"); ++i) {
    variables.push_back(e.datum("loop_vars", i));
  }
  while (goes_on(e, variables)) {
    variables = e.run_block(1, std::move(variables));
    check_next(e, variables);
  }
  for (size_t i = 0; i < variables.size(); ++i) e.set_datum(i, std::move(variables[i]));
}

}  // namespace

OpDef while_loop() {
  return OpDef("while_loop")
      .any_input("loop_vars", kVariadic)
      .traits(kControlFlow)
      .infer(infer)
      .eval(evaluate)
      .no_vjp(NoGradient::kDataDependent);
}

}  // namespace mw::ops
