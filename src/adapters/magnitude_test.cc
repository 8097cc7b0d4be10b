// Weights split into magnitude and direction, against the formula written out here.
#include "adapters/magnitude.h"

#include <gtest/gtest.h>

#include "adapters/fuse.h"
#include "adapters/testing.h"
#include "autodiff/gradient.h"
#include "ir/verify.h"

namespace mw::adapters {
namespace {

using ir::Constant;
using ir::Value;

// Adapters of all weights, with magnitudes that are not those of the weights.
AdapterSet split_adapters_of(const ir::Function& function, DType dtype = DType::kF32) {
  AdapterSet set =
      begin_adapters(function, ops::catalog(), {.rank = 2, .alpha = 3, .dora = true}, {});
  uint64_t seed = 60;
  for (Adapter& adapter : set.adapters) {
    adapter.a = adapter.a.to(dtype);
    adapter.b = random(adapter.b.shape(), ++seed, dtype);
    const Tensor turn = random(adapter.magnitude.shape(), ++seed);
    Tensor m = adapter.magnitude.to(dtype).clone();
    for (int64_t i = 0; i < m.count(); ++i) {
      m.set_number(i, m.number_at(i) * (1.5 + 0.4 * std::tanh(turn.number_at(i))));
    }
    adapter.magnitude = m;
  }
  return set;
}

std::unique_ptr<ir::Program> inserted(const Built& built, const AdapterSet& set,
                                      Inserted how = Inserted::kToTrain) {
  auto program = ir::clone(built.program);
  (void)insert_adapters(*program->functions[0], ops::catalog(), set.adapters, how);
  ir::verify(*program, ops::catalog());
  return program;
}

std::unique_ptr<ir::Program> fused(const Built& built, const AdapterSet& set) {
  auto program = ir::clone(built.program);
  fuse_adapters(*program->functions[0], {}, ops::catalog(), set.adapters,
                [](const FusedWeight&) {});
  ir::verify(*program, ops::catalog());
  return program;
}

// Beside the weights and within them the adapters give the same, which the base does not give.
void expect_agreement(const Built& built, double tolerance = 2e-5) {
  const AdapterSet set = split_adapters_of(built.function);
  ASSERT_GE(set.adapters.size(), 1U);
  const TensorMap inputs = inputs_of(built.function);
  const auto base = run(built.function, inputs),
             a = run(*inserted(built, set)->functions[0], inputs),
             b = run(*fused(built, set)->functions[0], inputs),
             c = run(*inserted(built, set, Inserted::kToRun)->functions[0], inputs);
  for (size_t i = 0; i < base.size(); ++i) {
    EXPECT_LE(difference(a[i], b[i]), tolerance) << "output " << i;
    EXPECT_LE(difference(a[i], c[i]), tolerance) << "output " << i;
    EXPECT_GE(difference(a[i], base[i]), 0.05) << "output " << i;
  }
}

// y = m (W x + s B A x) / |W + s B A| + bias, by hand.
TEST(Dora, gives_what_its_formula_says) {
  Built built;
  Value* x = built.input("x", {2, 5});
  Value* w = built.weight("w", {4, 5});
  Value* bias = built.weight("bias", {4});
  built.returns({built.b.op("linear", {{"x", x}, {"weight", w}, {"bias", bias}})});
  const AdapterSet set = split_adapters_of(built.function);
  const Adapter& adapter = set.adapters.at(0);
  const TensorMap inputs = inputs_of(built.function);
  const Tensor weight = ir::constant_of(w)->value(), offset = ir::constant_of(bias)->value();
  const Tensor got = run(*inserted(built, set)->functions[0], inputs)[0];
  for (int64_t o = 0; o < 4; ++o) {
    std::vector<double> row(5);
    double length = 0;
    for (int64_t i = 0; i < 5; ++i) {
      double change = 0;
      for (int64_t r = 0; r < 2; ++r) {
        change += adapter.b.number_at(o * 2 + r) * adapter.a.number_at(r * 5 + i);
      }
      row[static_cast<size_t>(i)] = weight.number_at(o * 5 + i) + 1.5 * change;
      length += row[static_cast<size_t>(i)] * row[static_cast<size_t>(i)];
    }
    for (int64_t n = 0; n < 2; ++n) {
      double sum = 0;
      for (int64_t i = 0; i < 5; ++i) {
        sum += row[static_cast<size_t>(i)] * inputs.at("x").number_at(n * 5 + i);
      }
      const double expected =
          adapter.magnitude.number_at(o) * sum / std::sqrt(length) + offset.number_at(o);
      EXPECT_NEAR(got.number_at(n * 4 + o), expected, 1e-5);
    }
  }
}

TEST(Dora, agrees_beside_and_within_linear_and_matmul) {
  Built built;
  Value* x = built.input("x", {2, 3, 5});
  Value* y = built.b.op(
      "linear",
      {{"x", x}, {"weight", built.weight("w", {4, 5})}, {"bias", built.weight("bias", {4})}});
  Value* z = built.b.op("matmul", {{"x", y}, {"y", built.weight("right", {4, 6})}});
  built.returns({built.b.op("matmul", {{"x", built.weight("left", {2, 3})}, {"y", z}})});
  expect_agreement(built, 1e-4);
}

TEST(Dora, agrees_beside_and_within_matmul_turned_every_way) {
  for_each_matmul([](Built& built) { expect_agreement(built); });
}

TEST(Dora, agrees_where_a_weight_is_used_the_other_way_round_too) {
  Built built;
  Value* x = built.input("x", {2, 3});
  Value* w = built.weight("w", {3, 3});
  Value* y = built.b.op("linear", {{"x", x}, {"weight", w}});
  Value* z = built.b.op("matmul", {{"x", y}, {"y", w}});
  Value* v = built.b.op("matmul", {{"x", w}, {"y", z}, {"transpose_y", true}});
  built.returns({y, z, v});
  expect_agreement(built, 1e-4);
}

TEST(Dora, agrees_beside_and_within_convolutions) {
  for (const Shape& kernel : {Shape{5, 3, 1, 1}, Shape{5, 3, 3, 2}}) {
    Built built;
    Value* x = built.input("x", {2, 3, 9, 8});
    built.returns({built.b.op("conv", {{"x", x},
                                       {"weight", built.weight("w", kernel)},
                                       {"bias", built.weight("bias", {5})},
                                       {"strides", std::vector<int64_t>{2, 1}},
                                       {"pad_type", "custom"},
                                       {"pad", std::vector<int64_t>{1, 0, 2, 1}}})});
    expect_agreement(built);
  }
}

TEST(Dora, agrees_beside_and_within_a_compressed_weight) {
  Built built(ir::Opset::kIos18);
  Value* x = built.input("x", {2, 4}, DType::kF16);
  Tensor data(DType::kI8, {6, 4});
  for (int64_t i = 0; i < 24; ++i) data.set_integer(i, i * 11 % 19 - 9);
  Value* scale = built.b.constant(Constant::tensor(random({6, 1}, 5, DType::kF16)), "scale");
  Value* w = built.b.op("constexpr_blockwise_shift_scale",
                        {{"data", Constant::tensor(data)}, {"scale", scale}}, "w");
  built.returns({built.b.op("linear", {{"x", x}, {"weight", w}})});
  expect_agreement(built, 0.1);
}

TEST(Dora, that_begins_changes_nothing) {
  Built built;
  Value* x = built.input("x", {2, 5});
  Value* w = built.weight("w", {4, 5});
  built.returns({built.b.op("linear", {{"x", x}, {"weight", w}})});
  const AdapterSet fresh =
      begin_adapters(built.function, ops::catalog(), {.rank = 2, .dora = true}, {});
  const TensorMap inputs = inputs_of(built.function);
  EXPECT_LE(difference(run(built.function, inputs)[0],
                       run(*inserted(built, fresh)->functions[0], inputs)[0]),
            1e-6);
  size_t changed = 0;
  auto program = ir::clone(built.program);
  fuse_adapters(*program->functions[0], {}, ops::catalog(), fresh.adapters,
                [&](const FusedWeight& made) {
                  if (!bit_equal(made.stored, made.original)) ++changed;
                });
  EXPECT_EQ(changed, 0U);
}

TEST(Dora, leaves_an_output_of_zeros_as_it_is) {
  Built built;
  Value* x = built.input("x", {2, 3});
  Value* w = built.b.constant(Constant::tensor(Tensor(DType::kF32, {2, 3})), "w");
  built.returns({built.b.op("linear", {{"x", x}, {"weight", w}})});
  const AdapterSet fresh =
      begin_adapters(built.function, ops::catalog(), {.rank = 1, .dora = true}, {});
  const Tensor y = run(*inserted(built, fresh)->functions[0], inputs_of(built.function))[0];
  for (int64_t i = 0; i < y.count(); ++i) EXPECT_EQ(y.number_at(i), 0);
}

// The lengths count as constants: gradients are those of g (W x + s B A x) + bias with g = m / |..|
// held where it is, and of m alone through g.
TEST(Dora, has_the_gradients_of_its_formula_with_constant_lengths) {
  Built built;
  Value* x = built.input("x", {3, 5}, DType::kF64);
  Value* w = built.weight("w", {4, 5}, DType::kF64);
  built.returns({built.b.op("linear", {{"x", x}, {"weight", w}})});
  const AdapterSet set = split_adapters_of(built.function, DType::kF64);
  const Adapter& adapter = set.adapters.at(0);
  autodiff::Subject subject;
  subject.function = ir::clone(built.function).function;
  const auto made =
      insert_adapters(*subject.function, ops::catalog(), set.adapters, Inserted::kToTrain);
  ASSERT_EQ(made.size(), 1U);
  ASSERT_EQ(made[0].parts.size(), 3U);
  for (const InsertedPart& part : made[0].parts) {
    subject.wrt.push_back(part.trained->outputs[0].get());
  }
  subject.arguments = inputs_of(*subject.function);
  const auto gradients =
      autodiff::gradients(*subject.function, ops::catalog(), ops::gradient_ops(),
                          {{subject.function->body.outputs[0], nullptr}}, subject.wrt);
  const auto got = subject.evaluate({gradients[0], gradients[1], gradients[2]});
  // d sum(y) / d a[r,i] = s sum_o g_o b[o,r] X_i, / d b[o,r] = s g_o (a X)_r,
  // / d m_o = ((W + s B A) X)_o / |..|_o, where X is the sum of all rows of x.
  const Tensor weight = ir::constant_of(w)->value(), given = subject.arguments.at("x");
  const double s = 1.5;
  std::vector<double> sums(5, 0);
  for (int64_t n = 0; n < 3; ++n) {
    for (int64_t i = 0; i < 5; ++i) {
      sums[static_cast<size_t>(i)] += given.number_at(n * 5 + i);
    }
  }
  std::vector<double> g(4), m_slope(4);
  for (int64_t o = 0; o < 4; ++o) {
    double length = 0, product = 0;
    for (int64_t i = 0; i < 5; ++i) {
      double number = weight.number_at(o * 5 + i);
      for (int64_t r = 0; r < 2; ++r) {
        number += s * adapter.b.number_at(o * 2 + r) * adapter.a.number_at(r * 5 + i);
      }
      length += number * number;
      product += number * sums[static_cast<size_t>(i)];
    }
    g[static_cast<size_t>(o)] = adapter.magnitude.number_at(o) / std::sqrt(length);
    m_slope[static_cast<size_t>(o)] = product / std::sqrt(length);
    EXPECT_NEAR(got[2].number_at(o), m_slope[static_cast<size_t>(o)], 1e-6);
  }
  for (int64_t r = 0; r < 2; ++r) {
    double inner = 0;
    for (int64_t i = 0; i < 5; ++i) {
      inner += adapter.a.number_at(r * 5 + i) * sums[static_cast<size_t>(i)];
      double slope = 0;
      for (int64_t o = 0; o < 4; ++o) {
        slope += s * g[static_cast<size_t>(o)] * adapter.b.number_at(o * 2 + r) *
                 sums[static_cast<size_t>(i)];
      }
      EXPECT_NEAR(got[0].number_at(r * 5 + i), slope, 1e-6);
    }
    for (int64_t o = 0; o < 4; ++o) {
      EXPECT_NEAR(got[1].number_at(o * 2 + r), s * g[static_cast<size_t>(o)] * inner, 1e-6);
    }
  }
}

}  // namespace
}  // namespace mw::adapters
