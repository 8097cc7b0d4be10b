// Losses of outputs that end in a softmax, its logarithm, a sigmoid or nothing, however they are
// written and laid out, against PyTorch in fp64 (tests/data/ends/make.py).
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "built_model.h"
#include "facade_testing.h"
#include "millwright/training.hpp"
#include "ops/loss/ends.h"
#include "package/testing.h"

namespace mw {
namespace {

using ir::Value;
using nlohmann::json;
using package::testing::TempFolder;
using testing::BuiltModel;

constexpr double kLossTolerance = 1e-6, kGradientTolerance = 1e-5;

json reference() {
  const char* root = std::getenv("MW_TEST_DATA");
  std::ifstream file(std::filesystem::path(root == nullptr ? "tests/data" : root) /
                     "ends/ends.json");
  return json::parse(file);
}

Tensor tensor_of(const json& stored, DType dtype) {
  Tensor tensor(dtype, stored["shape"].get<Shape>());
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.set_number(i, stored["values"][static_cast<size_t>(i)].get<double>());
  }
  return tensor;
}

struct Ending {
  const char* name;     // as PyTorch calls it
  const char* written;  // how
};
constexpr Ending kEndings[] = {{"linear", "plain"},         {"softmax", "plain"},
                               {"softmax", "exponentials"}, {"softmax", "exponential of log"},
                               {"log_softmax", "plain"},    {"log_softmax", "reduction"},
                               {"log_softmax", "shifted"},  {"log_softmax", "log of exponentials"},
                               {"softmax", "product"},      {"softmax", "shifted product"},
                               {"softmax", "reciprocal"},   {"sigmoid", "plain"}};
constexpr const char* kForms[] = {"plain", "cast and reshaped", "transposed", "classifier"};

// z with the activation, over `axis`.
Value* ended(ir::Builder& b, Value* z, const Ending& ending, int64_t axis) {
  const std::string name = ending.name, written = ending.written;
  const std::vector<int64_t> axes{axis};
  const auto reduced = [&](const char* op, Value* x) {
    return b.op(op, {{"x", x}, {"axes", axes}, {"keep_dims", true}});
  };
  const auto on = [&](const char* op, Value* x) { return b.op(op, {{"x", x}}); };
  const auto two = [&](const char* op, Value* x, Value* y) {
    return b.op(op, {{"x", x}, {"y", y}});
  };
  if (name == "linear") return z;
  if (name == "sigmoid") return on("sigmoid", z);
  if (name == "softmax") {
    if (written == "plain") return b.op("softmax", {{"x", z}, {"axis", axis}});
    if (written == "exponential of log") {
      return on("exp", two("sub", z, reduced("reduce_log_sum_exp", z)));
    }
    const bool shifted = written != "product";
    Value* e = on("exp", shifted ? two("sub", z, reduced("reduce_max", z)) : z);
    Value* sum = reduced("reduce_sum", e);
    if (written == "exponentials") return two("real_div", e, sum);
    if (written == "reciprocal") {
      return two("mul", b.op("real_div", {{"x", 1.0F}, {"y", sum}}), e);
    }
    // As converters write it, with an epsilon or without.
    if (written == "product") return two("mul", e, on("inverse", sum));
    return two("mul", e, b.op("inverse", {{"x", sum}, {"epsilon", 0.0F}}));
  }
  if (written == "plain") return on("log", b.op("softmax", {{"x", z}, {"axis", axis}}));
  if (written == "reduction") return two("sub", z, reduced("reduce_log_sum_exp", z));
  if (written == "log of exponentials") {
    return two("sub", z, on("log", reduced("reduce_sum", on("exp", z))));
  }
  Value* largest = reduced("reduce_max", z);
  Value* sum = reduced("reduce_sum", on("exp", two("sub", z, largest)));
  return two("sub", z, two("add", largest, on("log", sum)));
}

// The model of a group of the file.
std::filesystem::path written(const json& group, const Ending& ending, const std::string& form,
                              const std::filesystem::path& path) {
  BuiltModel model;
  ir::Builder& b = model.b();
  const bool pixels = group["layout"] == "pixels";
  const auto weight = [&](const char* name) {
    Tensor values = tensor_of(group["tensors"][name], DType::kF32);
    if (pixels && values.rank() == 2) {
      values = values.reshaped({values.dim(0), values.dim(1), 1, 1});
    }
    return b.constant(ir::Constant::tensor(values), name);
  };
  const Shape shape = group["tensors"]["x"]["shape"].get<Shape>();
  Value* x = model.input("x", shape);
  const char* layer = pixels ? "conv" : "linear";
  Value* h = b.op("tanh", {{"x", b.op(layer, {{"x", x}, {"weight", weight("w0")}})}});
  Value* z = b.op(layer, {{"x", h}, {"weight", weight("w1")}, {"bias", weight("b1")}}, "z");
  Value* p = ended(b, z, ending, pixels ? 1 : -1);
  Shape of_output = p->type.shape();
  if (form == "classifier") {
    model.classifier(p, testing::classes(std::vector<std::string>{"ant", "bee", "cow", "dog"}));
    return model.write(path);
  }
  if (form == "cast and reshaped") {
    of_output.insert(of_output.begin() + 1, 1);
    p = b.op("cast", {{"x", p}, {"dtype", "fp16"}});
    p = b.op("reshape", {{"x", p}, {"shape", of_output}});
    of_output.insert(of_output.begin(), 1);
    p = b.op("expand_dims", {{"x", p}, {"axes", std::vector<int64_t>{0}}});
  } else if (form == "transposed") {
    std::vector<int64_t> perm;
    for (int64_t axis = p->type.rank() - 1; axis >= 0; --axis) perm.push_back(axis);
    if (pixels) perm = {1, 0, 2, 3};
    p = b.op("transpose", {{"x", p}, {"perm", perm}});
  }
  model.output(p, "p");
  return model.write(path);
}

StudentOptions options_of(const json& settings) {
  StudentOptions options;
  const std::string loss = settings["loss"];
  options.loss = loss == "mse"             ? Loss::kMeanSquaredError
                 : loss == "cross_entropy" ? Loss::kCrossEntropy
                                           : Loss::kBinaryCrossEntropy;
  options.label_smoothing = settings.value("label_smoothing", 0.0F);
  options.pos_weight = settings.value("pos_weight", std::vector<float>());
  options.wrt_inputs = {"x"};
  return options;
}

// Whether the case is one of this ending.
bool belongs(const json& settings, const Ending& ending) {
  // With the default epsilon of `inverse` the numbers are those of a softmax to four digits.
  if (std::string(ending.written) == "product" && settings["loss"] == "mse") return false;
  if (settings.contains("end")) return settings["end"] == ending.name;
  const bool sigmoid = std::string(ending.name) == "sigmoid";
  const bool linear = std::string(ending.name) == "linear";
  return settings["loss"] == "cross_entropy" ? !sigmoid : sigmoid || linear;
}

Tensor labels_of(const json& example, const std::string& form) {
  const std::string loss = example["settings"]["loss"];
  Tensor labels = tensor_of(example["labels"], loss == "cross_entropy" ? DType::kI32 : DType::kF32);
  if (loss == "cross_entropy") return labels;
  Shape shape = labels.shape();
  if (form == "cast and reshaped") {
    shape.insert(shape.begin() + 1, 1);
    shape.insert(shape.begin(), 1);
    return labels.reshaped(shape);
  }
  if (form != "transposed") return labels;
  // [a, b, rest] as [b, a, rest]
  std::swap(shape[0], shape[1]);
  Tensor turned(labels.dtype(), shape);
  const int64_t rest = labels.count() / (shape[0] * shape[1]);
  for (int64_t i = 0; i < labels.count(); ++i) {
    const int64_t a = i / rest / shape[0], b = i / rest % shape[0];
    turned.set_number((b * shape[1] + a) * rest + i % rest, labels.number_at(i));
  }
  return turned;
}

void expect_equal(const json& example, StudentModel& student, const Batch& batch, double scale) {
  StepResult result;
  const TensorMap gradients = student.backward(batch, &result);
  const double loss = example["value"];
  EXPECT_NEAR(result.loss, loss, kLossTolerance * scale * std::abs(loss));
  EXPECT_NEAR(student.evaluate(batch).loss, loss, kLossTolerance * scale * std::abs(loss));
  for (const auto& [key, values] : example["gradients"].items()) {
    const Tensor& gradient = gradients.at(key == "x" ? "input.x" : key);
    ASSERT_EQ(gradient.count(), static_cast<int64_t>(values.size())) << key;
    double error = 0, norm = 0;
    for (int64_t i = 0; i < gradient.count(); ++i) {
      const double expected = values[static_cast<size_t>(i)];
      error += std::pow(gradient.number_at(i) - expected, 2);
      norm += expected * expected;
    }
    // Of an input it comes in the input's dtype.
    const double rounded = key == "x" ? std::max(scale, 1e-2) : scale;
    EXPECT_LE(std::sqrt(error), kGradientTolerance * rounded * std::sqrt(norm)) << key;
  }
}

class Ends : public ::testing::Test {
 protected:
  TempFolder folder;

  void check(const json& group, const Ending& ending, const std::string& form) {
    SCOPED_TRACE(fmt::format("{}: {} ({}), {}", group["layout"].get<std::string>(), ending.name,
                             ending.written, form));
    const auto path = written(group, ending, form, folder / "model.mlpackage");
    for (const Compute compute : {Compute::kFp32, Compute::kFp64}) {
      const auto model = CoreMLModelWrapper::load(path, {.compute = compute});
      for (const json& example : group["cases"]) {
        if (!belongs(example["settings"], ending)) continue;
        if (form == "classifier" && example["settings"]["loss"] == "mse") continue;
        SCOPED_TRACE(example["name"].get<std::string>());
        StudentOptions options = options_of(example["settings"]);
        if (example["settings"].contains("class_axis")) {
          options.class_axis = form == "transposed" ? 0 : form == "plain" ? 1 : 3;
        }
        StudentModel student(model, options);
        const Batch batch({{"x", tensor_of(group["tensors"]["x"], DType::kF32)},
                           {"labels", labels_of(example, form)}});
        expect_equal(example, student, batch, compute == Compute::kFp64 ? 1e-4 : 1);
        ++checked_;
      }
    }
    std::filesystem::remove_all(path);
  }
  int checked_ = 0;
};

TEST_F(Ends, give_the_losses_and_gradients_of_pytorch) {
  const json file = reference();
  for (const json& group : file["groups"]) {
    for (const Ending& ending : kEndings) {
      for (const std::string form : kForms) {
        if (form == "classifier" && group["layout"] != "one row") continue;
        if (group["layout"] == "pixels" && form == "cast and reshaped") continue;
        check(group, ending, form);
      }
    }
  }
  EXPECT_GT(checked_, 200);
}

using Kind = ops::End::Kind;

// An end of x, [2, 4] through a layer with weights w.
struct Made {
  Value *x, *w;
  ir::Builder& b;

  Value* z() const { return b.op("linear", {{"x", x}, {"weight", w}}); }
  Value* on(const char* op, Value* value) const { return b.op(op, {{"x", value}}); }
  Value* two(const char* op, Value* a, Value* c) const { return b.op(op, {{"x", a}, {"y", c}}); }
  Value* sum(Value* value) const {
    return b.op("reduce_sum",
                {{"x", value}, {"axes", std::vector<int64_t>{1}}, {"keep_dims", true}});
  }
  Value* inverse(Value* value, float epsilon) const {
    return b.op("inverse", {{"x", value}, {"epsilon", epsilon}});
  }
};

struct EndRow {
  const char* name;
  Kind kind;
  bool of_layer;
  std::function<Value*(const Made&)> make;
};

TEST(EndOf, tells_activations_from_what_a_layer_gives_and_from_the_unknown) {
  const EndRow rows[] = {
      {"a layer", Kind::kPlain, true, [](const Made& m) { return m.z(); }},
      {"a layer, scaled and capped", Kind::kPlain, true,
       [](const Made& m) {
         Value* scaled = m.b.op("mul", {{"x", m.z()}, {"y", 0.1F}});
         return m.b.op("mul", {{"x", m.on("tanh", scaled)}, {"y", 30.0F}});
       }},
      {"a slice of a layer", Kind::kPlain, true,
       [](const Made& m) {
         return m.b.op("slice_by_size", {{"x", m.z()},
                                         {"begin", std::vector<int64_t>{1, 0}},
                                         {"size", std::vector<int64_t>{1, 4}}});
       }},
      {"a square", Kind::kPlain, true,
       [](const Made& m) {
         Value* z = m.z();
         return m.two("mul", z, z);
       }},
      {"two layers", Kind::kPlain, false,
       [](const Made& m) { return m.two("mul", m.z(), m.on("tanh", m.z())); }},
      {"a layer of a softmax", Kind::kPlain, false,
       [](const Made& m) { return m.two("matmul", m.on("softmax", m.z()), m.w); }},
      {"an input", Kind::kPlain, false, [](const Made& m) { return m.x; }},
      {"a share of something", Kind::kPlain, false,
       [](const Made& m) {
         Value* z = m.z();
         return m.two("real_div", z, m.sum(z));
       }},
      {"a clipped softmax", Kind::kProbabilities, false,
       [](const Made& m) {
         return m.b.op("clip", {{"x", m.on("softmax", m.z())}, {"alpha", 0.1F}, {"beta", 0.9F}});
       }},
      {"a product with the inverse of the sum", Kind::kSoftmax, false,
       [](const Made& m) {
         Value* e = m.on("exp", m.z());
         return m.two("mul", m.on("inverse", m.sum(e)), e);
       }},
      {"a product with the inverse of more", Kind::kProbabilities, false,
       [](const Made& m) {
         Value* e = m.on("exp", m.z());
         return m.two("mul", e, m.inverse(m.sum(e), 0.1F));
       }},
      {"a product with the inverse of another sum", Kind::kPlain, false,
       [](const Made& m) {
         return m.two("mul", m.on("exp", m.z()), m.inverse(m.sum(m.on("exp", m.x)), 0));
       }},
      {"its logarithm", Kind::kLogSoftmax, false,
       [](const Made& m) {
         Value* e = m.on("exp", m.z());
         return m.on("log", m.two("mul", e, m.inverse(m.sum(e), 0)));
       }},
      // Not one function with the logarithm: where the sum is small the epsilon counts.
      {"its logarithm with an epsilon", Kind::kLogProbabilities, false,
       [](const Made& m) {
         Value* e = m.on("exp", m.z());
         return m.on("log", m.two("mul", e, m.on("inverse", m.sum(e))));
       }},
  };
  for (const EndRow& row : rows) {
    ir::Program program;
    ir::Function& main = *program.add_function("main", ir::Opset::kIos18);
    Value* x = main.body.add_argument("x", ir::Type::tensor(DType::kF32, {2, 4}));
    ir::Builder b(main.body, ops::catalog(), main.opset);
    Value* w = b.constant(ir::Constant::tensor(Tensor(DType::kF32, {4, 4})), "w");
    const ops::End end = ops::end_of(row.make({x, w, b}), ops::catalog());
    EXPECT_EQ(static_cast<int>(end.kind), static_cast<int>(row.kind)) << row.name;
    EXPECT_EQ(end.of_layer, row.of_layer) << row.name;
  }
}

}  // namespace
}  // namespace mw
