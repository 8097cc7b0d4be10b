// Tests of cross entropy and the product before it as one op: which programs it takes, and that
// losses and gradients are those of the two.
#include "ops/rewrites/head_loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "autodiff/gradient.h"
#include "autodiff/session_testing.h"
#include "base/error.h"
#include "ir/text/text.h"
#include "ir/verify.h"
#include "passes/dead_code.h"

namespace mw::autodiff {
namespace {

using ir::Function;
using ir::Value;

constexpr int64_t kAtOnce = 64;  // logits: small programs have chunks, too
constexpr const char* kJoined = "mw.linear_cross_entropy";

struct Model {
  const char* name;
  const char* arguments;
  const char* body;  // it makes `y`
  const char* labels = "tensor<int32, [2, 50]> labels";
  const char* settings = "";
  const char* outputs = "sum, count";
};

std::unique_ptr<ir::Program> program_of(const Model& model) {
  return ir::text::parse(
      fmt::format("program(1.3) {{ func main<ios18>({}, {}) {{ {}\n"
                  "fp32 sum, fp32 count = mw.cross_entropy(logits = y, labels = labels{}); }} -> "
                  "({}); }}",
                  model.arguments, model.labels, model.body, model.settings, model.outputs));
}

// Numbers between -1.25 and 1.25, labels and indices below 11; every fifth label does not count.
TensorMap inputs_of(const Function& function) {
  TensorMap inputs;
  std::mt19937_64 random(3);
  for (const auto& argument : function.body.arguments) {
    Tensor tensor(argument->type.dtype(), argument->type.shape());
    if (is_float(tensor.dtype())) {
      tensor = noise(tensor.shape(), random).to(tensor.dtype());
    } else {
      for (int64_t i = 0; i < tensor.count(); ++i) {
        const bool ignored = argument->name == "labels" && i % 5 == 3;
        tensor.set_integer(i, ignored ? -100 : static_cast<int64_t>(random() % 11));
      }
    }
    inputs[argument->name] = tensor;
  }
  return inputs;
}

std::vector<Value*> floats_of(const Function& function) {
  std::vector<Value*> floats;
  for (const auto& argument : function.body.arguments) {
    if (is_float(argument->type.dtype())) floats.push_back(argument.get());
  }
  return floats;
}

// The loss, the count, and the gradients of a multiple of the loss by all arguments of floats.
void add_gradients(Function& function) {
  auto& outputs = function.body.outputs;
  ir::Builder b(function.body, ops::catalog(), function.opset);
  Value* loss = ops::Expr(b, outputs[0]) * 0.37;
  const auto found = gradients(function, ops::catalog(), ops::gradient_ops(), {{loss, nullptr}},
                               floats_of(function));
  b = ir::Builder(function.body, ops::catalog(), function.opset);
  for (Value* gradient : found) outputs.push_back((ops::Expr(b, gradient) * 1.0).value());
  passes::remove_dead_ops(function, ops::catalog());
  ir::verify(function, ops::catalog());
}

void join(Function& function, bool with_gradients, int64_t at_once = kAtOnce) {
  std::vector<const Value*> wrt;
  if (with_gradients) {
    for (const Value* value : floats_of(function)) wrt.push_back(value);
  }
  ops::join_head_and_loss(function, ops::catalog(), wrt, at_once);
  passes::remove_dead_ops(function, ops::catalog());
  ir::verify(function, ops::catalog());
}

void expect_close(const std::vector<Tensor>& got, const std::vector<Tensor>& want) {
  ASSERT_EQ(got.size(), want.size());
  EXPECT_NEAR(got[0].number_at(0), want[0].number_at(0), 1e-6 * want[0].number_at(0));
  EXPECT_EQ(got[1].number_at(0), want[1].number_at(0));
  for (size_t i = 2; i < want.size(); ++i) {
    ASSERT_EQ(got[i].shape(), want[i].shape());
    const Tensor difference = moved(got[i], want[i], -1);
    EXPECT_LE(norm(difference), 1e-5 * norm(want[i])) << "gradient " << i - 2;
  }
}

constexpr const char* kHead = "tensor<fp32, [2, 50, 3]> h, tensor<fp32, [11, 3]> w";

const Model kTaken[] = {
    {"linear", kHead, "tensor<fp32, [2, 50, 11]> y = linear(x = h, weight = w);"},
    {"linear, smoothed", kHead, "tensor<fp32, [2, 50, 11]> y = linear(x = h, weight = w);",
     "tensor<int32, [2, 50]> labels", ", label_smoothing = fp32(0.1)"},
    {"linear, another label ignored", kHead,
     "tensor<fp32, [2, 50, 11]> y = linear(x = h, weight = w);", "tensor<int32, [2, 50]> labels",
     ", ignore_index = int32(-100)"},
    {"linear with a bias",
     "tensor<fp32, [2, 50, 3]> h, tensor<fp32, [11, 3]> w, tensor<fp32, [11]> b",
     "tensor<fp32, [2, 50, 11]> y = linear(x = h, weight = w, bias = b);"},
    {"matmul", "tensor<fp32, [2, 50, 3]> h, tensor<fp32, [3, 11]> w",
     "tensor<fp32, [2, 50, 11]> y = matmul(x = h, y = w);"},
    {"matmul, transposed", kHead,
     "tensor<fp32, [2, 50, 11]> y = matmul(x = h, y = w, transpose_y = bool(true));"},
    {"convolution",
     "tensor<fp32, [2, 3, 1, 50]> h, tensor<fp32, [11, 3, 1, 1]> w, tensor<fp32, [11]> b",
     "tensor<fp32, [2, 11, 1, 50]> c = conv(x = h, weight = w, bias = b);"
     "tensor<fp32, [2, 11, 50]> s = squeeze(x = c, axes = tensor<int32, [1]>([2]));"
     "tensor<fp32, [2, 50, 11]> y = transpose(x = s, perm = tensor<int32, [3]>([0, 2, 1]));"},
    {"moved", kHead,
     "tensor<fp32, [2, 50, 11]> l = linear(x = h, weight = w);"
     "tensor<fp32, [5, 20, 11]> r = reshape(x = l, shape = tensor<int32, [3]>([5, 20, 11]));"
     "tensor<fp32, [20, 5, 11]> y = transpose(x = r, perm = tensor<int32, [3]>([1, 0, 2]));",
     "tensor<int32, [20, 5]> labels"},
    {"tied", "tensor<int32, [2, 50]> ids, tensor<fp32, [11, 3]> w",
     "tensor<fp32, [2, 50, 3]> e = gather(x = w, indices = ids, axis = int32(0));"
     "tensor<fp32, [2, 50, 3]> h = tanh(x = e);"
     "tensor<fp32, [2, 50, 11]> y = linear(x = h, weight = w);"},
    {"read by what nobody reads", kHead,
     "tensor<fp32, [2, 50, 11]> y = linear(x = h, weight = w);"
     "tensor<fp32, [2, 50, 11]> p = softmax(x = y, axis = int32(-1));"},
};

TEST(head_loss, gives_the_losses_and_gradients_of_the_two_ops) {
  for (const Model& model : kTaken) {
    SCOPED_TRACE(model.name);
    const auto program = program_of(model);
    const Function& source = *program->functions[0];
    const TensorMap inputs = inputs_of(source);
    const auto two = ir::clone(source).function, one = ir::clone(source).function;
    add_gradients(*two);
    join(*one, true);
    EXPECT_EQ(count_of_ops(*one, kJoined), 1);
    add_gradients(*one);
    EXPECT_EQ(count_of_ops(*one, kJoined), 1);
    const std::vector<Tensor> want = run(*two, inputs, true).results;
    expect_close(run(*one, inputs, true).results, want);
    expect_close(run(*one, inputs, false).results, want);
    expect_close(run(*one, inputs, false).results, run(*two, inputs, false).results);

    const auto loss = ir::clone(source).function;
    join(*loss, false);
    ASSERT_EQ(count_of_ops(*loss, kJoined), 1);
    EXPECT_EQ(loss->body.outputs[0]->name, "sum");
    EXPECT_EQ(loss->body.outputs[1]->name, "count");
    expect_close(run(*loss, inputs, false).results, {want[0], want[1]});
    add_gradients(*loss);  // of an op that gives none of its own
    expect_close(run(*loss, inputs, false).results, want);
  }
}

const Model kLeft[] = {
    {"returned logits", kHead, "tensor<fp32, [2, 50, 11]> y = linear(x = h, weight = w);",
     "tensor<int32, [2, 50]> labels", "", "sum, count, y"},
    {"logits that another result is made of", kHead,
     "tensor<fp32, [2, 50, 11]> y = linear(x = h, weight = w);"
     "tensor<fp32, [2, 50, 11]> p = softmax(x = y, axis = int32(-1));",
     "tensor<int32, [2, 50]> labels", "", "sum, count, p"},
    {"a sum before the loss", kHead,
     "tensor<fp32, [2, 50, 11]> l = linear(x = h, weight = w);"
     "tensor<fp32, [2, 50, 11]> y = add(x = l, y = l);"},
    {"classes cut apart", kHead,
     "tensor<fp32, [2, 50, 11]> l = linear(x = h, weight = w);"
     "tensor<fp32, [11, 100]> y = reshape(x = l, shape = tensor<int32, [2]>([11, 100]));",
     "tensor<int32, [11]> labels"},
    {"another axis at the end", kHead,
     "tensor<fp32, [2, 50, 11]> l = linear(x = h, weight = w);"
     "tensor<fp32, [2, 11, 50]> y = transpose(x = l, perm = tensor<int32, [3]>([0, 2, 1]));",
     "tensor<int32, [2, 11]> labels"},
    {"a convolution that steps", "tensor<fp32, [2, 3, 3]> h, tensor<fp32, [99, 3, 1]> w",
     "tensor<fp32, [2, 99, 3]> c = conv(x = h, weight = w, strides = tensor<int32, [1]>([2]), "
     "pad_type = string(\"custom\"), pad = tensor<int32, [2]>([1, 1]));"
     "tensor<fp32, [2, 3, 99]> y = transpose(x = c, perm = tensor<int32, [3]>([0, 2, 1]));",
     "tensor<int32, [2, 3]> labels"},
    {"a product of two stacks", "tensor<fp32, [2, 50, 3]> h, tensor<fp32, [2, 3, 11]> w",
     "tensor<fp32, [2, 50, 11]> y = matmul(x = h, y = w);"},
    {"few rows", "tensor<fp32, [1, 9, 3]> h, tensor<fp32, [11, 3]> w",
     "tensor<fp32, [1, 9, 11]> y = linear(x = h, weight = w);", "tensor<int32, [1, 9]> labels"},
};

TEST(head_loss, leaves_other_programs_as_they_are) {
  for (const Model& model : kLeft) {
    SCOPED_TRACE(model.name);
    const auto program = program_of(model);
    const std::string before = ir::text::print(*program->functions[0]);
    ops::join_head_and_loss(*program->functions[0], ops::catalog(), {}, kAtOnce);
    EXPECT_EQ(ir::text::print(*program->functions[0]), before);
  }
  const auto program = program_of(kTaken[0]);
  join(*program->functions[0], true, ops::kLogitsAtOnce);
  EXPECT_EQ(count_of_ops(*program->functions[0], kJoined), 0);
}

// A head of a weight that is stored in halves or in floats, [classes, depth] or turned.
std::unique_ptr<ir::Program> frozen(DType stored, bool outputs_first, int64_t classes) {
  auto program = std::make_unique<ir::Program>();
  Function& function = *program->add_function("main", ir::Opset::kIos18);
  constexpr int64_t kInputs = 48;
  Value* h = function.body.add_argument("h", ir::Type::tensor(DType::kF32, {70, kInputs}));
  Value* labels = function.body.add_argument("labels", ir::Type::tensor(DType::kI32, {70}));
  ir::Builder b(function.body, ops::catalog(), function.opset);
  std::mt19937_64 random(5);
  const Shape shape = outputs_first ? Shape{classes, kInputs} : Shape{kInputs, classes};
  const Tensor numbers = noise(shape, random).to(DType::kF16).to(stored);
  Value* w = ops::as({b, b.constant(ir::Constant::tensor(numbers), "w")}, DType::kF32);
  Value* y = b.op("matmul", {{"x", h}, {"y", w}, {"transpose_y", outputs_first}});
  const auto results = b.op_results("mw.cross_entropy", {{"logits", y}, {"labels", labels}});
  results[0]->name = "sum";
  results[1]->name = "count";
  function.body.outputs = {results[0], results[1]};
  return program;
}

TEST(head_loss, reads_a_frozen_weight_as_it_is_stored) {
  constexpr int64_t kSeveralPanels = 90'000;
  for (const bool outputs_first : {true, false}) {
    for (const int64_t classes : {int64_t{1003}, kSeveralPanels}) {
      const auto of = [&](DType stored, bool joined) {
        const auto program = frozen(stored, outputs_first, classes);
        Function& function = *program->functions[0];
        const TensorMap inputs = inputs_of(function);
        if (joined) join(function, true);
        EXPECT_EQ(count_of_ops(function, kJoined), joined ? 1 : 0);
        add_gradients(function);
        return run(function, inputs, false).results;
      };
      const std::vector<Tensor> want = of(DType::kF32, false);
      expect_close(of(DType::kF32, true), want);
      expect_close(of(DType::kF16, true), want);
    }
  }
}

TEST(head_loss, gives_the_same_bits_for_any_number_of_threads) {
  const auto program = program_of(kTaken[3]);
  Function& function = *program->functions[0];
  const TensorMap inputs = inputs_of(function);
  join(function, true);
  add_gradients(function);
  const std::vector<Tensor> want = run(function, inputs, false, 1).results;
  for (const int threads : {1, 2, 3}) {
    const std::vector<Tensor> got = run(function, inputs, false, threads).results;
    for (size_t i = 0; i < want.size(); ++i) EXPECT_TRUE(bit_equal(got[i], want[i])) << i;
  }
}

TEST(head_loss, of_labels_that_do_not_count_is_nothing) {
  const auto program = program_of(kTaken[3]);
  Function& function = *program->functions[0];
  TensorMap inputs = inputs_of(function);
  for (int64_t i = 0; i < 100; ++i) inputs.at("labels").set_integer(i, -100);
  join(function, true);
  add_gradients(function);
  for (const bool naive : {true, false}) {
    for (const Tensor& result : run(function, inputs, naive).results) EXPECT_EQ(norm(result), 0);
  }
}

TEST(head_loss, refuses_a_label_beyond_the_classes) {
  const auto program = program_of(kTaken[0]);
  Function& function = *program->functions[0];
  TensorMap inputs = inputs_of(function);
  inputs.at("labels").set_integer(71, 11);
  join(function, true);
  add_gradients(function);
  for (const bool naive : {true, false}) {
    try {
      (void)run(function, inputs, naive);
      ADD_FAILURE() << "expected an error";
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("labels: expected values in [0, 11) or -100, got 11"),
                std::string::npos)
          << e.what();
    }
  }
}

TEST(head_loss, is_not_finite_where_a_logit_is_not) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const auto program = program_of(kTaken[0]);
  Function& function = *program->functions[0];
  join(function, true);
  add_gradients(function);
  for (const double number : {kInfinity, -kInfinity, std::nan(""), 3e38}) {
    TensorMap inputs = inputs_of(function);
    for (int64_t i = 0; i < 3; ++i) inputs.at("h").set_number(i, number);
    for (const bool naive : {true, false}) {
      const std::vector<Tensor> results = run(function, inputs, naive).results;
      EXPECT_FALSE(std::isfinite(results[0].number_at(0))) << number;
      EXPECT_FALSE(std::isfinite(norm(results[3]))) << number;
    }
  }
}

// Rows and a weight with a loss at the end, in the program's own chunks.
uint64_t arena_of(int64_t classes, bool joined, bool with_gradients) {
  const std::string arguments =
      fmt::format("tensor<fp32, [600, 2]> h, tensor<fp32, [{}, 2]> w", classes);
  const std::string body =
      fmt::format("tensor<fp32, [600, {}]> y = linear(x = h, weight = w);", classes);
  const Model model = {"", arguments.c_str(), body.c_str(), "tensor<int32, [600]> labels"};
  const auto program = program_of(model);
  Function& function = *program->functions[0];
  if (joined) join(function, with_gradients, ops::kLogitsAtOnce);
  EXPECT_EQ(count_of_ops(function, kJoined), joined ? 1 : 0);
  if (with_gradients) add_gradients(function);
  return run(function, inputs_of(function), false).arena;
}

TEST(head_loss, never_holds_the_logits_whole) {
  constexpr int64_t kSmall = 20'000, kLarge = 40'000;
  // Of 256 rows of the larger one.
  constexpr uint64_t kChunk = uint64_t{256} * kLarge * sizeof(float);
  for (const bool with_gradients : {false, true}) {
    const uint64_t logits = 600 * kLarge * sizeof(float);
    EXPECT_GE(arena_of(kLarge, false, true), logits);
    // A weight and its gradient have two numbers for each class.
    const uint64_t beside = 6 * 2 * kLarge * sizeof(float);
    EXPECT_LE(arena_of(kLarge, true, with_gradients), kChunk + beside);
    EXPECT_LE(arena_of(kSmall, true, with_gradients), kChunk + beside);
  }
}

}  // namespace
}  // namespace mw::autodiff
