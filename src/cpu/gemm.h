// Matrix products as kernels: weights packed once or decoded in panels, strided operands,
// epilogues.
#pragma once

#include <memory>
#include <optional>

#include "cpu/matmul.h"
#include "plan/claim.h"

namespace mw::cpu {

// y = f(x w + bias) with y: [m, n], x: [m, k].
struct WeightGemm {
  int64_t m = 0, n = 0, k = 0;
  plan::Place x;  // of shape [m, k]; elements of a row lie side by side
  plan::Weight weight;
  bool weight_by_output = true;  // the weight is [n, k]; else [k, n]
  std::optional<Tensor> bias;
  // Of the op's result, which has other axes than y but its elements in this order; nothing else is
  // added to it. None: it is y.
  std::optional<plan::Strides> result_strides;
};

// Whether many rows are multiplied with a weight of fp16 or bf16 as it is stored: packing it, or
// all of the program, would take much memory.
bool is_packed_nowhere(const plan::Claim& claim, const Tensor& weight);

// y[b] = f(x[b] w[b]) with places of shape [batch.., m, k], [batch.., k, n] and a dense result.
// w may be fp16 where m is at most kMaxDotRows; x and w may be bf16 where m is larger.
struct BatchGemm {
  Shape batch;
  int64_t m = 0, n = 0, k = 0;
  plan::Place x, w;
  std::optional<plan::Activation> activation;  // taken from the claim already
  bool rounded = false;                        // the result, to bf16: likewise
  std::optional<plan::Ref> bias;               // n numbers added to every row
};

// Takes followers of result 0 as an epilogue.
std::unique_ptr<plan::Kernel> make_gemm(plan::Claim& claim, WeightGemm gemm);
// Null when the strides are beyond all kernels: to be called again with dense operands.
std::unique_ptr<plan::Kernel> make_gemm(plan::Claim& claim, const BatchGemm& gemm);
// Whether so many rows are to be multiplied in bf16 as they are.
bool multiplies_bf16(const plan::Claim& claim, int64_t m);

}  // namespace mw::cpu
