// ReferenceRun: executes one reference step, its operands shown as tensors over the run's memory.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "exec/run_memory.h"

namespace mw::exec {

// Runs the plan of a nested block.
using BlockRun = std::function<std::vector<ir::Datum>(const std::shared_ptr<const plan::Plan>&,
                                                      const std::vector<ir::Datum>& arguments)>;

class ReferenceRun : private ir::Facts, private ir::Runner {
 public:
  // All outlive it.
  ReferenceRun(RunMemory& memory, const plan::ReferenceCall& call, const BlockRun& run_nested);
  void execute();

 private:
  [[nodiscard]] size_t find(const ir::Value* value) const;
  [[nodiscard]] std::vector<ir::Type> result_types() const;
  void store(const plan::Where& where, ir::Datum result);

  [[nodiscard]] ir::Type type_of(const ir::Operand& operand) const override;
  [[nodiscard]] const Tensor* tensor_of(const ir::Operand& operand) const override;
  std::vector<ir::Datum> run_block(const ir::Block& block,
                                   std::vector<ir::Datum> arguments) override;
  ir::Datum datum_of(const ir::Operand& operand) override;
  Tensor keep(Tensor tensor) override { return owned(std::move(tensor)); }

  RunMemory& memory_;
  const plan::ReferenceCall& call_;
  const BlockRun& run_nested_;
  std::vector<ir::Datum> operands_;  // parallel to call_.operands
};

}  // namespace mw::exec
