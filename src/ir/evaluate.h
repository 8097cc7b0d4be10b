// evaluate(): runs one operation by its reference implementation; Eval is what that implementation
// sees.
#pragma once

#include <memory>
#include <vector>

#include "ir/op_view.h"
#include "ir/tensor_list.h"

namespace mw::ir {

// The storage behind a state value, owned by the caller of a run.
struct StateCell {
  Tensor value;
};

// One runtime value: exactly one member is set.
struct Datum {
  Tensor tensor;
  std::shared_ptr<const TensorList> list;
  std::shared_ptr<StateCell> state;
};

// What the surroundings offer to a running operation.
class Runner {
 public:
  virtual ~Runner() = default;
  // Runs a nested block of the operation at hand with these arguments; returns its outputs.
  virtual std::vector<Datum> run_block(const Block& block, std::vector<Datum> arguments) = 0;
  virtual Datum datum_of(const Operand& operand) = 0;
  // The tensor for a list: it may be memory of this run, which the list outlives.
  virtual Tensor keep(Tensor tensor) { return tensor; }
};

class Eval : public OpView {
 public:
  Eval(const Operation& op, const OpDef& def, Opset opset, const Facts& facts, Runner* runner,
       std::vector<Type> result_types);

  // Operand tensors; fp16, bf16 and fp8 arrive as fp32.
  [[nodiscard]] const Tensor& in(std::string_view input, size_t index = 0);
  [[nodiscard]] const TensorList& list(std::string_view input);
  [[nodiscard]] StateCell& state(std::string_view input);

  // Result `index`, zero-filled, allocated from its inferred type (which must be static by then);
  // fp32 where the type says fp16, bf16 or fp8: rounding happens after eval().
  [[nodiscard]] Tensor& out(size_t index = 0);
  // Result `index`, which begins as a copy of `x`: of its shape and dtype.
  [[nodiscard]] Tensor& out_from(const Tensor& x, size_t index = 0);
  [[nodiscard]] const Type& result_type(size_t index = 0) const { return result_types_[index]; }
  [[nodiscard]] size_t result_count() const { return result_types_.size(); }
  // Memory for result `index` that out() hands out (zeroed), or out_from(), instead of allocating:
  // of the dtype that out() promises and of the result's shape.
  void provide(size_t index, Tensor storage);
  // For results whose extents depend on data, and for results that share an operand's storage.
  void set_out(size_t index, Tensor value);
  // Every tensor that is put into a list goes through kept().
  void set_list(size_t index, TensorList items);
  [[nodiscard]] Tensor kept(Tensor tensor);
  void set_datum(size_t index, Datum value);

  [[nodiscard]] std::vector<Datum> run_block(size_t index, std::vector<Datum> arguments);
  [[nodiscard]] Datum datum(std::string_view input, size_t index = 0);

  // Runs the op. Results are narrowed to their declared dtypes. An allocation that fails is an
  // error that names the op.
  [[nodiscard]] std::vector<Datum> run();

 private:
  std::vector<Datum> take_results();
  [[nodiscard]] Runner& runner() const;
  Runner* runner_;
  std::vector<Type> result_types_;
  std::vector<Datum> results_;
  std::vector<Tensor> provided_;
  std::map<const Operand*, Tensor> widened_;
};

// Infers the result types from `facts`, evaluates, and returns one datum per result. `runner` may
// be null for ops without blocks, lists and states. Throws with the op as context.
std::vector<Datum> evaluate(const Operation& op, const OpDef& def, Opset opset, const Facts& facts,
                            Runner* runner);

}  // namespace mw::ir
