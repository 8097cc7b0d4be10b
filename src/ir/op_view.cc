// OpView: operand lookup, known values with defaults, and error context.
#include "ir/op_view.h"

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"
#include "base/quantity_text.h"

namespace mw::ir {
namespace {
const Facts kProgramFacts;
}

Type Facts::type_of(const Operand& operand) const {
  return operand.literal ? operand.literal->type() : operand.value->type;
}

const Tensor* Facts::tensor_of(const Operand& operand) const {
  const ConstantPtr constant = constant_of(operand);
  return constant && constant->is_tensor() && constant->has_value() ? &constant->value() : nullptr;
}

OpView::OpView(const Operation& op, const OpDef& def, Opset opset, const Facts* facts)
    : op_(&op), def_(&def), opset_(opset), facts_(facts != nullptr ? facts : &kProgramFacts) {
  for (const auto& [key, constant] : op.attributes) {
    attribute_operands_.push_back({nullptr, constant});
  }
}

std::string OpView::where() const { return fmt::format("{} '{}'", op_->type, op_->name()); }

void OpView::reject_text(std::string_view input, const std::string& message) const {
  throw Error(ErrorCode::kInvalidModel, fmt::format("{}: {}: {}", where(), input, message));
}

const Operand* OpView::find(std::string_view input, size_t index) const {
  if (const Input* found = op_->find_input(input)) {
    return index < found->operands.size() ? &found->operands[index] : nullptr;
  }
  if (index > 0 || input == "name") return nullptr;
  for (size_t i = 0; i < attribute_operands_.size(); ++i) {
    if (op_->attributes[i].first == input) return &attribute_operands_[i];
  }
  return nullptr;
}

bool OpView::has(std::string_view input) const {
  return find(input, 0) != nullptr || op_->find_input(input) != nullptr;
}

size_t OpView::operand_count(std::string_view input) const {
  if (const Input* found = op_->find_input(input)) return found->operands.size();
  return find(input, 0) != nullptr ? 1 : 0;
}

const Operand& OpView::operand(std::string_view input, size_t index) const {
  const Operand* found = find(input, index);
  if (found == nullptr) reject(input, "expected a value, got none; add the input");
  return *found;
}

Type OpView::type(std::string_view input, size_t index) const {
  return facts_->type_of(operand(input, index));
}

Type OpView::tensor_type(std::string_view input, size_t index) const {
  Type found = type(input, index);
  if (!found.is_tensor()) reject(input, "expected a tensor, got {}", found.str());
  return found;
}

Shape OpView::shape(std::string_view input, size_t index) const {
  return tensor_type(input, index).shape();
}
int64_t OpView::rank(std::string_view input) const { return tensor_type(input).rank(); }
DType OpView::dtype(std::string_view input) const { return tensor_type(input).dtype(); }

const Tensor* OpView::known(std::string_view input, size_t index) const {
  const Operand* found = find(input, index);
  return found == nullptr ? nullptr : facts_->tensor_of(*found);
}

const Default& OpView::default_of(std::string_view input) const {
  static const Default kNone;
  const InputSpec* spec = def_->find_input(input);
  return spec == nullptr ? kNone : spec->default_value;
}

const Tensor& OpView::required(std::string_view input) const {
  if (!has(input)) reject(input, "expected a value, got none; add the input");
  const Tensor* tensor = known(input);
  if (tensor == nullptr) reject(input, "expected a constant, got a value computed at run time");
  return *tensor;
}

namespace {
bool is_number(const Tensor& tensor) { return tensor.dtype() != DType::kString; }
}  // namespace

std::optional<std::vector<int64_t>> OpView::known_ints(std::string_view input) const {
  if (!has(input)) {
    const auto& value = default_of(input).value;
    if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) return *list;
    if (const auto* one = std::get_if<int64_t>(&value)) return std::vector<int64_t>{*one};
    return std::nullopt;
  }
  const Tensor* tensor = known(input);
  if (tensor == nullptr) return std::nullopt;
  if (!is_number(*tensor)) reject(input, "expected integers, got strings");
  if (tensor->count() > (1 << 24)) {
    reject(input, "expected a short list of integers, got {}", tensor->count());
  }
  std::vector<int64_t> values(static_cast<size_t>(tensor->count()));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = tensor->integer_at(static_cast<int64_t>(i));
  }
  return values;
}

std::vector<int64_t> OpView::ints(std::string_view input) const {
  if (auto values = known_ints(input)) return *values;
  (void)required(input);
  return {};
}

std::vector<int64_t> OpView::ints_or(std::string_view input, std::vector<int64_t> fallback) const {
  return has(input) ? ints(input) : std::move(fallback);
}

int64_t OpView::integer(std::string_view input) const {
  const std::vector<int64_t> values = ints(input);
  if (values.size() != 1) reject(input, "expected one integer, got {}", values.size());
  return values[0];
}

double OpView::number(std::string_view input) const {
  if (!has(input)) {
    const auto& value = default_of(input).value;
    if (const auto* number = std::get_if<double>(&value)) return *number;
    if (const auto* integer = std::get_if<int64_t>(&value)) return static_cast<double>(*integer);
  }
  const Tensor& tensor = required(input);
  if (!is_number(tensor) || tensor.count() != 1) {
    reject(input, "expected one number, got {} of {}", tensor.count(), mw::name_of(tensor.dtype()));
  }
  return tensor.number_at(0);
}

std::vector<double> OpView::numbers(std::string_view input) const {
  const Tensor& tensor = required(input);
  if (!is_number(tensor)) reject(input, "expected numbers, got strings");
  std::vector<double> values(static_cast<size_t>(tensor.count()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = tensor.number_at(static_cast<int64_t>(i));
  return values;
}

bool OpView::flag(std::string_view input) const {
  if (!has(input)) {
    if (const auto* value = std::get_if<bool>(&default_of(input).value)) return *value;
  }
  const Tensor& tensor = required(input);
  if (!is_number(tensor) || tensor.count() != 1) {
    reject(input, "expected one bool, got {}", to_string(tensor.shape()));
  }
  return tensor.integer_at(0) != 0;
}

std::vector<bool> OpView::flags(std::string_view input) const {
  const std::vector<int64_t> values = ints(input);
  std::vector<bool> result;
  result.reserve(values.size());
  for (const int64_t value : values) result.push_back(value != 0);
  return result;
}

std::string OpView::text(std::string_view input) const {
  if (!has(input)) {
    if (const auto* value = std::get_if<std::string>(&default_of(input).value)) return *value;
  }
  const Tensor& tensor = required(input);
  if (tensor.dtype() != DType::kString || tensor.count() != 1) {
    reject(input, "expected a string, got {}", mw::name_of(tensor.dtype()));
  }
  return tensor.data<std::string>()[0];
}

int64_t OpView::axis(std::string_view input, int64_t rank) const {
  const int64_t value = integer(input);
  if (value < -rank || value >= rank) {
    reject(input, "expected a value in [{}, {}], got {}", -rank, rank - 1, value);
  }
  return value < 0 ? value + rank : value;
}

std::vector<int64_t> OpView::axes(std::string_view input, int64_t rank) const {
  std::vector<int64_t> values = ints(input);
  for (int64_t& value : values) {
    if (value < -rank || value >= rank) {
      reject(input, "expected values in [{}, {}], got {}", -rank, rank - 1, value);
    }
    if (value < 0) value += rank;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::find(values.begin(), values.begin() + static_cast<int64_t>(i), values[i]) !=
        values.begin() + static_cast<int64_t>(i)) {
      reject(input, "expected distinct axes, got {} twice", values[i]);
    }
  }
  return values;
}

DType OpView::dtype_named_by(std::string_view input) const {
  const std::string name = text(input);
  if (const auto dtype = dtype_named(name)) return *dtype;
  reject(input, "expected the name of a dtype, got '{}'", name);
}

std::vector<Type> infer_results(const OpView& view) {
  try {
    return view.def().infer()(view);
  } catch (const Error& e) {
    const std::string where = view.where();
    if (e.message().starts_with(where) || e.where().starts_with(where)) throw;
    throw e.within(where);
  }
}

bool has_unranked_operand(const OpView& view) {
  for (const Input& input : view.operation().inputs) {
    for (size_t i = 0; i < input.operands.size(); ++i) {
      const Type type = view.type(input.name, i);
      if (type.is_tensor() && !type.has_rank()) return true;
    }
  }
  return false;
}

void expect_affordable(const OpView& view, const std::vector<Type>& types) {
  for (const Type& type : types) {
    if (!type.is_tensor() || !type.is_static()) continue;
    double bytes =
        type.dtype() == DType::kString ? sizeof(std::string) : bit_width(type.dtype()) / 8.0;
    for (const int64_t extent : type.shape()) bytes *= static_cast<double>(extent);
    if (bytes <= static_cast<double>(total_memory())) continue;
    fail(ErrorCode::kOutOfMemory,
         "{}: expected a result of at most {}, this machine's memory, got {}", view.where(),
         memory_text(total_memory()), type.str());
  }
}

}  // namespace mw::ir
