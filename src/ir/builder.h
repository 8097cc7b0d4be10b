// Builder: appends operations to a block, inferring their result types.
//
//   Builder b(function.body, catalog, function.opset);
//   Value* y = b.op("add", {{"x", x}, {"y", 1.0f}});
//   Value* t = b.op("transpose", {{"x", y}, {"perm", std::vector<int64_t>{1, 0}}}, "y_t");
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "ir/names.h"
#include "ir/op_def.h"

namespace mw::ir {

// One argument of Builder::op. Plain C++ values become inline literals.
struct Argument {
  std::string name;
  std::vector<Operand> operands;

  Argument(std::string_view name, Value* value) : name(name), operands{{value, nullptr}} {}
  Argument(std::string_view name, ConstantPtr literal)
      : name(name), operands{{nullptr, std::move(literal)}} {}
  Argument(std::string_view name, const std::vector<Value*>& values);
  Argument(std::string_view name, const std::vector<int64_t>& values)
      : Argument(name, Constant::int32s(values)) {}
  Argument(std::string_view name, const char* text) : Argument(name, Constant::string(text)) {}
  Argument(std::string_view name, const std::string& text)
      : Argument(name, Constant::string(text)) {}
  Argument(std::string_view name, bool value) : Argument(name, Constant::boolean(value)) {}
  Argument(std::string_view name, int value) : Argument(name, Constant::int32(value)) {}
  Argument(std::string_view name, int64_t value)
      : Argument(name, Constant::int32(static_cast<int32_t>(value))) {}
  Argument(std::string_view name, float value)
      : Argument(name, Constant::number(DType::kF32, value)) {}
  Argument(std::string_view name, double value)
      : Argument(name, Constant::number(DType::kF32, value)) {}
};

class Builder {
 public:
  Builder(Block& block, const Catalog& catalog, Opset opset);

  Value* constant(ConstantPtr value, std::string_view name = "");
  // The first (or only) result. The op gets the `name` attribute; results get fresh SSA names.
  Value* op(std::string_view type, const std::vector<Argument>& arguments,
            std::string_view name = "");
  std::vector<Value*> op_results(std::string_view type, const std::vector<Argument>& arguments,
                                 std::string_view name = "");
  // The same in two steps, for an op with nested blocks: they are filled between the two.
  Operation* open(std::string_view type, const std::vector<Argument>& arguments,
                  std::string_view name = "");
  std::vector<Value*> close(Operation* op);
  // A float scalar literal of the dtype of `like`.
  static ConstantPtr number_like(const Value* like, double value);

  // Results and side effects of later calls go before `position` (default: the end of the block).
  void insert_before(Operation* position);
  [[nodiscard]] Block& block() { return *block_; }
  [[nodiscard]] const Catalog& catalog() const { return *catalog_; }
  [[nodiscard]] Opset opset() const { return opset_; }
  // A name that is free in this function: `stem`, or `stem_N`.
  std::string fresh(std::string_view stem) { return names_.fresh(stem); }

 private:
  Operation* append(std::string_view type);

  Block* block_;
  const Catalog* catalog_;
  Opset opset_;
  std::list<std::unique_ptr<Operation>>::iterator position_;
  Names names_;
};

}  // namespace mw::ir
