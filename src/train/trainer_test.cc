// A step happens or does not: models that refuse data, and files that lose what a step reads.
#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include "adapters/testing.h"
#include "base/error.h"
#include "base/testing.h"
#include "devices/devices.h"
#include "ops/catalog.h"
#include "ops/expr.h"
#include "ops/support.h"
#include "plan/backend_testing.h"

namespace mw::training {
namespace {

using adapters::Built, adapters::random;
constexpr double kMost = 100;

// x, as long as no number of it is larger than kMost.
void evaluate_checked(ir::Eval& e) {
  const Tensor& x = e.in("x");
  for (int64_t i = 0; i < x.count(); ++i) {
    if (x.number_at(i) > kMost) {
      fail(ErrorCode::kInvalidModel, "expected at most {}, got {}", kMost, x.number_at(i));
    }
  }
  e.set_out(0, x.clone());
}

ir::OpDef checking(const char* name, ir::OpDef::EvalFn evaluate, const char* of_gradient) {
  return ir::OpDef(name)
      .types("T", {DType::kF16, DType::kF32})
      .input("x", "T")
      .infer(ops::same_as_x)
      .eval(std::move(evaluate))
      .vjp([of_gradient](ir::Vjp& v) { v.add("x", ops::grad(v).op(of_gradient)); });
}

// Ops of the catalog, one that is checked going forward, and one whose gradient is.
const ir::Catalog& fragile() {
  static const ir::Catalog catalog = [] {
    ir::Catalog all = ops::catalog();
    const auto same = [](ir::Eval& e) { e.set_out(0, e.in("x").clone()); };
    all.add(checking("test.forward", evaluate_checked, "identity"));
    all.add(checking("test.backward", same, "test.forward"));
    return all;
  }();
  return catalog;
}

// y = backward(forward(relu(x a)) b) c. Where the gradient is refused those of c are known, and
// those of a and b are not.
struct Network {
  ir::Program program;
  ir::Function& function = *program.add_function("main", ir::Opset::kIos18);
  std::vector<Parameter> parameters;

  Network() {
    ir::Value* x = function.body.add_argument("x", ir::Type::tensor(DType::kF32, {4, 3}));
    ir::Builder b(function.body, fragile(), function.opset);
    const auto linear = [&](ir::Value* from, const char* name, const Shape& shape) {
      ir::Value* weight =
          b.constant(ir::Constant::tensor(random(shape, static_cast<uint64_t>(shape[0]))), name);
      parameters.push_back({.name = name, .places = {{weight->name}}});
      return b.op("linear", {{"x", from}, {"weight", weight}});
    };
    ir::Value* h = b.op("relu", {{"x", linear(x, "a", {5, 3})}});
    h = linear(b.op("test.forward", {{"x", h}}), "b", {6, 5});
    ir::Value* y = linear(b.op("test.backward", {{"x", h}}), "c", {2, 6});
    y->name = "y";
    function.body.outputs = {y};
  }
};

struct Way {
  const char* name;
  bool naive;
  float clip_norm;
  Optimizer optimizer;
};

TrainerOptions options_of(const Way& way, const ir::Catalog& catalog) {
  TrainerOptions options;
  options.settings.loss = Loss::kMeanSquaredError;
  options.settings.optimizer = way.optimizer;
  options.settings.clip_norm = way.clip_norm;
  options.settings.naive = way.naive;
  options.target = "y";
  options.platform = devices::platform("cpu");
  options.platform.catalog = &catalog;
  options.threads = 1;
  return options;
}

Trainer trainer_of(const Network& network, const Way& way) {
  TrainerOptions options = options_of(way, fragile());
  options.parameters = network.parameters;
  return {network.function, std::move(options)};
}

TensorMap batch_of(uint64_t seed) {
  return {{"x", random({4, 3}, seed)}, {"labels", random({4, 2}, seed + 50)}};
}

// One that the forward pass refuses, and one whose gradients are too large.
TensorMap refused(bool forward) {
  TensorMap batch = batch_of(7);
  Tensor& tensor = batch.at(forward ? "x" : "labels");
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.set_number(i, (i % 2 == 0 ? 1 : -1) * (forward ? 1e4 : 1e6));
  }
  return batch;
}

void expect_same(const TensorMap& got, const TensorMap& want, const std::string& label) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [name, tensor] : want) {
    EXPECT_TRUE(bit_equal(got.at(name), tensor)) << label << ": " << name;
  }
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

const Way kWays[] = {{"planned", false, 0, AdamW{.learning_rate = 0.01F}},
                     {"planned, clipped", false, 1, AdamW{.learning_rate = 0.01F}},
                     {"planned, momentum", false, 0, Sgd{0.01F, 0.9F}},
                     {"op by op", true, 0, AdamW{.learning_rate = 0.01F}},
                     {"op by op, clipped", true, 1, Sgd{0.01F, 0.9F}}};

TEST(Step, that_the_model_refuses_has_not_happened) {
  const Network network;
  for (const Way& way : kWays) {
    for (const bool forward : {true, false}) {
      const std::string label = std::string(way.name) + (forward ? ", forward" : ", backward");
      Trainer trainer = trainer_of(network, way), twin = trainer_of(network, way);
      (void)trainer.step(batch_of(1));
      (void)twin.step(batch_of(1));
      const TensorMap before = trainer.state();
      const std::string error = error_of([&] { (void)trainer.step(refused(forward)); });
      EXPECT_TRUE(testing::has(error, "expected at most 100, got ")) << label;
      expect_same(trainer.state(), before, label);
      EXPECT_EQ(trainer.steps_done(), 1) << label;
      (void)trainer.step(batch_of(2));
      (void)twin.step(batch_of(2));
      expect_same(trainer.state(), twin.state(), label + ", the step after");
    }
  }
}

TEST(Step, one_of_whose_batches_the_model_refuses_has_not_happened) {
  const Network network;
  for (const Way& way : kWays) {
    for (const bool forward : {true, false}) {
      for (const int64_t bad : {0, 1, 2}) {
        const std::string label = fmt::format("{}, forward {}, batch {}", way.name, forward, bad);
        Trainer trainer = trainer_of(network, way), twin = trainer_of(network, way);
        const auto good = [](int64_t i) { return batch_of(static_cast<uint64_t>(i)); };
        (void)trainer.step(3, good);
        (void)twin.step(3, good);
        const TensorMap before = trainer.state();
        const std::string error = error_of([&] {
          (void)trainer.step(3, [&](int64_t i) { return i == bad ? refused(forward) : good(i); });
        });
        EXPECT_TRUE(testing::has(error, "expected at most 100, got ")) << label;
        expect_same(trainer.state(), before, label);
        (void)trainer.step(3, good);
        (void)twin.step(3, good);
        expect_same(trainer.state(), twin.state(), label + ", the step after");
      }
    }
  }
}

// States are copied to such a device and back.
TEST(Step, is_the_same_on_a_device_whose_memory_the_host_does_not_see) {
  const plan::ReferenceBackend host;
  const plan::ForeignBackend foreign;
  const Network network;
  for (const Way& way : kWays) {
    const auto trainer_on = [&](const plan::Backend& backend) {
      TrainerOptions options = options_of(way, fragile());
      options.platform.backend = &backend;
      options.parameters = network.parameters;
      return Trainer(network.function, std::move(options));
    };
    Trainer ours = trainer_on(foreign), theirs = trainer_on(host);
    for (Trainer* trainer : {&ours, &theirs}) {
      (void)trainer->step(batch_of(1));
      (void)trainer->step(3, [](int64_t i) { return batch_of(static_cast<uint64_t>(i)); });
    }
    expect_same(ours.state(), theirs.state(), way.name);
  }
}

// NaN in an input, and a label so far away that its square overflows.
TEST(Step, whose_loss_is_not_finite_has_not_happened) {
  Built built(ir::Opset::kIos18);
  ir::Value* x = built.input("x", {4, 3});
  ir::Value* weight = built.weight("weight", {2, 3});
  built.returns({built.b.op("linear", {{"x", x}, {"weight", weight}}, "y")});
  const auto spoilt = [](const char* name, double number) {
    TensorMap batch = batch_of(3);
    batch.at(name).set_number(4, number);
    return batch;
  };
  struct Row {
    TensorMap batch;
    const char* said;
  };
  const Row rows[] = {{spoilt("x", std::nan("")),
                       "expected a finite loss, got nan: input 'x' holds nan at [1, 1]; "
                       "the step has not happened"},
                      {spoilt("labels", 1e30),
                       "expected a finite loss, got inf; the step has not happened: lower "
                       "the learning rate or clip the gradients"}};
  for (const Way& way : kWays) {
    for (const Row& row : rows) {
      TrainerOptions options = options_of(way, ops::catalog());
      options.parameters = {{.name = "weight", .places = {{weight->name}}}};
      Trainer trainer(built.function, options), twin(built.function, options);
      (void)trainer.step(batch_of(1));
      (void)twin.step(batch_of(1));
      const TensorMap before = trainer.state();
      const std::string error = error_of([&] { (void)trainer.step(row.batch); });
      EXPECT_TRUE(testing::has(error, row.said)) << way.name << ": " << error;
      const std::string among = error_of([&] {
        (void)trainer.step(3, [&](int64_t i) { return i == 1 ? row.batch : batch_of(1); });
      });
      EXPECT_TRUE(testing::has(among, row.said)) << way.name << ": " << among;
      expect_same(trainer.state(), before, way.name);
      EXPECT_EQ(trainer.steps_done(), 1) << way.name;
      (void)trainer.step(2, [](int64_t) { return batch_of(2); });
      (void)twin.step(2, [](int64_t) { return batch_of(2); });
      expect_same(trainer.state(), twin.state(), way.name);
    }
  }
}

// y = sqrt(x w): at w = 0 the loss is finite and its gradient is not.
TEST(Step, whose_gradients_alone_are_not_finite_has_not_happened) {
  Built built(ir::Opset::kIos18);
  ir::Value* x = built.input("x", {4, 2});
  ir::Value* weight = built.b.constant(ir::Constant::tensor(Tensor(DType::kF32, {1, 2})), "weight");
  built.returns({built.b.op("sqrt", {{"x", built.b.op("mul", {{"x", x}, {"y", weight}})}}, "y")});
  for (const Way& way : kWays) {
    TrainerOptions options = options_of(way, ops::catalog());
    options.parameters = {{.name = "weight", .places = {{weight->name}}}};
    Trainer trainer(built.function, options);
    const TensorMap before = trainer.state();
    const TensorMap batch = {{"x", random({4, 2}, 5)}, {"labels", random({4, 2}, 6)}};
    const std::string error = error_of([&] { (void)trainer.step(batch); });
    EXPECT_TRUE(testing::has(error, "expected a finite norm of the gradients, got ")) << error;
    const std::string among =
        error_of([&] { (void)trainer.step(2, [&](int64_t) { return batch; }); });
    EXPECT_TRUE(testing::has(among, "expected a finite norm of the gradients, got ")) << among;
    expect_same(trainer.state(), before, way.name);
  }
}

TEST(Step, over_labels_of_which_none_counts_has_not_happened) {
  Built built(ir::Opset::kIos18);
  ir::Value* x = built.input("x", {4, 3});
  ir::Value* weight = built.weight("weight", {5, 3});
  built.returns({built.b.op("linear", {{"x", x}, {"weight", weight}}, "y")});
  for (const Way& way : kWays) {
    TrainerOptions options = options_of(way, ops::catalog());
    options.settings.loss = Loss::kCrossEntropy;
    options.parameters = {{.name = "weight", .places = {{weight->name}}}};
    Trainer trainer(built.function, options), twin(built.function, options);
    const auto batch = [](int32_t label) {
      return TensorMap{{"x", random({4, 3}, 5)},
                       {"labels", Tensor::from<int32_t>({label, -100, -100, -100}, {4})}};
    };
    (void)trainer.step(batch(2));
    (void)twin.step(batch(2));
    const TensorMap before = trainer.state();
    for (const int64_t count : {1, 3}) {
      const std::string error =
          error_of([&] { (void)trainer.step(count, [&](int64_t) { return batch(-100); }); });
      EXPECT_TRUE(testing::has(error, "labels: expected at least one that counts, got only -100"))
          << error;
      expect_same(trainer.state(), before, way.name);
    }
    // Of several batches some may have none.
    const StepResult some = trainer.step(3, [&](int64_t i) { return batch(i == 1 ? 4 : -100); });
    EXPECT_EQ(some.tokens, 1);
    EXPECT_EQ(some.step, 2);
    const StepResult alone = twin.step(2, [&](int64_t i) { return batch(i == 1 ? 4 : -100); });
    EXPECT_EQ(some.loss, alone.loss);
    expect_same(trainer.state(), twin.state(), way.name);
  }
}

TEST(TrainerState, that_is_not_finite_is_refused_and_changes_nothing) {
  const Network network;
  Trainer trainer = trainer_of(network, kWays[0]);
  (void)trainer.step(batch_of(1));
  const TensorMap before = trainer.state();
  TensorMap state = before;
  state.at("a") = state.at("a").clone();
  state.at("a").set_number(0, 7);
  state.at("c") = state.at("c").clone();
  state.at("c").set_number(8, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(error_of([&] { trainer.load_state(state); }),
            "parameter 'c': expected finite numbers, got -inf at [1, 2]");
  expect_same(trainer.state(), before, "weights");
  Tensor large = before.at("c").to(DType::kF64).clone();
  large.set_number(3, 1e39);
  EXPECT_EQ(error_of([&] { trainer.set_master(trainer.parameters().at(2), large); }),
            "parameter 'c': expected finite numbers, got inf at [0, 3], which 1e+39 is in fp32");
  expect_same(trainer.state(), before, "one that overflows");
}

// A mask holds what it holds.
TEST(TrainerState, as_a_snapshot_takes_no_copy_and_stays_as_it_is) {
  const Network network;
  for (const Way& way : kWays) {
    Trainer trainer = trainer_of(network, way), twin = trainer_of(network, way);
    (void)trainer.step(batch_of(1));
    (void)twin.step(batch_of(1));
    const TensorMap kept = trainer.snapshot(), before = trainer.state();
    for (const auto& parameter : trainer.parameters()) {
      EXPECT_EQ(kept.at(parameter.name).raw(), trainer.master(parameter).raw()) << way.name;
    }
    (void)trainer.step(batch_of(2));
    (void)twin.step(batch_of(2));
    expect_same(kept, before, way.name);
    expect_same(trainer.state(), twin.state(), std::string(way.name) + ", the step after");
  }
}

TEST(TrainerState, may_hold_infinities_that_the_model_has) {
  Built built(ir::Opset::kIos18);
  ir::Value* x = built.input("x", {4, 2});
  Tensor mask(DType::kF32, {1, 2});
  mask.set_number(1, -std::numeric_limits<double>::infinity());
  ir::Value* weight = built.b.constant(ir::Constant::tensor(mask), "mask");
  built.returns({built.b.op("add", {{"x", x}, {"y", weight}}, "y")});
  TrainerOptions options = options_of(kWays[0], ops::catalog());
  options.parameters = {{.name = "mask", .places = {{weight->name}}}};
  Trainer trainer(built.function, options);
  const TensorMap state = trainer.state();
  trainer.load_state(state);
  expect_same(trainer.state(), state, "mask");
}

// The rows of a table are read where the file is mapped.
TEST(Step, that_reads_a_lost_page_of_a_file_has_not_happened) {
  constexpr int64_t kRows = 4096, kWidth = 16;
  for (const Way& way : kWays) {
    const testing::TempFolder folder;
    const auto path = folder / "table.bin";
    {
      const Tensor table = random({kRows, kWidth}, 3);
      std::ofstream(path, std::ios::binary)
          .write(static_cast<const char*>(table.raw()), table.nbytes());
    }
    const auto file = MappedFile::open(path);
    Built built(ir::Opset::kIos18);
    ir::Value* ids = built.input("ids", {4}, DType::kI32);
    const Tensor table(DType::kF32, {kRows, kWidth}, file, file->bytes().data());
    ir::Value* rows =
        built.b.op("gather", {{"x", built.b.constant(ir::Constant::tensor(table), "table")},
                              {"indices", ids},
                              {"axis", 0}});
    ir::Value* weight = built.weight("weight", {2, kWidth});
    built.returns({built.b.op("linear", {{"x", rows}, {"weight", weight}}, "y")});

    TrainerOptions options = options_of(way, ops::catalog());
    options.parameters = {{.name = "weight", .places = {{weight->name}}}};
    options.files = {file};
    Trainer trainer(built.function, options);
    const auto batch = [](int32_t row) {
      return TensorMap{{"ids", Tensor::from<int32_t>({row, row, row, row}, {4})},
                       {"labels", random({4, 2}, 5)}};
    };
    (void)trainer.step(batch(0));
    const TensorMap before = trainer.state();
    std::filesystem::resize_file(path, 8192);
    const std::string error = error_of([&] { (void)trainer.step(batch(kRows - 1)); });
    EXPECT_TRUE(testing::has(error, "truncated")) << way.name;
    expect_same(trainer.state(), before, way.name);
  }
}

}  // namespace
}  // namespace mw::training
