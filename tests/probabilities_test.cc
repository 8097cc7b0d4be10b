// Outputs that hold probabilities in forms no converter's pattern names: none is taken for logits,
// and none for the activation of something it is not.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

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
using testing::floats;
using Axes = std::vector<int64_t>;

const std::vector<float> kWeight = {0.5F,  -1,     0.25F, 0.75F, 1,      -0.5F,
                                    -2.0F, 0.125F, 1,     0.5F,  -0.25F, 1.5F};
const Tensor kX = Tensor::from<float>({1, -0.5F, 0.25F, 2, -1, 0.75F, 0.5F, -0.25F}, {2, 4});

Value* on(Builder& b, const char* op, Value* x) { return b.op(op, {{"x", x}}); }
Value* two(Builder& b, const char* op, Value* x, Value* y) {
  return b.op(op, {{"x", x}, {"y", y}});
}
Value* with(Builder& b, const char* op, Value* x, float y) {
  return b.op(op, {{"x", x}, {"y", y}});
}
Value* reduced(Builder& b, const char* op, Value* x) {
  return b.op(op, {{"x", x}, {"axes", Axes{1}}, {"keep_dims", true}});
}

struct Form {
  const char* name;
  std::function<Value*(Builder&, Value*)> end;
};

class Probabilities : public ::testing::Test {
 protected:
  TempFolder folder;
  int count = 0;

  // end(W x), [2, 3]
  CoreMLModelWrapper model(const std::function<Value*(BuiltModel&, Value* x, Value* z)>& end) {
    BuiltModel built;
    Value* x = built.input("x", {2, 4});
    Value* z =
        built.b().op("linear", {{"x", x}, {"weight", built.weight("w", kWeight, {3, 4})}}, "z");
    built.output(end(built, x, z), "p");
    return load(built);
  }
  CoreMLModelWrapper load(BuiltModel& built) {
    return CoreMLModelWrapper::load(built.write(folder / fmt::format("{}.mlpackage", count++)));
  }
  std::string refusal(const Form& form, Loss loss) {
    const auto made = model([&](BuiltModel& m, Value*, Value* z) { return form.end(m.b(), z); });
    const bool classes = loss == Loss::kCrossEntropy;
    const Tensor labels =
        classes ? Tensor::from<int32_t>({2, 0}, {2}) : Tensor(DType::kF32, {2, 3});
    return testing::error_of(
        [&] {
          (void)StudentModel(made, {.loss = loss}).evaluate(Batch({{"x", kX}, {"labels", labels}}));
        },
        ErrorCode::kInvalidArgument);
  }
};

TEST_F(Probabilities, of_a_sigmoid_in_other_words_are_no_logits) {
  const Form forms[] = {
      {"inverse",
       [](Builder& b, Value* z) {
         return on(b, "inverse", with(b, "add", on(b, "exp", with(b, "mul", z, -1)), 1));
       }},
      {"scaled tanh",
       [](Builder& b, Value* z) {
         return with(b, "add", b.op("scaled_tanh", {{"x", z}, {"alpha", 0.5F}, {"beta", 0.5F}}),
                     0.5F);
       }},
      {"softplus", [](Builder& b, Value* z) { return with(b, "mul", on(b, "softplus", z), -1); }},
      {"finite logarithm",
       [](Builder& b, Value* z) {
         return on(b, "log", with(b, "add", on(b, "sigmoid", z), 1e-7F));
       }},
  };
  for (const Form& form : forms) {
    EXPECT_NE(refusal(form, Loss::kBinaryCrossEntropy).find("made in another way"),
              std::string::npos)
        << form.name;
  }
}

TEST_F(Probabilities, of_a_softmax_in_other_words_are_no_logits) {
  const auto share = [](Builder& b, Value* part, const char* sum) {
    return two(b, "real_div", part, reduced(b, sum, part));
  };
  const Form forms[] = {
      {"norm", [&](Builder& b, Value* z) { return share(b, on(b, "exp", z), "reduce_l1_norm"); }},
      {"powers of two",
       [&](Builder& b, Value* z) { return share(b, on(b, "exp2", z), "reduce_sum"); }},
      {"powers",
       [&](Builder& b, Value* z) {
         return share(b, b.op("pow", {{"x", 2.5F}, {"y", z}}), "reduce_sum");
       }},
      {"root", [](Builder& b, Value* z) { return on(b, "sqrt", on(b, "softmax", z)); }},
      {"smoothed", [](Builder& b, Value* z) { return with(b, "add", on(b, "softmax", z), 1e-6F); }},
      {"padded",
       [](Builder& b, Value* z) {
         return b.op("pad", {{"x", on(b, "softmax", z)}, {"pad", std::vector<int64_t>{0, 1}}});
       }},
      {"sum of two",
       [](Builder& b, Value* z) {
         Value* p = with(b, "mul", on(b, "softmax", z), 0.5F);
         Value* q = with(b, "mul", on(b, "softmax", with(b, "mul", z, 2)), 0.5F);
         Value* both = b.op("stack", {{"values", std::vector<Value*>{p, q}}, {"axis", 0}});
         return b.op("reduce_sum", {{"x", both}, {"axes", Axes{0}}, {"keep_dims", false}});
       }},
      {"linear activation",
       [](Builder& b, Value* z) {
         return b.op("linear_activation",
                     {{"x", on(b, "softmax", z)}, {"alpha", 0.5F}, {"beta", 0.1F}});
       }},
  };
  for (const Form& form : forms) {
    EXPECT_NE(refusal(form, Loss::kCrossEntropy).find("made in another way"), std::string::npos)
        << form.name;
  }
}

// No walk over the ops tells that these sum up to 1; the first batch does.
std::vector<Form> unknown_shares() {
  const auto share = [](Builder& b, Value* part, Value* sum) {
    return two(b, "real_div", part, sum);
  };
  const auto constant = [](Builder& b, const std::vector<float>& values, const Shape& shape) {
    return b.constant(ir::Constant::tensor(Tensor::from(values, shape)));
  };
  return {
      {"sum by a product",
       [=](Builder& b, Value* z) {
         Value* e = on(b, "exp", z);
         return share(b, e, two(b, "matmul", e, constant(b, std::vector<float>(9, 1), {3, 3})));
       }},
      {"mean times the count",
       [=](Builder& b, Value* z) {
         Value* e = on(b, "exp", z);
         return share(b, e, with(b, "mul", reduced(b, "reduce_mean", e), 3));
       }},
      {"squares by the norm",
       [=](Builder& b, Value* z) {
         Value* root = on(b, "exp", with(b, "mul", z, 0.5F));
         Value* unit = share(b, root, reduced(b, "reduce_l2_norm", root));
         return two(b, "mul", unit, unit);
       }},
      {"last of the running sums",
       [=](Builder& b, Value* z) {
         Value* e = on(b, "exp", z);
         Value* sums = b.op("cumsum", {{"x", e}, {"axis", 1}});
         return share(
             b, e,
             b.op("slice_by_size", {{"x", sums}, {"begin", Axes{0, 2}}, {"size", Axes{2, 1}}}));
       }},
      {"scattered",
       [=](Builder& b, Value* z) {
         return b.op("scatter", {{"data", constant(b, std::vector<float>(6, 0), {2, 3})},
                                 {"indices", ir::Constant::int32s({2, 0, 1})},
                                 {"updates", on(b, "softmax", z)},
                                 {"axis", 1},
                                 {"mode", "update"}});
       }},
      {"permuted by a product",
       [=](Builder& b, Value* z) {
         return two(b, "matmul", on(b, "softmax", z),
                    constant(b, {0, 1, 0, 0, 0, 1, 1, 0, 0}, {3, 3}));
       }},
      {"by a large constant",
       [=](Builder& b, Value* z) {
         Value* ones = constant(b, std::vector<float>(6000, 1), {1000, 2, 3});
         Value* many = two(b, "mul", on(b, "softmax", z), ones);
         return b.op("reduce_mean", {{"x", many}, {"axes", Axes{0}}, {"keep_dims", false}});
       }},
  };
}

TEST_F(Probabilities, that_only_their_numbers_tell_are_refused_before_the_first_step) {
  for (const Form& form : unknown_shares()) {
    EXPECT_NE(refusal(form, Loss::kCrossEntropy)
                  .find("output 'p': expected logits or a softmax for cross entropy, got "
                        "probabilities made in a way that is not known"),
              std::string::npos)
        << form.name;
  }
}

TEST_F(Probabilities, of_a_teacher_are_refused_where_only_their_numbers_tell) {
  const auto student = model([](BuiltModel&, Value*, Value* z) { return z; });
  for (const Form& form : unknown_shares()) {
    const auto teacher = model([&](BuiltModel& m, Value*, Value* z) { return form.end(m.b(), z); });
    StudentModel learner(student, {});
    learner.set_teacher(teacher, {.temperature = 2, .alpha = 0.5F});
    const Batch batch({{"x", kX}, {"labels", Tensor::from<int32_t>({2, 0}, {2})}});
    EXPECT_NE(
        testing::error_of([&] { (void)learner.training_step(batch); }, ErrorCode::kInvalidArgument)
            .find("teacher: output 'p': expected logits or a softmax"),
        std::string::npos)
        << form.name;
  }
}

TEST_F(Probabilities, are_not_seen_in_logits_of_an_unknown_end) {
  // Two rows that sum up to 1 by chance, for one batch and no other.
  const auto made = model([](BuiltModel& m, Value* x, Value* z) {
    Value* picked =
        m.b().op("slice_by_size", {{"x", x}, {"begin", Axes{0, 0}}, {"size", Axes{2, 3}}});
    return two(m.b(), "add", picked, with(m.b(), "mul", two(m.b(), "sub", z, z), 0.5F));
  });
  const Tensor x = Tensor::from<float>({0.5F, 0.25F, 0.25F, 9, 0.125F, 0.125F, 0.75F, 9}, {2, 4});
  const Tensor labels = Tensor::from<int32_t>({2, 0}, {2});
  const StepResult result = StudentModel(made, {}).evaluate(Batch({{"x", x}, {"labels", labels}}));
  const auto row = [](double a, double b, double c, double of) {
    return std::log(std::exp(a) + std::exp(b) + std::exp(c)) - of;
  };
  EXPECT_NEAR(result.loss, (row(0.5, 0.25, 0.25, 0.25) + row(0.125, 0.125, 0.75, 0.125)) / 2, 1e-6);
}

// [2, 3, 3]: a softmax over the second axis while the layer has its features on the third.
TEST_F(Probabilities, over_another_axis_than_the_features_ask_for_the_axis) {
  BuiltModel built;
  Value* x = built.input("x", {2, 3, 4});
  Value* z = built.b().op("linear", {{"x", x}, {"weight", built.weight("w", kWeight, {3, 4})}});
  built.output(built.b().op("softmax", {{"x", z}, {"axis", 1}}), "p");
  const auto made = load(built);
  Tensor numbers(DType::kF32, {2, 3, 4});
  for (int64_t i = 0; i < numbers.count(); ++i) numbers.set_number(i, i % 5 - 2);
  const Batch batch(
      {{"x", numbers}, {"labels", Tensor::from<int32_t>({2, 0, 1, 1, 0, 2}, {2, 3})}});
  const std::string error = testing::error_of([&] { (void)StudentModel(made, {}).evaluate(batch); },
                                              ErrorCode::kInvalidArgument);
  EXPECT_NE(error.find("class_axis: expected the axis of output 'p' [2, 3, 3] that counts the "
                       "classes: labels of shape [2, 3] go with axis 1, over which its softmax is, "
                       "and with axis 2; class_axis 1 says that the softmax is of the classes"),
            std::string::npos)
      << error;
  EXPECT_TRUE(std::isfinite(StudentModel(made, {.class_axis = 1}).evaluate(batch).loss));
}

// A map of probabilities at the size of its picture.
TEST_F(Probabilities, that_are_resized_are_no_logits) {
  BuiltModel built;
  Builder& b = built.b();
  Value* x = built.input("x", {1, 2, 2, 2});
  Value* z =
      b.op("conv", {{"x", x}, {"weight", built.weight("w", {1, 2, 3, 4, 5, 6}, {3, 2, 1, 1})}});
  Value* p = b.op("softmax", {{"x", z}, {"axis", 1}});
  built.output(b.op("upsample_bilinear",
                    {{"x", p}, {"scale_factor_height", 2.0F}, {"scale_factor_width", 2.0F}}),
               "p");
  StudentModel student(load(built), {});
  const Batch batch(
      {{"x", Tensor(DType::kF32, {1, 2, 2, 2})}, {"labels", Tensor(DType::kI32, {1, 4, 4})}});
  EXPECT_NE(testing::error_of([&] { (void)student.evaluate(batch); }, ErrorCode::kInvalidArgument)
                .find("made in another way"),
            std::string::npos);
}

// log softmax(z - m) is log softmax(z) only where m is the same for all classes.
TEST_F(Probabilities, of_logits_less_another_number_per_class_are_of_the_difference) {
  for (const bool even : {false, true}) {
    const auto made = model([&](BuiltModel& m, Value* x, Value* z) {
      Builder& b = m.b();
      std::vector<float> other(kWeight.rbegin(), kWeight.rend());
      Value* shift = b.op("linear", {{"x", x}, {"weight", m.weight("v", other, {3, 4})}});
      if (even) shift = reduced(b, "reduce_max", shift);
      Value* sum = reduced(b, "reduce_log_sum_exp", two(b, "sub", z, shift));
      return two(b, "sub", z, two(b, "add", sum, shift));
    });
    double expected = 0;
    const std::vector<int32_t> labels = {2, 0};
    for (size_t row = 0; row < 2; ++row) {
      double logits[3], sum = 0;
      for (size_t c = 0; c < 3; ++c) {
        logits[c] = 0;
        for (size_t k = 0; k < 4; ++k) {
          const double less = even ? 0 : double{kWeight[11 - (c * 4 + k)]};
          logits[c] +=
              (kWeight[c * 4 + k] - less) * kX.number_at(static_cast<int64_t>(row * 4 + k));
        }
        sum += std::exp(logits[c]);
      }
      expected += (std::log(sum) - logits[labels[row]]) / 2;
    }
    StudentModel student(made, {});
    const Batch batch({{"x", kX}, {"labels", Tensor::from(labels, {2})}});
    EXPECT_NEAR(student.evaluate(batch).loss, expected, 1e-6) << even;
    EXPECT_EQ(student.objective(batch).find("before log softmax") != std::string::npos, even);
  }
}

TEST_F(Probabilities, a_loss_of_the_models_own_takes_its_labels) {
  BuiltModel built;
  Builder& b = built.b();
  Value* x = built.input("x", {2, 4});
  Value* labels = built.input("labels", {2, 3});
  Value* z = b.op("linear", {{"x", x}, {"weight", built.weight("w", kWeight, {3, 4})}});
  Value* squares = on(b, "square", two(b, "sub", z, labels));
  built.output(b.op("reduce_mean", {{"x", squares}, {"axes", Axes{0, 1}}, {"keep_dims", false}}),
               "loss");
  const auto made = load(built);
  const auto loss = [&](float label) {
    Tensor truth(DType::kF32, {2, 3});
    for (int64_t i = 0; i < 6; ++i) truth.set_number(i, label);
    StudentModel student(made, {.loss = Loss::kOutput});
    return student.training_step(Batch({{"x", kX}, {"labels", truth}})).loss;
  };
  double zero = 0, half = 0;
  for (size_t i = 0; i < 6; ++i) {
    double z_i = 0;
    for (size_t k = 0; k < 4; ++k) {
      z_i += kWeight[i % 3 * 4 + k] * kX.number_at(static_cast<int64_t>(i / 3 * 4 + k));
    }
    zero += z_i * z_i / 6;
    half += (z_i - 0.5) * (z_i - 0.5) / 6;
  }
  EXPECT_NEAR(loss(0), zero, 1e-6);
  EXPECT_NEAR(loss(0.5F), half, 1e-6);
}

TEST_F(Probabilities, numbers_that_would_make_a_loss_not_finite_are_refused) {
  const auto plain = model([](BuiltModel&, Value*, Value* z) { return z; });
  Tensor truth(DType::kF32, {2, 3});
  truth.set_number(4, NAN);
  StudentModel squared(plain, {.loss = Loss::kMeanSquaredError});
  EXPECT_NE(testing::error_of(
                [&] {
                  (void)squared.training_step(Batch({{"x", kX}, {"labels", truth}}));
                },
                ErrorCode::kInvalidArgument)
                .find("labels: expected finite numbers, got nan"),
            std::string::npos);
  for (const float temperature : {INFINITY, 1e20F, 1e-30F, 0.0F, NAN}) {
    StudentModel student(plain, {});
    EXPECT_NE(testing::error_of([&] { student.set_teacher(plain, {.temperature = temperature}); },
                                ErrorCode::kInvalidArgument)
                  .find("temperature: expected more than 0"),
              std::string::npos);
  }
}

// In fp64, too, where the count of labels comes as a float.
TEST_F(Probabilities, several_batches_are_a_step_in_either_precision) {
  BuiltModel built;
  Value* x = built.input("x", {2, 4});
  Builder& b = built.b();
  built.output(b.op("linear", {{"x", x}, {"weight", built.weight("w", kWeight, {3, 4})}}), "z");
  const auto path = built.write(folder / "steps.mlpackage");
  const Batch first({{"x", kX}, {"labels", Tensor::from<int32_t>({2, 0}, {2})}});
  const Batch second({{"x", kX}, {"labels", Tensor::from<int32_t>({1, -100}, {2})}});
  for (const Compute compute : {Compute::kFp32, Compute::kFp64}) {
    StudentModel student(CoreMLModelWrapper::load(path, {.compute = compute}), {});
    const auto mean = [&] {
      return (2 * student.evaluate(first).loss + student.evaluate(second).loss) / 3;
    };
    const double expected = mean();
    const StepResult result = student.training_step(std::vector<Batch>{first, second});
    EXPECT_NEAR(result.loss, expected, 1e-6);
    EXPECT_EQ(result.tokens, 3);
    EXPECT_LT(mean(), expected);
  }
}

TEST_F(Probabilities, names_of_several_classes_are_refused) {
  BuiltModel built;
  Value* x = built.input("x", {1, 3});
  Value* z = built.b().op("add", {{"x", x}, {"y", built.weight("w", {0, 0, 0}, {3})}});
  built.classifier(on(built.b(), "softmax", z),
                   testing::classes(std::vector<std::string>{"a", "b", "a"}));
  StudentModel student(load(built), {.trainable = {"w"}});
  const auto labelled = [](const Tensor& label) {
    return Batch({{"x", Tensor::from<float>({1, 2, 3}, {1, 3})}, {"labels", label}});
  };
  EXPECT_NEAR(student.evaluate(labelled(Tensor::from<std::string>({"b"}, {1}))).loss, 1.4076, 1e-4);
  EXPECT_NEAR(student.evaluate(labelled(Tensor::from<int32_t>({2}, {1}))).loss, 0.4076, 1e-4);
  EXPECT_NE(testing::error_of(
                [&] { (void)student.evaluate(labelled(Tensor::from<std::string>({"a"}, {1}))); },
                ErrorCode::kInvalidArgument)
                .find("expected a name of one class, got a, of several; give its index"),
            std::string::npos);
  const Tensor wrapped = Tensor::from<uint64_t>({~uint64_t{0} - 99}, {1});  // -100 in 64 bits
  EXPECT_NE(testing::error_of([&] { (void)student.evaluate(labelled(wrapped)); },
                              ErrorCode::kInvalidArgument)
                .find("got 18446744073709551516"),
            std::string::npos);
}

}  // namespace
}  // namespace mw
