// non_maximum_suppression: picks boxes (x, y, width, height around their centre) by falling score,
// skipping those that overlap a picked one by more than iou_threshold. A box scores as its best
// class. With per_class_suppression only boxes of one best class compete. Up to iOS16, boxes below
// score_threshold are left out; when that leaves none, the best one is picked. Results are filled
// up with 0, indices with -1. Layouts: up to iOS16 boxes [n, B, 4] and scores [n, B, K]; from iOS17
// on [n, 4, B] and [n, K, B]. At the threshold itself: up to iOS16 an overlap equal to it hides no
// box; from iOS17 on it is as in PyTorch, which compares the overlap in fp32 with the decimal
// number that the threshold stands for, so that an overlap of 1/5 is above 0.2, and one of 1/2 not
// above 0.5.
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <numeric>

#include "ops/index/indices.h"

namespace mw::ops {
namespace {

bool boxes_last(const OpView& op) { return op.opset() >= Opset::kIos17; }

int64_t joined(const OpView& op, int64_t a, int64_t b, const char* what) {
  if (a != kAny && b != kAny && a != b) {
    op.reject("scores", "expected {} {} as boxes has, got {}", a, what, b);
  }
  return a == kAny ? b : a;
}

std::vector<Type> infer(const OpView& op) {
  const Type boxes = op.tensor_type("boxes"), scores = op.tensor_type("scores");
  expect_float(op, "boxes");
  expect_dtype(op, "scores", boxes.dtype());
  expect_rank(op, "boxes", 3, 3);
  expect_rank(op, "scores", 3, 3);
  const size_t box_axis = boxes_last(op) ? 2 : 1, value_axis = 3 - box_axis;
  if (boxes.shape()[value_axis] != 4 && boxes.shape()[value_axis] != kAny) {
    op.reject("boxes", "expected 4 coordinates per box, got shape {}", to_string(boxes.shape()));
  }
  const int64_t batch = joined(op, boxes.shape()[0], scores.shape()[0], "batches");
  (void)joined(op, boxes.shape()[box_axis], scores.shape()[box_axis], "boxes");
  const int64_t classes = scores.shape()[value_axis];
  if (classes == 0) op.reject("scores", "expected at least one class, got none");
  const int64_t most = integer_in(op, "max_boxes", 1, std::numeric_limits<int32_t>::max());
  (void)op.number("iou_threshold");
  (void)op.flag("per_class_suppression");
  const auto laid_out = [&](int64_t values) {
    return boxes_last(op) ? Shape{batch, values, most} : Shape{batch, most, values};
  };
  std::vector<Type> results{Type::tensor(boxes.dtype(), laid_out(4)),
                            Type::tensor(scores.dtype(), laid_out(classes)),
                            Type::tensor(DType::kI32, {batch, most})};
  if (!boxes_last(op)) {
    (void)op.number("score_threshold");
    results.push_back(Type::tensor(DType::kI32, {batch}));
  }
  return results;
}

struct Box {
  double left, top, right, bottom, score;
  int64_t best_class;
};

double overlap(const Box& a, const Box& b) {
  const double width = std::min(a.right, b.right) - std::max(a.left, b.left);
  const double height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  if (width <= 0 || height <= 0) return 0;
  const double shared = width * height;
  const double all =
      (a.right - a.left) * (a.bottom - a.top) + (b.right - b.left) * (b.bottom - b.top) - shared;
  return all > 0 ? shared / all : 0;
}

// Value k of box i of batch n, in either layout.
int64_t flat(const Tensor& t, bool boxes_are_last, int64_t n, int64_t i, int64_t k) {
  return boxes_are_last ? (n * t.dim(1) + k) * t.dim(2) + i : (n * t.dim(1) + i) * t.dim(2) + k;
}

std::vector<Box> boxes_of(Eval& e, int64_t n) {
  const Tensor &boxes = e.in("boxes"), &scores = e.in("scores");
  const bool last = boxes_last(e);
  const int64_t count = boxes.dim(last ? 2 : 1), classes = scores.dim(last ? 1 : 2);
  std::vector<Box> result;
  for (int64_t i = 0; i < count; ++i) {
    const auto value = [&](int64_t k) { return boxes.number_at(flat(boxes, last, n, i, k)); };
    const double half_width = value(2) / 2, half_height = value(3) / 2;
    Box box{value(0) - half_width,
            value(1) - half_height,
            value(0) + half_width,
            value(1) + half_height,
            scores.number_at(flat(scores, last, n, i, 0)),
            0};
    for (int64_t k = 1; k < classes; ++k) {
      const double score = scores.number_at(flat(scores, last, n, i, k));
      if (score > box.score) {
        box.score = score;
        box.best_class = k;
      }
    }
    result.push_back(box);
  }
  return result;
}

// The shortest decimal number that fp32 rounds to `value`.
double decimal_of(double value) {
  return std::strtod(fmt::format("{}", static_cast<float>(value)).c_str(), nullptr);
}

std::vector<int64_t> picked(Eval& e, const std::vector<Box>& boxes) {
  const bool in_fp32 = e.opset() >= Opset::kIos17;
  const double iou_threshold =
      in_fp32 ? decimal_of(e.number("iou_threshold")) : e.number("iou_threshold");
  const double score_threshold =
      boxes_last(e) ? -std::numeric_limits<double>::infinity() : e.number("score_threshold");
  const bool per_class = e.flag("per_class_suppression");
  const auto most = static_cast<size_t>(e.integer("max_boxes"));
  std::vector<size_t> order(boxes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const bool a_nan = boxes[a].score != boxes[a].score, b_nan = boxes[b].score != boxes[b].score;
    return a_nan || b_nan ? !a_nan && b_nan : boxes[a].score > boxes[b].score;
  });
  std::vector<int64_t> result;
  for (const size_t i : order) {
    if (result.size() == most) break;
    const Box& box = boxes[i];
    if (!(box.score >= score_threshold)) continue;
    const bool hidden = std::any_of(result.begin(), result.end(), [&](int64_t other) {
      const Box& chosen = boxes[static_cast<size_t>(other)];
      if (per_class && chosen.best_class != box.best_class) return false;
      const double shared = overlap(chosen, box);
      return (in_fp32 ? static_cast<double>(static_cast<float>(shared)) : shared) > iou_threshold;
    });
    if (!hidden) result.push_back(static_cast<int64_t>(i));
  }
  if (result.empty() && !order.empty()) result.push_back(static_cast<int64_t>(order[0]));
  return result;
}

void copy_picked(const Tensor& from, bool last, int64_t n, const std::vector<int64_t>& which,
                 Tensor& to) {
  const int64_t values = from.dim(last ? 1 : 2);
  for (size_t slot = 0; slot < which.size(); ++slot) {
    for (int64_t k = 0; k < values; ++k) {
      to.set_number(flat(to, last, n, static_cast<int64_t>(slot), k),
                    from.number_at(flat(from, last, n, which[slot], k)));
    }
  }
}

void evaluate(Eval& e) {
  const bool last = boxes_last(e);
  const int64_t batch = e.in("boxes").dim(0);
  Tensor& indices = e.out(2);
  std::fill_n(indices.mutable_data<int32_t>(), indices.count(), -1);
  for (int64_t n = 0; n < batch; ++n) {
    const std::vector<int64_t> which = picked(e, boxes_of(e, n));
    copy_picked(e.in("boxes"), last, n, which, e.out(0));
    copy_picked(e.in("scores"), last, n, which, e.out(1));
    for (size_t slot = 0; slot < which.size(); ++slot) {
      indices.set_integer(n * indices.dim(1) + static_cast<int64_t>(slot), which[slot]);
    }
    if (!last) e.out(3).set_integer(n, static_cast<int64_t>(which.size()));
  }
}

}  // namespace

OpDef non_maximum_suppression() {
  return OpDef("non_maximum_suppression")
      .types("T", {DType::kF16, DType::kF32})
      .input("boxes", "T")
      .input("scores", "T")
      .input("iou_threshold", "T", kConst)
      .input("score_threshold", "T", kConst)
      .input("max_boxes", DType::kI32, kConst)
      .input("per_class_suppression", DType::kBool, kConst | kOptional, false)
      .since(Opset::kIos17, [](OpDef& def) { def.remove_input("score_threshold"); })
      .infer(infer)
      .eval(evaluate)
      .no_vjp(NoGradient::kDataDependent);
}

}  // namespace mw::ops
