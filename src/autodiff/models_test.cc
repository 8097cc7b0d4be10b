// Gradients of real models beside PyTorch's, where MW_SHARED names the folder that holds both.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "autodiff/gradient.h"
#include "base/tensor_file.h"
#include "exec/naive.h"
#include "ops/catalog.h"
#include "ops/expr.h"
#include "package/package.h"
#include "passes/specialise.h"

namespace mw::autodiff {
namespace {

using ir::Value;

// Mean cross entropy of logits [rows, classes].
Value* cross_entropy(ir::Function& function, Value* logits, const Tensor& labels) {
  ir::Builder b(function.body, ops::catalog(), function.opset);
  const ops::Expr x(b, logits);
  Tensor chosen(DType::kF32, x.shape());
  const int64_t rows = x.shape()[0], classes = x.shape()[1];
  for (int64_t i = 0; i < chosen.count(); ++i) {
    chosen.set_number(i, labels.integer_at(i / classes) == i % classes ? 1 : 0);
  }
  const ops::Expr picked = x * ops::Expr(b, b.constant(ir::Constant::tensor(chosen)));
  const ops::Expr normaliser = x.op("reduce_log_sum_exp", {{"axes", std::vector<int64_t>{1}}});
  return (ops::reduce_sum(normaliser, {0}, false) - ops::reduce_sum(picked, {0, 1}, false)) /
         static_cast<double>(rows);
}

// The largest difference, relative to the largest number of `expected`, which may be all zeros: the
// backward half sees one step when the last output alone matters.
double distance(const Tensor& got, const Tensor& expected) {
  if (got.count() != expected.count()) return INFINITY;
  double largest = 0, apart = 0;
  for (int64_t i = 0; i < got.count(); ++i) {
    largest = std::max(largest, std::fabs(expected.number_at(i)));
    apart = std::max(apart, std::fabs(got.number_at(i) - expected.number_at(i)));
  }
  return apart == 0 ? 0 : apart / largest;
}

// PyTorch's gates i, f, g, o along the first axis in MIL's order i, f, o, z.
Tensor in_order_of_mil(const Tensor& gates) {
  Tensor moved = gates.clone();
  const int64_t block = gates.count() / 4;
  for (int64_t i = 0; i < block; ++i) {
    moved.set_number(2 * block + i, gates.number_at(3 * block + i));
    moved.set_number(3 * block + i, gates.number_at(2 * block + i));
  }
  return moved;
}

TEST(Models, gradients_of_a_bidirectional_lstm_are_those_of_py_torch) {
  const char* root = std::getenv("MW_SHARED");
  const std::filesystem::path folder =
      root != nullptr ? std::filesystem::path(root) / "models" : std::filesystem::path();
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no models here";
  const TensorMap reference = read_tensors(folder / "lstm-reference.safetensors");
  const package::Model model = package::read(folder / "lstm-fp32.mlpackage");
  const auto function = passes::specialise(*model.program->functions[0], ops::catalog(), {});
  std::map<std::string, Value*> wrt;  // by PyTorch's name
  wrt["grad_input.x"] = function->body.arguments[0].get();
  for (const auto& op : function->body.ops) {
    if (op->type == "lstm") {
      for (const std::string half : {"", "_back"}) {
        const std::string end = half.empty() ? "_l0" : "_l0_reverse";
        wrt["grad.rnn.weight_ih" + end] = op->input("weight_ih" + half);
        wrt["grad.rnn.weight_hh" + end] = op->input("weight_hh" + half);
        wrt["grad.rnn.bias_ih" + end] = op->input("bias" + half);
      }
    } else if (op->type == "linear") {
      wrt["grad.fc.weight"] = op->input("weight");
      wrt["grad.fc.bias"] = op->input("bias");
    }
  }
  ASSERT_EQ(wrt.size(), 9U);
  std::vector<Value*> values;
  for (const auto& [name, value] : wrt) {
    ASSERT_NE(value, nullptr) << name;
    values.push_back(value);
  }
  Value* loss = cross_entropy(*function, function->body.outputs[0], reference.at("labels"));
  std::vector<Value*> outputs =
      gradients(*function, ops::catalog(), ops::gradient_ops(), {{loss, nullptr}}, values);
  outputs.push_back(loss);
  function->body.outputs = outputs;
  const auto results = exec::run_naive(*function, ops::catalog(),
                                       {{function->body.arguments[0]->name, reference.at("x")}});
  EXPECT_LT(distance(results.at(loss->name).tensor, reference.at("loss")), 1e-6);
  size_t next = 0;
  for (const auto& [name, value] : wrt) {
    const Tensor& expected = reference.at(name);
    const bool gates = name.find("rnn") != std::string::npos;
    EXPECT_LT(distance(results.at(outputs[next++]->name).tensor,
                       gates ? in_order_of_mil(expected) : expected),
              1e-5)
        << name;
  }
}

}  // namespace
}  // namespace mw::autodiff
