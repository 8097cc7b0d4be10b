// One concat behind the ops of the body.
#include "ops/rewrites/join_outputs.h"

#include <algorithm>

#include "base/error.h"
#include "ir/builder.h"

namespace mw::ops {

ir::Value* join_outputs(ir::Function& function, const ir::Catalog& catalog,
                        const std::vector<std::string>& names, int64_t axis,
                        const std::string& joined) {
  auto& outputs = function.body.outputs;
  std::vector<ir::Value*> parts;
  for (const std::string& name : names) {
    const auto found = std::find_if(outputs.begin(), outputs.end(),
                                    [&](const ir::Value* value) { return value->name == name; });
    MW_CHECK(found != outputs.end());
    parts.push_back(*found);
  }
  for (const ir::Value* part : parts) {
    const ir::Type &type = part->type, &first = parts[0]->type;
    const bool alike = type.is_tensor() && first.is_tensor() && type.dtype() == first.dtype() &&
                       type.has_rank() && first.has_rank() &&
                       type.shape().size() == first.shape().size();
    if (alike) continue;
    fail(ErrorCode::kInvalidArgument, "output '{}': expected {} as '{}' is, got {}", part->name,
         first.str(), parts[0]->name, type.str());
  }
  ir::Builder b(function.body, catalog, function.opset);
  ir::Value* whole = b.op("concat", {{"values", parts}, {"axis", axis}});
  whole->name = joined;
  outputs.push_back(whole);
  return whole;
}

}  // namespace mw::ops
