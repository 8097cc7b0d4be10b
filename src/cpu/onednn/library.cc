// Engine, streams, post-ops and pooled calls of oneDNN.
#include "cpu/onednn/library.h"

#include <sys/mman.h>

#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "cpu/library.h"

namespace mw::cpu {
namespace onednn {

using dnnl::algorithm;

const dnnl::engine& dnnl_engine() {
  static const dnnl::engine kEngine(dnnl::engine::kind::cpu, 0);
  return kEngine;
}

dnnl::stream& dnnl_stream() {
  thread_local dnnl::stream instance(dnnl_engine());
  return instance;
}

void expect_headroom() {
  constexpr size_t kHeadroom = size_t{32} << 20;  // many times what a primitive was seen to take
  void* trial = mmap(nullptr, kHeadroom, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (trial == MAP_FAILED) fail(ErrorCode::kOutOfMemory, "out of memory");
  munmap(trial, kHeadroom);
}

bool is_unsupported(const dnnl::error& error) {
  return error.status == dnnl_unimplemented || error.status == dnnl_invalid_arguments;
}

void refuse(const dnnl::error& error) {
  // Memory for generated code that cannot be mapped is told as a runtime error.
  if (error.status == dnnl_out_of_memory || error.status == dnnl_runtime_error) {
    fail(ErrorCode::kOutOfMemory, "out of memory (oneDNN: {})", error.what());
  }
  fail(ErrorCode::kInternal, "internal error: oneDNN: {}; report it", error.what());
}

Eltwise eltwise_of(const plan::Activation& activation) {
  using plan::RowOp;
  switch (activation.op) {
    case RowOp::kRelu:
      return {algorithm::eltwise_relu, 0, 0};
    case RowOp::kLeakyRelu:
      return {algorithm::eltwise_relu, activation.alpha, 0};
    case RowOp::kGelu:
      return {algorithm::eltwise_gelu_erf, 0, 0};
    case RowOp::kGeluTanh:
      return {algorithm::eltwise_gelu_tanh, 0, 0};
    case RowOp::kSilu:
      return {algorithm::eltwise_swish, 1, 0};
    case RowOp::kSigmoid:
      return {algorithm::eltwise_logistic, 0, 0};
    case RowOp::kTanh:
      return {algorithm::eltwise_tanh, 0, 0};
    case RowOp::kElu:
      return {algorithm::eltwise_elu, activation.alpha, 0};
    case RowOp::kClip:
      return {algorithm::eltwise_clip_v2, activation.alpha, activation.beta};
    case RowOp::kAffine:
      return {algorithm::eltwise_linear, activation.alpha, activation.beta};
    default:
      return {};
  }
}

dnnl::primitive_attr attributes_for(const std::optional<plan::Activation>& activation) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (activation) {
    const Eltwise eltwise = eltwise_of(*activation);
    dnnl::post_ops ops;
    ops.append_eltwise(eltwise.kind, eltwise.alpha, eltwise.beta);
    attr.set_post_ops(ops);
  }
  return attr;
}

std::unique_ptr<PooledPrimitive::Arguments> PooledPrimitive::take() const {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto arguments = std::move(idle_.back());
      idle_.pop_back();
      return arguments;
    }
  }
  auto arguments = std::make_unique<Arguments>();
  for (const auto& [argument, desc] : descs_) {
    arguments->emplace(argument, dnnl::memory(desc, dnnl_engine(), DNNL_MEMORY_NONE));
  }
  return arguments;
}

void PooledPrimitive::run(const void* const* data) const {
  std::unique_ptr<Arguments> arguments = take();
  for (size_t i = 0; i < descs_.size(); ++i) {
    arguments->at(descs_[i].first).set_data_handle(const_cast<void*>(data[i]));
  }
  in_library([&] { primitive_.execute(dnnl_stream(), *arguments); });
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(arguments));
}

namespace {

// Tiles (AMX) are. Vector instructions for bf16 take two products for one in AMD's processors; in
// Intel's they are slower than those for fp32 (half of their rate, measured on Sapphire Rapids).
bool is_bf16_faster() {
  const char* wanted = std::getenv("MW_BF16_PRODUCTS");
  if (wanted != nullptr) return std::string_view(wanted) != "0";
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::avx512_core_amx:
    case dnnl::cpu_isa::avx512_core_amx_fp16:
      return true;
    case dnnl::cpu_isa::avx512_core_bf16:
      return __builtin_cpu_is("amd") != 0;
    default:
      return false;
  }
#else
  return false;
#endif
}

class OneDnn : public Library {
 public:
  [[nodiscard]] bool activates(plan::RowOp op) const override {
    return eltwise_of({op, 0, 0}).kind != algorithm::undef;
  }
  [[nodiscard]] bool multiplies_bf16() const override {
    static const bool kFaster = is_bf16_faster();
    return kFaster;
  }
  [[nodiscard]] std::unique_ptr<Matmul> matmul(const MatmulShape& shape,
                                               const Matmul* like) const override {
    return make_matmul(shape, like);
  }
  [[nodiscard]] std::unique_ptr<plan::Kernel> convolution(plan::Claim& claim,
                                                          const Convolution& c) const override {
    return make_convolution(claim, c);
  }
  [[nodiscard]] std::unique_ptr<plan::Kernel> mean_pooling(plan::Claim& claim,
                                                           const MeanPooling& p) const override {
    return make_mean_pooling(claim, p);
  }
};

}  // namespace
}  // namespace onednn

const Library& built_library() {
  static const onednn::OneDnn kLibrary;
  return kLibrary;
}

std::string library_text() {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
}

}  // namespace mw::cpu
