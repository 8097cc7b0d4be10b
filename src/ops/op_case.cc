// The suite behind OP_CASES: builds a one-op function per case and dtype, checks inference, the
// reference implementation and every registered executor against the expected values.
#include "ops/op_case.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numbers>

#include "base/random.h"
#include "ir/builder.h"
#include "ir/evaluate.h"
#include "ir/verify.h"
#include "ops/catalog.h"
#include "ops/parts.h"
#include "ops/shape/move.h"

namespace mw::ops {
namespace {

std::vector<std::pair<std::string, CaseRunner>>& runners() {
  static std::vector<std::pair<std::string, CaseRunner>> all;
  return all;
}

double tolerance_of(DType dtype, Kind kind) {
  const double unit = dtype == DType::kF64 ? 1e-12 : dtype == DType::kF32 ? 2e-6 : 2e-3;
  switch (kind) {
    case Kind::kExact:
      return 0;
    case Kind::kElementwise:
      return unit;
    case Kind::kReduction:
      return unit * 8;
    case Kind::kLoose:
      return unit * 100;
  }
  return 0;
}

bool same_nonfinite(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b;
}

std::string compare(const Tensor& got, const Tensor& want, DType dtype, const OpCase& c) {
  if (got.shape() != want.shape()) {
    return fmt::format("shape: expected {}, got {}", to_string(want.shape()),
                       to_string(got.shape()));
  }
  if (got.dtype() == DType::kString) return bit_equal(got, want) ? "" : "strings differ";
  double largest = 1;
  for (int64_t i = 0; i < want.count(); ++i) {
    const double w = want.number_at(i);
    if (std::isfinite(w)) largest = std::max(largest, std::fabs(w));
  }
  const bool floats = is_float(got.dtype());
  for (int64_t i = 0; i < want.count(); ++i) {
    const double g = got.number_at(i), w = want.number_at(i);
    if (!std::isfinite(w) || !std::isfinite(g)) {
      // A finite fp64 value may lie beyond what the dtype can hold.
      const bool overflow =
          std::isinf(g) && dtype == DType::kF16 && std::fabs(w) >= 65519 && (g > 0) == (w > 0);
      if (!same_nonfinite(g, w) && !overflow) {
        return fmt::format("[{}]: expected {}, got {}", i, w, g);
      }
      continue;
    }
    const double scale = c.kind == Kind::kElementwise ? std::max(1.0, std::fabs(w)) : largest;
    const double allowed = floats ? tolerance_of(dtype, c.kind) * c.factor * scale : 0;
    if (std::fabs(g - w) > allowed) {
      return fmt::format("[{}]: expected {:.17g}, got {:.17g} (allowed {:.3g})", i, w, g, allowed);
    }
  }
  return "";
}

struct BuiltCase {
  std::unique_ptr<ir::Function> function;
  std::vector<std::pair<std::string, Tensor>> arguments;
};

bool wants_constant(const OpCase& c, const ir::OpDef& def, const std::string& input) {
  if (!c.constants.empty()) {
    return std::find(c.constants.begin(), c.constants.end(), input) != c.constants.end();
  }
  const ir::InputSpec* spec = def.find_input(input);
  return spec != nullptr && (spec->flags & ir::kConst) != 0;
}

BuiltCase build(const OpCase& c, DType float_dtype) {
  BuiltCase built;
  built.function = std::make_unique<ir::Function>();
  built.function->name = "main";
  built.function->opset = c.opset;
  ir::Block& body = built.function->body;
  const ir::OpDef* def = catalog().find(c.op, c.opset);
  if (def == nullptr) throw std::runtime_error("op is not in the catalogue");
  std::vector<ir::Argument> arguments;
  ir::Builder b(body, catalog(), c.opset);
  for (const CaseInput& input : c.inputs) {
    std::vector<ir::Value*> values;
    for (const Tensor& given : input.tensors) {
      const Tensor tensor = given.dtype() == DType::kF64 ? given.to(float_dtype) : given;
      if (wants_constant(c, *def, input.name)) {
        values.push_back(b.constant(ir::Constant::tensor(tensor), input.name));
      } else {
        const std::string name = fmt::format("in_{}_{}", input.name, values.size());
        values.push_back(body.add_argument(name, ir::Type::tensor(tensor.dtype(), tensor.shape())));
        built.arguments.emplace_back(name, tensor);
      }
    }
    arguments.emplace_back(input.name, values);
  }
  body.outputs = b.op_results(c.op, arguments);
  ir::verify(*built.function, catalog());
  return built;
}

// Evaluates the op at the end of the block with its arguments bound.
class Bound : public ir::Facts {
 public:
  Bound(const ir::Function& function,
        const std::vector<std::pair<std::string, Tensor>>& arguments) {
    for (size_t i = 0; i < arguments.size(); ++i) {
      tensors_[function.body.arguments[i].get()] = arguments[i].second;
    }
  }
  void bind(const ir::Value* value, Tensor tensor) { tensors_[value] = std::move(tensor); }
  [[nodiscard]] const Tensor* tensor_of(const ir::Operand& operand) const override {
    const auto found = tensors_.find(operand.value);
    return found == tensors_.end() ? Facts::tensor_of(operand) : &found->second;
  }

 private:
  std::map<const ir::Value*, Tensor> tensors_;
};

std::vector<Tensor> evaluate_alone(const BuiltCase& built, const OpCase& c) {
  const Bound facts(*built.function, built.arguments);
  const ir::Operation& op = *built.function->body.ops.back();
  std::vector<Tensor> results;
  for (ir::Datum& datum : ir::evaluate(op, catalog().at(op, c.opset), c.opset, facts, nullptr)) {
    results.push_back(std::move(datum.tensor));
  }
  return results;
}

// The same through the op's expansion, if it has one.
std::vector<Tensor> evaluate_expanded(const BuiltCase& built, const OpCase& c) {
  const std::unique_ptr<ir::Function> function = ir::clone(*built.function).function;
  const ir::Operation& op = *function->body.ops.back();
  const ir::OpDef& def = catalog().at(op, c.opset);
  ir::Builder b(function->body, catalog(), c.opset);
  const std::vector<ir::Value*> values = def.expand()(b, ir::OpView(op, def, c.opset));
  Bound facts(*function, built.arguments);
  for (const auto& each : function->body.ops) {
    if (each.get() == &op || each->is_const()) continue;
    const ir::OpDef& its = catalog().at(*each, c.opset);
    std::vector<ir::Datum> results = ir::evaluate(*each, its, c.opset, facts, nullptr);
    for (size_t i = 0; i < results.size(); ++i) {
      facts.bind(each->outputs[i].get(), std::move(results[i].tensor));
    }
  }
  std::vector<Tensor> results;
  results.reserve(values.size());
  for (ir::Value* value : values) results.push_back(*facts.tensor_of({value, nullptr}));
  return results;
}

OpCase with_rounded_inputs(const OpCase& c, DType dtype) {
  OpCase rounded = c;
  for (CaseInput& input : rounded.inputs) {
    for (Tensor& tensor : input.tensors) {
      if (tensor.dtype() == DType::kF64) tensor = tensor.to(dtype).to(DType::kF64);
    }
  }
  return rounded;
}

void check_results(const std::vector<Tensor>& got, const std::vector<Tensor>& want, DType dtype,
                   const OpCase& c, const std::string& label) {
  ASSERT_EQ(got.size(), want.size()) << label;
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(compare(got[i], want[i], dtype, c), "") << label << ", result " << i;
  }
}

Tensor position_of(const Tensor& tensor, int64_t axis, int64_t index) {
  const auto at = static_cast<size_t>(axis);
  Shape one = tensor.shape();
  one.at(at) = 1;
  Tensor picked(tensor.dtype(), one);
  const std::vector<int64_t> strides = strides_of(tensor.shape());
  copy_elements(one, tensor, {strides, index * strides[at]}, picked, {strides_of(one)});
  return picked;
}

// The case with the operands that parts_of() says suffice for one position of the results.
OpCase at_position(const OpCase& c, const Apart& apart, int64_t index) {
  OpCase one = c;
  for (CaseInput& input : one.inputs) {
    const auto part = std::ranges::find(apart.parts, input.name, &Apart::Part::input);
    for (Tensor& tensor : input.tensors) {
      if (part != apart.parts.end()) tensor = position_of(tensor, part->axis, index);
      if (!apart.extent || apart.extent->input != input.name) continue;
      tensor = tensor.clone();
      tensor.set_integer(apart.extent->index, 1);
    }
  }
  return one;
}

// Whether a rule of parts applied, which gave what it should.
bool check_parts(const OpCase& c, const std::vector<Tensor>& want, DType dtype,
                 const std::string& label) {
  const BuiltCase built = build(c, dtype);
  const Bound facts(*built.function, built.arguments);
  const ir::Operation& op = *built.function->body.ops.back();
  for (size_t i = 0; i < want.size(); ++i) {  // where only the run tells
    op.outputs[i]->type = ir::Type::tensor(op.outputs[i]->type.dtype(), want[i].shape());
  }
  bool applied = false;
  for (int64_t axis = 0; axis < want[0].rank(); ++axis) {
    const auto has_positions = [&](const Tensor& t) { return t.rank() > axis && t.dim(axis) > 1; };
    if (!std::ranges::all_of(want, has_positions)) continue;
    const ir::OpView view(op, catalog().at(op, c.opset), c.opset, &facts);
    const auto apart = parts_of(view, axis);
    if (!apart) continue;
    applied = true;
    for (const int64_t index : {int64_t{0}, want[0].dim(axis) - 1}) {
      const OpCase one = at_position(c, *apart, index);
      std::vector<Tensor> expected;
      expected.reserve(want.size());
      for (const Tensor& each : want) expected.push_back(position_of(each, axis, index));
      check_results(evaluate_alone(build(one, dtype), one), expected, dtype, c,
                    fmt::format("{} / position {} of axis {}", label, index, axis));
    }
  }
  return applied;
}

// Whether a rule of parts applied.
bool run_case(const OpCase& c, const Reference& reference, DType dtype) {
  const std::string label = fmt::format("{} / {} / {}", c.op, c.title, name_of(dtype));
  try {
    const BuiltCase built = build(c, dtype);
    if (c.expected.empty() && !reference) {
      ADD_FAILURE() << label << ": the case has neither expect() nor reference()";
      return false;
    }
    const std::vector<Tensor> want =
        c.expected.empty() ? reference(with_rounded_inputs(c, dtype)) : c.expected;
    check_results(evaluate_alone(built, c), want, dtype, c, label);
    if (catalog().find(c.op, c.opset)->expand()) {
      check_results(evaluate_expanded(built, c), want, dtype, c, label + " / expanded");
    }
    for (const auto& [name, runner] : runners()) {
      check_results(runner(*built.function, built.arguments), want, dtype, c,
                    fmt::format("{} / {}", label, name));
    }
    return check_parts(c, want, dtype, label);
  } catch (const std::exception& e) {
    ADD_FAILURE() << label << ": " << e.what();
    return false;
  }
}

void run_rejection(const OpCase& c) {
  try {
    const BuiltCase built = build(c, DType::kF32);
    (void)evaluate_alone(built, c);
    ADD_FAILURE() << c.op << " / " << c.title << ": expected an error with '" << c.error << "'";
  } catch (const std::exception& e) {
    EXPECT_NE(std::string(e.what()).find(c.error), std::string::npos)
        << c.op << " / " << c.title << ": expected '" << c.error << "', got '" << e.what() << "'";
  }
}

}  // namespace

void register_case_runner(std::string name, CaseRunner runner) {
  runners().emplace_back(std::move(name), std::move(runner));
}

bool OpCase::has(std::string_view name) const {
  return std::any_of(inputs.begin(), inputs.end(),
                     [&](const CaseInput& input) { return input.name == name; });
}
const std::vector<Tensor>& OpCase::list(std::string_view name) const {
  for (const CaseInput& input : inputs) {
    if (input.name == name) return input.tensors;
  }
  throw std::runtime_error(fmt::format("case '{}' has no input '{}'", title, name));
}
const Tensor& OpCase::operator[](std::string_view name) const { return list(name).at(0); }
std::vector<int64_t> OpCase::ints(std::string_view name) const {
  const Tensor& tensor = (*this)[name];
  std::vector<int64_t> result;
  for (int64_t i = 0; i < tensor.count(); ++i) result.push_back(tensor.integer_at(i));
  return result;
}
double OpCase::number(std::string_view name, double fallback) const {
  return has(name) ? (*this)[name].number_at(0) : fallback;
}

OpCase& OpCases::add(std::string title, std::vector<CaseInput> inputs) {
  OpCase c;
  c.op = op_;
  c.title = std::move(title);
  c.inputs = std::move(inputs);
  cases_.push_back(std::move(c));
  return cases_.back();
}
OpCase& OpCases::reject(std::string title, std::vector<CaseInput> inputs, std::string error) {
  OpCase& c = add(std::move(title), std::move(inputs));
  c.error = std::move(error);
  return c;
}
void OpCases::reference(Reference function) { reference_ = std::move(function); }

void OpCases::run() const {
  EXPECT_FALSE(cases_.empty()) << op_ << " has no cases";
  if (std::getenv("MW_COUNT_CASES") != nullptr) {  // for the table of ops
    fmt::print("cases {} {}\n", op_, cases_.size());
    return;
  }
  bool has_parts = false;
  for (const OpCase& c : cases_) {
    if (!c.error.empty()) {
      run_rejection(c);
      continue;
    }
    const bool has_floats =
        std::any_of(c.inputs.begin(), c.inputs.end(), [](const CaseInput& input) {
          return std::any_of(input.tensors.begin(), input.tensors.end(),
                             [](const Tensor& t) { return t.dtype() == DType::kF64; });
        });
    std::vector<DType> dtypes = c.dtypes;
    if (dtypes.empty()) {
      dtypes = has_floats ? std::vector{DType::kF64, DType::kF32, DType::kF16}
                          : std::vector{DType::kF32};
    }
    for (const DType dtype : dtypes) has_parts = run_case(c, reference_, dtype) || has_parts;
  }
  EXPECT_EQ(has_parts, has_parts || has_rule_of_parts(op_)) << op_ << ": no case for its parts";
}

Tensor OpCases::normal(const Shape& shape, double mean, double deviation) {
  Tensor t(DType::kF64, shape);
  for (int64_t i = 0; i < t.count(); ++i) {
    const double radius = std::sqrt(-2 * std::log(1 - next_uniform(state_)));
    t.set_number(i,
                 mean + deviation * radius * std::cos(2 * std::numbers::pi * next_uniform(state_)));
  }
  return t;
}
Tensor OpCases::uniform(const Shape& shape, double low, double high) {
  Tensor t(DType::kF64, shape);
  for (int64_t i = 0; i < t.count(); ++i) {
    t.set_number(i, low + (high - low) * next_uniform(state_));
  }
  return t;
}
Tensor OpCases::random_ints(const Shape& shape, int64_t low, int64_t high, DType dtype) {
  Tensor t(dtype, shape);
  for (int64_t i = 0; i < t.count(); ++i) {
    t.set_integer(
        i, low + static_cast<int64_t>(next_random(state_) % static_cast<uint64_t>(high - low)));
  }
  return t;
}
Tensor OpCases::values(const std::vector<double>& numbers, const Shape& shape) {
  return Tensor::from(numbers, shape);
}
Tensor OpCases::ints(const std::vector<int64_t>& numbers) {
  return ints(numbers, {static_cast<int64_t>(numbers.size())});
}
Tensor OpCases::ints(const std::vector<int64_t>& numbers, const Shape& shape, DType dtype) {
  return Tensor::from(numbers, shape).to(dtype);
}
Tensor OpCases::integer(int64_t number) { return Tensor::scalar(static_cast<int32_t>(number)); }
Tensor OpCases::number(double value) { return Tensor::scalar(value); }
Tensor OpCases::flag(bool value) { return Tensor::scalar(value); }
Tensor OpCases::bools(const std::vector<int>& flags, const Shape& shape) {
  Tensor t(DType::kBool, shape);
  for (size_t i = 0; i < flags.size(); ++i) t.set_integer(static_cast<int64_t>(i), flags[i]);
  return t;
}
Tensor OpCases::text(const std::string& value) { return Tensor::scalar(value); }

}  // namespace mw::ops
