// The list of kernel families: each adds the rules of its ops to the table.
#include "ops/kernels_cpu.h"

#include "cpu/rows.h"

// clang-format off
#define MW_CPU_FAMILIES(X) \
  X(attention) X(conv) X(copies) X(elementwise) X(index) X(matmul) X(norm) X(quant) X(reduce) X(shape) X(state)
// clang-format on

namespace mw::ops {

#define MW_DECLARE(family) void add_##family##_rules(RuleTable& table);
MW_CPU_FAMILIES(MW_DECLARE)
#undef MW_DECLARE

namespace {

class CpuBackend : public plan::Backend {
 public:
  CpuBackend() {
#define MW_ADD(family) add_##family##_rules(table_);
    MW_CPU_FAMILIES(MW_ADD)
#undef MW_ADD
  }
  [[nodiscard]] const plan::Rules* find(const std::string& op) const override {
    const auto found = table_.find(op);
    return found == table_.end() ? nullptr : &found->second;
  }
  [[nodiscard]] std::unique_ptr<plan::Kernel> make_rows(
      plan::RowProgram program, const std::function<plan::Ref(int64_t)>& workspace) const override {
    return cpu::make_rows(std::move(program), workspace);
  }

 private:
  RuleTable table_;
};

}  // namespace

const plan::Backend& cpu_backend() {
  static const CpuBackend kBackend;
  return kBackend;
}

}  // namespace mw::ops
