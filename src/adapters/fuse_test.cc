// Adapters beside every kind of weight: inserted and fused alike, and their gradients.
#include <gtest/gtest.h>

#include "adapters/fuse.h"
#include "adapters/testing.h"
#include "autodiff/gradient.h"
#include "ir/verify.h"

namespace mw::adapters {
namespace {

using ir::Constant;
using ir::Value;

const AdaptableWeight& weight_named(const std::vector<AdaptableWeight>& weights,
                                    const std::string& name) {
  const auto found = std::find_if(weights.begin(), weights.end(),
                                  [&](const auto& weight) { return weight.name() == name; });
  EXPECT_NE(found, weights.end()) << name;
  return *found;
}

std::unique_ptr<ir::Program> inserted(const Built& built, const AdapterSet& set) {
  auto program = ir::clone(built.program);
  (void)insert_adapters(*program->functions[0], ops::catalog(), set.adapters, Inserted::kToTrain);
  return program;
}

std::unique_ptr<ir::Program> fused(const Built& built, const AdapterSet& set) {
  auto program = ir::clone(built.program);
  fuse_adapters(*program->functions[0], {}, ops::catalog(), set.adapters,
                [](const FusedWeight&) {});
  return program;
}

// The two ways to have adapters give the same outputs, which the base does not give.
void expect_agreement(const Built& built, size_t adapters, double tolerance = 2e-5) {
  ir::verify(built.program, ops::catalog());
  const AdapterSet set = adapters_of(built.function, 2);
  ASSERT_EQ(set.adapters.size(), adapters);
  const auto beside = inserted(built, set), within = fused(built, set);
  ir::verify(*beside, ops::catalog());
  ir::verify(*within, ops::catalog());
  const TensorMap inputs = inputs_of(built.function);
  const auto base = run(built.function, inputs), a = run(*beside->functions[0], inputs),
             b = run(*within->functions[0], inputs);
  for (size_t i = 0; i < base.size(); ++i) {
    EXPECT_LE(difference(a[i], b[i]), tolerance) << "output " << i;
    EXPECT_GE(difference(a[i], base[i]), 0.1) << "output " << i;
  }
}

TEST(Lora, adds_alpha_over_rank_times_b_a_to_a_weight) {
  Built built;
  Value* x = built.input("x", {2, 3});
  built.returns({built.b.op("linear", {{"x", x}, {"weight", built.weight("w", {4, 3})}})});
  const AdapterSet set = adapters_of(built.function, 2);
  const auto program = fused(built, set);
  const auto weights = adaptable_weights(*program->functions[0], ops::catalog());
  const Tensor now = ir::constant_of(weight_named(weights, "w").values[0])->value();
  const Tensor before = random({4, 3}, 3);
  const Adapter& adapter = set.adapters[0];
  for (int64_t o = 0; o < 4; ++o) {
    for (int64_t i = 0; i < 3; ++i) {
      double sum = 0;
      for (int64_t r = 0; r < 2; ++r) {
        sum += adapter.b.number_at(o * 2 + r) * adapter.a.number_at(r * 3 + i);
      }
      EXPECT_NEAR(now.number_at(o * 3 + i), before.number_at(o * 3 + i) + 1.5 * sum, 1e-6);
    }
  }
}

TEST(Lora, adapts_linear_with_a_bias) {
  Built built;
  Value* x = built.input("x", {2, 3, 5});
  Value* bias = built.weight("bias", {4});
  built.returns(
      {built.b.op("linear", {{"x", x}, {"weight", built.weight("w", {4, 5})}, {"bias", bias}})});
  expect_agreement(built, 1);
}

TEST(Lora, adapts_the_constant_factor_of_matmul_on_either_side) {
  for_each_matmul([](Built& built) { expect_agreement(built, 1); });
}

TEST(Lora, adapts_matmul_with_a_vector) {
  for (const bool left : {false, true}) {
    Built built;
    Value* x = built.input("x", {4});
    Value* factor = built.weight("w", left ? Shape{5, 4} : Shape{4, 5});
    built.returns({built.b.op("matmul", {{"x", left ? factor : x}, {"y", left ? x : factor}})});
    expect_agreement(built, 1);
  }
}

TEST(Lora, adapts_conv_with_its_strides_pads_and_dilations) {
  Built built;
  Value* x = built.input("x", {2, 3, 9, 8});
  Value* bias = built.weight("bias", {5});
  built.returns({built.b.op("conv", {{"x", x},
                                     {"weight", built.weight("w", {5, 3, 3, 2})},
                                     {"bias", bias},
                                     {"strides", std::vector<int64_t>{2, 1}},
                                     {"pad_type", "custom"},
                                     {"pad", std::vector<int64_t>{1, 0, 2, 1}},
                                     {"dilations", std::vector<int64_t>{1, 2}}})});
  expect_agreement(built, 1);
}

TEST(Lora, adapts_a_weight_behind_a_cast_and_rounds_it_to_its_own_dtype) {
  Built built;
  Value* x = built.input("x", {2, 3});
  Value* w = built.weight("w", {4, 3}, DType::kF16);
  Value* wide = built.b.op("cast", {{"x", w}, {"dtype", "fp32"}});
  built.returns({built.b.op("linear", {{"x", x}, {"weight", wide}})});
  expect_agreement(built, 1, 2e-2);
  const auto program = fused(built, adapters_of(built.function, 2));
  const auto weights = adaptable_weights(*program->functions[0], ops::catalog());
  EXPECT_EQ(weight_named(weights, "w").type().dtype(), DType::kF16);
}

TEST(Lora, gives_one_adapter_to_a_weight_that_several_ops_use_even_the_other_way_round) {
  Built built;
  Value* x = built.input("x", {2, 3});
  Value* w = built.weight("w", {3, 3});
  Value* y = built.b.op("linear", {{"x", x}, {"weight", w}});
  Value* z = built.b.op("matmul", {{"x", y}, {"y", w}});
  Value* v = built.b.op("matmul", {{"x", w}, {"y", z}, {"transpose_y", true}});
  built.returns({y, z, v});
  expect_agreement(built, 1);
}

TEST(Lora, leaves_other_uses_of_a_weight_alone) {
  Built built;
  Value* ids = built.input("ids", {2}, DType::kI32);
  Value* table = built.weight("table", {6, 4});
  Value* x = built.b.op("gather", {{"x", table}, {"indices", ids}, {"axis", 0}});
  Value* y = built.b.op("linear", {{"x", x}, {"weight", table}});
  built.returns({x, y});
  const AdapterSet set = adapters_of(built.function, 2);
  ASSERT_EQ(set.adapters.size(), 1U);
  const auto beside = inserted(built, set), within = fused(built, set);
  const TensorMap inputs = inputs_of(built.function);
  const auto base = run(built.function, inputs), a = run(*beside->functions[0], inputs),
             b = run(*within->functions[0], inputs);
  EXPECT_EQ(difference(base[0], a[0]), 0);
  EXPECT_EQ(difference(base[0], b[0]), 0);
  EXPECT_LE(difference(a[1], b[1]), 2e-5);
  EXPECT_GE(difference(a[1], base[1]), 0.1);
}

TEST(Lora, copies_a_cast_that_other_ops_need_too) {
  Built built;
  Value* ids = built.input("ids", {2}, DType::kI32);
  Value* table = built.weight("table", {6, 4}, DType::kF16);
  Value* wide = built.b.op("cast", {{"x", table}, {"dtype", "fp32"}});
  Value* x = built.b.op("gather", {{"x", wide}, {"indices", ids}, {"axis", 0}});
  built.returns({x, built.b.op("linear", {{"x", x}, {"weight", wide}})});
  const AdapterSet set = adapters_of(built.function, 2);
  const auto beside = inserted(built, set), within = fused(built, set);
  ir::verify(*within, ops::catalog());
  const TensorMap inputs = inputs_of(built.function);
  const auto a = run(*beside->functions[0], inputs), b = run(*within->functions[0], inputs);
  EXPECT_EQ(difference(a[0], b[0]), 0);
  EXPECT_LE(difference(a[1], b[1]), 2e-2);
  EXPECT_GE(difference(run(built.function, inputs)[1], b[1]), 0.1);
}

TEST(Lora, adapts_ops_inside_a_branch) {
  Built built;
  Value* x = built.input("x", {2, 4});
  Value* flag = built.b.constant(Constant::boolean(true), "flag");
  Value* w = built.weight("w", {4, 4});
  ir::Operation* cond = built.b.open("cond", {{"pred", flag}});
  for (const bool taken : {true, false}) {
    ir::Block* block = cond->add_block();
    ir::Builder inside(*block, ops::catalog(), built.function.opset);
    block->outputs = {taken ? inside.op("linear", {{"x", x}, {"weight", w}}, "inside")
                            : inside.op("identity", {{"x", x}}, "other")};
  }
  built.returns({built.b.close(cond)[0]});
  expect_agreement(built, 1);
}

TEST(Lora, adapts_the_first_of_two_weights_of_one_name) {
  Built built;
  Value* x = built.input("x", {2, 4});
  Value* flag = built.b.constant(Constant::boolean(true), "flag");
  ir::Operation* cond = built.b.open("cond", {{"pred", flag}});
  for (const std::string name : {"taken", "other"}) {
    ir::Block* block = cond->add_block();
    ir::Builder inside(*block, ops::catalog(), built.function.opset);
    Value* w = inside.constant(Constant::tensor(random({4, 4}, name.size())), "w_" + name);
    w->name = "w";
    block->outputs = {inside.op("linear", {{"x", x}, {"weight", w}}, name)};
  }
  built.returns({built.b.close(cond)[0]});
  expect_agreement(built, 1);
}

TEST(Lora, makes_a_plain_weight_of_a_compressed_one_and_drops_what_it_was_made_of) {
  Built built(ir::Opset::kIos18);
  Value* x = built.input("x", {2, 4}, DType::kF16);
  Tensor data(DType::kI8, {6, 4});
  for (int64_t i = 0; i < 24; ++i) data.set_integer(i, i * 11 % 19 - 9);
  Value* scale = built.b.constant(Constant::tensor(random({6, 1}, 5, DType::kF16)), "scale");
  Value* w = built.b.op("constexpr_blockwise_shift_scale",
                        {{"data", Constant::tensor(data)}, {"scale", scale}}, "w");
  built.returns({built.b.op("linear", {{"x", x}, {"weight", w}})});
  expect_agreement(built, 1, 0.05);
  const auto program = fused(built, adapters_of(built.function, 2));
  for (const auto& op : program->functions[0]->body.ops) {
    EXPECT_TRUE(op->is_const() || op->type == "linear") << op->type;
    EXPECT_NE(op->name(), "scale");
  }
  const auto weights = adaptable_weights(*program->functions[0], ops::catalog());
  EXPECT_EQ(weight_named(weights, "w").type().dtype(), DType::kF16);
}

TEST(Lora, that_changes_nothing_leaves_every_weight_as_it_is) {
  Built built(ir::Opset::kIos18);
  Value* x = built.input("x", {2, 4}, DType::kF16);
  Value* w = built.b.op("constexpr_blockwise_shift_scale",
                        {{"data", Constant::tensor(Tensor(DType::kI8, {6, 4}))},
                         {"scale", Constant::tensor(random({6, 1}, 5, DType::kF16))}},
                        "w");
  built.returns({built.b.op("linear", {{"x", x}, {"weight", w}})});
  const AdapterSet fresh = begin_adapters(built.function, ops::catalog(), {.rank = 2}, {});
  const auto program = fused(built, fresh);
  EXPECT_EQ(program->functions[0]->body.ops.size(), built.function.body.ops.size());
}

TEST(Lora, has_the_gradients_that_differences_give) {
  Built built;
  Value* x = built.input("x", {2, 3, 6, 5}, DType::kF64);
  Value* y = built.b.op("conv", {{"x", x},
                                 {"weight", built.weight("kernel", {4, 3, 2, 3}, DType::kF64)},
                                 {"strides", std::vector<int64_t>{2, 1}},
                                 {"pad_type", "same"}});
  Value* z = built.b.op("matmul", {{"x", y}, {"y", built.weight("right", {5, 4}, DType::kF64)}});
  Value* v = built.b.op("matmul", {{"x", built.weight("left", {6, 3}, DType::kF64)}, {"y", z}});
  Value* w = built.weight("tied", {4, 4}, DType::kF64);
  Value* t = built.b.op("linear", {{"x", v}, {"weight", w}});
  built.returns({built.b.op("matmul", {{"x", t}, {"y", w}})});
  const AdapterSet set = adapters_of(built.function, 2, DType::kF64);
  ASSERT_EQ(set.adapters.size(), 4U);
  autodiff::Subject subject;
  subject.function = ir::clone(built.function).function;
  for (const auto& made :
       insert_adapters(*subject.function, ops::catalog(), set.adapters, Inserted::kToTrain)) {
    for (const InsertedPart& part : made.parts) {
      subject.wrt.push_back(part.trained->outputs[0].get());
    }
  }
  subject.arguments = inputs_of(*subject.function);
  std::mt19937_64 generator(11);
  const auto loss =
      autodiff::weighted_sum(*subject.function, subject.function->body.outputs, generator);
  const auto gradients = autodiff::gradients(*subject.function, ops::catalog(), ops::gradient_ops(),
                                             loss.seeds, subject.wrt);
  for (size_t i = 0; i < subject.wrt.size(); ++i) {
    ASSERT_NE(gradients[i], nullptr);
    const Tensor direction = autodiff::noise(subject.wrt[i]->type.shape(), generator);
    const auto slopes = autodiff::slopes_of(subject, subject.wrt[i], direction, loss.scalar);
    const Tensor gradient = subject.evaluate({gradients[i]})[0];
    EXPECT_EQ(autodiff::compare(slopes, gradient, direction), "") << subject.wrt[i]->name;
    EXPECT_GT(std::fabs(slopes.central), 1e-3) << subject.wrt[i]->name;
  }
}

}  // namespace
}  // namespace mw::adapters
