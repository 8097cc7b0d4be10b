// Tests of the programs of training: what each pass leaves, and names that models have taken.
#include "train/pipeline.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "adapters/testing.h"
#include "devices/devices.h"
#include "ir/text/text.h"
#include "ir/verify.h"
#include "train/trainer.h"

namespace mw::training {
namespace {

using adapters::Built, adapters::random;

// y = relu(x w), the mean of squares.
struct Small {
  Built built;
  std::vector<Parameter> parameters = {{.name = "w", .places = {{"w"}}}};

  Small() {
    ir::Value* x = built.input("x", {2, 3});
    ir::Value* w =
        built.b.constant(ir::Constant::tensor(Tensor::from<float>({1, -2, 0.5}, {1, 3})), "w");
    ir::Value* y = built.b.op("linear", {{"x", x}, {"weight", w}}, "h");
    built.returns({built.b.op("relu", {{"x", y}}, "y")});
  }
};

TrainerOptions options_of(const std::vector<Parameter>& parameters) {
  TrainerOptions options;
  options.settings.loss = Loss::kMeanSquaredError;
  options.settings.optimizer = Sgd{0.1F};
  options.target = "y";
  options.parameters = parameters;
  options.platform = devices::platform("cpu");
  options.threads = 1;
  options.watch = std::make_shared<passes::Watch>();
  options.watch->verifies = true;
  return options;
}

std::string file_text(const std::string& name) {
  std::ifstream file(std::string(std::getenv("MW_TEST_DATA")) + "/passes/" + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// "2 cast, 1 relu": in which order a formula is written down is the compiler's choice.
std::string census(const ir::Function& function) {
  std::map<std::string, int> counts;
  for (const auto& op : function.body.ops) ++counts[op->type];
  std::string text;
  for (const auto& [type, count] : counts) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, type);
  }
  const char* before = " -> ";
  for (const ir::Value* output : function.body.outputs) {
    text += std::exchange(before, ", ") + output->name;
  }
  return text;
}

// What the program is after each pass of a first step, and how large it is from the gradients on.
std::string programs_of_a_step() {
  const Small small;
  TrainerOptions options = options_of(small.parameters);
  std::string text;
  bool formulas = false;
  options.watch->observer = [&](std::string_view pass, const ir::Function& after) {
    formulas |= pass == "gradients";
    text += fmt::format("// after {}\n{}", pass,
                        formulas ? census(after) + "\n" : ir::text::print(after));
  };
  Trainer trainer(small.built.function, options);
  (void)trainer.step({{"x", random({2, 3}, 1)}, {"labels", random({2, 1}, 2)}});
  return text;
}

TEST(step_program, is_after_each_pass_what_the_file_of_the_test_says) {
  const std::string got = programs_of_a_step(), want = file_text("step.txt");
  EXPECT_TRUE(got == want) << "tests/data/passes/step.txt should be\n" << got;
}

std::string passes_of(const std::function<void(Trainer&)>& use, bool naive = false) {
  const Small small;
  TrainerOptions options = options_of(small.parameters);
  options.settings.naive = naive;
  std::string names;
  options.watch->observer = [&](std::string_view pass, const ir::Function&) {
    names += std::string(pass) + " ";
  };
  Trainer trainer(small.built.function, options);
  names.clear();
  use(trainer);
  return names;
}

TEST(step_program, of_each_kind_takes_the_passes_of_the_kind) {
  const TensorMap batch = {{"x", random({2, 3}, 1)}, {"labels", random({2, 1}, 2)}};
  EXPECT_EQ(passes_of([&](Trainer& t) {
              (void)t.forward({{"x", batch.at("x")}});
            }),
            "specialise expand sink_casts ");
  const std::string begin =
      "specialise specialise stable_logs loss attention ";  // what is minimised first
  EXPECT_EQ(passes_of([&](Trainer& t) { (void)t.evaluate(batch); }),
            begin + "dead_code expand sink_casts ");
  StepResult result;
  EXPECT_EQ(passes_of([&](Trainer& t) { (void)t.gradients(batch, result); }),
            begin + "gradients return_gradients dead_code expand sink_casts ");
  EXPECT_EQ(passes_of([&](Trainer& t) { (void)t.step(batch); }),
            begin + "gradients update dead_code expand sink_casts ");
  EXPECT_EQ(passes_of([&](Trainer& t) { (void)t.step(2, [&](int64_t) { return batch; }); }),
            begin +
                "gradients add_to_sums dead_code expand sink_casts "
                "specialise gradients update dead_code expand sink_casts ");
  EXPECT_EQ(passes_of([&](Trainer& t) { (void)t.step(batch); }, true),
            begin + "gradients update dead_code ");
}

TEST(step_program, with_a_limit_of_memory_is_fitted_into_it) {
  const Small small;
  TrainerOptions options = options_of(small.parameters);
  options.settings.memory = uint64_t{1} << 30;
  std::string names;
  options.watch->observer = [&](std::string_view pass, const ir::Function&) {
    names += std::string(pass) + " ";
  };
  Trainer trainer(small.built.function, options);
  (void)trainer.step({{"x", random({2, 3}, 1)}, {"labels", random({2, 1}, 2)}});
  EXPECT_TRUE(names.ends_with("expand sink_casts recompute sink_casts ")) << names;
}

// A model of two inputs and two parameters, its values called `names`: inputs, values, output.
struct Named {
  Built built;
  std::vector<Parameter> parameters;

  explicit Named(const std::vector<std::string>& names) {
    ir::Value* x = built.input(names[0], {2, 3});
    ir::Value* z = built.input(names[1], {2, 3});
    const auto weight = [&](const std::string& name) {
      parameters.push_back({.name = name, .places = {{name}}});
      return built.b.constant(ir::Constant::tensor(random({3, 3}, 5 + parameters.size())), name);
    };
    ir::Value* a = weight("a");
    ir::Value* c = weight("c");
    ir::Value* h = built.b.op("linear", {{"x", x}, {"weight", a}}, names[2]);
    h = built.b.op("add", {{"x", h}, {"y", z}}, names[3]);
    h = built.b.op("tanh", {{"x", h}}, names[4]);
    built.returns({built.b.op("linear", {{"x", h}, {"weight", c}}, names[5])});
  }
};

TEST(step_program, of_a_model_with_names_of_our_own_trains_like_that_of_any_other) {
  const std::vector<std::string> plain = {"x", "z", "k", "l", "m", "y"};
  const std::vector<std::vector<std::string>> taken = {
      {"learning_rate", "count", "loss_sum", "grad_norm", "sum", "labels"},
      {"count", "loss_sum", "a_master", "a_exp_avg", "c_sum", "grad_norm"},
      {"first_correction", "grad_norm", "grad_0", "count", "labels", "loss_sum"},
      {"a_master", "a_sum", "labels", "grad_1", "learning_rate", "grad_0"},
      {"a_value", "loss_sum", "c_master", "grad_input_0", "count_0", "count"},
  };
  for (const auto& names : taken) {
    std::vector<TensorMap> states, gradients;
    for (const auto& called : {plain, names}) {
      const Named model(called);
      ir::verify(model.built.program, ops::catalog());
      TrainerOptions options = options_of(model.parameters);
      options.settings.optimizer = AdamW{.learning_rate = 0.01F};
      options.settings.wrt_inputs = {called[0]};
      options.target = called[5];
      Trainer trainer(model.built.function, options);
      const auto batch = [&](uint64_t seed) {
        return TensorMap{{called[0], random({2, 3}, seed)},
                         {called[1], random({2, 3}, seed + 1)},
                         {"labels", random({2, 3}, seed + 2)}};
      };
      StepResult result;
      TensorMap of_parameters = trainer.gradients(batch(1), result);
      of_parameters["x"] = of_parameters.extract("input." + called[0]).mapped();
      gradients.push_back(of_parameters);
      (void)trainer.step(batch(1));
      (void)trainer.step(2, [&](int64_t i) { return batch(static_cast<uint64_t>(i) * 7); });
      states.push_back(trainer.state());
      states.back()["loss"] = Tensor::scalar(trainer.evaluate(batch(3)).loss);
    }
    for (const auto& pair : {states, gradients}) {
      ASSERT_EQ(pair[0].size(), pair[1].size());
      for (const auto& [name, tensor] : pair[0]) {
        EXPECT_TRUE(bit_equal(pair[1].at(name), tensor)) << names[0] << ": " << name;
      }
    }
  }
}

TEST(step_program, has_room_for_a_teacher_with_the_names_of_the_student) {
  const Named student({"x", "z", "teacher_k", "l", "teacher_teacher_k", "y"});
  const Named teacher({"x", "z", "k", "teacher_k", "m", "y"});
  TrainerOptions options = options_of(student.parameters);
  options.settings.loss = Loss::kCrossEntropy;
  options.target = "y";
  Trainer trainer(student.built.function, options);
  trainer.set_teacher(teacher.built.function, "y", 2, 0.5);
  const Tensor labels = Tensor::from<int32_t>({0, 2}, {2});
  const StepResult result =
      trainer.step({{"x", random({2, 3}, 1)}, {"z", random({2, 3}, 2)}, {"labels", labels}});
  EXPECT_GT(result.loss, 0);
}

}  // namespace
}  // namespace mw::training
