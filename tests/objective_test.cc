// What is minimised: which axis counts the classes, which labels a classifier takes, and what is
// refused because it would mean something else.
#include <gtest/gtest.h>

#include <cmath>

#include "built_model.h"
#include "facade_testing.h"
#include "millwright/training.hpp"
#include "package/testing.h"

namespace mw {
namespace {

using ir::Builder;
using ir::Value;
using package::testing::TempFolder;
using testing::BuiltModel;
using testing::classes;
using Strings = std::vector<std::string>;

const std::vector<float> kWeight = {0.5F,  -1,     0.25F, 0.75F, 1,      -0.5F,
                                    -2.0F, 0.125F, 1,     0.5F,  -0.25F, 1.5F};

Tensor ramp(const Shape& shape) {
  Tensor tensor(DType::kF32, shape);
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.set_number(i, static_cast<double>(i * 7 % 11 - 5) / 4);
  }
  return tensor;
}

Tensor whole(const std::vector<int32_t>& values, const Shape& shape) {
  return Tensor::from(values, shape);
}

class Objective : public ::testing::Test {
 protected:
  TempFolder folder;
  int count = 0;

  // y = end(W x) with W [classes, 4], x [rows, 4].
  template <class F>
  CoreMLModelWrapper linear(int64_t rows, int64_t outputs, const F& end) {
    BuiltModel model;
    Value* x = model.input("x", {rows, 4});
    const std::vector<float> some(kWeight.begin(), kWeight.begin() + outputs * 4);
    Value* z =
        model.b().op("linear", {{"x", x}, {"weight", model.weight("w", some, {outputs, 4})}}, "z");
    end(model, z);
    return load(model);
  }
  CoreMLModelWrapper load(BuiltModel& model) {
    return CoreMLModelWrapper::load(model.write(folder / fmt::format("{}.mlpackage", count++)));
  }
  static Value* on(BuiltModel& model, const char* op, Value* x) {
    return model.b().op(op, {{"x", x}});
  }

  static std::string text_of(const CoreMLModelWrapper& model, const TensorMap& batch,
                             const StudentOptions& options = {}) {
    return StudentModel(model, options).objective(Batch(batch));
  }
  static std::string refusal(const CoreMLModelWrapper& model, const TensorMap& batch,
                             const StudentOptions& options = {}) {
    const std::string text =
        testing::error_of([&] { (void)StudentModel(model, options).training_step(Batch(batch)); },
                          ErrorCode::kInvalidArgument);
    const size_t begin = text.find(".mlpackage: ");
    return begin == std::string::npos ? text : text.substr(begin + 12);
  }
  static double loss_of(const CoreMLModelWrapper& model, const TensorMap& batch,
                        const StudentOptions& options = {}) {
    return StudentModel(model, options).evaluate(Batch(batch)).loss;
  }
};

TEST_F(Objective, is_said_in_one_line) {
  const TensorMap batch = {{"x", ramp({2, 4})}, {"labels", whole({2, 0}, {2})}};
  const auto plain = linear(2, 3, [](BuiltModel& m, Value* z) { m.output(z, "y"); });
  EXPECT_EQ(text_of(plain, batch), "cross entropy of 'y', over axis 1, 3 classes");
  EXPECT_EQ(text_of(plain, batch, {.label_smoothing = 0.5F}),
            "cross entropy of 'y', over axis 1, 3 classes, labels smoothed by 0.5");
  const auto soft =
      linear(2, 3, [](BuiltModel& m, Value* z) { m.output(on(m, "softmax", z), "p"); });
  EXPECT_EQ(text_of(soft, batch),
            "cross entropy of 'z' (before softmax of 'p'), over axis 1, 3 classes");
  const auto sigmoid =
      linear(2, 1, [](BuiltModel& m, Value* z) { m.output(on(m, "sigmoid", z), "p"); });
  const TensorMap binary = {{"x", ramp({2, 4})}, {"labels", whole({1, 0}, {2})}};
  EXPECT_EQ(text_of(sigmoid, binary, {.loss = Loss::kBinaryCrossEntropy, .pos_weight = {3}}),
            "binary cross entropy of 'z' (before sigmoid of 'p'), a label for each number of [2, "
            "1], a label 1 counting 3 times");
  const TensorMap numbers = {{"x", ramp({2, 4})}, {"labels", ramp({2, 3})}};
  EXPECT_EQ(text_of(soft, numbers, {.loss = Loss::kMeanSquaredError}), "mean squared error of 'p'");
}

TEST_F(Objective, of_another_activation_is_refused) {
  const TensorMap batch = {{"x", ramp({2, 4})}, {"labels", whole({0, 0}, {2})}};
  const StudentOptions binary{.loss = Loss::kBinaryCrossEntropy};
  const auto sigmoid =
      linear(2, 1, [](BuiltModel& m, Value* z) { m.output(on(m, "sigmoid", z), "p"); });
  EXPECT_EQ(refusal(sigmoid, batch),
            "loss: expected binary_cross_entropy for output 'p', which is a sigmoid, got "
            "cross_entropy");
  const auto soft =
      linear(2, 3, [](BuiltModel& m, Value* z) { m.output(on(m, "softmax", z), "p"); });
  EXPECT_EQ(
      refusal(soft, {{"x", ramp({2, 4})}, {"labels", whole({0, 1, 0, 1, 0, 1}, {2, 3})}}, binary),
      "loss: expected cross_entropy for output 'p', which is a softmax, got "
      "binary_cross_entropy");
}

TEST_F(Objective, of_probabilities_made_in_an_unknown_way_is_asked_for) {
  const TensorMap batch = {{"x", ramp({2, 4})}, {"labels", whole({0, 1}, {2})}};
  const auto clipped = linear(2, 3, [](BuiltModel& m, Value* z) {
    m.output(m.b().op("clip", {{"x", on(m, "softmax", z)}, {"alpha", 1e-3F}, {"beta", 1.0F}}), "p");
  });
  const std::string text = refusal(clipped, batch);
  EXPECT_EQ(
      text.find("loss: cross_entropy: expected logits or a softmax as output 'p', got numbers "
                "from 0 to 1 made in another way (clip 'p')"),
      0U)
      << text;
  const auto scaled = linear(2, 3, [](BuiltModel& m, Value* z) {
    Value* half = m.b().op("mul", {{"x", on(m, "sigmoid", z)}, {"y", 0.5F}});
    m.output(m.b().op("reshape", {{"x", half}, {"shape", std::vector<int64_t>{2, 3, 1}}}), "p");
  });
  EXPECT_NE(refusal(scaled, batch).find("got numbers from 0 to 1 made in another way (mul "),
            std::string::npos);
  EXPECT_NE(refusal(scaled, {{"x", ramp({2, 4})}, {"labels", whole({0, 1, 0, 1, 0, 1}, {2, 3})}},
                    {.loss = Loss::kBinaryCrossEntropy})
                .find("expected logits or a sigmoid as output 'p', got numbers from 0 to 1"),
            std::string::npos);
}

TEST_F(Objective, of_one_class_is_refused) {
  const TensorMap batch = {{"x", ramp({2, 4})}, {"labels", whole({0, 0}, {2})}};
  for (const bool softmax : {false, true}) {
    const auto model = linear(
        2, 1, [&](BuiltModel& m, Value* z) { m.output(softmax ? on(m, "softmax", z) : z, "y"); });
    EXPECT_EQ(refusal(model, batch),
              "output 'y' [2, 1]: expected two classes or more on axis 1, got one, whose cross "
              "entropy is 0 whatever it says; binary_cross_entropy is the loss of one number");
  }
}

TEST_F(Objective, settings_of_another_loss_are_refused) {
  const auto model = linear(2, 3, [](BuiltModel& m, Value* z) { m.output(z, "y"); });
  const TensorMap batch = {{"x", ramp({2, 4})}, {"labels", whole({0, 1}, {2})}};
  EXPECT_EQ(refusal(model, batch, {.loss = Loss::kMeanSquaredError, .label_smoothing = 0.1F}),
            "label_smoothing: expected cross entropy as the loss beside it, got another");
  EXPECT_EQ(refusal(model, batch, {.pos_weight = {2}}),
            "pos_weight: expected binary cross entropy as the loss beside it, got another");
  EXPECT_EQ(refusal(model, batch, {.loss = Loss::kOutput, .class_axis = 1}),
            "class_axis: expected cross entropy as the loss beside it, got another");
  EXPECT_EQ(refusal(model, batch, {.class_axis = 2}),
            "class_axis: expected a number in [-2, 1] for output 'y' [2, 3], got 2");
  EXPECT_EQ(refusal(model, {{"x", ramp({2, 4})}, {"labels", ramp({2, 3})}},
                    {.loss = Loss::kBinaryCrossEntropy}),
            "labels: expected numbers from 0 to 1 or -100, got -1.25");
  EXPECT_EQ(refusal(model, {{"x", ramp({2, 4})}, {"labels", whole({0, 1, 1, 0, 1, 1}, {2, 3})}},
                    {.loss = Loss::kBinaryCrossEntropy, .pos_weight = {1, 2}}),
            "pos_weight: expected one number, or one for each class of output 'y' [2, 3], got 2; "
            "class_axis says which axis counts them");
}

// Squares and a sum: nothing tells where the classes are.
TEST_F(Objective, an_axis_that_labels_do_not_tell_is_asked_for) {
  BuiltModel model;
  Value* x = model.input("x", {2, 3, 3});
  Value* w = model.weight("w", std::vector<float>(kWeight.begin(), kWeight.begin() + 9), {3, 3});
  Value* y = model.b().op("add", {{"x", x}, {"y", w}});
  model.output(y, "y");
  const auto loaded = load(model);
  const TensorMap batch = {{"x", ramp({2, 3, 3})}, {"labels", whole({0, 1, 2, 2, 1, 0}, {2, 3})}};
  const StudentOptions all{.trainable = {"w"}};
  EXPECT_EQ(refusal(loaded, batch, all),
            "class_axis: expected the axis of output 'y' [2, 3, 3] that counts the classes, one of "
            "1, 2: labels of shape [2, 3] go with each of them");
  StudentOptions second = all, last = all;
  second.class_axis = 1;
  last.class_axis = -1;
  EXPECT_EQ(text_of(loaded, batch, second), "cross entropy of 'y', over axis 1, 3 classes");
  EXPECT_EQ(text_of(loaded, batch, last), "cross entropy of 'y', over axis 2, 3 classes");
  EXPECT_NE(loss_of(loaded, batch, second), loss_of(loaded, batch, last));
}

// [1, classes, 1, time], as a convolution gives it where a linear layer is meant.
TEST_F(Objective, a_head_of_one_by_one_convolutions_is_that_of_a_linear_layer) {
  const auto build = [&](bool conv) {
    BuiltModel model;
    Builder& b = model.b();
    const auto axes = [](std::vector<int64_t> v) { return v; };
    Value* x = model.input("x", {1, 5, 4});
    Value* y = nullptr;
    if (conv) {
      Value* t = b.op("transpose", {{"x", x}, {"perm", axes({0, 2, 1})}});
      t = b.op("expand_dims", {{"x", t}, {"axes", axes({2})}});
      y = b.op("conv", {{"x", t}, {"weight", model.weight("w", kWeight, {3, 4, 1, 1})}});
    } else {
      y = b.op("linear", {{"x", x}, {"weight", model.weight("w", kWeight, {3, 4})}});
    }
    model.output(y, "logits");
    return load(model);
  };
  const auto conv = build(true), plain = build(false);
  for (const Shape& shape : {Shape{1, 5}, Shape{5}, Shape{1, 1, 5}}) {
    const TensorMap batch = {{"x", ramp({1, 5, 4})}, {"labels", whole({2, -100, 1, 0, 2}, shape)}};
    EXPECT_EQ(text_of(conv, batch), "cross entropy of 'logits', over axis 1, 3 classes");
    EXPECT_NEAR(loss_of(conv, batch), loss_of(plain, batch), 1e-6);
    StudentModel a(conv, {}), b(plain, {});
    const Tensor ours = a.backward(Batch(batch)).at("w").reshaped({3, 4});
    EXPECT_LT(testing::largest_difference(ours, b.backward(Batch(batch)).at("w")), 1e-6);
  }
  EXPECT_EQ(refusal(conv, {{"x", ramp({1, 5, 4})}, {"labels", whole({2, 1, 0}, {3})}}),
            "labels: expected shape [1, 1, 5] for output 'logits', got [3]");
  EXPECT_EQ(refusal(conv, {{"x", ramp({1, 5, 4})}, {"labels", whole({2, 1, 0, 3, 1}, {5})}}),
            "labels: expected values in [0, 3) or -100, got 3");
}

TEST_F(Objective, a_classifier_learns_from_names_indices_and_numbers) {
  const auto named = linear(1, 3, [](BuiltModel& m, Value* z) {
    m.classifier(on(m, "softmax", z), classes(Strings{"cat", "dog", "fox"}));
  });
  const auto numbered = linear(1, 3, [](BuiltModel& m, Value* z) {
    m.classifier(on(m, "softmax", z), classes(std::vector<int64_t>{10, 7, 0}));
  });
  const auto plain = linear(1, 3, [](BuiltModel& m, Value* z) { m.output(z, "y"); });
  const auto with = [](const Tensor& labels) {
    return TensorMap{{"x", ramp({1, 4})}, {"labels", labels}};
  };
  Tensor fox(DType::kString, {1});
  fox.mutable_data<std::string>()[0] = "fox";
  const double expected = loss_of(plain, with(whole({2}, {1})));
  EXPECT_NEAR(loss_of(named, with(whole({2}, {1}))), expected, 1e-6);
  EXPECT_NEAR(loss_of(named, with(fox)), expected, 1e-6);
  EXPECT_NEAR(loss_of(numbered, with(whole({0}, {1}))), expected, 1e-6);
  EXPECT_EQ(text_of(named, with(fox)),
            "cross entropy of 'z' (before softmax of 'label_probs'), over axis 1, 3 classes");
  EXPECT_EQ(StudentModel(named).class_labels(), (Strings{"cat", "dog", "fox"}));
  EXPECT_EQ(StudentModel(numbered).class_labels(), (Strings{"10", "7", "0"}));
  EXPECT_TRUE(StudentModel(plain).class_labels().empty());
  fox.mutable_data<std::string>()[0] = "bird";
  EXPECT_EQ(refusal(named, with(fox)),
            "labels: expected one of the classes cat, dog, fox, got bird");
  EXPECT_EQ(refusal(numbered, with(whole({1}, {1}))),
            "labels: expected one of the classes 10, 7, 0, got 1");
  EXPECT_EQ(refusal(plain, with(fox)), "labels: expected integers, got names; the model has none");
}

// A binary classifier as it is converted: the sigmoid and what is left of 1, side by side.
TEST_F(Objective, two_classes_may_be_a_sigmoid_and_its_complement) {
  const auto sigmoid =
      linear(1, 1, [](BuiltModel& m, Value* z) { m.output(on(m, "sigmoid", z), "p"); });
  for (const bool first : {false, true}) {
    const auto pair = linear(1, 1, [&](BuiltModel& m, Value* z) {
      Builder& b = m.b();
      Value* yes = b.op("squeeze", {{"x", on(m, "sigmoid", z)}, {"axes", std::vector<int64_t>{0}}});
      Value* no = b.op("sub", {{"x", 1.0F}, {"y", yes}});
      const std::vector<Value*> both = first ? std::vector{yes, no} : std::vector{no, yes};
      Value* p = b.op("concat", {{"values", both}, {"axis", 0}, {"interleave", false}});
      m.classifier(p, classes(first ? Strings{"yes", "no"} : Strings{"no", "yes"}));
    });
    for (const int32_t answer : {0, 1}) {
      const TensorMap binary = {{"x", ramp({1, 4})}, {"labels", whole({answer}, {1})}};
      const TensorMap chosen = {{"x", ramp({1, 4})},
                                {"labels", whole({first ? 1 - answer : answer}, {1})}};
      StudentModel one(sigmoid, {.loss = Loss::kBinaryCrossEntropy}), two(pair, {});
      StepResult expected, got;
      const Tensor gradient = one.backward(Batch(binary), &expected).at("w");
      EXPECT_LT(testing::largest_difference(two.backward(Batch(chosen), &got).at("w"), gradient),
                1e-6);
      EXPECT_NEAR(got.loss, expected.loss, 1e-6);
      EXPECT_EQ(two.objective(Batch(chosen)),
                "cross entropy of 'z' (before softmax of 'label_probs'), over axis 0, 2 classes");
    }
  }
}

TEST_F(Objective, a_classifier_trains_and_is_written_back) {
  const auto model = linear(1, 3, [](BuiltModel& m, Value* z) {
    m.classifier(on(m, "softmax", z), classes(Strings{"cat", "dog", "fox"}));
  });
  const TensorMap batch = {{"x", ramp({1, 4})}, {"labels", whole({1}, {1})}};
  StudentModel student(model, {.optimizer = Sgd{.learning_rate = 0.5F}});
  for (int i = 0; i < 30; ++i) (void)student.training_step(Batch(batch));
  EXPECT_LT(student.evaluate(Batch(batch)).loss, 0.05);
  const TensorMap predicted = student.predict({{"x", ramp({1, 4})}});
  EXPECT_EQ(predicted.at("label").data<std::string>()[0], "dog");
  EXPECT_GT(predicted.at("label_probs").number_at(1), 0.95);
  student.save(folder / "trained.mlpackage");
  const auto trained = CoreMLModelWrapper::load(folder / "trained.mlpackage");
  EXPECT_EQ(trained.predict({{"x", ramp({1, 4})}}).at("label").data<std::string>()[0], "dog");
}

TEST_F(Objective, a_teacher_teaches_the_same_whatever_its_output_ends_in) {
  const auto plain = linear(2, 3, [](BuiltModel& m, Value* z) { m.output(z, "y"); });
  const auto soft =
      linear(2, 3, [](BuiltModel& m, Value* z) { m.output(on(m, "softmax", z), "p"); });
  const auto logs = linear(
      2, 3, [](BuiltModel& m, Value* z) { m.output(on(m, "log", on(m, "softmax", z)), "p"); });
  const TensorMap batch = {{"x", ramp({2, 4})}, {"labels", whole({2, 0}, {2})}};
  const auto gradient = [&](const CoreMLModelWrapper& model, const CoreMLModelWrapper& teacher) {
    StudentModel student(model, {});
    Tensor other = student.get_parameter("w");
    for (int64_t i = 0; i < other.count(); ++i)
      other.set_number(i, 0.25 * static_cast<double>(i % 5));
    student.set_parameter("w", other);
    student.set_teacher(teacher, {.temperature = 2, .alpha = 0.75F});
    return student.backward(Batch(batch)).at("w");
  };
  const Tensor expected = gradient(plain, plain);
  for (const auto* model : {&plain, &soft, &logs}) {
    for (const auto* teacher : {&plain, &soft, &logs}) {
      EXPECT_LT(testing::largest_difference(gradient(*model, *teacher), expected), 1e-6);
    }
  }
  const auto sigmoid =
      linear(2, 3, [](BuiltModel& m, Value* z) { m.output(on(m, "sigmoid", z), "p"); });
  StudentModel student(plain, {});
  student.set_teacher(sigmoid);
  EXPECT_NE(testing::error_of([&] { (void)student.training_step(Batch(batch)); },
                              ErrorCode::kInvalidArgument)
                .find("which is a sigmoid"),
            std::string::npos);
}

TEST_F(Objective, other_classes_make_no_teacher) {
  const auto classifier = [&](const Strings& names) {
    return linear(
        1, 3, [&](BuiltModel& m, Value* z) { m.classifier(on(m, "softmax", z), classes(names)); });
  };
  StudentModel student(classifier({"cat", "dog", "fox"}), {});
  student.set_teacher(classifier({"cat", "dog", "fox"}));
  EXPECT_EQ(testing::error_of(
                [&] {
                  student.set_teacher(classifier({"dog", "cat", "fox"}));
                },
                ErrorCode::kInvalidArgument),
            "teacher: expected the student's classes cat, dog, fox, got dog, cat, fox");
}

// The user's own loss: -sum(log(softmax(x + w))[0]), far from the other classes.
TEST_F(Objective, logarithms_of_probabilities_have_finite_gradients_at_any_distance) {
  for (const char* activation : {"softmax", "sigmoid"}) {
    for (const bool moved : {false, true}) {
      BuiltModel model;
      Builder& b = model.b();
      Value* x = model.input("x", {1, 3});
      Value* z = b.op("add", {{"x", x}, {"y", model.weight("w", {0, 0, 0}, {3})}});
      Value* p = on(model, activation, z);
      if (moved) p = b.op("reshape", {{"x", p}, {"shape", std::vector<int64_t>{3, 1}}});
      Value* logs = on(model, "log", p);
      Value* first = b.op(
          "mul",
          {{"x", logs}, {"y", testing::floats({-1, 0, 0}, moved ? Shape{3, 1} : Shape{1, 3})}});
      model.output(b.op("reduce_sum",
                        {{"x", first}, {"axes", std::vector<int64_t>{0, 1}}, {"keep_dims", false}}),
                   "loss");
      StudentModel student(load(model), {.trainable = {"w"}, .loss = Loss::kOutput});
      for (const float gap : {1.0F, 90.0F, 200.0F, 1e4F, 1e30F}) {
        const TensorMap batch = {{"x", Tensor::from<float>({-gap, gap, 0}, {1, 3})}};
        StepResult result;
        const Tensor gradient = student.backward(Batch(batch), &result).at("w");
        const bool softmax = std::string(activation) == "softmax";
        const double other = softmax ? std::exp(-gap) / (1 + std::exp(-gap)) : 0;
        if (gap >= 90) {
          EXPECT_NEAR(result.loss, softmax ? 2 * double{gap} : gap, 1e-6 * gap);
          EXPECT_NEAR(gradient.number_at(0), -1, 1e-6);
          EXPECT_NEAR(gradient.number_at(1), softmax ? 1 - other : 0, 1e-6);
        }
        for (int64_t i = 0; i < 3; ++i) EXPECT_TRUE(std::isfinite(gradient.number_at(i))) << gap;
      }
    }
  }
}

}  // namespace
}  // namespace mw
