// The list of op families with kernels: each adds those of its ops. Where two have one for an op,
// the first is tried first.
#include "ops/kernels_cpu.h"

#include "cpu/backend.h"

#define MW_CPU_FAMILIES(X) X(attention) X(conv) X(copies) X(index) X(loss) X(matmul) X(reduce)

namespace mw::ops {

#define MW_DECLARE(family) void add_##family##_kernels(cpu::KernelTable& table);
MW_CPU_FAMILIES(MW_DECLARE)
#undef MW_DECLARE

cpu::KernelTable cpu_kernels() {
  cpu::KernelTable table;
#define MW_ADD(family) add_##family##_kernels(table);
  MW_CPU_FAMILIES(MW_ADD)
#undef MW_ADD
  return table;
}

}  // namespace mw::ops
