// ReferenceRun: executes one reference step, its operands shown as tensors over the run's memory.
#pragma once

#include <vector>

#include "exec/run.h"

namespace mw::exec {

class ReferenceRun : private ir::Facts, private ir::Runner {
 public:
  ReferenceRun(Run& run, const plan::ReferenceCall& call, int64_t& blocks_entered);
  void execute();

 private:
  [[nodiscard]] size_t find(const ir::Value* value) const;
  [[nodiscard]] ir::Datum datum_at(const plan::Where& where) const;
  // What lies there: the memory itself where the host sees it, else a copy.
  [[nodiscard]] Tensor tensor_at(const plan::Place& place) const;
  [[nodiscard]] std::vector<ir::Type> result_types() const;
  void store(const plan::Where& where, ir::Datum result);

  [[nodiscard]] ir::Type type_of(const ir::Operand& operand) const override;
  [[nodiscard]] const Tensor* tensor_of(const ir::Operand& operand) const override;
  std::vector<ir::Datum> run_block(const ir::Block& block,
                                   std::vector<ir::Datum> arguments) override;
  ir::Datum datum_of(const ir::Operand& operand) override;
  Tensor keep(Tensor tensor) override { return owned(std::move(tensor)); }

  Run& run_;
  const plan::ReferenceCall& call_;
  int64_t& blocks_entered_;
  std::vector<ir::Datum> operands_;  // parallel to call_.operands
};

}  // namespace mw::exec
