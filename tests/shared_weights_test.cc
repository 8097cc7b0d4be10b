// Functions of a package that share weights: what is trained or adapted in one changes in all.
#include <random>

#include "base/testing.h"
#include "facade_testing.h"
#include "ir/builder.h"
#include "millwright/training.hpp"
#include "ops/catalog.h"
#include "package/package.h"

namespace mw {
namespace {

namespace fs = std::filesystem;
using ir::Constant;
using ir::ConstantPtr;
using ir::Value;

using testing::TempFolder;

Tensor noise(const Shape& shape, uint64_t seed, double factor = 1) {
  Tensor tensor(DType::kF32, shape);
  std::mt19937_64 generator(seed);
  std::uniform_real_distribution<float> unit(-0.5F, 0.5F);
  for (int64_t i = 0; i < tensor.count(); ++i) tensor.set_number(i, factor * unit(generator));
  return tensor;
}

Tensor ones(const Shape& shape) {
  Tensor tensor(DType::kF32, shape);
  for (int64_t i = 0; i < tensor.count(); ++i) tensor.set_number(i, 1);
  return tensor;
}

ConstantPtr blob(Tensor value, uint64_t offset) {
  return Constant::blob(std::move(value), {"@model_path/weights/weight.bin", offset});
}

// A small network, written into functions of one program in several ways.
class Network {
 public:
  Network() { model_.program = std::make_unique<ir::Program>(); }

  ir::Builder& begin(const std::string& name) {
    ir::Function* function = model_.program->add_function(name, ir::Opset::kIos18);
    x_ = function->body.add_argument("x", ir::Type::tensor(DType::kF32, {4, 12}));
    builder_.emplace(function->body, ops::catalog(), function->opset);
    return *builder_;
  }
  [[nodiscard]] Value* x() const { return x_; }
  Value* constant(const ConstantPtr& value, const std::string& name) {
    return builder_->constant(value, name);
  }
  Value* op(const char* type, const std::vector<ir::Argument>& arguments, const char* name = "") {
    return builder_->op(type, arguments, name);
  }
  void end(Value* y) {
    y->name = "y";
    model_.program->functions.back()->body.outputs = {y};
  }
  // y = head(relu(W x + b)); `prefix` is put before the names of the weights.
  void dense(const std::string& function, const std::string& prefix = "") {
    begin(function);
    Value* h = op("linear", {{"x", x_},
                             {"weight", constant(weight_, prefix + "w_weight")},
                             {"bias", constant(bias_, prefix + "w_bias")}});
    end(head(op("relu", {{"x", h}})));
  }
  Value* head(Value* h) {
    // Three numbers stand in the program itself.
    return op("linear", {{"x", h},
                         {"weight", constant(head_, "head_weight")},
                         {"bias", constant(Constant::tensor(noise({3}, 4)), "head_bias")}});
  }
  // The same computed by a convolution of width 1, whose weight is W with one more axis.
  void convolution(const std::string& function) {
    begin(function);
    Value* wide = op("expand_dims", {{"x", x_}, {"axes", std::vector<int64_t>{-1}}});
    const ConstantPtr kernel = blob(weight_->value().reshaped({16, 12, 1}), 64);
    Value* h = op("conv", {{"x", wide},
                           {"weight", constant(kernel, "kernel")},
                           {"bias", constant(bias_, "kernel_bias")}});
    end(head(op("relu", {{"x", op("squeeze", {{"x", h}, {"axes", std::vector<int64_t>{-1}}})}})));
  }
  // W stored as int8 with scales.
  void compressed(const std::string& function, const std::string& name) {
    begin(function);
    Value* w = op(
        "constexpr_blockwise_shift_scale",
        {{"data", constant(bytes_, name + "_data")}, {"scale", constant(scales_, name + "_scale")}},
        name.c_str());
    end(head(op("linear", {{"x", x_}, {"weight", w}})));
  }
  // Gains of one: two consts, or one with two uses, and in both cases one blob.
  void gains(const std::string& function, bool one_const) {
    begin(function);
    const ConstantPtr gain = blob(ones({16}), 4096);
    Value* first = constant(gain, "first_gain");
    Value* second = one_const ? first : constant(gain, "second_gain");
    Value* h = op("linear", {{"x", x_}, {"weight", constant(weight_, "w_weight")}});
    Value* a = op("mul", {{"x", op("tanh", {{"x", h}})}, {"y", first}});
    Value* b = op("mul", {{"x", op("sigmoid", {{"x", a}})}, {"y", second}});
    end(head(b));
  }
  void write(const fs::path& path) {
    model_.default_function = model_.program->functions.front()->name;
    model_.multi_function = true;
    package::write(model_, path);
  }

 private:
  package::Model model_;
  std::optional<ir::Builder> builder_;
  Value* x_ = nullptr;
  ConstantPtr weight_ = blob(noise({16, 12}, 1), 64), bias_ = blob(noise({16}, 2), 1024),
              head_ = blob(noise({3, 16}, 3), 2048), scales_ = blob(noise({16, 1}, 5, 0.02), 8192);
  ConstantPtr bytes_ = [] {
    Tensor data(DType::kI8, {16, 12});
    for (int64_t i = 0; i < data.count(); ++i) data.set_integer(i, i * 37 % 101 - 50);
    return blob(data, 16384);
  }();
};

CoreMLModelWrapper load(const fs::path& path, const std::string& function) {
  LoadOptions options;
  options.function = function;
  options.threads = 1;
  return CoreMLModelWrapper::load(path, options);
}

Tensor answer(const fs::path& path, const std::string& function) {
  return load(path, function).predict({{"x", noise({4, 12}, 9)}}).at("y");
}

StudentModel trained(const fs::path& path, const std::string& function,
                     StudentOptions options = {}) {
  options.optimizer = Sgd{0.2F, 0.9F};
  options.loss = Loss::kMeanSquaredError;
  StudentModel student(load(path, function), options);
  const Batch batch(TensorMap{{"x", noise({4, 12}, 11)}, {"labels", noise({4, 3}, 12)}});
  for (int i = 0; i < 4; ++i) (void)student.training_step(batch);
  return student;
}

uint64_t weight_bytes(const fs::path& package) {
  const fs::path inside = package.extension() == ".mlmodelc" ? "" : "Data/com.apple.CoreML";
  return fs::file_size(package / inside / "weights/weight.bin");
}

void expect_same(const fs::path& path, const std::string& a, const std::string& b) {
  EXPECT_LE(testing::largest_difference(answer(path, a), answer(path, b)), 2e-6) << a << ' ' << b;
}
void expect_changed(const fs::path& path, const fs::path& before, const std::string& function) {
  EXPECT_GE(testing::largest_difference(answer(path, function), answer(before, function)), 0.01)
      << function;
}

TEST(SharedWeights, trained_in_one_function_change_in_all_and_take_no_more_room) {
  const TempFolder folder;
  Network network;
  network.dense("decode");
  network.dense("prefill", "p_");
  network.convolution("wide");
  for (const char* name : {"a.mlpackage", "a.mlmodelc"}) {
    const fs::path source = folder / name, target = folder / (std::string("trained_") + name);
    network.write(source);
    const StudentModel student = trained(source, "decode");
    EXPECT_EQ(student.notes(), std::vector<std::string>{
                                   "changes functions decode, prefill (4 of 4 weights), wide (4 "
                                   "of 4 weights), which share what is trained"});
    EXPECT_TRUE(student.save(target).empty());
    expect_changed(target, source, "decode");
    expect_same(target, "decode", "prefill");
    expect_same(target, "decode", "wide");
    EXPECT_EQ(weight_bytes(target), weight_bytes(source));
    // From any of the functions.
    (void)trained(source, "wide").save(target);
    expect_changed(target, source, "decode");
    expect_same(target, "wide", "decode");
    EXPECT_EQ(weight_bytes(target), weight_bytes(source));
  }
}

TEST(SharedWeights, of_a_model_in_one_file_are_known_by_their_names) {
  const TempFolder folder;
  Network network;
  network.dense("decode");
  network.dense("prefill");
  const fs::path source = folder / "a.mlmodel", target = folder / "b.mlmodel";
  network.write(source);
  (void)trained(source, "prefill").save(target);
  expect_changed(target, source, "decode");
  expect_same(target, "decode", "prefill");
}

TEST(SharedWeights, are_untied_where_one_function_alone_is_asked_for) {
  const TempFolder folder;
  Network network;
  network.dense("decode");
  network.dense("prefill");
  const fs::path source = folder / "a.mlpackage", target = folder / "b.mlpackage";
  network.write(source);
  const StudentModel student = trained(source, "decode");
  EXPECT_EQ(student.notes({.only_function = true}),
            std::vector<std::string>{
                "changes function decode alone, whose weights are no longer shared with prefill (4 "
                "of 4 weights); the package grows by them"});
  (void)student.save(target, {.only_function = true});
  expect_changed(target, source, "decode");
  EXPECT_TRUE(bit_equal(answer(target, "prefill"), answer(source, "prefill")));
  EXPECT_GT(weight_bytes(target), weight_bytes(source));
}

TEST(SharedWeights, of_a_function_with_nothing_in_common_stay_as_they_are) {
  const TempFolder folder;
  Network network;
  network.dense("decode");
  network.begin("other");
  Value* y = network.op("linear",
                        {{"x", network.x()},
                         {"weight", network.constant(blob(noise({3, 12}, 6), 65536), "w_weight")},
                         {"bias", network.constant(Constant::tensor(noise({3}, 4)), "head_bias")}});
  network.end(y);
  const fs::path source = folder / "a.mlpackage", target = folder / "b.mlpackage";
  network.write(source);
  const StudentModel student = trained(source, "decode");
  EXPECT_TRUE(student.notes().empty());
  (void)student.save(target);
  expect_changed(target, source, "decode");
  EXPECT_TRUE(bit_equal(answer(target, "other"), answer(source, "other")));
}

TEST(SharedWeights, are_no_gains_that_only_happen_to_be_equal) {
  const TempFolder folder;
  for (const bool one_const : {false, true}) {
    Network network;
    network.gains("decode", one_const);
    network.gains("prefill", one_const);
    const fs::path source = folder / "a.mlpackage", target = folder / "b.mlpackage";
    network.write(source);
    const StudentModel student = trained(source, "decode");
    const std::string second = one_const ? "first_gain_use1" : "second_gain";
    EXPECT_GE(testing::largest_difference(student.get_parameter("first_gain"),
                                          student.get_parameter(second)),
              1e-3);
    (void)student.save(target);
    expect_changed(target, source, "decode");
    expect_same(target, "decode", "prefill");
    const Tensor computed = trained(source, "decode").predict({{"x", noise({4, 12}, 9)}}).at("y");
    EXPECT_LE(testing::largest_difference(answer(target, "decode"), computed), 2e-6);
  }
}

TEST(SharedWeights, of_a_function_are_one_parameter_whatever_their_names_and_shapes) {
  const TempFolder folder;
  Network network;
  network.begin("main");
  const Tensor square = noise({12, 12}, 7);
  Value* h = network.op(
      "linear", {{"x", network.x()}, {"weight", network.constant(blob(square, 64), "square")}});
  Value* flat = network.constant(blob(square.reshaped({144}), 64), "flat");
  Value* again = network.op("reshape", {{"x", flat}, {"shape", std::vector<int64_t>{12, 12}}});
  h = network.op("linear", {{"x", network.op("tanh", {{"x", h}})}, {"weight", again}});
  network.end(network.op(
      "linear",
      {{"x", h}, {"weight", network.constant(blob(noise({3, 12}, 8), 4096), "head_weight")}}));
  const fs::path source = folder / "a.mlpackage", target = folder / "b.mlpackage";
  network.write(source);
  // One name takes in the other.
  StudentOptions options;
  options.trainable = {"square"};
  StudentModel student = trained(source, "main", options);
  for (const Parameter& parameter : student.parameters()) {
    if (parameter.name != "flat") continue;
    EXPECT_TRUE(parameter.trained);
    EXPECT_EQ(parameter.reason, "has the numbers of 'square'");
    EXPECT_EQ(parameter.role, Parameter::Role::kTie);
  }
  (void)student.save(target);
  EXPECT_EQ(weight_bytes(target), weight_bytes(source));
  expect_changed(target, source, "main");
  const Tensor computed = student.predict({{"x", noise({4, 12}, 9)}}).at("y");
  EXPECT_LE(testing::largest_difference(answer(target, "main"), computed), 2e-6);
}

// The gradient of y = tanh(x W) W, where the second W is a const of this shape.
Tensor gradient_of_square(const TempFolder& folder, const Shape& shape) {
  Network network;
  network.begin("main");
  const Tensor square = noise({12, 12}, 7);
  Value* h = network.op(
      "linear", {{"x", network.x()}, {"weight", network.constant(blob(square, 64), "square")}});
  Value* again = network.constant(blob(square.reshaped(shape), 64), "again");
  if (shape.size() != 2) {
    again = network.op("reshape", {{"x", again}, {"shape", std::vector<int64_t>{12, 12}}});
  }
  network.end(network.op("linear", {{"x", network.op("tanh", {{"x", h}})}, {"weight", again}}));
  const fs::path source = folder / "tied.mlpackage";
  network.write(source);
  StudentOptions options;
  options.loss = Loss::kMeanSquaredError;
  StudentModel student(CoreMLModelWrapper::load(source), options);
  const Batch batch(TensorMap{{"x", noise({4, 12}, 1)}, {"labels", noise({4, 12}, 2)}});
  return student.backward(batch).at("square");
}

TEST(SharedWeights, that_are_tied_get_the_gradients_of_all_uses_whatever_their_shapes) {
  const TempFolder folder;
  EXPECT_TRUE(bit_equal(gradient_of_square(folder, {12, 12}), gradient_of_square(folder, {144})));
}

TEST(SharedWeights, with_adapters_are_changed_in_all_functions) {
  const TempFolder folder;
  Network network;
  network.dense("decode");
  network.dense("prefill", "p_");
  network.convolution("wide");
  const fs::path source = folder / "a.mlpackage", target = folder / "b.mlpackage";
  network.write(source);
  StudentOptions options;
  options.lora = Lora{.rank = 2, .alpha = 8};
  StudentModel student = trained(source, "decode", options);
  EXPECT_EQ(student.notes(),
            std::vector<std::string>{"changes functions decode, prefill (2 of 2 weights), wide (2 "
                                     "of 2 weights), which share what is trained"});
  EXPECT_TRUE(student.save(target).empty());
  expect_changed(target, source, "decode");
  expect_same(target, "decode", "prefill");
  expect_same(target, "decode", "wide");
  EXPECT_EQ(weight_bytes(target), weight_bytes(source));
  (void)student.save(target, {.only_function = true});
  expect_changed(target, source, "decode");
  EXPECT_TRUE(bit_equal(answer(target, "prefill"), answer(source, "prefill")));
}

TEST(SharedWeights, that_are_compressed_become_the_same_plain_one_in_all_functions) {
  const TempFolder folder;
  Network network;
  network.compressed("decode", "w");
  network.compressed("prefill", "p");
  const fs::path source = folder / "a.mlpackage", target = folder / "b.mlpackage",
                 alone = folder / "c.mlpackage";
  network.write(source);
  StudentOptions options;
  options.lora = Lora{.rank = 2, .alpha = 8};
  StudentModel student = trained(source, "decode", options);
  (void)student.save(target);
  expect_changed(target, source, "decode");
  expect_same(target, "decode", "prefill");
  (void)student.save(alone, {.only_function = true});
  EXPECT_TRUE(bit_equal(answer(alone, "prefill"), answer(source, "prefill")));
  // One plain weight instead of the compressed one, and not one more beside it.
  EXPECT_LT(weight_bytes(target), weight_bytes(alone));
}

TEST(SharedWeights, that_another_function_takes_apart_are_kept_there_with_a_note) {
  const TempFolder folder;
  Network network;
  network.dense("decode");
  ir::Builder& b = network.begin("odd");
  Tensor data(DType::kI8, {16, 12});
  for (int64_t i = 0; i < data.count(); ++i) data.set_integer(i, i % 5);
  const ConstantPtr scales = blob(noise({16, 12}, 1), 64);  // the blob of w_weight
  Value* w = b.op(
      "constexpr_blockwise_shift_scale",
      {{"data", b.constant(blob(data, 32768), "data")}, {"scale", b.constant(scales, "scale")}},
      "odd_weight");
  network.end(network.head(b.op("linear", {{"x", network.x()}, {"weight", w}})));
  const fs::path source = folder / "a.mlpackage", target = folder / "b.mlpackage";
  network.write(source);
  StudentOptions options;
  options.trainable = {"w_weight"};
  const StudentModel student = trained(source, "decode", options);
  EXPECT_EQ(student.notes(), std::vector<std::string>{
                                 "function 'odd': 'odd_weight' is made of the bytes of 'w_weight', "
                                 "keeps them as they were, and the package grows by them"});
  (void)student.save(target);
  EXPECT_TRUE(bit_equal(answer(target, "odd"), answer(source, "odd")));
}

}  // namespace
}  // namespace mw
