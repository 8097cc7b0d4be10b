// Tests that mutants of a gradient are told apart where they change it, and else are not.
#include <gtest/gtest.h>

#include "autodiff/mutant_cases.h"

namespace mw::autodiff {
namespace {

using ir::Value;
using ops::Expr;

// y = x^3 at some points, and a formula for its slope.
struct Cube {
  Subject subject;
  std::vector<Value*> gradients;
  std::set<const ir::Operation*> before;
  std::vector<Measured> measured;

  template <class Formula>
  explicit Cube(const Formula& formula) {
    subject.function = std::make_unique<ir::Function>();
    ir::Function& function = *subject.function;
    function.name = "main";
    function.opset = ir::Opset::kIos18;
    Value* x = function.body.add_argument("x", ir::Type::tensor(DType::kF64, {3}));
    subject.arguments["x"] = Tensor::from<double>({-1, 0.5, 2}, {3});
    subject.wrt = {x};
    ir::Builder b(function.body, ops::catalog(), function.opset);
    const Expr at(b, x);
    Value* sum = ops::reduce_sum(at * at * at, {0}, false);
    for (const auto& op : function.body.ops) before.insert(op.get());
    std::mt19937_64 random(1);
    const Tensor direction = noise({3}, random);
    measured.push_back({x, direction, slopes_of(subject, x, direction, sum)});
    gradients = {formula(at).value()};
  }

  std::vector<std::string> not_told_apart() {
    const size_t count = subject.function->body.ops.size();
    Tally tally;
    Mutants(subject, gradients, before, measured).run(tally);
    EXPECT_EQ(subject.function->body.ops.size(), count);
    EXPECT_GE(tally.caught.size(), 4U);
    std::vector<std::string> mutants;
    for (const auto& [mutant, caught] : tally.caught) {
      if (!caught) mutants.push_back(mutant);
    }
    return mutants;
  }
};

TEST(Mutants, of_a_slope_are_told_apart) {
  Cube product([](const Expr& x) { return 3.0 * (x * x); });
  EXPECT_EQ(product.not_told_apart(), std::vector<std::string>{});
  Cube sum([](const Expr& x) { return x * x + 2.0 * (x * x); });
  EXPECT_EQ(sum.not_told_apart(), std::vector<std::string>{});
}

TEST(Mutants, of_a_dead_term_are_not_told_apart) {
  Cube dead([](const Expr& x) {
    const Expr none = x * 0.0;
    return 3.0 * (x * x) + none;
  });
  const auto mutants = dead.not_told_apart();
  const std::string path = " in: mul mul mul add ";
  EXPECT_EQ(mutants,
            (std::vector<std::string>{"sign of op 0 (mul)" + path, "sign of op 3 (add)" + path,
                                      "without y of op 3 (add)" + path}));
}

TEST(Mutants, of_a_squared_factor_are_not_told_apart) {
  Cube square([](const Expr& x) {
    const Expr factor = x * 2.0;
    return factor * factor * 0.75;
  });
  EXPECT_EQ(square.not_told_apart(),
            std::vector<std::string>{"sign of op 0 (mul) in: mul mul mul "});
}

}  // namespace
}  // namespace mw::autodiff
