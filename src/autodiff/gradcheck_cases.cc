// Registers a gradient check with the suite behind OP_CASES. Each case in fp64: gradients of a
// random combination of its results along random directions against differences, the same for the
// gradient's own gradient, and mutants of the rule, all of which the differences must tell apart.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "autodiff/gradient.h"
#include "autodiff/mutant_cases.h"
#include "base/error.h"
#include "exec/naive.h"
#include "ir/text/text.h"
#include "ops/catalog.h"
#include "ops/expr.h"
#include "ops/op_case.h"

namespace mw {
namespace {

using ir::Function;
using ir::Operation;
using ir::Value;
using namespace autodiff;  // NOLINT(google-build-using-namespace)

constexpr int kDirections = 3;
constexpr int64_t kLargest = 4096;  // elements of all inputs together

std::map<std::string, Tally>& tallies() {
  static std::map<std::string, Tally> all;
  return all;
}

class Check {
 public:
  Check(const Function& function, const std::vector<std::pair<std::string, Tensor>>& arguments)
      : random_(arguments.size() + function.body.ops.size()) {
    subject_.function = ir::clone(function).function;
    for (const auto& [name, tensor] : arguments) subject_.arguments[name] = tensor;
    op_ = subject_.function->body.ops.back().get();
    label_ = op_->type;
  }

  void run() {
    if (!prepare()) return;
    drop_refused();
    if (subject_.wrt.empty()) return;
    const auto [scalar, seeds] = weighted_sum(*subject_.function, ends_, random_);
    const std::set<const Operation*> before = ops();
    std::vector<Value*> gradients;
    try {
      gradients = autodiff::gradients(*subject_.function, ops::catalog(), ops::gradient_ops(),
                                      seeds, subject_.wrt);
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kUnsupported) return;
      throw;
    }
    std::vector<Value*> present;
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (gradients[i] == nullptr) continue;
      present.push_back(gradients[i]);
      expect_said(subject_.wrt[i]);
    }
    const std::vector<Tensor> tensors = subject_.evaluate(present);
    size_t next = 0;
    for (size_t i = 0; i < gradients.size(); ++i) {
      Value* value = subject_.wrt[i];
      const Tensor zero(DType::kF64, value->type.shape());
      const Tensor& gradient = gradients[i] != nullptr ? tensors[next++] : zero;
      if (gradients[i] == nullptr && value->producer != nullptr &&
          count_of(value->type.shape()) == 1)
        continue;
      for (int k = 0; k < kDirections; ++k) {
        check_direction(value, gradients[i], gradient, scalar);
      }
    }
    ++tallies()[label_].cases;
    if (::testing::Test::HasFailure()) return;
    Mutants(subject_, gradients, before, measured_).run(tallies()[label_]);
    EXPECT_EQ(second_order_problem(subject_, gradients, random_), "") << label_;
  }

 private:
  bool prepare() {
    int64_t elements = 0;
    const auto consider = [&](Value* value) {
      if (!value->type.is_tensor() || value->type.dtype() != DType::kF64) return;
      if (count_of(value->type.shape()) == 0) return;
      subject_.wrt.push_back(value);
      elements += count_of(value->type.shape());
    };
    for (const auto& argument : subject_.function->body.arguments) consider(argument.get());
    for (const auto& op : subject_.function->body.ops) {
      if (op->is_const()) consider(op->outputs[0].get());
    }
    for (Value* output : subject_.function->body.outputs) {
      if (output->type.is_tensor() && output->type.dtype() == DType::kF64 &&
          output->type.is_static() && count_of(output->type.shape()) > 0) {
        ends_.push_back(output);
      }
    }
    if (ends_.empty() || subject_.wrt.empty() || elements > kLargest) return false;
    for (const Tensor& tensor : subject_.evaluate(ends_)) {
      for (int64_t i = 0; i < tensor.count(); ++i) {
        if (!std::isfinite(tensor.number_at(i))) return false;
      }
    }
    return true;
  }

  // Whether the ends can be differentiated by these values, found out on a copy.
  [[nodiscard]] bool differentiable(const std::vector<Value*>& wrt) const {
    const auto [copy, copies] = ir::clone(*subject_.function);
    std::vector<autodiff::Seed> seeds;
    for (const Value* end : ends_) seeds.push_back({copies.at(end), nullptr});
    std::vector<Value*> values;
    for (const Value* value : wrt) values.push_back(copies.at(value));
    try {
      (void)autodiff::gradients(*copy, ops::catalog(), ops::gradient_ops(), seeds, values);
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kUnsupported) return false;
      throw;
    }
    return true;
  }

  // A constant of floats that gets a gradient may be a weight: the op says whether it is one. What
  // flows through an op, the first input that need not be a constant, is none by itself.
  void expect_said(const Value* value) const {
    const ir::OpDef* def = ops::catalog().find(label_, subject_.function->opset);
    if (def == nullptr || def->has_trait(ir::kMovesElements | ir::kControlFlow)) return;
    const auto& inputs = def->inputs();
    const auto data = std::find_if(inputs.begin(), inputs.end(), [](const ir::InputSpec& spec) {
      return (spec.flags & ir::kConst) == 0;
    });
    for (const ir::Input& input : op_->inputs) {
      const ir::InputSpec* spec = def->find_input(input.name);
      const bool is_it = std::any_of(input.operands.begin(), input.operands.end(),
                                     [&](const auto& operand) { return operand.value == value; });
      if (!is_it || spec == nullptr || (data != inputs.end() && spec == &*data)) continue;
      EXPECT_NE(spec->flags & (ir::kWeight | ir::kNoWeight), 0U)
          << label_ << ": " << input.name << " has a gradient; declare it kWeight or kNoWeight";
    }
  }

  // Where a rule refuses some values, the others are checked.
  void drop_refused() {
    if (differentiable(subject_.wrt)) return;
    std::erase_if(subject_.wrt, [&](Value* value) { return !differentiable({value}); });
  }

  [[nodiscard]] std::set<const Operation*> ops() const {
    std::set<const Operation*> all;
    ir::for_each_op(subject_.function->body, [&](const Operation& op) { all.insert(&op); });
    return all;
  }

  // Where several kinks meet, the differences say nothing, and a point beside is checked instead.
  std::string compare_beside(Value* value, Value* gradient, const Tensor& direction,
                             Value* scalar) {
    if (gradient == nullptr) return "";
    std::vector<std::pair<Value*, Tensor>> saved;
    for (Value* each : subject_.wrt) {
      saved.emplace_back(each, subject_.value_of(each));
      subject_.set(each, moved(saved.back().second, noise(each->type.shape(), random_), 0.02));
    }
    const Tensor beside = subject_.evaluate({gradient})[0];
    const Slopes s = slopes_of(subject_, value, direction, scalar);
    for (const auto& [each, tensor] : saved) subject_.set(each, tensor);
    return s.kink() ? "" : compare(s, beside, direction);
  }

  void check_direction(Value* value, Value* gradient_value, const Tensor& gradient, Value* scalar) {
    const Tensor direction = noise(value->type.shape(), random_);
    const Slopes s = slopes_of(subject_, value, direction, scalar);
    if (!std::isfinite(s.central) || !std::isfinite(s.error)) return;  // not measurable
    std::string problem = compare(s, gradient, direction);
    if (s.kink() && !problem.empty()) {
      problem = compare_beside(value, gradient_value, direction, scalar);
    } else {
      measured_.push_back({value, direction, s});
    }
    if (!problem.empty()) {
      ADD_FAILURE() << label_ << ": gradient of '" << value->name << "' " << problem;
    }
  }

  Subject subject_;
  std::mt19937_64 random_;
  const Operation* op_;  // that is checked
  std::string label_;
  std::vector<Value*> ends_;
  std::vector<Measured> measured_;
};

const bool g_registered = [] {
  ops::register_case_runner("gradient", [](const auto& function, const auto& arguments) {
    const bool wide = std::any_of(
        function.body.outputs.begin(), function.body.outputs.end(), [](const Value* output) {
          return output->type.is_tensor() && output->type.dtype() == DType::kF64;
        });
    if (wide) {
      Check(function, arguments).run();
      std::vector<std::pair<std::string, Tensor>> left;
      const auto known = with_settings_known(function, arguments, left);
      const bool folded = known->body.ops.empty() || known->body.ops.back()->is_const();
      if (left.size() < arguments.size() && !folded) Check(*known, left).run();
    }
    TensorMap inputs(arguments.begin(), arguments.end());
    const auto results = exec::run_naive(function, ops::catalog(), inputs);
    std::vector<Tensor> outputs;
    for (const Value* output : function.body.outputs) {
      outputs.push_back(results.at(output->name).tensor);
    }
    return outputs;
  });
  return true;
}();

// A condition has blocks, which OP_CASES does not build.
TEST(gradcheck, condition) {
  const auto program = ir::text::parse(R"(program(1.3) {
    func main<ios18>(bool p, tensor<fp64, [2]> x, tensor<fp64, [2]> w) {
      tensor<fp64, [2]> y, tensor<fp64, [2]> z = cond(pred = p) {
        tensor<fp64, [2]> a = mul(x = x, y = x);
        tensor<fp64, [2]> b = mul(x = a, y = w);
      } -> (b, a) {
        tensor<fp64, [2]> c = mul(x = x, y = fp64(3));
      } -> (c, w);
    } -> (y, z); })");
  const Tensor x = Tensor::from<double>({1, 2}, {2}), w = Tensor::from<double>({5, 7}, {2});
  for (const bool holds : {true, false}) {
    Check(*program->functions.at(0), {{"p", Tensor::scalar(holds)}, {"x", x}, {"w", w}}).run();
  }
}

// Its gradient is zero on purpose; tests of training see that it is.
constexpr std::string_view kWithoutSlope = "mw.stop_gradient";

// tests/data/gradient_mutants.txt, which docs/ops.md takes the numbers of mutants from.
void check_counts() {
  const char* const folder = std::getenv("MW_TEST_DATA");
  if (folder == nullptr) return;
  std::string text = "# Op, and the mutants of its gradient rule.\n";
  for (const auto& [op, tally] : tallies()) text += fmt::format("{} {}\n", op, tally.caught.size());
  const auto path = std::filesystem::path(folder) / "gradient_mutants.txt";
  if (std::getenv("MW_WRITE_OP_COUNTS") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text)
      << "MW_WRITE_OP_COUNTS=1 writes " << path << "; then make docs";
}

// Once all cases ran: each rule was checked, and each of its mutants told apart.
class Coverage : public ::testing::Environment {
 public:
  void TearDown() override {
    const auto& run = *::testing::UnitTest::GetInstance();
    if (run.test_to_run_count() != run.total_test_count() || run.Failed()) return;
    size_t mutants = 0, missed = 0;
    for (const auto& [op, tally] : tallies()) {
      mutants += tally.caught.size();
      for (const auto& [mutant, caught] : tally.caught) {
        if (caught) continue;
        ++missed;
        ADD_FAILURE() << "no case of " << op << " tells this mutant apart: " << mutant;
      }
    }
    for (const std::string& name : ops::catalog().names()) {
      const ir::OpDef* def = ops::catalog().find(name, ir::Opset::kIos18);
      if (def == nullptr || !def->vjp() || name == kWithoutSlope) continue;
      EXPECT_TRUE(tallies().contains(name)) << name << ": no case checks its gradient";
    }
    fmt::print("gradients: {} ops, {} mutants, {} not told apart\n", tallies().size(), mutants,
               missed);
    if (missed == 0) check_counts();
  }
};
const auto* const g_coverage = ::testing::AddGlobalTestEnvironment(new Coverage);

}  // namespace
}  // namespace mw
