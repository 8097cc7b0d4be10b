// The rules by op. One that asks for a setting which is not known throws, and is none.
#include "ops/parts.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "ops/conv/window.h"
#include "ops/shape/slices.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

using Found = std::optional<Apart>;
using Rule = Found (*)(const OpView&, int64_t axis);

bool has(const std::vector<int64_t>& axes, int64_t axis) {
  return std::find(axes.begin(), axes.end(), axis) != axes.end();
}

Found along(const char* input, int64_t axis) { return Apart{{{input, axis}}, {}}; }
Found along_x(const OpView& /*op*/, int64_t axis) { return along("x", axis); }

const Shape& result_shape(const OpView& op) { return op.operation().outputs[0]->type.shape(); }

// Operands meet at their last axes; one with an extent of 1 there is repeated.
Found elementwise(const OpView& op, int64_t axis) {
  const auto rank = static_cast<int64_t>(result_shape(op).size());
  Apart found;
  for (const Input& input : op.operation().inputs) {
    for (size_t i = 0; i < input.operands.size(); ++i) {
      const Shape shape = op.shape(input.name, i);
      const int64_t at = axis - rank + static_cast<int64_t>(shape.size());
      if (at < 0 || shape[static_cast<size_t>(at)] == 1) continue;
      found.parts.push_back({input.name, at});
    }
  }
  return found;
}

// --- ops that move elements --------------------------------------------------------------------

Found transpose(const OpView& op, int64_t axis) {
  return along("x", op.axes("perm", op.rank("x")).at(static_cast<size_t>(axis)));
}

// The axis of x with as many elements before it. An extent of 0 stands for one of x, which may be
// the one that is cut.
Found reshape(const OpView& op, int64_t axis) {
  const Shape x = op.shape("x"), &y = result_shape(op);
  const auto at = static_cast<size_t>(axis);
  const std::vector<int64_t> stated = op.ints("shape");
  if (has(stated, 0) || product(x, 0, x.size()) == 0) return std::nullopt;
  for (size_t i = 0; i < x.size(); ++i) {
    if (x[i] != y[at] || product(x, 0, i) != product(y, 0, at)) continue;
    return Apart{{{"x", static_cast<int64_t>(i)}}, Apart::Extent{"shape", axis}};
  }
  return std::nullopt;
}

Found expand_dims(const OpView& op, int64_t axis) {
  const auto added = op.axes("axes", static_cast<int64_t>(result_shape(op).size()));
  if (has(added, axis)) return std::nullopt;
  return along("x", axis - std::ranges::count_if(added, [&](int64_t a) { return a < axis; }));
}

// One position would be squeezed, too, where the axis is listed.
Found squeeze(const OpView& op, int64_t axis) {
  if (!op.has("axes")) return std::nullopt;
  const Shape x = op.shape("x");
  const std::vector<int64_t> listed = op.axes("axes", op.rank("x"));
  int64_t at = -1;
  for (int64_t i = 0; i < static_cast<int64_t>(x.size()); ++i) {
    if (x[static_cast<size_t>(i)] == 1 && has(listed, i)) continue;
    if (++at == axis) return has(listed, i) ? std::nullopt : along("x", i);
  }
  return std::nullopt;
}

Found tile(const OpView& op, int64_t axis) {
  return op.ints("reps").at(static_cast<size_t>(axis)) == 1 ? along("x", axis) : std::nullopt;
}

Found reverse(const OpView& op, int64_t axis) {
  if (!op.has("axes")) return std::nullopt;
  return has(op.axes("axes", op.rank("x")), axis) ? std::nullopt : along("x", axis);
}

Found concat(const OpView& op, int64_t axis) {
  const auto rank = static_cast<int64_t>(result_shape(op).size());
  return op.axis("axis", rank) == axis ? std::nullopt : along("values", axis);
}

Found stack(const OpView& op, int64_t axis) {
  const int64_t added = op.axis("axis", static_cast<int64_t>(result_shape(op).size()));
  return added == axis ? std::nullopt : along("values", axis - (added < axis ? 1 : 0));
}

// The axis is one that is taken as a whole.
Found slice_by_index(const OpView& op, int64_t axis) {
  const std::vector<SliceAxis> axes = slice_axes(op, op.shape("x"));
  int64_t at = -1;
  for (size_t i = 0; i < axes.size(); ++i) {
    const SliceAxis& slice = axes[i];
    if (slice.squeezed || ++at != axis) continue;
    const bool begins = slice.begin_masked || slice.begin == 0;
    const bool ends = slice.end_masked || (slice.end && *slice.end >= slice.extent);
    if (!begins || !ends || slice.stride != 1) return std::nullopt;
    const auto index = static_cast<int64_t>(i);
    Found found = along("x", index);
    if (!slice.end_masked) found->extent = {"end", index};
    return found;
  }
  return std::nullopt;
}

Found slice_by_size(const OpView& op, int64_t axis) {
  const auto at = static_cast<size_t>(axis);
  const int64_t size = op.ints("size").at(at);
  if (op.ints("begin").at(at) != 0 || (size != -1 && size != op.shape("x")[at])) {
    return std::nullopt;
  }
  return Apart{{{"x", axis}}, Apart::Extent{"size", axis}};
}

Found gather(const OpView& op, int64_t axis) {
  if (op.def().find_input("batch_dims") != nullptr && op.integer("batch_dims") != 0) {
    return std::nullopt;
  }
  const int64_t at = op.axis("axis", op.rank("x")), rank = op.rank("indices");
  if (axis < at) return along("x", axis);
  return axis < at + rank ? along("indices", axis - at) : along("x", axis - rank + 1);
}

// --- products ----------------------------------------------------------------------------------

Found linear(const OpView& op, int64_t axis) {
  return axis == op.rank("x") - 1 ? std::nullopt : along("x", axis);
}

Found matmul(const OpView& op, int64_t axis) {
  const Shape x = op.shape("x"), y = op.shape("y");
  const auto rank = static_cast<int64_t>(result_shape(op).size());
  const auto rank_x = static_cast<int64_t>(x.size()), rank_y = static_cast<int64_t>(y.size());
  if (rank_x < 2 || rank_y < 2) return std::nullopt;
  if (axis == rank - 2) return along("x", rank_x - (op.flag("transpose_x") ? 1 : 2));
  if (axis == rank - 1) return along("y", rank_y - (op.flag("transpose_y") ? 2 : 1));
  return elementwise(op, axis);
}

// A window of one element that visits every one.
Found conv(const OpView& op, int64_t axis) {
  if (axis == 1) return std::nullopt;
  const Shape weight = op.shape("weight");
  if (axis > 1) {
    const Window w =
        windows_of(op, {weight.begin() + 2, weight.end()}).at(static_cast<size_t>(axis - 2));
    if (w.kernel != 1 || w.stride != 1 || w.before != 0 || w.after != 0) return std::nullopt;
  }
  return along("x", axis);
}

Found attention(const OpView& op, int64_t axis) {
  if (axis != op.rank("query") - 2) return std::nullopt;
  Found found = along("query", axis);
  if (!op.has("attn_mask")) return found;
  const Shape mask = op.shape("attn_mask");
  const auto rank = static_cast<int64_t>(mask.size());
  if (rank >= 2 && mask[mask.size() - 2] != 1) found->parts.push_back({"attn_mask", rank - 2});
  return found;
}

// --- ops that work along axes ------------------------------------------------------------------

Found but_channels(const OpView& /*op*/, int64_t axis) {
  return axis == 1 ? std::nullopt : along("x", axis);
}

Found but_last_three(const OpView& op, int64_t axis) {
  return axis < op.rank("x") - 3 ? along("x", axis) : std::nullopt;
}

Found but_axis(const OpView& op, int64_t axis) {
  return op.axis("axis", op.rank("x")) == axis ? std::nullopt : along("x", axis);
}

Found but_axes(const OpView& op, int64_t axis) {
  if (!op.has("axes")) return std::nullopt;
  return has(op.axes("axes", op.rank("x")), axis) ? std::nullopt : along("x", axis);
}

// Where x has the axis of a result that lacks some of them.
Found around(const OpView& op, const std::vector<int64_t>& reduced, int64_t axis) {
  const bool keeps = op.flag("keep_dims");
  int64_t at = -1;
  for (int64_t i = 0; i < op.rank("x"); ++i) {
    const bool gone = has(reduced, i);
    if (gone && !keeps) continue;
    if (++at == axis) return gone ? std::nullopt : along("x", i);
  }
  return std::nullopt;
}

Found reduction(const OpView& op, int64_t axis) {
  return op.has("axes") ? around(op, op.axes("axes", op.rank("x")), axis) : std::nullopt;
}

Found extreme(const OpView& op, int64_t axis) {
  return around(op, {op.axis("axis", op.rank("x"))}, axis);
}

const std::map<std::string, Rule, std::less<>>& rules() {
  static const std::map<std::string, Rule, std::less<>> kAll = {
      {"identity", along_x},
      {"mw.stop_gradient", along_x},
      {"transpose", transpose},
      {"reshape", reshape},
      {"expand_dims", expand_dims},
      {"squeeze", squeeze},
      {"tile", tile},
      {"reverse", reverse},
      {"concat", concat},
      {"stack", stack},
      {"split", but_axis},
      {"slice_by_index", slice_by_index},
      {"slice_by_size", slice_by_size},
      {"gather", gather},
      {"linear", linear},
      {"matmul", matmul},
      {"conv", conv},
      {"scaled_dot_product_attention", attention},
      {"batch_norm", but_channels},
      {"prelu", but_channels},
      {"softplus_parametric", but_channels},
      {"l2_norm", but_last_three},
      {"layer_norm", but_axes},
      {"softmax", but_axis},
      {"mw.log_softmax", but_axis},
      {"cumsum", but_axis},
      {"reduce_argmax", extreme},
      {"reduce_argmin", extreme},
      {"reduce_l1_norm", reduction},
      {"reduce_l2_norm", reduction},
      {"reduce_log_sum", reduction},
      {"reduce_log_sum_exp", reduction},
      {"reduce_max", reduction},
      {"reduce_mean", reduction},
      {"reduce_min", reduction},
      {"reduce_prod", reduction},
      {"reduce_sum", reduction},
      {"reduce_sum_square", reduction},
  };
  return kAll;
}

}  // namespace

bool has_rule_of_parts(const std::string& op) { return rules().contains(op); }

std::optional<Apart> parts_of(const OpView& op, int64_t axis) {
  const auto found = rules().find(op.operation().type);
  const bool is_elementwise = op.def().has_trait(kElementwise);
  if (found == rules().end() && !is_elementwise) return std::nullopt;
  try {
    return found != rules().end() ? found->second(op, axis) : elementwise(op, axis);
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace mw::ops
