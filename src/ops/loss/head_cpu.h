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
    bool bias = false;
    bool back = false;    // the gradient of x
    bool weight = false;  // that of the weight
  };
  // Of the claim's `weight`. Null where it is of another dtype than the floats that products are
  // of, or the library has no fast implementation. Asks for no result.
  static std::unique_ptr<HeadProducts> make(plan::Claim& claim, const HeadSizes& sizes,
                                            const Wanted& wanted);

  // Of one chunk: x [at_once, depth], logits [at_once, classes]. `bias`: null without one.
  void forward(const plan::Frame& frame, const float* x, const float* bias, float* logits) const;
  void back(const plan::Frame& frame, const float* logits, float* x_grad) const;
  // Adds to the gradient of the weight; of a `first` chunk writes it.
  void weight(const plan::Frame& frame, const float* logits, const float* x, bool first,
              float* weight_grad) const;

 private:
  using Product = std::shared_ptr<const cpu::Matmul>;
  // Some of the outputs.
  struct Panel {
    int64_t first, count;
    Product forward, back;
  };

  explicit HeadProducts(const HeadSizes& sizes) : s_(sizes) {}
  bool find_weight(plan::Claim& claim);
  [[nodiscard]] int64_t panel_outputs() const;
  [[nodiscard]] cpu::MatrixLayout outputs_of(int64_t count, bool as_columns) const;
  [[nodiscard]] cpu::MatmulShape forward_shape(int64_t count, bool bias) const;
  [[nodiscard]] cpu::MatmulShape back_shape(int64_t count, bool adds) const;
  [[nodiscard]] cpu::MatmulShape weight_shape(bool adds) const;
  [[nodiscard]] const float* read(const plan::Frame& frame, const Panel& panel) const;

  HeadSizes s_;
  plan::Ref dense_;  // the weight in fp32; or who reads it, a panel at a time
  std::shared_ptr<const plan::WeightReader> reader_;
  std::vector<Panel> panels_;
  Product first_, next_;  // the gradient of the weight
  plan::Ref decoded_, scratch_;
};

}  // namespace mw::ops
