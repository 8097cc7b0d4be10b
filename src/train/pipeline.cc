// The lists of passes that training is made of, and what each pass of them does with its context.
#include "train/pipeline.h"

#include "base/error.h"
#include "ops/rewrites/join_attention.h"
#include "ops/rewrites/promote_lists.h"
#include "ops/rewrites/promote_states.h"
#include "ops/rewrites/unroll.h"
#include "ops/rewrites/unroll_calls.h"
#include "passes/dead_code.h"
#include "passes/expand.h"
#include "passes/precision.h"
#include "passes/round_products.h"
#include "passes/specialise.h"
#include "train/composer.h"

namespace mw::training {
namespace {

using ir::Function;
using FunctionPtr = std::unique_ptr<Function>;
using passes::Pass;
using passes::PassName;

// --- student and teacher -------------------------------------------------------------------

struct Preparation {
  const ir::Catalog& catalog;
  const passes::Numerics& numerics;
  const std::vector<Parameter>* chosen = nullptr;
  Lifted lifted = {};
};

FunctionPtr lift_chosen(const Function& source, Preparation& p) {
  p.lifted = lift(source, p.catalog, *p.chosen, p.numerics.values);
  if (p.lifted.parameters.empty()) {
    fail(ErrorCode::kInvalidArgument, "{}: no parameter is selected; `inspect` lists them",
         setting("trainable"));
  }
  return std::move(p.lifted.function);
}

FunctionPtr set_precision(const Function& source, Preparation& p) {
  return passes::set_precision(source, p.catalog, p.numerics);
}

constexpr PassName kLift = {"lift", "makes the parameters that are trained states of the program"};

constexpr Pass<Preparation> kStudent[] = {
    {kLift, lift_chosen},
    {passes::kPrecision, set_precision},
};
constexpr Pass<Preparation> kTeacher[] = {
    {passes::kPrecision, set_precision},
};

// --- the forward pass ----------------------------------------------------------------------

struct Forward {
  const Recipe& recipe;
  const Shapes& shapes;
  bool hides_values = false;  // in loops, lists or states
};

// What a program of training adds to the arguments of its model stays beside the calls.
FunctionPtr unroll_calls(const Function& source, Forward& f) {
  const Recipe& recipe = f.recipe;
  const int64_t time = f.shapes.at(recipe.calls->text()).back();
  auto function =
      ops::unroll_calls(*recipe.called, *recipe.catalog, recipe.calls->of(time, *recipe.called));
  for (const auto& argument : source.body.arguments) {
    if (function->find_argument(argument->name) != nullptr) continue;
    function->body.add_argument(argument->name, argument->type);
  }
  return function;
}
FunctionPtr specialise(const Function& source, Forward& f) {
  auto function = passes::specialise(source, *f.recipe.catalog, {.shapes = f.shapes});
  ir::for_each_op(function->body, [&](const ir::Operation& op) {
    const ir::OpDef& def = f.recipe.catalog->at(op, function->opset);
    f.hides_values |= def.has_trait(ir::kControlFlow | ir::kListOp | ir::kWritesState);
  });
  return function;
}
FunctionPtr specialise_again(const Function& source, Forward& f) {
  return passes::specialise(source, *f.recipe.catalog, {});
}
void unroll_loops(Function& function, Forward& f) {
  ops::unroll_loops(function, *f.recipe.catalog);
}
void promote_lists(Function& function, Forward& f) {
  ops::promote_lists(function, *f.recipe.catalog);
}
void promote_states(Function& function, Forward& f) {
  ops::promote_states(function, *f.recipe.catalog);
}
template <class Context>
void expand(Function& function, Context& c) {
  passes::expand_ops(function, *c.recipe.catalog, c.recipe.covers);
}

template <class Context>
void round_products(Function& function, Context& c) {
  passes::round_products(function, *c.recipe.catalog);
}
template <class Context>
bool multiplies_bf16(const Context& c) {
  return c.recipe.numerics.bf16_products;
}

bool hides_values(const Forward& f) { return f.hides_values; }
bool has_calls(const Forward& f) { return f.recipe.calls != nullptr; }
template <class Context>
bool runs_on_device(const Context& c) {
  return c.recipe.covers != nullptr;
}

constexpr PassName kUnrollCalls = {
    "unroll_calls",
    "makes one program of the calls that a text takes, with the cache between them"};
constexpr PassName kUnrollLoops = {"unroll_loops",
                                   "replaces loops of a known number of trips by their trips"};
constexpr PassName kPromoteLists = {"promote_lists",
                                    "what is read from a list is the value that was written"};
constexpr PassName kPromoteStates = {
    "promote_states", "what is read from a state after it was written is that value"};

constexpr Pass<Forward> kPrediction[] = {
    {kUnrollCalls, unroll_calls, has_calls},
    {passes::kSpecialise, specialise},
    {passes::kRoundProducts, round_products<Forward>, multiplies_bf16<Forward>},
    {passes::kExpand, expand<Forward>, runs_on_device<Forward>},
};
constexpr Pass<Forward> kForward[] = {
    {kUnrollCalls, unroll_calls, has_calls},
    {passes::kSpecialise, specialise},
    {kUnrollLoops, unroll_loops, hides_values},
    // Positions in lists are known once those that loops count are constants.
    {passes::kSpecialise, specialise_again, hides_values},
    {kPromoteLists, promote_lists, hides_values},
    {kPromoteStates, promote_states, hides_values},
    // What was written may have a shape where what was read had none.
    {passes::kSpecialise, specialise_again, hides_values},
};

// --- the program of a step -----------------------------------------------------------------

struct Step {
  const Recipe& recipe;
  Kind kind;
  Composer composer;
};

template <void (Composer::*kPart)(Function&)>
void add(Function& function, Step& step) {
  (step.composer.*kPart)(function);
}
void join_attention(Function& function, Step& step) {
  ops::join_attention(function, *step.recipe.catalog);
}
void remove_dead_ops(Function& function, Step& step) {
  passes::remove_dead_ops(function, *step.recipe.catalog);
}

bool has_model(const Step& step) { return step.kind != Kind::kApply; }
bool has_teacher(const Step& step) {
  return has_model(step) && step.recipe.teaching != Teaching::kNone;
}
bool has_classes(const Step& step) {
  return has_model(step) && step.recipe.loss.loss == Loss::kCrossEntropy;
}
bool has_gradients(const Step& step) { return step.kind != Kind::kEvaluate; }
bool updates(const Step& step) { return step.kind == Kind::kApply || step.kind == Kind::kStep; }
template <Kind kKind>
bool is(const Step& step) {
  return step.kind == kKind;
}

constexpr PassName kStableLogs = {
    "stable_logs", "makes the logarithm of a softmax or a sigmoid one op of what that is taken of"};
constexpr PassName kLoss = {"loss", "adds the loss and the number of labels that count"};
constexpr PassName kDivergence = {
    "divergence",
    "adds the divergence from a teacher: one that is specialised here, or what inputs say of one"};
constexpr PassName kHeadLoss = {
    "head_loss",
    "makes cross entropy and the product of large logits one op, in which they are never whole"};
constexpr PassName kAttention = {
    "attention", "makes attention one op, in which the weights of all queries are never held"};
constexpr PassName kGradients = {
    "gradients", "adds the backward pass; in `apply`, what former batches have summed up"};
constexpr PassName kReturnGradients = {"return_gradients", "makes the gradients results"};
constexpr PassName kAddToSums = {"add_to_sums", "adds the gradients to those of former batches"};
constexpr PassName kUpdate = {"update",
                              "clips the gradients and adds what the optimiser makes of them"};

constexpr Pass<Step> kStep[] = {
    // Before the loss, which reads what the logarithm is taken of.
    {kStableLogs, add<&Composer::find_target>, has_model},
    {kLoss, add<&Composer::add_loss>, has_model},
    {kDivergence, add<&Composer::add_divergence>, has_teacher},
    // Before the gradients, which that op gives beside the loss.
    {kHeadLoss, add<&Composer::join_head>, has_classes},
    // Before the gradients, which an op of its own computes.
    {kAttention, join_attention, has_model},
    {kGradients, add<&Composer::add_gradients>, has_gradients},
    // Of both directions at once, gradients being those of the unrounded program; while weights are
    // states that nothing writes.
    {passes::kRoundProducts, round_products<Step>, multiplies_bf16<Step>},
    {kReturnGradients, add<&Composer::return_gradients>, is<Kind::kGradients>},
    {kAddToSums, add<&Composer::add_to_sums>, is<Kind::kAccumulate>},
    {kUpdate, add<&Composer::add_update>, updates},
    // Outputs that the loss is not of, and the ends of rewrites.
    {passes::kDeadCode, remove_dead_ops},
    // After the gradients: rules are those of the ops themselves.
    {passes::kExpand, expand<Step>, runs_on_device<Step>},
};

// --- a step within a limit of memory -------------------------------------------------------

struct Fitting {
  const MemoryLimit& limit;
  const plan::Platform& platform;
  const exec::Planner& planner;
};

FunctionPtr fit(const Function& program, Fitting& f) {
  return within_memory(program, f.limit, f.platform, f.planner);
}

constexpr PassName kRecompute = {
    "recompute", "computes values again before they are used, until a step fits in the memory"};

constexpr Pass<Fitting> kFitted[] = {
    {kRecompute, fit},
};

}  // namespace

std::vector<passes::Listing> pipelines() {
  return {
      {"student", "a model is to be trained", passes::names_of<Preparation>(kStudent)},
      {"teacher", "a model is to be learnt from", passes::names_of<Preparation>(kTeacher)},
      {"prediction", "a student, or its teacher, is run", passes::names_of<Forward>(kPrediction)},
      {"forward", "a program of training is made: its first part",
       passes::names_of<Forward>(kForward)},
      {"step", "a program of training is made: the rest", passes::names_of<Step>(kStep)},
      {"fitted", "that is to run within `memory`", passes::names_of<Fitting>(kFitted)},
  };
}

Student student_of(const Function& source, const std::vector<Parameter>& chosen,
                   const passes::Numerics& numerics, const passes::Supervision& supervision) {
  Preparation context = {supervision.catalog, numerics, &chosen};
  auto function = passes::run<Preparation>(kStudent, source, context, supervision);
  return {std::move(function), std::move(context.lifted)};
}

FunctionPtr text_student_of(const Function& called, const TextCalls& calls,
                            const passes::Supervision& supervision) {
  FunctionPtr function =
      ops::unroll_calls(called, supervision.catalog, calls.of(calls.shortest(), called));
  function->find_argument(calls.text())->type = ir::Type::tensor(DType::kI32, {1, ir::kUnknownDim});
  ir::Value* target = function->body.outputs.front();
  Shape shape = target->type.shape();
  shape[1] = ir::kUnknownDim;
  target->type = ir::Type::tensor(target->type.dtype(), shape);
  return function;
}

FunctionPtr teacher_of(const Function& source, const passes::Numerics& numerics,
                       const passes::Supervision& supervision) {
  Preparation context = {supervision.catalog, numerics};
  return passes::run<Preparation>(kTeacher, source, context, supervision);
}

FunctionPtr prediction_at(const Recipe& recipe, const Function& function, const Shapes& shapes) {
  Forward context = {recipe, shapes};
  return passes::run<Forward>(kPrediction, function, context, recipe.supervision());
}

FunctionPtr forward_at(const Recipe& recipe, const Function& function, const Shapes& shapes) {
  Forward context = {recipe, shapes};
  return passes::run<Forward>(kForward, function, context, recipe.supervision());
}

FunctionPtr teacher_at(const Recipe& recipe, const Shapes& shapes) {
  return passes::watched(
      passes::kSpecialise, recipe.supervision(),
      [&] { return passes::specialise(*recipe.teacher, *recipe.catalog, {.shapes = shapes}); },
      [](const FunctionPtr& made) { return made.get(); });
}

FunctionPtr compose(const Recipe& recipe, const Function& signature, Kind kind,
                    const Shapes& shapes) {
  if (kind == Kind::kForward) return prediction_at(recipe, signature, shapes);
  FunctionPtr function = forward_at(recipe, signature, shapes);
  Step context = {recipe, kind, Composer(recipe, kind, shapes)};
  passes::rewrite<Step>(kStep, *function, context, recipe.supervision());
  return function;
}

FunctionPtr fitted(const Recipe& recipe, const Function& program, const MemoryLimit& limit,
                   const plan::Platform& platform, const exec::Planner& planner) {
  Fitting context = {limit, platform, planner};
  return passes::run<Fitting>(kFitted, program, context, recipe.supervision());
}

}  // namespace mw::training
