// Kernel of mw.linear_cross_entropy: chunks of the rows that count, each through a product to its
// logits, which become their own slopes in place and go into the products of the backward pass.
// Slopes in bf16 take half the room of logits: each row goes where an earlier one has been.
#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "cpu/bf16_loops.h"
#include "cpu/primitives.h"
#include "cpu/tile.h"
#include "ops/kernels_cpu.h"
#include "ops/loss/head_cpu.h"
#include "ops/loss/linear_cross_entropy.h"

namespace mw::ops {
namespace {

using plan::Claim;
using plan::Frame;
using plan::Kernel;
using plan::Ref;

constexpr int64_t kPiece = 4096;  // logits that stay in the nearest cache

int64_t floats(int64_t count) { return count * static_cast<int64_t>(sizeof(float)); }

// --- one row ----------------------------------------------------------------------------------

class Softmax {
 public:
  // Slopes are of `dtype`; where it is fp32, rounded to bf16 all the same if `rounds`.
  Softmax(int64_t classes, double smoothing, DType dtype, bool rounds)
      : classes_(classes),
        smoothing_(smoothing),
        is_narrow_(dtype == DType::kBF16),
        rounds_(rounds),
        affine_(cpu::unary_loop(plan::RowOp::kAffine)),
        sum_(cpu::reduce_loop(plan::RowOp::kRowSum)),
        max_(cpu::reduce_loop(plan::RowOp::kRowMax)) {}

  // The loss of a row. Its slopes go to `slopes`: where the logits are, or in bf16 before them.
  double run(float* logits, int64_t label, std::byte* slopes) const {
    const auto count = static_cast<size_t>(classes_);
    const float largest = max_(logits, count, 0, 0);
    const double at_label = static_cast<double>(logits[label]) - largest;
    double sum = 0, shifted = 0;
    for (size_t i = 0; i < count; i += kPiece) {
      const size_t some = std::min<size_t>(kPiece, count - i);
      if (smoothing_ > 0) {
        shifted += sum_(logits + i, some, 0, 0) - static_cast<double>(some) * largest;
      }
      sum += cpu::exp_row(logits + i, some, largest);
    }
    const double even = smoothing_ / static_cast<double>(classes_);
    for (size_t i = 0; i < count; i += kPiece) {
      const size_t some = std::min<size_t>(kPiece, count - i);
      float* piece = logits + i;
      affine_(piece, piece, some, static_cast<float>(1 / sum), static_cast<float>(-even));
      const size_t at = static_cast<size_t>(label) - i;
      if (at < some) piece[at] -= static_cast<float>(1 - smoothing_);
      if (is_narrow_) {
        cpu::store_bf16(piece, slopes + i * sizeof(uint16_t), some);
      } else if (rounds_) {
        cpu::round_bf16(piece, piece, some, 0, 0);
      }
    }
    return std::log(sum) - (1 - smoothing_) * at_label - even * shifted;
  }

 private:
  int64_t classes_;
  double smoothing_;
  bool is_narrow_, rounds_;
  cpu::UnaryLoop affine_;
  cpu::ReduceLoop sum_, max_;
};

// --- the kernel -------------------------------------------------------------------------------

class LinearCrossEntropy : public Kernel {
 public:
  LinearCrossEntropy(Claim& claim, const HeadSizes& sizes,
                     std::unique_ptr<const HeadProducts> products)
      : s_(sizes),
        where_(claim.op().where()),
        ignored_(claim.op().integer("ignore_index")),
        dtype_(products->dtype()),
        softmax_(s_.classes, claim.op().number("label_smoothing"), dtype_,
                 claim.op().flag("rounds_slope")),
        add_(cpu::binary_loop(plan::RowOp::kAdd, cpu::Scalar::kNone)),
        products_(std::move(products)),
        x_(products_->x()),
        labels_(claim.dense("labels").ref) {
    if (claim.op().has("bias")) bias_ = claim.dense("bias").ref;
    sum_ = claim.result(0).ref;
    count_ = claim.result(1).ref;
    const auto gradient = [&](std::string_view input) -> std::optional<Ref> {
      const std::optional<size_t> result = head_gradient(claim.op(), input);
      return result ? std::optional(claim.result(*result).ref) : std::nullopt;
    };
    x_grad_ = gradient("x");
    weight_grad_ = gradient("weight");
    bias_grad_ = gradient("bias");
    logits_ = claim.workspace(floats(s_.at_once * s_.classes)).ref;
    some_x_ = claim.workspace(s_.at_once * x_row()).ref;
    some_x_grad_ = claim.workspace(x_grad_ ? floats(s_.at_once * s_.depth) : 0).ref;
    losses_ = claim.workspace(s_.at_once * static_cast<int64_t>(sizeof(double))).ref;
    counted_ = claim.workspace(s_.rows * static_cast<int64_t>(sizeof(int64_t))).ref;
  }

  void run(const Frame& frame) const override {
    const int64_t count = find_rows(frame);
    clear(frame, count);
    double sum = 0;
    for (int64_t begin = 0; begin < count; begin += s_.at_once) {
      sum += one_chunk(frame, begin, std::min(count, begin + s_.at_once));
    }
    *frame.as<float>(sum_) = static_cast<float>(sum);
    *frame.as<float>(count_) = static_cast<float>(count);
  }

 private:
  // Those that count, in order. Every label is looked at before anything is written.
  [[nodiscard]] int64_t find_rows(const Frame& frame) const {
    const auto* labels = frame.as<int32_t>(labels_);
    auto* rows = frame.as<int64_t>(counted_);
    int64_t count = 0;
    for (int64_t row = 0; row < s_.rows; ++row) {
      if (labels[row] == ignored_) continue;
      if (labels[row] < 0 || labels[row] >= s_.classes) {
        fail(ErrorCode::kInvalidModel, "{}: labels: expected values in [0, {}) or {}, got {}",
             where_, s_.classes, ignored_, labels[row]);
      }
      rows[count++] = row;
    }
    return count;
  }

  // What no chunk writes, or adds to.
  void clear(const Frame& frame, int64_t count) const {
    if (x_grad_ && count < s_.rows) {
      std::fill_n(frame.as<float>(*x_grad_), s_.rows * s_.depth, 0.0F);
    }
    if (weight_grad_ && count == 0) {
      std::fill_n(frame.as<float>(*weight_grad_), s_.classes * s_.depth, 0.0F);
    }
    if (bias_grad_) std::fill_n(frame.as<float>(*bias_grad_), s_.classes, 0.0F);
  }

  // Rows [begin, end) of those that count; the sum of their losses.
  [[nodiscard]] double one_chunk(const Frame& frame, int64_t begin, int64_t end) const {
    const int64_t* rows = frame.as<int64_t>(counted_) + begin;
    const int64_t count = end - begin;
    // A whole chunk of neighbours is read and written where it lies.
    const bool in_place = count == s_.at_once && rows[count - 1] - rows[0] == count - 1;
    const std::byte* x =
        in_place ? frame.as<std::byte>(x_) + rows[0] * x_row() : gathered(frame, rows, count);
    float* logits = frame.as<float>(logits_);
    products_->forward(frame, x, bias_ ? frame.as<float>(*bias_) : nullptr, logits);
    const double sum = losses_of(frame, rows, count);
    if (x_grad_) {
      float* whole = frame.as<float>(*x_grad_);
      float* to = in_place ? whole + rows[0] * s_.depth : frame.as<float>(some_x_grad_);
      products_->back(frame, logits, to);
      for (int64_t i = 0; !in_place && i < count; ++i) {
        std::copy_n(to + i * s_.depth, s_.depth, whole + rows[i] * s_.depth);
      }
    }
    if (weight_grad_) {
      products_->weight(frame, logits, x, begin == 0, frame.as<float>(*weight_grad_));
    }
    if (bias_grad_) add_rows(logits, count, frame.as<float>(*bias_grad_));
    return sum;
  }

  // Bytes of a row of x.
  [[nodiscard]] int64_t x_row() const { return bytes_of(dtype_, s_.depth); }

  // The rows side by side, and zeros up to a whole chunk.
  const std::byte* gathered(const Frame& frame, const int64_t* rows, int64_t count) const {
    auto* to = frame.as<std::byte>(some_x_);
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(frame.as<std::byte>(x_) + rows[i] * x_row(), x_row(), to + i * x_row());
    }
    std::fill_n(to + count * x_row(), (s_.at_once - count) * x_row(), std::byte{0});
    return to;
  }

  [[nodiscard]] std::byte* slopes_of(float* logits, int64_t row) const {
    return reinterpret_cast<std::byte*>(logits) + row * bytes_of(dtype_, s_.classes);
  }

  // Rows beyond `count` become zeros. A round has as many rows as all before it together, so that
  // the slopes of a row lie where no logits are left to be read.
  double losses_of(const Frame& frame, const int64_t* rows, int64_t count) const {
    const auto* labels = frame.as<int32_t>(labels_);
    float* logits = frame.as<float>(logits_);
    auto* losses = frame.as<double>(losses_);
    const auto one_row = [&](int64_t i) {
      std::byte* slopes = slopes_of(logits, i);
      if (i < count) {
        losses[i] = softmax_.run(logits + i * s_.classes, labels[rows[i]], slopes);
      } else {
        std::fill_n(slopes, bytes_of(dtype_, s_.classes), std::byte{0});
      }
    };
    for (int64_t first = 0, round = 1; first < s_.at_once; first += round) {
      if (first > 0) round = std::min(first, s_.at_once - first);
      parallel_for(round, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) one_row(first + i);
      });
    }
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += losses[i];
    return sum;
  }

  // The sums of slopes over the chunk's rows.
  void add_rows(float* logits, int64_t count, float* to) const {
    parallel_for(s_.classes, kPiece, [&](int64_t begin, int64_t end) {
      std::array<float, kPiece> widened;
      for (int64_t at = begin; at < end; at += kPiece) {
        const int64_t some = std::min(kPiece, end - at);
        for (int64_t i = 0; i < count; ++i) {
          const std::byte* row = slopes_of(logits, i);
          const float* slopes = reinterpret_cast<const float*>(row) + at;
          if (dtype_ == DType::kBF16) {
            cpu::load_bf16(row + bytes_of(dtype_, at), widened.data(), static_cast<size_t>(some));
            slopes = widened.data();
          }
          add_(to + at, slopes, to + at, static_cast<size_t>(some));
        }
      }
    });
  }

  HeadSizes s_;
  std::string where_;
  int64_t ignored_;
  DType dtype_;  // of x and of slopes
  Softmax softmax_;
  cpu::BinaryLoop add_;
  std::unique_ptr<const HeadProducts> products_;
  Ref x_, labels_, sum_, count_;
  std::optional<Ref> bias_, x_grad_, weight_grad_, bias_grad_;
  Ref logits_, some_x_, some_x_grad_, losses_, counted_;
};

std::unique_ptr<Kernel> make_linear_cross_entropy(Claim& claim) {
  const ir::OpView& op = claim.op();
  const HeadSizes sizes = head_sizes_of(op);
  if (op.dtype("x") != DType::kF32) return nullptr;
  if (sizes.rows == 0 || sizes.classes == 0 || sizes.depth == 0) return nullptr;
  HeadProducts::Wanted wanted;
  wanted.rounds = op.flag("rounds_slope");
  wanted.bias = op.has("bias");
  wanted.back = head_gradient(op, "x").has_value();
  wanted.weight = head_gradient(op, "weight").has_value();
  std::unique_ptr<const HeadProducts> products = HeadProducts::make(claim, sizes, wanted);
  if (products == nullptr) return nullptr;
  const auto m = static_cast<double>(sizes.rows), n = static_cast<double>(sizes.classes),
             k = static_cast<double>(sizes.depth);
  claim.set_kind("loss");
  claim.set_cost((1 + (wanted.back ? 1 : 0) + (wanted.weight ? 1 : 0)) * 2 * m * n * k,
                 4 * (2 * m * k + 2 * n * k));
  return std::make_unique<LinearCrossEntropy>(claim, sizes, std::move(products));
}

}  // namespace

void add_loss_kernels(cpu::KernelTable& table) {
  table["mw.linear_cross_entropy"].makes = {make_linear_cross_entropy};
}

}  // namespace mw::ops
