// Kernels of convolution and pooling: their windows for the library of products.
#include "cpu/convolution.h"

#include <algorithm>

#include "cpu/library.h"
#include "cpu/pointwise.h"
#include "ops/conv/window.h"
#include "ops/kernels_cpu.h"

namespace mw::ops {
namespace {

using plan::Claim;
using plan::Kernel;

std::vector<cpu::WindowAxis> axes_of(const std::vector<Window>& windows) {
  std::vector<cpu::WindowAxis> axes;
  for (const Window& w : windows) {
    // What the last window needs beyond the axis; a rest that no window reaches is left out.
    const int64_t reach = (w.out - 1) * w.stride + (w.kernel - 1) * w.dilation + 1;
    axes.push_back({w.kernel, w.stride, w.dilation, w.before, reach - w.in - w.before});
  }
  return axes;
}

// Whether each window is one element, and each element one window.
bool is_pointwise(const std::vector<Window>& windows, int64_t groups) {
  return groups == 1 && std::ranges::all_of(windows, [](const Window& w) {
           return w.kernel == 1 && w.stride == 1 && w.before == 0 && w.in == w.out;
         });
}

std::unique_ptr<Kernel> make_pointwise(Claim& claim, bool weight_by_output) {
  const OpView& op = claim.op();
  std::optional<plan::Weight> weight = claim.weight("weight");
  if (!weight) return nullptr;
  cpu::Pointwise p;
  p.outputs = op.operation().outputs[0]->type.shape()[1];
  p.weight = std::move(*weight);
  p.weight_by_output = weight_by_output;
  if (op.has("bias")) {
    if (!claim.frozen("bias") || op.dtype("bias") != DType::kF32) return nullptr;
    p.bias = claim.constant("bias");
  }
  return cpu::make_pointwise(claim, std::move(p));
}

// Transposed or not.
std::unique_ptr<Kernel> make_pointwise_conv(Claim& claim, bool transposed) {
  const OpView& op = claim.op();
  const Shape x = op.shape("x"), weight = op.shape("weight");
  if (op.dtype("x") != DType::kF32 || count_of(x) == 0 || count_of(weight) == 0) return nullptr;
  const auto windows =
      transposed ? windows_of_transpose(op) : windows_of(op, {weight.begin() + 2, weight.end()});
  if (!is_pointwise(windows, op.integer("groups"))) return nullptr;
  return make_pointwise(claim, !transposed);
}

std::unique_ptr<Kernel> make_conv(Claim& claim) {
  const OpView& op = claim.op();
  if (op.dtype("x") != DType::kF32) return nullptr;
  cpu::Convolution c;
  c.x = op.shape("x");
  c.y = op.operation().outputs[0]->type.shape();
  c.weight = op.shape("weight");
  c.groups = op.integer("groups");
  if (count_of(c.y) == 0 || count_of(c.x) == 0 || count_of(c.weight) == 0) return nullptr;
  c.windows = axes_of(windows_of(op, {c.weight.begin() + 2, c.weight.end()}));
  if (op.has("bias")) {
    if (!claim.frozen("bias") || op.dtype("bias") != DType::kF32) return nullptr;
    c.bias = claim.hold(claim.constant("bias"));
  }
  if (auto weight = claim.weight("weight")) {
    c.frozen_weight = weight->reader != nullptr ? claim.constant("weight") : weight->dense;
    c.weight_key = std::move(weight->key);
    c.weight_sources = std::move(weight->sources);
  } else {
    if (op.dtype("weight") != DType::kF32) return nullptr;
    c.weight_place = claim.dense("weight");
  }
  c.x_place = claim.dense("x");
  claim.set_kind("gemm");
  double per_output = 2 * static_cast<double>(c.weight[1]);
  for (const cpu::WindowAxis& axis : c.windows) per_output *= static_cast<double>(axis.kernel);
  claim.set_cost(per_output * static_cast<double>(count_of(c.y)),
                 4 * static_cast<double>(count_of(c.x) + count_of(c.weight) + count_of(c.y)));
  return cpu::library_of(claim).convolution(claim, c);
}

std::unique_ptr<Kernel> make_max_pool(Claim& claim) {
  const OpView& op = claim.op();
  if (op.dtype("x") != DType::kF32) return nullptr;
  const Shape x = op.shape("x"), y = op.operation().outputs[0]->type.shape();
  if (count_of(x) == 0 || count_of(y) == 0) return nullptr;
  const auto windows = windows_of(op, per_axis(op, "kernel_sizes", x.size() - 2, 1));
  return cpu::make_max_pooling(claim, x, y, axes_of(windows), claim.dense("x"));
}

std::unique_ptr<Kernel> make_mean_pool(Claim& claim, bool counts_padding) {
  const OpView& op = claim.op();
  if (op.dtype("x") != DType::kF32) return nullptr;
  const Shape x = op.shape("x"), y = op.operation().outputs[0]->type.shape();
  if (count_of(x) == 0 || count_of(y) == 0) return nullptr;
  const std::vector<Window> windows = windows_of(op, per_axis(op, "kernel_sizes", x.size() - 2, 1));
  std::vector<cpu::WindowAxis> axes = axes_of(windows);
  for (size_t i = 0; i < axes.size(); ++i) {
    // The last window may reach further than the padding; its mean then counts fewer elements.
    const bool beyond = axes[i].after > windows[i].after;
    if (beyond && counts_padding) return nullptr;
    if (axes[i].before >= axes[i].kernel || axes[i].after >= axes[i].kernel) return nullptr;
  }
  return cpu::library_of(claim).mean_pooling(claim, {counts_padding, x, y, axes, claim.dense("x")});
}

}  // namespace

void add_conv_kernels(cpu::KernelTable& table) {
  table["conv"].makes = {[](Claim& claim) { return make_pointwise_conv(claim, false); }, make_conv};
  table["conv_transpose"].makes = {[](Claim& claim) { return make_pointwise_conv(claim, true); }};
  table["max_pool"].makes = {make_max_pool};
  table["avg_pool"].makes = {[](Claim& claim) {
    return make_mean_pool(claim, !claim.op().flag("exclude_padding_from_average"));
  }};
}

}  // namespace mw::ops
