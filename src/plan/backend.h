// Backend: what a device says about planning each op; Claim: what the maker of a kernel may ask
// for.
//
//   rules["softmax"].make = [](plan::Claim& c) -> std::unique_ptr<plan::Kernel> {
//     if (c.op().dtype("x") != DType::kF32) return nullptr;  // refused: a reference step
//     const plan::Place x = c.dense("x"), y = c.result();
//     return std::make_unique<Softmax>(x, y);
//   };
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/constant.h"
#include "ir/op_view.h"
#include "plan/kernel.h"
#include "plan/place.h"
#include "plan/row.h"

namespace mw::plan {

class ConstantPool;
class Lowering;

// y = f(x), applied where x is computed.
struct Activation {
  RowOp op = RowOp::kCopy;
  float alpha = 0, beta = 0;
};

// Reads a compressed weight part by part. Thread-safe.
class WeightReader {
 public:
  virtual ~WeightReader() = default;
  // Rows [first, first + count) along the leading axis, as fp32.
  virtual void read(int64_t first, int64_t count, float* out) const = 0;
  // Of rows [first, first + count) the elements [from, from + length), rows `length` apart.
  virtual void read_part(int64_t first, int64_t count, int64_t from, int64_t length,
                         float* out) const = 0;
};

// A frozen operand as it is stored: dense in fp32, fp16 or bf16, or compressed.
struct Weight {
  Shape shape;
  Tensor dense;                                // empty when compressed
  std::shared_ptr<const WeightReader> reader;  // null when dense
  // What to file things made from it under in the constant pool.
  std::string key;
  std::vector<ir::ConstantPtr> sources;
};

// The surroundings of an op whose kernel is being made. A maker that returns null has made no step,
// whatever it asked for.
class Claim {
 public:
  Claim(Lowering& lowering, const ir::OpView& op);

  [[nodiscard]] const ir::OpView& op() const { return op_; }

  // Where an operand lies: as rows without gaps (copied there if need be), or with any strides.
  Place dense(std::string_view input, size_t index = 0);
  Place strided(std::string_view input, size_t index = 0);
  // The same for any operand of this block's ops.
  Place strided(const ir::Operand& operand);
  Place dense(const ir::Operand& operand);
  // The op behind an operand when nothing has been computed for it yet and this is its only use: a
  // kernel that computes the operand by itself saves that step.
  [[nodiscard]] const ir::Operation* waiting(const ir::Operand& operand) const;
  // An op of the block as the claim sees its own.
  [[nodiscard]] ir::OpView view(const ir::Operation& op) const;

  // Whether that operand is made of constants only.
  [[nodiscard]] bool frozen(std::string_view input, size_t index = 0) const;
  // The elements of such an operand, in its dtype.
  Tensor constant(std::string_view input);
  // Such an operand as it is stored; nullopt when it is not frozen or not of floats.
  std::optional<Weight> weight(std::string_view input);
  // Result `index`: fresh dense memory.
  Place result(size_t index = 0);
  // Result 0 in fresh memory; where its only use is a transposition, in the order of that one's
  // result.
  Place result_for_view();
  // Result `index` may take the memory of operand `input` when that dies here.
  void overwrite(std::string_view input, size_t index = 0);
  // Memory for the duration of the step.
  Place workspace(int64_t bytes);
  // Takes over what is done with result 0 and nothing else: an addition of constants that are the
  // same in every row, and a function of each element that `can` says yes to. Before result(0).
  std::optional<Tensor> take_bias(int64_t width);
  std::optional<Activation> take_activation(const std::function<bool(RowOp)>& can);

  // Where the plan keeps a constant.
  Place hold(const Tensor& tensor);
  [[nodiscard]] ConstantPool& pool() const;

  void set_kind(const char* kind) { kind_ = kind; }
  void set_cost(double flops, double bytes) {
    flops_ = flops;
    bytes_ = bytes;
  }

 private:
  friend class Lowering;
  [[nodiscard]] const ir::Operation* sole_user() const;

  Lowering& lowering_;
  const ir::OpView& op_;
  const ir::Value* tail_;  // what result 0 has become
  const char* kind_ = "kernel";
  double flops_ = 0, bytes_ = 0;
  std::vector<int> reads_, writes_;
  std::vector<std::pair<const ir::Value*, Place>> results_;
  int overwritten_ = -1;
};

// How ops of one name are planned; each part is optional.
struct Rules {
  using View = std::function<std::optional<std::vector<Place>>(const ir::OpView&, const Place& x)>;
  using Make = std::function<std::unique_ptr<Kernel>(Claim&)>;
  // All results as views of the operand `viewed`; nullopt: not this time.
  View view;
  std::string viewed = "x";
  // Result 0 is operand `viewed` but for the part that `region` cuts out of it, which is `update`.
  View region;
  std::string update = "update";
  // The elements of the result are elements of `viewed`, whatever their dtype (views need not say
  // so).
  bool moves = false;
  // The op reads the state `reads`, or writes operand `data` to the state `writes`.
  std::string reads, writes, data;
  // The op as a part of a row program.
  std::optional<RowRule> row;
  // A kernel for the op; null: a reference step.
  Make make;
  // The kernel is made when something asks for the result: it may become a part of a larger one.
  bool waits = false;
  // The op as a function of each element of `x` that a kernel before it can apply.
  std::function<std::optional<Activation>(const ir::OpView&, const ir::Value* x)> activation;
  bool is_sum = false;  // x + y
  // For ops that decompress a constant.
  std::function<std::shared_ptr<const WeightReader>(const ir::OpView&, size_t result)> reader;
  // Floating-point operations of a reference step.
  std::function<double(const ir::OpView&)> flops;
};

class Backend {
 public:
  virtual ~Backend() = default;
  // Null: nothing is known about that op.
  [[nodiscard]] virtual const Rules* find(const std::string& op) const = 0;
  // A kernel for a row program. `workspace` reserves bytes for the duration of the step.
  [[nodiscard]] virtual std::unique_ptr<Kernel> make_rows(
      RowProgram program, const std::function<Ref(int64_t)>& workspace) const = 0;
};

}  // namespace mw::plan
