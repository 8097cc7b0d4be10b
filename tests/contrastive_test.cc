// Gradients of the MiniLM sentence encoder against PyTorch's, for a loss that is composed here: its
// package is fp16 and of flexible shapes, its loss none of the built-in ones.
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "base/tensor_file.h"
#include "devices/devices.h"
#include "facade_testing.h"
#include "ops/catalog.h"
#include "ops/expr.h"
#include "ops/loss/loss.h"
#include "ops/weights/parameters.h"
#include "package/package.h"
#include "passes/precision.h"
#include "train/trainer.h"

namespace mw {
namespace {

using ops::Expr;

constexpr const char* kContrastive = "contrastive";
constexpr int64_t kPairs = 4, kTokens = 32;

// Cross entropy of 20 * e[0:4] @ e[4:8]^T against the diagonal, as a further output of a function
// in fp32.
void append_contrastive_loss(ir::Function& function) {
  ir::Value* embedding = nullptr;
  for (ir::Value* output : function.body.outputs) {
    if (output->name == "embedding") embedding = output;
  }
  ASSERT_NE(embedding, nullptr);
  if (embedding->type.dtype() != DType::kF32) embedding = embedding->producer->input("x");
  ir::Builder b(function.body, ops::catalog(), function.opset);
  const auto rows = [&](int64_t begin) {
    return Expr(b, embedding)
        .op("slice_by_index", {{"begin", std::vector<int64_t>{begin, 0}},
                               {"end", std::vector<int64_t>{begin + kPairs, 384}}});
  };
  const Expr logits = ops::matmul(rows(0), rows(kPairs), false, true) * 20.0;
  Tensor diagonal(DType::kI32, {kPairs});
  for (int64_t i = 0; i < kPairs; ++i) diagonal.set_integer(i, i);
  ir::Value* labels = b.constant(ir::Constant::tensor(diagonal));
  const ops::LossValue loss = ops::cross_entropy_of(b, logits, labels, 0);
  ir::Value* mean = Expr(b, loss.sum) / Expr(b, loss.count);
  mean->name = kContrastive;
  function.body.outputs.push_back(mean);
}

// The package has the six scales of attention, 1 / sqrt(32), rounded to fp16; the reference has
// them exact.
void set_exact_scales(ir::Function& function) {
  int replaced = 0;
  for (const auto& op : function.body.ops) {
    if (op->type != "mul") continue;
    const ir::Value* y = op->input("y");
    if (y == nullptr || y->producer == nullptr || y->producer->type != ir::kCastOp) continue;
    const ir::ConstantPtr scale = ir::constant_of(y->producer->input("x"));
    if (scale == nullptr || scale->value().rank() != 0) continue;
    if (std::fabs(scale->value().number_at(0) - 1 / std::sqrt(32.0)) > 1e-4) continue;
    op->set_input("y", {{nullptr, ir::Constant::number(DType::kF32, 1 / std::sqrt(32.0))}});
    ++replaced;
  }
  EXPECT_EQ(replaced, 6);
}

// PyTorch's name as the converter spells it. Of the table of token types, the one row in use became
// a constant without a name.
std::string name_in_program(std::string name) {
  if (name == "typ.weight") return "var_37_to_fp16";
  std::replace(name.begin(), name.end(), '.', '_');
  return name + "_to_fp16";
}

std::unique_ptr<training::Trainer> trainer_of(const package::Model& model, bool exact_scales,
                                              const std::map<std::string, double>& norms) {
  const auto function =
      passes::set_precision(*model.program->functions.at(0), ops::catalog(), passes::kFp32);
  append_contrastive_loss(*function);
  if (exact_scales) set_exact_scales(*function);
  training::TrainerOptions options;
  options.settings.loss = Loss::kOutput;
  options.target = kContrastive;
  options.platform = devices::platform("cpu");
  options.files = model.weight_files;
  for (const ops::ParameterInfo& info : ops::parameters_of(*function, ops::catalog())) {
    for (const auto& [name, norm] : norms) {
      if (name_in_program(name) == info.name) {
        options.parameters.push_back({.name = info.name, .places = {{info.name}}});
      }
    }
  }
  return std::make_unique<training::Trainer>(*function, std::move(options));
}

Tensor first_rows(const Tensor& tensor) {
  Tensor rows(DType::kI32, {2 * kPairs, kTokens});
  for (int64_t i = 0; i < rows.count(); ++i) rows.set_integer(i, tensor.integer_at(i));
  return rows;
}

double norm_of(const Tensor& tensor, const Tensor* less = nullptr) {
  double sum = 0;
  for (int64_t i = 0; i < tensor.count(); ++i) {
    const double x = tensor.number_at(i) - (less == nullptr ? 0 : less->number_at(i));
    sum += x * x;
  }
  return std::sqrt(sum);
}

// || got - want || <= tolerance || want || + 1e-7, and of the norms alone where no more is known.
void expect_gradients(bool exact_scales, double tolerance) {
  MW_SHARED_MODEL(package_path, "minilm/minilm-fp16-flex.mlpackage");
  MW_SHARED_MODEL(numbers_path, "minilm/minilm-reference.json");
  MW_SHARED_MODEL(tensors_path, "minilm/minilm-reference.safetensors");
  const auto norms = nlohmann::json::parse(std::ifstream(numbers_path))
                         .at("gradient_norms")
                         .get<std::map<std::string, double>>();
  const TensorMap reference = read_tensors(tensors_path);
  const package::Model model = package::read(package_path);
  const auto trainer = trainer_of(model, exact_scales, norms);
  StepResult result;
  const TensorMap gradients =
      trainer->gradients({{"input_ids", first_rows(reference.at("input_ids"))},
                          {"attention_mask", first_rows(reference.at("attention_mask"))}},
                         result);
  const double loss = reference.at("contrastive_loss").number_at(0);
  EXPECT_NEAR(result.loss, loss, 0.1 * tolerance * loss);
  EXPECT_EQ(gradients.size(), norms.size());
  double worst_norm = 0, worst_tensor = 0;
  int tensors = 0;
  for (const auto& [name, norm] : norms) {
    const auto found = gradients.find(name_in_program(name));
    ASSERT_NE(found, gradients.end()) << name;
    const double apart = std::fabs(norm_of(found->second) - norm);
    EXPECT_LE(apart, tolerance * norm + 1e-7) << name;
    if (norm > 1e-3) worst_norm = std::max(worst_norm, apart / norm);
    const auto whole = reference.find("grad." + name);
    if (whole == reference.end()) continue;
    ++tensors;
    ASSERT_EQ(found->second.count(), whole->second.count()) << name;
    const double distance = norm_of(found->second, &whole->second);
    EXPECT_LE(distance, tolerance * norm + 1e-7) << name;
    if (norm > 1e-3) worst_tensor = std::max(worst_tensor, distance / norm);
  }
  EXPECT_EQ(tensors, 20);
  std::printf("MiniLM: %zu norms within %.2g, %d gradients within %.2g\n", norms.size(), worst_norm,
              tensors, worst_tensor);
}

TEST(Contrastive, gradients_of_the_sentence_encoder_are_those_of_py_torch) {
  expect_gradients(true, 1e-4);
}

TEST(Contrastive, gradients_of_the_sentence_encoder_as_its_file_has_its_scales_are_near) {
  expect_gradients(false, 3e-4);
}

}  // namespace
}  // namespace mw
