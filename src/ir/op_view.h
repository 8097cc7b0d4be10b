// OpView: what infer() and the other functions of an op see of one operation and its inputs.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "ir/op_def.h"

namespace mw::ir {

// Where types and known values of operands come from: the program itself, or a run in progress.
class Facts {
 public:
  virtual ~Facts() = default;
  [[nodiscard]] virtual Type type_of(const Operand& operand) const;
  // The tensor an operand is known to hold, or null. The program itself knows constants only.
  [[nodiscard]] virtual const Tensor* tensor_of(const Operand& operand) const;
};

// A read-only view. Accessors throw invalid_model with the op's type and name as context.
class OpView {
 public:
  OpView(const Operation& op, const OpDef& def, Opset opset, const Facts* facts = nullptr);
  virtual ~OpView() = default;

  [[nodiscard]] const Operation& operation() const { return *op_; }
  [[nodiscard]] const OpDef& def() const { return *def_; }
  [[nodiscard]] Opset opset() const { return opset_; }
  [[nodiscard]] std::string name() const { return op_->name(); }
  [[nodiscard]] std::string where() const;  // "gather 'x_12'"

  // Inputs may be given as input or, for iOS16-style constexpr ops, as attribute: both count.
  [[nodiscard]] bool has(std::string_view input) const;
  [[nodiscard]] size_t operand_count(std::string_view input) const;
  [[nodiscard]] const Operand& operand(std::string_view input, size_t index = 0) const;

  // Type of an operand; throws when the input is absent.
  [[nodiscard]] Type type(std::string_view input, size_t index = 0) const;
  // The same, and that it is a tensor.
  [[nodiscard]] Type tensor_type(std::string_view input, size_t index = 0) const;
  [[nodiscard]] Shape shape(std::string_view input, size_t index = 0) const;
  [[nodiscard]] int64_t rank(std::string_view input) const;
  [[nodiscard]] DType dtype(std::string_view input) const;

  // Known values: null / nullopt when not known before the run or absent without a default.
  [[nodiscard]] const Tensor* known(std::string_view input, size_t index = 0) const;
  [[nodiscard]] std::optional<std::vector<int64_t>> known_ints(std::string_view input) const;

  // Values that must be known: the operand, else the declared default, else an error.
  [[nodiscard]] int64_t integer(std::string_view input) const;
  [[nodiscard]] double number(std::string_view input) const;
  [[nodiscard]] bool flag(std::string_view input) const;
  [[nodiscard]] std::string text(std::string_view input) const;
  [[nodiscard]] std::vector<int64_t> ints(std::string_view input) const;
  [[nodiscard]] std::vector<double> numbers(std::string_view input) const;
  [[nodiscard]] std::vector<bool> flags(std::string_view input) const;
  // ints(input), or `fallback` when the input is absent.
  [[nodiscard]] std::vector<int64_t> ints_or(std::string_view input,
                                             std::vector<int64_t> fallback) const;

  // An axis input normalised to [0, rank); an error names the range it must lie in.
  [[nodiscard]] int64_t axis(std::string_view input, int64_t rank) const;
  // Axes normalised, kept in the order given; duplicates are an error.
  [[nodiscard]] std::vector<int64_t> axes(std::string_view input, int64_t rank) const;
  [[nodiscard]] DType dtype_named_by(std::string_view input) const;  // text(input) as a dtype

  // Throws invalid_model "<op> '<name>': <input>: <message>".
  template <class... Args>
  [[noreturn]] void reject(std::string_view input, fmt::format_string<Args...> format,
                           Args&&... args) const {
    reject_text(input, fmt::format(format, std::forward<Args>(args)...));
  }

 protected:
  [[noreturn]] void reject_text(std::string_view input, const std::string& message) const;
  [[nodiscard]] const Facts& facts() const { return *facts_; }

 private:
  [[nodiscard]] const Operand* find(std::string_view input, size_t index) const;
  [[nodiscard]] const Default& default_of(std::string_view input) const;
  [[nodiscard]] const Tensor& required(std::string_view input) const;

  const Operation* op_;
  const OpDef* def_;
  Opset opset_;
  const Facts* facts_;
  std::vector<Operand>
      attribute_operands_;  // attributes presented as operands, parallel to op.attributes
};

// The declared inference of an op; an error that leaves it names the op.
std::vector<Type> infer_results(const OpView& view);
// Whether an operand has an unknown rank. Inference is then left to specialisation, which mostly
// knows it.
bool has_unranked_operand(const OpView& view);
// Throws out_of_memory when a result of one of these types is larger than all of this machine's
// memory.
void expect_affordable(const OpView& view, const std::vector<Type>& types);

}  // namespace mw::ir
