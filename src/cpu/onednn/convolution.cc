// Convolution and pooling through oneDNN, in the layouts that it chooses: operands are reordered
// around the primitive, weights once.
#include "cpu/convolution.h"

#include <cstring>

#include "base/error.h"
#include "base/memory_checks.h"
#include "cpu/library.h"
#include "cpu/onednn/library.h"
#include "plan/constant_pool.h"

namespace mw::cpu::onednn {
namespace {

using dnnl::memory;
using plan::Claim;
using plan::Frame;
using plan::Place;
using plan::Ref;

memory::dims dims_of(const Shape& shape) { return {shape.begin(), shape.end()}; }

memory::desc plain(const memory::dims& dims) {
  return {dims, memory::data_type::f32, plan::row_major(Shape(dims.begin(), dims.end()))};
}
memory::desc any(const memory::dims& dims) {
  return {dims, memory::data_type::f32, memory::format_tag::any};
}

// Moves an operand between its plain layout and that of a primitive; nothing when they are the
// same.
class Reorder {
 public:
  Reorder(const memory::desc& from, const memory::desc& to) {
    if (from == to) return;
    primitive_.emplace(
        dnnl::reorder(dnnl::reorder::primitive_desc(dnnl_engine(), from, dnnl_engine(), to)),
        std::vector<std::pair<int, memory::desc>>{{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
  }
  [[nodiscard]] bool needed() const { return primitive_.has_value(); }
  void run(const void* from, void* to) const {
    const void* data[] = {from, to};
    primitive_->run(data);
  }

 private:
  std::optional<PooledPrimitive> primitive_;
};

struct Windows {
  memory::dims kernel, strides, dilations, before, after;
  explicit Windows(const std::vector<WindowAxis>& axes) {
    for (const WindowAxis& axis : axes) {
      kernel.push_back(axis.kernel);
      strides.push_back(axis.stride);
      dilations.push_back(axis.dilation - 1);
      before.push_back(axis.before);
      after.push_back(axis.after);
    }
  }
};

// Weight as oneDNN wants it: groups apart.
memory::dims weight_dims(const Convolution& c) {
  memory::dims dims = dims_of(c.weight);
  if (c.groups > 1) {
    dims[0] /= c.groups;
    dims.insert(dims.begin(), c.groups);
  }
  return dims;
}

using ConvolutionDesc = dnnl::convolution_forward::primitive_desc;

std::optional<ConvolutionDesc> describe(const Convolution& c,
                                        const std::optional<plan::Activation>& activation) {
  expect_headroom();
  const Windows w(c.windows);
  const auto kind = dnnl::prop_kind::forward_inference;
  const auto method = dnnl::algorithm::convolution_direct;
  try {
    const memory::desc x = any(dims_of(c.x)), y = any(dims_of(c.y)), weight = any(weight_dims(c));
    const dnnl::primitive_attr attr = attributes_for(activation);
    ConvolutionDesc desc =
        c.bias ? ConvolutionDesc(dnnl_engine(), kind, method, x, weight, plain({c.weight[0]}), y,
                                 w.strides, w.dilations, w.before, w.after, attr)
               : ConvolutionDesc(dnnl_engine(), kind, method, x, weight, y, w.strides, w.dilations,
                                 w.before, w.after, attr);
    if (std::strstr(desc.impl_info_str(), "ref") != nullptr) return std::nullopt;
    return desc;
  } catch (const dnnl::error& e) {
    if (is_unsupported(e)) return std::nullopt;
    refuse(e);
  }
}

class ConvolutionKernel : public plan::Kernel {
 public:
  ConvolutionKernel(Claim& claim, const Convolution& c, const ConvolutionDesc& desc, const Place& y)
      : to_x_(plain(dims_of(c.x)), desc.src_desc()),
        to_weight_(plain(weight_dims(c)), desc.weights_desc()),
        from_y_(desc.dst_desc(), plain(dims_of(c.y))),
        x_(c.x_place.ref),
        y_(y.ref) {
    std::vector<std::pair<int, memory::desc>> descs = {
        {DNNL_ARG_SRC, desc.src_desc()},
        {DNNL_ARG_WEIGHTS, desc.weights_desc()},
        {DNNL_ARG_DST, desc.dst_desc()},
        {DNNL_ARG_SCRATCHPAD, desc.scratchpad_desc()}};
    if (c.bias) {
      descs.emplace_back(DNNL_ARG_BIAS, desc.bias_desc());
      bias_ = c.bias->ref;
    }
    primitive_.emplace(dnnl::convolution_forward(desc), std::move(descs));
    const auto reserve = [&](const memory::desc& md) {
      return claim.workspace(static_cast<int64_t>(md.get_size())).ref;
    };
    scratch_ = reserve(desc.scratchpad_desc());
    if (to_x_.needed()) own_x_ = reserve(desc.src_desc());
    if (from_y_.needed()) own_y_ = reserve(desc.dst_desc());
    if (c.frozen_weight) {
      const std::shared_ptr<const Tensor> packed = pack(claim, c, desc);
      weight_ = claim.hold(*packed, packed).ref;
    } else {
      weight_ = c.weight_place->ref;
      if (to_weight_.needed()) own_weight_ = reserve(desc.weights_desc());
    }
  }

  void run(const Frame& frame) const override {
    const void* x = frame.at(x_);
    if (own_x_) {
      to_x_.run(x, frame.at(*own_x_));
      x = frame.at(*own_x_);
    }
    const void* weight = frame.at(weight_);
    if (own_weight_) {
      to_weight_.run(weight, frame.at(*own_weight_));
      weight = frame.at(*own_weight_);
    }
    void* y = frame.at(own_y_ ? *own_y_ : y_);
    const void* data[] = {x, weight, y, frame.at(scratch_), bias_ ? frame.at(*bias_) : nullptr};
    primitive_->run(data);
    if (own_y_) from_y_.run(y, frame.at(y_));
  }

 private:
  std::shared_ptr<const Tensor> pack(Claim& claim, const Convolution& c,
                                     const ConvolutionDesc& desc) const {
    std::string key = c.weight_key + "|conv";
    const memory::desc md = desc.weights_desc();
    for (const auto& numbers : {md.get_dims(), md.get_padded_dims(), md.get_strides(),
                                md.get_inner_blks(), md.get_inner_idxs()}) {
      for (const auto number : numbers) key += fmt::format("{},", number);
      key += ';';
    }
    return claim.pool().get<Tensor>(key, c.weight_sources, [&] {
      const Tensor dense = c.frozen_weight->to(DType::kF32);
      auto packed = std::make_shared<Tensor>(dense);
      if (to_weight_.needed()) {
        *packed = Tensor(DType::kU8, {static_cast<int64_t>(md.get_size())});
        poison(*packed);
        to_weight_.run(dense.raw(), packed->mutable_raw());
      }
      const int64_t bytes = packed->nbytes();
      return plan::ConstantPool::Made{std::move(packed), bytes};
    });
  }

  Reorder to_x_, to_weight_, from_y_;
  std::optional<PooledPrimitive> primitive_;
  Ref x_, y_, weight_, scratch_;
  std::optional<Ref> bias_, own_x_, own_y_, own_weight_;
};

using PoolingDesc = dnnl::pooling_forward::primitive_desc;

class PoolingKernel : public plan::Kernel {
 public:
  PoolingKernel(Claim& claim, const PoolingDesc& desc, const Place& x, const Place& y)
      : primitive_(dnnl::pooling_forward(desc), {{DNNL_ARG_SRC, desc.src_desc()},
                                                 {DNNL_ARG_DST, desc.dst_desc()},
                                                 {DNNL_ARG_SCRATCHPAD, desc.scratchpad_desc()}}),
        x_(x.ref),
        y_(y.ref),
        scratch_(claim.workspace(static_cast<int64_t>(desc.scratchpad_desc().get_size())).ref) {}
  void run(const Frame& frame) const override {
    const void* data[] = {frame.at(x_), frame.at(y_), frame.at(scratch_)};
    primitive_.run(data);
  }

 private:
  PooledPrimitive primitive_;
  Ref x_, y_, scratch_;
};

dnnl::algorithm algorithm_of(const MeanPooling& p) {
  return p.counts_padding ? dnnl::algorithm::pooling_avg_include_padding
                          : dnnl::algorithm::pooling_avg_exclude_padding;
}

}  // namespace

std::unique_ptr<plan::Kernel> make_convolution(Claim& claim, const Convolution& c) {
  const std::optional<plan::Activation> activation = take_activation(claim);
  const std::optional<ConvolutionDesc> desc = describe(c, activation);
  if (!desc) return nullptr;
  const Place y = claim.result();
  return in_library([&] { return std::make_unique<ConvolutionKernel>(claim, c, *desc, y); });
}

std::unique_ptr<plan::Kernel> make_mean_pooling(Claim& claim, const MeanPooling& p) {
  expect_headroom();
  const Windows w(p.windows);
  try {
    const PoolingDesc desc(dnnl_engine(), dnnl::prop_kind::forward_inference, algorithm_of(p),
                           plain(dims_of(p.x)), plain(dims_of(p.y)), w.strides, w.kernel,
                           w.dilations, w.before, w.after, attributes_for(std::nullopt));
    if (std::strstr(desc.impl_info_str(), "ref") != nullptr) return nullptr;
    claim.set_kind("pool");
    claim.set_cost(static_cast<double>(count_of(p.x)),
                   4 * static_cast<double>(count_of(p.x) + count_of(p.y)));
    const Place result = claim.result();
    return std::make_unique<PoolingKernel>(claim, desc, p.x_place, result);
  } catch (const dnnl::error& e) {
    if (is_unsupported(e)) return nullptr;
    refuse(e);
  }
}

}  // namespace mw::cpu::onednn
