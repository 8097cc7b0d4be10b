// Epilogue: what the kernel of an op may take over of the ops after it: an addition, a function of
// each element, the order that a view wants.
#pragma once

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "plan/values.h"

namespace mw::plan {

inline constexpr size_t kNoHorizon = std::numeric_limits<size_t>::max();

class Epilogue {
 public:
  // `result`: the first of the op. Nothing is taken of ops from the order `horizon` on. All outlive
  // it.
  Epilogue(const BlockFacts& block, Values& values, const ir::Value* result, size_t horizon)
      : block_(block), values_(values), result_(result), horizon_(horizon) {}

  // See Claim.
  std::optional<Tensor> take_bias(int64_t width);
  std::optional<Activation> take_activation(const std::function<bool(RowOp)>& can);
  bool take_rounding(DType dtype);
  // What the result has become with what has been taken.
  [[nodiscard]] const ir::Value* result() const { return result_; }
  // Strides for the result at `place`, which is dense, such that a view that is its only use finds
  // its elements in order; those that it has where there is none.
  [[nodiscard]] Strides order_for_view(const Place& place) const;

  struct Taken {
    const ir::Operation* op = nullptr;
    std::string text;
  };
  [[nodiscard]] const std::vector<Taken>& taken() const { return taken_; }

 private:
  [[nodiscard]] const ir::Operation* only_user() const;
  [[nodiscard]] const ir::Operation* sole_follower() const;
  void take(const ir::Operation& user, std::string text);

  const BlockFacts& block_;
  Values& values_;
  const ir::Value* result_;
  size_t horizon_;
  std::vector<Taken> taken_;
};

// Whether a value is to be computed apart from what uses it.
bool is_apart(const ir::Value* value);

}  // namespace mw::plan
