// Vjp: what a gradient rule sees of one operation, and where it leaves its result.
//
//   OpDef tanh() { return OpDef("tanh")...vjp([](Vjp& v) {
//     Value* y = v.out();
//     ...ops on v.builder() that make dx of v.grad() and y...
//     v.add("x", dx);
//   }); }
//
// A rule maps gradients of results to gradients of operands (a vector-Jacobian product) in MIL ops.
// It may leave a contribution in the shape that the operands broadcast to: the caller sums over the
// axes that were repeated, and sums contributions of several uses.
#pragma once

#include <functional>
#include <string_view>
#include <vector>

#include "ir/builder.h"
#include "ir/op_view.h"

namespace mw::ir {

// Derivatives through nested blocks, for rules of ops that have some.
class BlockVjp {
 public:
  virtual ~BlockVjp() = default;
  // The active float values defined outside that the operation's blocks read.
  [[nodiscard]] virtual const std::vector<Value*>& captured() const = 0;
  // Appends to `into`, an empty block, a copy of nested block `index` of the operation and the
  // gradients of its outputs' sum weighted by `seeds` (null: not weighted), with respect to
  // captured(). One result per captured value, zeros where the block does not read it, set as the
  // outputs of `into`.
  virtual void differentiate(size_t index, Block& into, const std::vector<Value*>& seeds) = 0;
  // A gradient of captured()[index].
  virtual void add_captured(size_t index, Value* gradient) = 0;
};

class Vjp : public OpView {
 public:
  // What the surroundings keep for a rule.
  struct Host {
    virtual ~Host() = default;
    [[nodiscard]] virtual bool wants(const Value* operand) const = 0;
    virtual void add(Value* operand, Value* gradient) = 0;
    virtual BlockVjp& blocks() = 0;
  };

  Vjp(const Operation& op, const OpDef& def, Opset opset, Builder& builder,
      std::vector<Value*> gradients, Host& host)
      : OpView(op, def, opset), builder_(builder), gradients_(std::move(gradients)), host_(host) {}

  [[nodiscard]] Builder& builder() const { return builder_; }
  // An operand as a value: a literal becomes a const.
  [[nodiscard]] Value* in(std::string_view input, size_t index = 0) const {
    const Operand& found = operand(input, index);
    return found.value != nullptr ? found.value : builder_.constant(found.literal, input);
  }
  [[nodiscard]] Value* out(size_t index = 0) const { return operation().outputs[index].get(); }
  // The gradient of a result; null when the differentiated value does not depend on it.
  [[nodiscard]] Value* grad(size_t index = 0) const { return gradients_[index]; }
  // Whether a gradient of this operand is of use to anybody.
  [[nodiscard]] bool wants(std::string_view input, size_t index = 0) const {
    if (!has(input) || operand_count(input) <= index) return false;
    const Value* value = operand(input, index).value;
    return value != nullptr && host_.wants(value);
  }
  // Adds to the gradient of an operand; of no effect where it is not wanted.
  void add(std::string_view input, Value* gradient, size_t index = 0) {
    if (wants(input, index)) host_.add(operand(input, index).value, gradient);
  }
  [[nodiscard]] BlockVjp& blocks() const { return host_.blocks(); }

 private:
  Builder& builder_;
  std::vector<Value*> gradients_;
  Host& host_;
};

// The ops that autodiff itself needs, in the hands of who may name ops.
struct GradientOps {
  // a + b of equal types.
  Value* (*add)(Builder&, Value* a, Value* b);
  // `x`, whose shape `shape` broadcasts to, summed over the repeated axes to `shape`.
  Value* (*sum_to)(Builder&, Value* x, const Shape& shape);
  Value* (*filled)(Builder&, const Type& type, double value);
};

}  // namespace mw::ir
