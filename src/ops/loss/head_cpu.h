// The products of a layer whose result is made and used up chunk by chunk of its rows.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "cpu/matmul.h"
#include "ops/loss/linear_cross_entropy.h"
#include "plan/claim.h"

namespace mw::ops {

class HeadProducts {
 public:
  struct Wanted {
    bool rounds = false;  // x, weight and slopes hold numbers of bf16
    bool bias = false;
    bool back = false;    // the gradient of x
    bool weight = false;  // that of the weight
  };
  // Of the claim's `weight`. Null where it is of another dtype than the floats that products are
  // of, or the library has no fast implementation. Asks for no result.
  static std::unique_ptr<HeadProducts> make(plan::Claim& claim, const HeadSizes& sizes,
                                            const Wanted& wanted);

  // What x and the slopes of logits are read in: fp32, or bf16 as they are stored.
  [[nodiscard]] DType dtype() const { return dtype_; }
  // Where x lies, without gaps.
  [[nodiscard]] const plan::Ref& x() const { return x_; }

  // Of one chunk: x [at_once, depth] in dtype(), logits [at_once, classes]. `bias`: null without
  // one.
  void forward(const plan::Frame& frame, const void* x, const float* bias, float* logits) const;
  // Slopes [at_once, classes] in dtype() begin where the logits did.
  void back(const plan::Frame& frame, const void* slopes, float* x_grad) const;
  // Adds to the gradient of the weight; of a `first` chunk writes it.
  void weight(const plan::Frame& frame, const void* slopes, const void* x, bool first,
              float* weight_grad) const;

 private:
  using Product = std::shared_ptr<const cpu::Matmul>;
  // Some of the outputs.
  struct Panel {
    int64_t first, count;
    Product forward, back;
  };

  HeadProducts(const HeadSizes& sizes, DType dtype) : s_(sizes), dtype_(dtype) {}
  static std::unique_ptr<HeadProducts> make(plan::Claim& claim, const HeadSizes& sizes,
                                            const Wanted& wanted, DType dtype);
  bool find_weight(plan::Claim& claim);
  bool find_rounded_weight(plan::Claim& claim);
  [[nodiscard]] cpu::MatrixLayout rows_of(int64_t length) const;
  [[nodiscard]] int64_t panel_outputs() const;
  [[nodiscard]] cpu::MatrixLayout outputs_of(int64_t count, bool as_columns) const;
  [[nodiscard]] cpu::MatmulShape forward_shape(int64_t count, bool bias) const;
  [[nodiscard]] cpu::MatmulShape back_shape(int64_t count, bool adds) const;
  [[nodiscard]] cpu::MatmulShape weight_shape(bool adds) const;
  [[nodiscard]] const void* read(const plan::Frame& frame, const Panel& panel) const;

  HeadSizes s_;
  DType dtype_;
  plan::Ref x_;
  plan::Ref dense_;  // the weight in dtype_; or who reads it, a panel at a time
  std::shared_ptr<const plan::WeightReader> reader_;
  std::vector<Panel> panels_;
  Product first_, next_;  // the gradient of the weight
  plan::Ref decoded_, scratch_;
};

}  // namespace mw::ops
