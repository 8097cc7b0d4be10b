// The list of op families with plans: each adds those of its ops.
#include "ops/catalog_plan.h"

#define MW_PLANNED_FAMILIES(X) X(elementwise) X(index) X(norm) X(quant) X(reduce) X(shape) X(state)

namespace mw::ops {

#define MW_DECLARE(family) void add_##family##_plans(plan::OpPlans& plans);
MW_PLANNED_FAMILIES(MW_DECLARE)
#undef MW_DECLARE

const plan::OpPlans& op_plans() {
  static const plan::OpPlans kPlans = [] {
    plan::OpPlans plans;
#define MW_ADD(family) add_##family##_plans(plans);
    MW_PLANNED_FAMILIES(MW_ADD)
#undef MW_ADD
    return plans;
  }();
  return kPlans;
}

}  // namespace mw::ops
