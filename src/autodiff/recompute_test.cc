// Tests of recomputation: the same bits in less memory, no more work than it takes, and what must
// not be computed twice.
#include "autodiff/recompute.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <unordered_map>

#include "autodiff/activity.h"
#include "autodiff/gradient.h"
#include "devices/devices.h"
#include "exec/naive.h"
#include "exec/session.h"
#include "ops/catalog.h"
#include "ops/expr.h"
#include "passes/dead_code.h"

namespace mw::autodiff {
namespace {

using ir::Value;
using ops::Expr;

// A program of training: the loss and the gradients by the weights.
struct Program {
  ir::Function function;
  ir::Builder b;
  TensorMap inputs;
  std::vector<Value*> weights;
  std::mt19937 random{7};

  Program() : b(function.body, ops::catalog(), ir::Opset::kIos18) {
    function.name = "main";
    function.opset = ir::Opset::kIos18;
  }
  Expr input(const std::string& name, const Shape& shape) {
    Tensor tensor(DType::kF32, shape);
    std::uniform_real_distribution<double> number(-1, 1);
    for (int64_t i = 0; i < tensor.count(); ++i) tensor.set_number(i, number(random));
    inputs[name] = std::move(tensor);
    return {b, function.body.add_argument(name, ir::Type::tensor(DType::kF32, shape))};
  }
  Expr weight(const std::string& name, const Shape& shape) {
    const Expr w = input(name, shape);
    weights.push_back(w);
    return w;
  }
  void finish(const Expr& y) {
    std::vector<int64_t> axes;
    for (int64_t i = 0; i < y.value()->type.rank(); ++i) axes.push_back(i);
    Value* loss = ops::reduce_sum(ops::square(y), axes, false);
    loss->name = "loss";
    function.body.outputs = {loss};
    const auto found =
        gradients(function, ops::catalog(), ops::gradient_ops(), {{loss, nullptr}}, weights);
    b = ir::Builder(function.body, ops::catalog(), function.opset);  // beside their names
    for (Value* gradient : found) {
      function.body.outputs.push_back((Expr(b, gradient) * 1.0).value());
    }
    passes::remove_dead_ops(function, ops::catalog());
  }
  [[nodiscard]] std::vector<const Value*> ends() const { return {function.body.outputs[0]}; }
};

// Bytes alive at the worst moment when ops run one by one and nothing is shared.
int64_t peak_of(const ir::Function& function) {
  std::unordered_map<const Value*, size_t> last;
  size_t at = 0;
  for (const auto& op : function.body.ops) {
    for (const Value* value : values_read_by(*op)) last[value] = at;
    ++at;
  }
  for (const Value* output : function.body.outputs) last[output] = at;
  std::vector<int64_t> freed(at + 1, 0);
  int64_t alive = 0, peak = 0;
  at = 0;
  for (const auto& op : function.body.ops) {
    for (const auto& output : op->outputs) {
      if (op->is_const() || !output->type.is_tensor()) continue;
      const int64_t bytes = bytes_of(output->type.dtype(), count_of(output->type.shape()));
      alive += bytes;
      freed[std::max(at, last.contains(output.get()) ? last.at(output.get()) : at)] += bytes;
    }
    peak = std::max(peak, alive);
    alive -= freed[at++];
  }
  return peak;
}

double work_of(const ir::Operation& op) {
  int64_t elements = 0;
  for (const auto& output : op.outputs) elements += count_of(output->type.shape());
  return static_cast<double>(op.type == "matmul" ? 100 * elements : elements);
}

RecomputeHints hints() {
  return {work_of, [](const ir::Operation&) { return nullptr; },
          [](const ir::Operation&) { return false; }};
}

Recomputed within(const Program& p, int64_t budget) {
  return recompute(p.function, ops::catalog(), p.ends(), hints(), budget, peak_of);
}

TensorMap run(const ir::Function& function, const TensorMap& inputs,
              const exec::StateCells& states = {}) {
  TensorMap results;
  for (auto& [name, datum] : exec::run_naive(function, ops::catalog(), inputs, states)) {
    results[name] = datum.tensor;
  }
  return results;
}

void expect_same_bits(const TensorMap& got, const TensorMap& want) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, tensor] : want) {
    const Tensor& other = got.at(name);
    ASSERT_EQ(other.shape(), tensor.shape()) << name;
    EXPECT_EQ(std::memcmp(other.raw(), tensor.raw(), static_cast<size_t>(tensor.nbytes())), 0)
        << name;
  }
}

size_t count_ops(const ir::Function& function, const std::string& type) {
  return static_cast<size_t>(std::count_if(function.body.ops.begin(), function.body.ops.end(),
                                           [&](const auto& op) { return op->type == type; }));
}

void build_chain(Program& p, int layers) {
  Expr x = p.input("x", {16, 8});
  for (int i = 0; i < layers; ++i) {
    x = tanh(ops::matmul(x, p.weight("w" + std::to_string(i), {8, 8})));
    x = x + ops::square(x);
  }
  p.finish(x);
}

// Queries, keys, values and their product, four times, with a residual stream.
void build_attention(Program& p, int64_t time) {
  constexpr int64_t kHeads = 2, kDepth = 4, kWidth = kHeads * kDepth;
  Expr x = p.input("x", {time, kWidth});
  for (int layer = 0; layer < 4; ++layer) {
    const auto heads = [&](const std::string& name) {
      const Expr w = p.weight(name + std::to_string(layer), {kWidth, kWidth});
      return ops::transpose(ops::reshape(ops::matmul(x, w), {time, kHeads, kDepth}), {1, 0, 2});
    };
    const Expr q = heads("q"), k = heads("k"), v = heads("v");
    const Expr scores = ops::matmul(q, k, false, true) * 0.5;
    const Expr mixed = ops::matmul(scores.op("softmax", {{"axis", -1}}), v);
    const Expr rows = ops::reshape(ops::transpose(mixed, {1, 0, 2}), {time, kWidth});
    x = x + ops::matmul(rows, p.weight("o" + std::to_string(layer), {kWidth, kWidth}));
  }
  p.finish(x);
}

TEST(Recompute, a_chain_gives_the_same_bits_in_less_memory) {
  Program p;
  build_chain(p, 6);
  const int64_t whole = peak_of(p.function);
  for (const double part : {0.9, 0.75, 0.6}) {
    const auto budget = static_cast<int64_t>(part * static_cast<double>(whole));
    const Recomputed r = within(p, budget);
    ASSERT_NE(r.function, nullptr) << part << " of " << whole << ": at least " << r.need;
    EXPECT_LE(peak_of(*r.function), budget);
    EXPECT_EQ(r.need, peak_of(*r.function));
    EXPECT_GT(r.work, 0);
    expect_same_bits(run(*r.function, p.inputs), run(p.function, p.inputs));
  }
}

TEST(Recompute, attention_gives_the_same_bits_in_less_memory) {
  Program p;
  build_attention(p, 32);
  const int64_t whole = peak_of(p.function);
  const Recomputed r = within(p, whole * 6 / 10);
  ASSERT_NE(r.function, nullptr) << whole << ": at least " << r.need;
  EXPECT_LE(peak_of(*r.function), whole * 6 / 10);
  EXPECT_GE(count_ops(*r.function, "softmax"), count_ops(p.function, "softmax") + 2);
  expect_same_bits(run(*r.function, p.inputs), run(p.function, p.inputs));
}

TEST(Recompute, more_memory_never_costs_more_work) {
  Program p;
  build_attention(p, 32);
  const auto whole = static_cast<double>(peak_of(p.function));
  double work = 0;
  for (const double part : {0.95, 0.85, 0.75, 0.65, 0.6}) {
    const Recomputed r = within(p, static_cast<int64_t>(part * whole));
    ASSERT_NE(r.function, nullptr) << part;
    EXPECT_GE(r.work, work) << part;
    work = r.work;
  }
}

// Against all choices there are.
TEST(Recompute, does_no_more_work_than_it_takes) {
  Program p;
  build_chain(p, 3);
  const StepGraph graph(p.function, ops::catalog(), p.ends(), hints());
  const auto& candidates = graph.candidates();
  ASSERT_GE(candidates.size(), 6U);
  ASSERT_LE(candidates.size(), 14U);
  std::vector<StepGraph::Cost> costs;
  for (uint32_t bits = 0; bits < (1U << candidates.size()); ++bits) {
    Choice choice = graph.nothing();
    for (size_t i = 0; i < candidates.size(); ++i) choice[candidates[i]] = (bits >> i & 1U) != 0;
    costs.push_back(graph.cost(choice));
  }
  const int64_t whole = costs[0].peak;
  const auto need = [&](const ir::Function& f) {
    const Value* loss = f.body.outputs[0];
    const StepGraph changed(f, ops::catalog(), {loss}, hints());
    return changed.cost(changed.nothing()).peak;
  };
  int feasible = 0;
  for (const int64_t percent : {95, 90, 85, 80, 75, 70, 65}) {
    const int64_t budget = whole * percent / 100;
    double least = INFINITY;
    for (const auto& cost : costs) {
      if (cost.peak <= budget) least = std::min(least, cost.work);
    }
    const Recomputed r = recompute(p.function, ops::catalog(), p.ends(), hints(), budget, need);
    ASSERT_EQ(r.function != nullptr, least < INFINITY) << percent;
    if (r.function == nullptr) continue;
    ++feasible;
    EXPECT_LE(r.work, least) << percent;
  }
  EXPECT_GE(feasible, 4);
}

TEST(Recompute, says_what_it_needs_at_least_when_nothing_fits) {
  Program p;
  build_chain(p, 4);
  const Recomputed r = within(p, 100);
  EXPECT_EQ(r.function, nullptr);
  EXPECT_GT(r.need, 100);
  EXPECT_LT(r.need, peak_of(p.function));
  EXPECT_NE(within(p, r.need).function, nullptr);
}

void build_dropout(Program& p, int64_t seed) {
  Expr x = p.input("x", {16, 8});
  for (int i = 0; i < 4; ++i) {
    const Expr mask(p.b, p.b.op("random_bernoulli", {{"shape", std::vector<int64_t>{16, 8}},
                                                     {"prob", 0.5},
                                                     {"seed", seed < 0 ? seed : seed + i}}));
    x = tanh(ops::matmul(x, p.weight("w" + std::to_string(i), {8, 8}))) * mask;
  }
  p.finish(x);
}

TEST(Recompute, draws_random_numbers_again_only_from_a_known_seed) {
  Program seeded, unseeded;
  build_dropout(seeded, 5);
  build_dropout(unseeded, -1);
  const Recomputed known = within(seeded, within(seeded, 1).need);
  ASSERT_NE(known.function, nullptr);
  EXPECT_GT(count_ops(*known.function, "random_bernoulli"), 4U);
  expect_same_bits(run(*known.function, seeded.inputs), run(seeded.function, seeded.inputs));
  const Recomputed unknown = within(unseeded, within(unseeded, 1).need);
  ASSERT_NE(unknown.function, nullptr);
  EXPECT_EQ(count_ops(*unknown.function, "random_bernoulli"), 4U);
  EXPECT_GT(unknown.work, 0);
}

TEST(Recompute, leaves_states_to_their_order) {
  Program p;
  Value* state =
      p.function.body.add_argument("s", ir::Type::state(ir::Type::tensor(DType::kF32, {8, 8})));
  const Expr w = ops::read_parameter(p.b, state, "w");
  p.weights.push_back(w);
  Expr x = p.input("x", {16, 8});
  for (int i = 0; i < 5; ++i) x = tanh(ops::matmul(x, w)) + x;
  p.finish(x);
  Value* gradient = p.function.body.outputs[1];
  ops::write_parameter(w - Expr(p.b, gradient) * 0.1, state);
  const auto trained = [&](const ir::Function& function) {
    auto cell = std::make_shared<ir::StateCell>();
    cell->value = Tensor(DType::kF32, {8, 8});
    for (int64_t i = 0; i < 64; ++i) cell->value.set_number(i, 0.01 * static_cast<double>(i % 11));
    TensorMap results;
    for (int step = 0; step < 3; ++step) results = run(function, p.inputs, {{"s", cell}});
    results["state"] = cell->value;
    return results;
  };
  const Recomputed r = within(p, within(p, 1).need);
  ASSERT_NE(r.function, nullptr);
  EXPECT_EQ(count_ops(*r.function, "mw.read_state"), count_ops(p.function, "mw.read_state"));
  EXPECT_EQ(count_ops(*r.function, "mw.write_state"), count_ops(p.function, "mw.write_state"));
  EXPECT_GT(count_ops(*r.function, "tanh"), 5U);
  expect_same_bits(trained(*r.function), trained(p.function));
}

// The backward pass of a condition reads values of the forward pass inside its blocks.
TEST(Recompute, reaches_into_nested_blocks) {
  Program p;
  Value* flag = p.function.body.add_argument("flag", ir::Type::scalar(DType::kBool));
  p.inputs["flag"] = Tensor::scalar(true);
  Expr x = p.input("x", {16, 8});
  for (int i = 0; i < 4; ++i) {
    x = tanh(ops::matmul(x, p.weight("w" + std::to_string(i), {8, 8})));
    ir::Operation* choice = p.b.open("cond", {{"pred", flag}});
    ir::Block* squared = choice->add_block();
    ir::Builder inside(*squared, ops::catalog(), ir::Opset::kIos18);
    squared->outputs = {(ops::square(Expr(inside, x)) * Expr(inside, x)).value()};
    choice->add_block()->outputs = {x};
    x = Expr(p.b, p.b.close(choice)[0]);
  }
  p.finish(x);
  const Recomputed r = within(p, within(p, 1).need);
  ASSERT_NE(r.function, nullptr);
  EXPECT_GT(count_ops(*r.function, "tanh"), 4U);
  EXPECT_EQ(count_ops(*r.function, "cond"), count_ops(p.function, "cond"));
  for (const bool chosen : {true, false}) {
    p.inputs["flag"] = Tensor::scalar(chosen);
    expect_same_bits(run(*r.function, p.inputs), run(p.function, p.inputs));
  }
}

void build_perceptrons(Program& p) {
  Expr x = p.input("x", {64, 32});
  for (int i = 0; i < 4; ++i) {
    const std::string name = std::to_string(i);
    Tensor frozen(DType::kF32, {96, 32});
    for (int64_t k = 0; k < frozen.count(); ++k) {
      frozen.set_number(k, 0.3 * std::sin(static_cast<double>(k + i)));
    }
    Value* weight = p.b.constant(ir::Constant::tensor(std::move(frozen)), "frozen" + name);
    const Expr h = x.op("linear", {{"weight", weight}}).op("gelu");
    x = x + h.op("linear", {{"weight", p.weight("v" + name, {32, 96}).value()}});
    x = x + x.op("softmax", {{"axis", -1}});
  }
  p.finish(x);
}

// What a plan makes one kernel of when nothing else uses what lies between, it must not make one of
// because that is computed again for its other users.
TEST(Recompute, a_plan_gives_the_same_bits_in_a_smaller_arena) {
  Program attention, perceptrons;
  build_attention(attention, 32);
  build_perceptrons(perceptrons);
  const auto outputs_of = [](const Program& p, const ir::Function& function, uint64_t& arena) {
    const exec::Session session(function, [&](const auto&) { return ir::clone(function).function; },
                                devices::platform("cpu"), {.poison = true});
    TensorMap outputs;
    for (auto& [name, datum] : session.run(p.inputs).outputs) outputs[name] = datum.tensor;
    arena = session.arena_bytes();
    return outputs;
  };
  for (const Program* p : {&attention, &perceptrons}) {
    uint64_t whole = 0, less = 0;
    const TensorMap want = outputs_of(*p, p->function, whole);
    const Recomputed r = within(*p, within(*p, 1).need);
    ASSERT_NE(r.function, nullptr);
    expect_same_bits(outputs_of(*p, *r.function, less), want);
    EXPECT_LT(less, whole);
  }
}

}  // namespace
}  // namespace mw::autodiff
