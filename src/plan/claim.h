// Claim: what the maker of a kernel may ask for.
//
//   std::unique_ptr<plan::Kernel> make_softmax(plan::Claim& c) {
//     if (c.op().dtype("x") != DType::kF32) return nullptr;  // refused: a reference step
//     const plan::Place x = c.dense("x"), y = c.result();
//     return std::make_unique<Softmax>(x, y);
//   }
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/constant.h"
#include "ir/op_view.h"
#include "plan/account.h"
#include "plan/epilogue.h"
#include "plan/waiting.h"

namespace mw::plan {

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
  // All outlive it; `horizon` as Epilogue has it.
  Claim(const BlockFacts& block, Values& values, Waiting& waiting, const ir::OpView& op,
        size_t horizon);

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
  // The same, where these ops and no others use it.
  [[nodiscard]] const ir::Operation* waiting_for(
      const ir::Operand& operand, const std::vector<const ir::Operation*>& users) const;
  // Whether nothing has been computed for it yet, whoever else uses it.
  [[nodiscard]] bool is_put_off(const ir::Operand& operand) const;
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
  // Result 0 in fresh memory, where it has these strides and no gaps.
  Place result_as(Strides strides);
  // The next result may take the memory of that operand when it dies here. Not where an operand
  // that was asked for before lies there, too: the kernel may read that later than it writes.
  void overwrite(std::string_view input, size_t index = 0);
  // Memory for the duration of the step.
  Place workspace(int64_t bytes);
  // Workers to cut it for.
  [[nodiscard]] int slots() const;
  // As BlockFacts has them.
  [[nodiscard]] int64_t half_elements() const { return block_.half_elements(); }
  // Whether the kernel is to be read about and not to be run.
  [[nodiscard]] bool described() const;
  // Takes over what is done with result 0 and nothing else: an addition of constants that are the
  // same in every row, and a function of each element that `can` says yes to. Before result(0).
  std::optional<Tensor> take_bias(int64_t width);
  std::optional<Activation> take_activation(const std::function<bool(RowOp)>& can);
  // Whether all that is done with result 0 is to round it to that dtype; then the kernel does.
  bool take_rounding(DType dtype) { return epilogue_.take_rounding(dtype); }

  // Where the plan keeps a constant, on its device; `owner` lives as long.
  Place hold(const Tensor& tensor, std::shared_ptr<const void> owner = nullptr);
  [[nodiscard]] ConstantPool& pool() const;

  void set_kind(const char* kind) { kind_ = kind; }
  void set_cost(double flops, double bytes) {
    flops_ = flops;
    bytes_ = bytes;
  }
  void set_copied(int64_t bytes) { copied_ = bytes; }  // as Step has it

  // For the planner, when the kernel is made: the step, its results in their places.
  Step step(std::unique_ptr<Kernel> kernel);

 private:
  void note(const ir::Operand& operand, const Place& place);
  [[nodiscard]] const ir::Operand* before_view(const ir::Operand& operand) const;
  [[nodiscard]] const ir::Operand* decoded(const ir::Operand& operand) const;
  [[nodiscard]] const ir::Operation* asked(const ir::Value& value) const;
  [[nodiscard]] std::shared_ptr<const Account> take_account();

  const BlockFacts& block_;
  Values& values_;
  Waiting& waiting_;
  const ir::OpView& op_;
  Epilogue epilogue_;
  const char* kind_ = "kernel";
  double flops_ = 0, bytes_ = 0;
  int64_t copied_ = 0;
  std::vector<int> reads_, writes_;
  std::vector<std::pair<const ir::Value*, Place>> results_;
  int overwritten_ = -1;
  Account account_;
  mutable std::vector<const ir::Operation*> asked_;  // what waiting() gave
};

}  // namespace mw::plan
