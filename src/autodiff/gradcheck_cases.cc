// Registers a gradient check with the suite behind OP_CASES. Each case in fp64: gradients of a
// random combination of its results along random directions against differences, the same for the
// gradient's own gradient, and mutants of the rule, all of which the differences must tell apart.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>

#include "autodiff/gradient.h"
#include "autodiff/testing.h"
#include "base/error.h"
#include "exec/naive.h"
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

struct Tally {
  int cases = 0, mutants = 0;
  // Mutants by what they change; true once one was told apart.
  std::map<std::string, bool> caught;
};
std::map<std::string, Tally>& tallies() {
  static std::map<std::string, Tally> all;
  return all;
}

class Check {
 public:
  Check(const Function& function, const std::vector<std::pair<std::string, Tensor>>& arguments)
      : random_(arguments.size() + function.body.ops.size()) {
    subject_.function = ir::clone(function);
    for (const auto& [name, tensor] : arguments) subject_.arguments[name] = tensor;
    label_ = function.body.ops.back()->type;
  }

  void run() {
    if (!prepare()) return;
    drop_refused();
    if (subject_.wrt.empty()) return;
    Value* scalar = weighted_sum(*subject_.function, ends_, random_);
    const std::set<const Operation*> before = ops();
    std::vector<Value*> gradients;
    try {
      gradients = autodiff::gradients(*subject_.function, ops::catalog(), ops::gradient_ops(),
                                      {{scalar, nullptr}}, subject_.wrt);
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kUnsupported) return;
      throw;
    }
    std::vector<Value*> present;
    for (Value* gradient : gradients) {
      if (gradient != nullptr) present.push_back(gradient);
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
    if (!present.empty()) mutate(before, gradients);
    second_order(gradients);
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
    const auto copy = ir::clone(*subject_.function);
    std::map<std::string, Value*> by_name;
    for (const auto& argument : copy->body.arguments) by_name[argument->name] = argument.get();
    for (const auto& op : copy->body.ops) {
      for (const auto& output : op->outputs) by_name[output->name] = output.get();
    }
    const auto same = [&](const Value* value) { return by_name.at(value->name); };
    std::vector<autodiff::Seed> seeds;
    for (const Value* end : ends_) seeds.push_back({same(end), nullptr});
    std::vector<Value*> values;
    for (const Value* value : wrt) values.push_back(same(value));
    try {
      (void)autodiff::gradients(*copy, ops::catalog(), ops::gradient_ops(), seeds, values);
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kUnsupported) return false;
      throw;
    }
    return true;
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

  struct Measured {
    Value* value;
    Tensor direction;
    Slopes slopes;
  };

  // Whether the differences tell the gradients, as the function now computes them, from right ones.
  bool caught(const std::vector<Value*>& gradients) const {
    std::vector<Value*> present;
    for (Value* gradient : gradients) {
      if (gradient != nullptr) present.push_back(gradient);
    }
    std::vector<Tensor> tensors;
    try {
      tensors = subject_.evaluate(present);
    } catch (const Error&) {
      return true;
    }
    for (const Measured& m : measured_) {
      size_t next = 0;
      for (size_t i = 0; i < gradients.size(); ++i) {
        if (gradients[i] == nullptr) continue;
        const Tensor& tensor = tensors[next++];
        if (subject_.wrt[i] != m.value) continue;
        if (!compare(m.slopes, tensor, m.direction).empty()) return true;
      }
    }
    return false;
  }

  // Flips the sign of each float result that the rule computes, and drops each term of its sums.
  void mutate(const std::set<const Operation*>& before, const std::vector<Value*>& gradients) {
    std::vector<Operation*> added;
    for (const auto& op : subject_.function->body.ops) {
      if (!before.contains(op.get()) && !op->is_const()) added.push_back(op.get());
    }
    std::string path;
    for (const Operation* op : added) path += op->type + " ";
    find_telling(added, gradients);
    for (size_t i = 0; i < added.size(); ++i) {
      for (const char* input : {"x", "y"}) {
        if (added[i]->type == "add" || added[i]->type == "sub") {
          try_mutant(path, i, input, *added[i], gradients);
        }
      }
      try_mutant(path, i, "", *added[i], gradients);
    }
  }

  // Whether the zeros of a sum are those of terms that are not zero.
  static bool cancels(const Operation& op, const std::map<const Value*, const Tensor*>& tensor_of) {
    if (op.type != "add" && op.type != "sub") return false;
    const auto found = tensor_of.find(op.input("x"));
    return found != tensor_of.end() && dot(*found->second, *found->second) != 0;
  }

  // What a change can be seen of: what is used, and not zero throughout unless terms cancel.
  void find_telling(const std::vector<Operation*>& added, const std::vector<Value*>& gradients) {
    telling_.clear();
    std::vector<Value*> floats;
    std::set<const Value*> used(gradients.begin(), gradients.end());
    for (auto op = added.rbegin(); op != added.rend(); ++op) {
      Value* out = (*op)->outputs[0].get();
      if (!used.contains(out)) continue;
      for (const ir::Input& input : (*op)->inputs) {
        for (const ir::Operand& operand : input.operands) used.insert(operand.value);
      }
      if (out->type.is_tensor() && out->type.dtype() == DType::kF64) floats.push_back(out);
    }
    const std::vector<Tensor> tensors = subject_.evaluate(floats);
    std::map<const Value*, const Tensor*> tensor_of;
    for (size_t i = 0; i < floats.size(); ++i) tensor_of[floats[i]] = &tensors[i];
    for (size_t i = 0; i < floats.size(); ++i) {
      const auto values = tensors[i].values<double>();
      const bool idle = std::all_of(values.begin(), values.end(), [](double x) { return x == 0; });
      if (!idle || cancels(*floats[i]->producer, tensor_of)) telling_.insert(floats[i]);
    }
  }

  // `dropped`: the term taken out of a sum; empty: the sign of the result is flipped.
  void try_mutant(const std::string& path, size_t index, const std::string& dropped, Operation& op,
                  const std::vector<Value*>& gradients) {
    Value* out = op.outputs[0].get();
    if (!out->type.is_tensor() || out->type.dtype() != DType::kF64) return;
    if (!telling_.contains(out)) return;
    const Operation saved = copy_of(op);
    const bool flips = dropped.empty();
    if (flips) {
      const bool sum = op.type == "add" || op.type == "sub";
      if (!sum) return flip_uses(path, index, op, gradients);
      op.type = op.type == "add" ? "sub" : "add";
    } else {
      op.set_input(dropped, {{nullptr, ir::Constant::number(DType::kF64, 0)}});
      if (!keeps_shape(op)) {
        op.inputs = saved.inputs;
        return;
      }
    }
    record(path, index, flips ? "sign" : "without " + dropped, op.type, caught(gradients));
    op.type = saved.type;
    op.inputs = saved.inputs;
  }

  static Operation copy_of(const Operation& op) {
    Operation copy;
    copy.type = op.type;
    copy.inputs = op.inputs;
    return copy;
  }

  static bool keeps_shape(const Operation& op) {
    const std::string other = op.input("x") != nullptr ? "x" : "y";
    const Value* left = op.input(other);
    return left != nullptr && left->type == op.outputs[0]->type;
  }

  void flip_uses(const std::string& path, size_t index, Operation& op,
                 const std::vector<Value*>& gradients) {
    Value* out = op.outputs[0].get();
    const auto uses = ir::uses_in(subject_.function->body);
    auto& list = subject_.function->body.ops;
    const auto next = std::next(
        std::find_if(list.begin(), list.end(), [&](const auto& o) { return o.get() == &op; }));
    ir::Builder b(subject_.function->body, ops::catalog(), subject_.function->opset);
    if (next != list.end()) b.insert_before(next->get());
    Value* flipped = (-ops::Expr(b, out)).value();
    const auto redirect = [&](Value* from, Value* to) {
      const auto found = uses.find(out);
      if (found == uses.end()) return;
      for (const ir::Use& use : found->second) {
        if (use.op == nullptr || use.op == flipped->producer) continue;
        ir::Operand& operand = use.op->inputs[use.input].operands[use.operand];
        if (operand.value == from) operand.value = to;
      }
    };
    redirect(out, flipped);
    std::vector<Value*> mutated = gradients;
    std::replace(mutated.begin(), mutated.end(), out, flipped);
    record(path, index, "sign", op.type, caught(mutated));
    redirect(flipped, out);
    list.remove_if([&](const auto& o) { return o.get() == flipped->producer; });
  }

  void record(const std::string& path, size_t index, const std::string& change,
              const std::string& type, bool told_apart) {
    Tally& tally = tallies()[label_];
    ++tally.mutants;
    bool& known = tally.caught[fmt::format("{} of op {} ({}) in: {}", change, index, type, path)];
    known = known || told_apart;
  }

  void second_order(const std::vector<Value*>& gradients) {
    std::vector<Value*> ends;
    for (Value* gradient : gradients) {
      if (gradient != nullptr) ends.push_back(gradient);
    }
    if (ends.empty()) return;
    Value* scalar = weighted_sum(*subject_.function, ends, random_);
    std::vector<Value*> seconds;
    try {
      seconds = autodiff::gradients(*subject_.function, ops::catalog(), ops::gradient_ops(),
                                    {{scalar, nullptr}}, subject_.wrt);
    } catch (const Error& e) {
      if (e.code() == ErrorCode::kUnsupported) return;
      throw;
    }
    for (size_t i = 0; i < seconds.size(); ++i) {
      if (seconds[i] == nullptr) continue;
      const Tensor second = subject_.evaluate({seconds[i]})[0];
      const Tensor direction = noise(subject_.wrt[i]->type.shape(), random_);
      const Slopes s = slopes_of(subject_, subject_.wrt[i], direction, scalar);
      if (!std::isfinite(s.error) || s.kink() || s.jump) continue;
      const double along = dot(second, direction);
      const double scale = 1 + std::fabs(s.central) + dot_magnitude(second, direction);
      EXPECT_LE(std::fabs(along - s.central), 10 * kTolerance * scale)
          << label_ << ": second order in '" << subject_.wrt[i]->name << "': " << along
          << " by rule, " << s.central << " by differences";
    }
  }

  Subject subject_;
  std::mt19937_64 random_;
  std::string label_;
  std::vector<Value*> ends_;
  std::vector<Measured> measured_;
  std::set<const Value*> telling_;
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

class Summary : public ::testing::Environment {
 public:
  void TearDown() override {
    int rules = 0, mutants = 0, survivors = 0;
    for (const auto& [op, tally] : tallies()) {
      if (tally.cases == 0) continue;
      ++rules;
      mutants += tally.mutants;
      for (const auto& [mutant, caught] : tally.caught) {
        if (caught) continue;
        ++survivors;
        fmt::print("mutant of {} not told apart: {}\n", op, mutant);
      }
    }
    fmt::print("gradients: {} ops, {} mutants, {} not told apart by any case\n", rules, mutants,
               survivors);
  }
};
const auto* const g_summary = ::testing::AddGlobalTestEnvironment(new Summary);

}  // namespace
}  // namespace mw
