// Tests of attention as one op: which programs it takes, that results and gradients are those of
// the ops it stands for, and that no weights of all queries are held.
#include "ops/rewrites/join_attention.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autodiff/gradient.h"
#include "autodiff/session_testing.h"
#include "ir/text/text.h"
#include "ir/verify.h"
#include "passes/dead_code.h"

namespace mw::autodiff {
namespace {

using ir::Function;
using ir::Value;

constexpr const char* kJoined = "mw.scaled_attention";
constexpr const char* kGradient = "mw.scaled_attention_gradient";

struct Model {
  const char* name;
  const char* arguments;
  const char* body;  // it makes `y`
  const char* outputs = "y";
};

std::unique_ptr<ir::Program> program_of(const Model& model) {
  return ir::text::parse(fmt::format("program(1.3) {{ func main<ios18>({}) {{ {} }} -> ({}); }}",
                                     model.arguments, model.body, model.outputs));
}

TensorMap inputs_of(const Function& function) {
  TensorMap inputs;
  std::mt19937_64 random(3);
  for (const auto& argument : function.body.arguments) {
    inputs[argument->name] = noise(argument->type.shape(), random).to(argument->type.dtype());
  }
  return inputs;
}

// The gradients of sums of the first result, weighted, by all arguments.
void add_gradients(Function& function) {
  auto& outputs = function.body.outputs;
  ir::Builder b(function.body, ops::catalog(), function.opset);
  std::mt19937_64 random(8);
  const Tensor weights = noise(outputs[0]->type.shape(), random).to(outputs[0]->type.dtype());
  Value* seed = b.constant(ir::Constant::tensor(weights), "seed");
  std::vector<Value*> wrt;
  for (const auto& argument : function.body.arguments) wrt.push_back(argument.get());
  const auto found =
      gradients(function, ops::catalog(), ops::gradient_ops(), {{outputs[0], seed}}, wrt);
  b = ir::Builder(function.body, ops::catalog(), function.opset);
  for (Value* gradient : found) outputs.push_back((ops::Expr(b, gradient) * 1.0).value());
  passes::remove_dead_ops(function, ops::catalog());
  ir::verify(function, ops::catalog());
}

void join(Function& function) {
  ops::join_attention(function, ops::catalog());
  passes::remove_dead_ops(function, ops::catalog());
  ir::verify(function, ops::catalog());
}

void expect_close(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    ASSERT_EQ(got[i].shape(), want[i].shape());
    EXPECT_LE(norm(moved(got[i], want[i], -1)), 2e-6 * (norm(want[i]) + 1)) << "result " << i;
  }
}

constexpr const char* kHeads =
    "tensor<fp32, [2, 3, 9, 8]> q, tensor<fp32, [2, 3, 11, 8]> k, tensor<fp32, [2, 3, 11, 5]> v";

const Model kTaken[] = {
    {"scaled", kHeads,
     "tensor<fp32, [2, 3, 9, 11]> s = matmul(x = q, y = k, transpose_y = bool(true));"
     "tensor<fp32, [2, 3, 9, 11]> c = mul(x = s, y = fp32(0.35));"
     "tensor<fp32, [2, 3, 9, 11]> p = softmax(x = c, axis = int32(-1));"
     "tensor<fp32, [2, 3, 9, 5]> y = matmul(x = p, y = v);"},
    {"divided, with a mask that is learned",
     "tensor<fp32, [2, 3, 9, 8]> q, tensor<fp32, [2, 3, 11, 8]> k, tensor<fp32, [2, 3, 11, 5]> v, "
     "tensor<fp32, [3, 9, 11]> m",
     "tensor<fp32, [2, 3, 9, 11]> s = matmul(x = q, y = k, transpose_y = bool(true));"
     "tensor<fp32, [2, 3, 9, 11]> c = real_div(x = s, y = fp32(2.8));"
     "tensor<fp32, [2, 3, 9, 11]> a = add(x = m, y = c);"
     "tensor<fp32, [2, 3, 9, 11]> p = softmax(x = a, axis = int32(3));"
     "tensor<fp32, [2, 3, 9, 5]> y = matmul(x = p, y = v);"},
    {"keys turned first",
     "tensor<fp32, [2, 9, 24]> q, tensor<fp32, [2, 11, 3, 8]> k, tensor<fp32, [2, 11, 3, 5]> v",
     "tensor<fp32, [2, 9, 3, 8]> qr = reshape(x = q, shape = tensor<int32, [4]>([2, 9, 3, 8]));"
     "tensor<fp32, [2, 3, 9, 8]> qt = transpose(x = qr, perm = tensor<int32, [4]>([0, 2, 1, 3]));"
     "tensor<fp32, [2, 3, 8, 11]> kt = transpose(x = k, perm = tensor<int32, [4]>([0, 2, -1, 1]));"
     "tensor<fp32, [2, 3, 11, 5]> vt = transpose(x = v, perm = tensor<int32, [4]>([0, 2, 1, 3]));"
     "tensor<fp32, [2, 3, 9, 11]> s = matmul(x = qt, y = kt);"
     "tensor<fp32, [2, 3, 9, 11]> p = softmax(x = s, axis = int32(-1));"
     "tensor<fp32, [2, 3, 9, 5]> o = matmul(x = p, y = vt);"
     "tensor<fp32, [2, 9, 3, 5]> y = transpose(x = o, perm = tensor<int32, [4]>([0, 2, 1, 3]));"},
    {"keys by depth", "tensor<fp32, [9, 8]> q, tensor<fp32, [8, 11]> k, tensor<fp32, [11, 5]> v",
     "tensor<fp32, [9, 11]> s = matmul(x = q, y = k);"
     "tensor<fp32, [9, 11]> p = softmax(x = s, axis = int32(-1));"
     "tensor<fp32, [9, 5]> y = matmul(x = p, y = v);"},
    {"the op of MIL", kHeads,
     "tensor<fp32, [2, 3, 9, 5]> y = scaled_dot_product_attention(query = q, key = k, value = v);"},
    {"queries that share keys",
     "tensor<fp32, [2, 4, 9, 8]> q, tensor<fp32, [2, 2, 9, 8]> k, tensor<fp32, [2, 2, 9, 8]> v",
     "tensor<fp32, [2, 2, 1, 9, 8]> k1 = expand_dims(x = k, axes = tensor<int32, [1]>([2]));"
     "tensor<fp32, [2, 2, 2, 9, 8]> k2 = tile(x = k1, reps = tensor<int32, [5]>([1, 1, 2, 1, 1]));"
     "tensor<fp32, [2, 4, 9, 8]> k3 = reshape(x = k2, shape = tensor<int32, [4]>([2, 4, 9, 8]));"
     "tensor<fp32, [2, 2, 1, 9, 8]> v1 = expand_dims(x = v, axes = tensor<int32, [1]>([2]));"
     "tensor<fp32, [2, 2, 2, 9, 8]> v2 = tile(x = v1, reps = tensor<int32, [5]>([1, 1, 2, 1, 1]));"
     "tensor<fp32, [2, 4, 9, 8]> v3 = reshape(x = v2, shape = tensor<int32, [4]>([2, 4, 9, 8]));"
     "tensor<fp32, [2, 4, 9, 9]> s = matmul(x = q, y = k3, transpose_y = bool(true));"
     "tensor<fp32, [2, 4, 9, 9]> p = softmax(x = s, axis = int32(-1));"
     "tensor<fp32, [2, 4, 9, 8]> y = matmul(x = p, y = v3);"},
    {"one key for all heads",
     "tensor<fp32, [2, 3, 9, 8]> q, tensor<fp32, [2, 1, 11, 8]> k, tensor<fp32, [1, 1, 11, 5]> v",
     "tensor<fp32, [2, 3, 9, 11]> s = matmul(x = q, y = k, transpose_y = bool(true));"
     "tensor<fp32, [2, 3, 9, 11]> p = softmax(x = s, axis = int32(-1));"
     "tensor<fp32, [2, 3, 9, 5]> y = matmul(x = p, y = v);"},
    {"softmax by its parts", kHeads,
     "tensor<fp32, [2, 3, 9, 11]> s = matmul(x = q, y = k, transpose_y = bool(true));"
     "tensor<fp32, [2, 3, 9, 1]> t = reduce_max(x = s, axes = tensor<int32, [1]>([-1]), "
     "keep_dims = bool(true));"
     "tensor<fp32, [2, 3, 9, 11]> d = sub(x = s, y = t);"
     "tensor<fp32, [2, 3, 9, 11]> e = exp(x = d);"
     "tensor<fp32, [2, 3, 9, 1]> z = reduce_sum(x = e, axes = tensor<int32, [1]>([-1]), "
     "keep_dims = bool(true));"
     "tensor<fp32, [2, 3, 9, 11]> p = real_div(x = e, y = z);"
     "tensor<fp32, [2, 3, 9, 5]> y = matmul(x = p, y = v);"},
    {"weights that are read by what nobody reads", kHeads,
     "tensor<fp32, [2, 3, 9, 11]> s = matmul(x = q, y = k, transpose_y = bool(true));"
     "tensor<fp32, [2, 3, 9, 11]> p = softmax(x = s, axis = int32(-1));"
     "tensor<fp32, [2, 3, 9, 11]> l = log(x = p);"
     "tensor<fp32, [2, 3, 9, 5]> y = matmul(x = p, y = v);"},
};

TEST(join_attention, gives_the_results_and_gradients_of_the_ops) {
  for (const Model& model : kTaken) {
    SCOPED_TRACE(model.name);
    const auto program = program_of(model);
    const TensorMap inputs = inputs_of(*program->functions[0]);
    const auto apart = ir::clone(*program->functions[0]).function;
    const auto joined = ir::clone(*program->functions[0]).function;
    add_gradients(*apart);
    join(*joined);
    EXPECT_EQ(count_of_ops(*joined, kJoined), 1);
    EXPECT_EQ(joined->body.outputs[0]->name, "y");
    add_gradients(*joined);
    EXPECT_EQ(count_of_ops(*joined, kGradient), 1);
    const std::vector<Tensor> want = run(*apart, inputs, true).results;
    expect_close(run(*joined, inputs, true).results, want);
    expect_close(run(*joined, inputs, false).results, want);
  }
}

TEST(join_attention, of_turned_keys_reads_what_was_turned) {
  for (const Model& model : kTaken) {
    if (std::string_view(model.name) != "keys turned first") continue;
    const auto program = program_of(model);
    join(*program->functions[0]);
    // Of queries, keys, values and the result; none is turned twice.
    EXPECT_EQ(count_of_ops(*program->functions[0], "transpose"), 4);
  }
}

const Model kLeft[] = {
    {"returned weights", kHeads,
     "tensor<fp32, [2, 3, 9, 11]> s = matmul(x = q, y = k, transpose_y = bool(true));"
     "tensor<fp32, [2, 3, 9, 11]> p = softmax(x = s, axis = int32(-1));"
     "tensor<fp32, [2, 3, 9, 5]> y = matmul(x = p, y = v);",
     "y, p"},
    {"scores of which more is made", kHeads,
     "tensor<fp32, [2, 3, 9, 11]> s = matmul(x = q, y = k, transpose_y = bool(true));"
     "tensor<fp32, [2, 3, 9, 11]> p = softmax(x = s, axis = int32(-1));"
     "tensor<fp32, [2, 3, 9, 11]> e = exp(x = s);"
     "tensor<fp32, [2, 3, 9, 5]> y = matmul(x = p, y = v);",
     "y, e"},
    {"softmax over the queries", kHeads,
     "tensor<fp32, [2, 3, 9, 11]> s = matmul(x = q, y = k, transpose_y = bool(true));"
     "tensor<fp32, [2, 3, 9, 11]> p = softmax(x = s, axis = int32(2));"
     "tensor<fp32, [2, 3, 9, 5]> y = matmul(x = p, y = v);"},
    {"values of another rank",
     "tensor<fp32, [2, 9, 8]> q, tensor<fp32, [2, 11, 8]> k, tensor<fp32, [11, 5]> v",
     "tensor<fp32, [2, 9, 11]> s = matmul(x = q, y = k, transpose_y = bool(true));"
     "tensor<fp32, [2, 9, 11]> p = softmax(x = s, axis = int32(-1));"
     "tensor<fp32, [2, 9, 5]> y = matmul(x = p, y = v);"},
    {"heads that the values bring",
     "tensor<fp32, [1, 9, 8]> q, tensor<fp32, [1, 11, 8]> k, tensor<fp32, [2, 11, 5]> v",
     "tensor<fp32, [1, 9, 11]> s = matmul(x = q, y = k, transpose_y = bool(true));"
     "tensor<fp32, [1, 9, 11]> p = softmax(x = s, axis = int32(-1));"
     "tensor<fp32, [2, 9, 5]> y = matmul(x = p, y = v);"},
    {"a scale that adds an axis",
     "tensor<fp32, [9, 8]> q, tensor<fp32, [11, 8]> k, tensor<fp32, [11, 5]> v",
     "tensor<fp32, [9, 11]> s = matmul(x = q, y = k, transpose_y = bool(true));"
     "tensor<fp32, [1, 9, 11]> c = mul(x = s, y = tensor<fp32, [1, 1, 1]>([[[0.35]]]));"
     "tensor<fp32, [1, 9, 11]> p = softmax(x = c, axis = int32(-1));"
     "tensor<fp32, [1, 9, 5]> y = matmul(x = p, y = v);"},
    {"a product alone", "tensor<fp32, [2, 9, 8]> q, tensor<fp32, [2, 8, 5]> k",
     "tensor<fp32, [2, 9, 5]> y = matmul(x = q, y = k);"},
};

TEST(join_attention, leaves_other_programs_as_they_are) {
  for (const Model& model : kLeft) {
    SCOPED_TRACE(model.name);
    const auto program = program_of(model);
    const std::string before = ir::text::print(*program->functions[0]);
    ops::join_attention(*program->functions[0], ops::catalog());
    EXPECT_EQ(ir::text::print(*program->functions[0]), before);
  }
}

// Attention among `time` places behind a causal mask.
std::unique_ptr<ir::Program> causal(int64_t time) {
  auto program = std::make_unique<ir::Program>();
  Function& function = *program->add_function("main", ir::Opset::kIos18);
  ir::Builder b(function.body, ops::catalog(), function.opset);
  Value* given[3];
  for (int i = 0; i < 3; ++i) {
    given[i] = function.body.add_argument(std::string(1, "qkv"[i]),
                                          ir::Type::tensor(DType::kF32, {1, 4, time, 16}));
  }
  Tensor mask(DType::kF32, {time, time});
  for (int64_t i = 0; i < mask.count(); ++i) mask.set_number(i, i % time > i / time ? -1e4 : 0);
  const ops::Expr q(b, given[0]), k(b, given[1]), v(b, given[2]);
  const ops::Expr scores = ops::matmul(q, k, false, true) * 0.25 +
                           ops::Expr(b, b.constant(ir::Constant::tensor(mask), "mask"));
  Value* y = ops::matmul(scores.op("softmax", {{"axis", -1}}), v).value();
  y->name = "y";
  function.body.outputs = {y};
  return program;
}

TEST(join_attention, takes_memory_by_places_and_not_by_pairs_of_them) {
  const auto arena_at = [](int64_t time, bool joins) {
    const auto program = causal(time);
    Function& function = *program->functions[0];
    if (joins) join(function);
    add_gradients(function);
    return run(function, inputs_of(function), false, 1).arena;
  };
  constexpr uint64_t kPairs = uint64_t{4} * 512 * 512 * sizeof(float);
  EXPECT_GE(arena_at(512, false), kPairs);
  EXPECT_LE(arena_at(512, true), kPairs / 2);
  EXPECT_LE(arena_at(512, true), 3 * arena_at(256, true));
}

TEST(join_attention, gives_the_same_bits_for_any_number_of_threads) {
  const auto program = causal(150);
  Function& function = *program->functions[0];
  join(function);
  add_gradients(function);
  const TensorMap inputs = inputs_of(function);
  const std::vector<Tensor> want = run(function, inputs, false, 1).results;
  for (const int threads : {1, 2, 3}) {
    const std::vector<Tensor> got = run(function, inputs, false, threads).results;
    for (size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(bit_equal(got[i], want[i])) << i;
  }
}

}  // namespace
}  // namespace mw::autodiff
