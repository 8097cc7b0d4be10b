// The class axis, the sentences about what does not go together, and the loss as operations.
#include "train/objective.h"

#include <fmt/ranges.h>
#include <algorithm>

#include "base/error.h"
#include "base/printable.h"
#include "ops/loss/moves.h"
#include "ops/reduce/classify.h"

namespace mw::training {
namespace {

using ir::Builder;
using ir::Value;
using ops::Expr;
using Kind = ops::End::Kind;

constexpr const char* kTakeTheLossItself =
    "name the output before it as the target, or make the loss an output of the model and train on "
    "that (loss output)";

Shape without(Shape shape, int64_t axis) {
  shape.erase(shape.begin() + axis);
  return shape;
}

Shape without_ones(Shape shape) {
  std::erase(shape, 1);
  return shape;
}

bool alike(const Shape& a, const Shape& b) { return without_ones(a) == without_ones(b); }

int64_t extent(const Shape& shape, int64_t axis) { return shape[static_cast<size_t>(axis)]; }

bool is_softmax(const ops::End& end) {
  return end.kind == Kind::kSoftmax || end.kind == Kind::kLogSoftmax;
}
bool is_sigmoid(const ops::End& end) {
  return end.kind == Kind::kSigmoid || end.kind == Kind::kLogSigmoid;
}
bool is_unknown(const ops::End& end) {
  return end.kind == Kind::kProbabilities || end.kind == Kind::kLogProbabilities;
}

// "'x' (before softmax of 'probs')"
std::string what(const Target& target) {
  if (!is_softmax(target.end) && !is_sigmoid(target.end)) return fmt::format("'{}'", target.name);
  return fmt::format("'{}' (before {} of '{}')", target.end.source->name,
                     ops::name_of(target.end.kind), target.name);
}

[[noreturn]] void reject_labels(const Target& target, const Shape& expected, const Shape& labels) {
  fail(ErrorCode::kInvalidArgument, "labels: expected shape {} for output '{}', got {}",
       to_string(expected), target.name, to_string(labels));
}

// --- which loss goes with which end ---

void check_cross_entropy(const Target& target) {
  if (is_sigmoid(target.end)) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected binary_cross_entropy for output '{}', which is a {}, got cross_entropy",
         setting("loss"), target.name, ops::name_of(target.end.kind));
  }
  if (target.end.kind == Kind::kProbabilities) {
    fail(ErrorCode::kInvalidArgument,
         "{}: cross_entropy: expected logits or a softmax as output '{}', got numbers from 0 to 1 "
         "made in another way ({} '{}'); {}",
         setting("loss"), target.name, target.end.source->producer->type, target.end.source->name,
         kTakeTheLossItself);
  }
}

void check_binary_cross_entropy(const Target& target) {
  if (is_softmax(target.end)) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected cross_entropy for output '{}', which is a {}, got binary_cross_entropy",
         setting("loss"), target.name, ops::name_of(target.end.kind));
  }
  if (is_unknown(target.end)) {
    fail(ErrorCode::kInvalidArgument,
         "{}: binary_cross_entropy: expected logits or a sigmoid as output '{}', got numbers "
         "{} made in another way ({} '{}'); {}",
         setting("loss"), target.name,
         target.end.kind == Kind::kProbabilities ? "from 0 to 1" : "below 0",
         target.end.source->producer->type, target.end.source->name, kTakeTheLossItself);
  }
}

// --- the class axis ---

int64_t given_axis(const Target& target, int64_t given) {
  const auto rank = static_cast<int64_t>(target.shape().size());
  if (given < -rank || given >= rank) {
    fail(ErrorCode::kInvalidArgument,
         "{}: expected a number in [{}, {}] for output '{}' {}, got {}", setting("class_axis"),
         -rank, rank - 1, target.name, to_string(target.shape()), given);
  }
  const int64_t axis = given < 0 ? given + rank : given;
  if (is_softmax(target.end) && target.end.axis && *target.end.axis != axis) {
    fail(ErrorCode::kInvalidArgument, "{}: expected {}, that of the softmax in output '{}', got {}",
         setting("class_axis"), *target.end.axis, target.name, given);
  }
  return axis;
}

// Axes of more than one class that leave the shape of the labels.
template <class Fits>
std::vector<int64_t> axes_that(const Target& target, const ir::Type& declared, const Fits& fits) {
  std::vector<int64_t> axes;
  const bool tells = declared.is_tensor() && declared.has_rank() &&
                     declared.shape().size() == target.shape().size();
  for (int64_t axis = 0; axis < static_cast<int64_t>(target.shape().size()); ++axis) {
    const bool varies = tells && extent(declared.shape(), axis) == ir::kUnknownDim;
    if (extent(target.shape(), axis) > 1 && !varies && fits(without(target.shape(), axis))) {
      axes.push_back(axis);
    }
  }
  return axes;
}

// The first axis counts the examples, unless nothing else can be the classes.
int64_t only_of(std::vector<int64_t> axes, const Target& target, const Shape& labels) {
  if (axes.size() > 1) std::erase(axes, 0);
  if (axes.size() == 1) return axes[0];
  fail(ErrorCode::kInvalidArgument,
       "{}: expected the axis of output '{}' {} that counts the classes, one of {}: labels "
       "of shape {} go with each of them",
       setting("class_axis"), target.name, to_string(target.shape()), fmt::join(axes, ", "),
       to_string(labels));
}

// A softmax may be of something else, the positions say, and labels go with either axis all the
// same: with that of the layer's features, or one whose extent does not vary as the softmax's does.
void expect_only_softmax_axis(const Target& target, const ir::Type& declared, const Shape& labels) {
  const Shape& shape = target.shape();
  const int64_t axis = *target.end.axis;
  std::optional<int64_t> other = target.end.features;
  const bool tells =
      declared.is_tensor() && declared.has_rank() && declared.shape().size() == shape.size();
  if (!other && tells && extent(declared.shape(), axis) == ir::kUnknownDim) {
    for (int64_t fixed = 1; fixed < static_cast<int64_t>(shape.size()); ++fixed) {
      const bool varies = extent(declared.shape(), fixed) == ir::kUnknownDim;
      if (!varies && extent(shape, fixed) > 1) other = fixed;
    }
  }
  if (!other || !alike(without(shape, axis), labels) || !alike(without(shape, *other), labels)) {
    return;
  }
  fail(ErrorCode::kInvalidArgument,
       "{}: expected the axis of output '{}' {} that counts the classes: labels of shape {} "
       "go with axis {}, over which its softmax is, and with axis {}; class_axis {} says that the "
       "softmax is of the classes, else name the output before it as the target",
       setting("class_axis"), target.name, to_string(shape), to_string(labels), axis, *other, axis);
}

int64_t class_axis_of(const LossSettings& settings, const Target& target, const ir::Type& declared,
                      const std::optional<Shape>& labels) {
  const Shape& shape = target.shape();
  if (shape.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "output '{}': expected logits for cross entropy, got one number", target.name);
  }
  std::optional<int64_t> axis;
  if (settings.class_axis) {
    axis = given_axis(target, *settings.class_axis);
  } else if (is_softmax(target.end)) {
    axis = target.end.axis;
    if (!axis) {
      fail(
          ErrorCode::kInvalidArgument,
          "output '{}' {}: expected the classes of its softmax on one axis, got them cut apart; {}",
          target.name, to_string(shape), kTakeTheLossItself);
    }
    if (labels) expect_only_softmax_axis(target, declared, *labels);
  } else if (target.end.axis) {
    axis = target.end.axis;
  } else {
    std::vector<int64_t> axes;
    if (labels) {
      axes = axes_that(target, declared, [&](const Shape& rest) { return rest == *labels; });
      if (axes.empty()) {
        axes = axes_that(target, declared, [&](const Shape& rest) { return alike(rest, *labels); });
      }
    }
    if (!axes.empty()) return only_of(axes, target, *labels);
    axis = static_cast<int64_t>(shape.size()) - 1;
  }
  const Shape expected = without(shape, *axis);
  if (labels && !alike(expected, *labels)) reject_labels(target, expected, *labels);
  if (extent(shape, *axis) == 1) {
    fail(ErrorCode::kInvalidArgument,
         "output '{}' {}: expected two classes or more on axis {}, got one, whose cross entropy is "
         "0 whatever it says; binary_cross_entropy is the loss of one number",
         target.name, to_string(shape), *axis);
  }
  return *axis;
}

// The axis that the numbers of pos_weight belong to.
int64_t weighted_axis(const LossSettings& settings, const Target& target) {
  const Shape& shape = target.shape();
  const auto count = static_cast<int64_t>(settings.pos_weight.size());
  std::optional<int64_t> axis;
  if (settings.class_axis) {
    axis = given_axis(target, *settings.class_axis);
  } else if (!shape.empty()) {
    axis = target.end.axis.value_or(static_cast<int64_t>(shape.size()) - 1);
    if (extent(shape, *axis) != count) axis = static_cast<int64_t>(shape.size()) - 1;
  }
  if (axis && extent(shape, *axis) == count) return *axis;
  fail(ErrorCode::kInvalidArgument,
       "{}: expected one number, or one for each class of output '{}' {}, got {}; "
       "class_axis "
       "says which axis counts them",
       setting("pos_weight"), target.name, to_string(shape), count);
}

[[noreturn]] void reject_teacher(const Target& teacher, const Shape& student) {
  const auto sorted = [](Shape shape) {
    shape = without_ones(std::move(shape));
    std::sort(shape.begin(), shape.end());
    return shape;
  };
  const Shape& shape = teacher.shape();
  const bool has_classes = std::find(shape.begin(), shape.end(), student.back()) != shape.end();
  const char* why = "both need the same vocabulary";
  if (has_classes) why = "both need as many numbers for each class";
  if (sorted(shape) == sorted(student)) why = "the axes lie in another order";
  fail(ErrorCode::kInvalidArgument,
       "teacher: expected logits of shape {} as the student's, got {}; {}", to_string(student),
       to_string(shape), why);
}

Value* axis_last(Builder& b, Value* x, int64_t axis) {
  const int64_t rank = x->type.rank();
  if (axis == rank - 1) return x;
  std::vector<int64_t> perm;
  for (int64_t i = 0; i < rank; ++i) {
    if (i != axis) perm.push_back(i);
  }
  perm.push_back(axis);
  return ops::transpose(Expr(b, x), perm);
}

}  // namespace

Value* output_named(const ir::Function& function, const std::string& name, const char* whose) {
  std::string names;
  for (Value* output : function.body.outputs) {
    if (output->name == name) return output;
    names += (names.empty() ? "" : ", ") + output->name;
  }
  fail(ErrorCode::kInvalidArgument, "target '{}': expected an output of the {}: {}", name, whose,
       names);
}

Target target_of(const std::string& name, Value* output, const ir::Catalog& catalog) {
  Target target{name, output, {}};
  if (const auto classifier = ops::classifier_of(output, catalog)) {
    target.value = classifier->probabilities;
  }
  // The rounding to the dtype that an output is declared with is no part of the model.
  while (target.value->producer != nullptr && target.value->producer->type == ir::kCastOp &&
         ops::moves_elements(*target.value->producer)) {
    target.value = target.value->producer->input("x");
  }
  if (!target.value->type.is_tensor() || !is_float(target.value->type.dtype())) {
    fail(ErrorCode::kInvalidArgument, "target '{}': expected a tensor of floats, got {}", name,
         target.value->type.str());
  }
  target.end = ops::end_of(target.value, catalog);
  return target;
}

Objective objective_of(const LossSettings& settings, const Target& target, const ir::Type& declared,
                       const std::optional<Shape>& labels) {
  Objective objective;
  objective.labels = target.shape();
  switch (settings.loss) {
    case Loss::kOutput:
      objective.text = fmt::format("output '{}'", printable(target.name));
      break;
    case Loss::kMeanSquaredError:
      if (labels && *labels != target.shape()) reject_labels(target, target.shape(), *labels);
      objective.text = fmt::format("mean squared error of '{}'", printable(target.name));
      break;
    case Loss::kBinaryCrossEntropy:
      check_binary_cross_entropy(target);
      if (labels && !alike(*labels, target.shape())) {
        reject_labels(target, target.shape(), *labels);
      }
      objective.text = fmt::format("binary cross entropy of {}, a label for each number of {}",
                                   what(target), to_string(target.shape()));
      if (settings.pos_weight.size() > 1) objective.class_axis = weighted_axis(settings, target);
      if (!settings.pos_weight.empty()) {
        objective.text +=
            fmt::format(", a label 1 counting {} times", fmt::join(settings.pos_weight, ", "));
      }
      break;
    case Loss::kCrossEntropy:
      check_cross_entropy(target);
      objective.class_axis = class_axis_of(settings, target, declared, labels);
      objective.classes = extent(target.shape(), *objective.class_axis);
      objective.labels = without(target.shape(), *objective.class_axis);
      objective.ends_unknown = target.end.kind == Kind::kPlain && !target.end.of_layer;
      objective.text = fmt::format("cross entropy of {}, over axis {}, {} classes", what(target),
                                   *objective.class_axis, objective.classes);
      break;
  }
  return objective;
}

Value* logits_of(Builder& b, const Target& target, int64_t class_axis) {
  return axis_last(b, ops::before_activation(b, target.end), class_axis);
}

Value* teacher_logits_of(Builder& b, const Target& teacher, const Shape& student,
                         const std::optional<int64_t>& class_axis,
                         const std::optional<TeacherLayout>& layout) {
  const int64_t classes = student.back();
  if (teacher.shape().empty()) reject_teacher(teacher, student);
  check_cross_entropy(teacher);
  const std::optional<int64_t> said = layout ? layout->class_axis : class_axis;
  const bool fits = said && *said >= 0 && *said < teacher.value->type.rank() &&
                    extent(teacher.shape(), *said) == classes;
  std::optional<Shape> labels;
  if (!layout || !fits) labels = Shape(student.begin(), student.end() - 1);
  int64_t axis = -1;
  try {
    LossSettings settings;
    if (fits && !is_softmax(teacher.end)) settings.class_axis = said;
    axis = class_axis_of(settings, teacher, teacher.value->type, labels);
  } catch (const Error&) {
    reject_teacher(teacher, student);
  }
  if (layout && fits && axis != *said) {
    fail(ErrorCode::kInvalidArgument,
         "teacher: expected the softmax of output '{}' {} over axis {}, that of the classes, got "
         "one over axis {}",
         teacher.name, to_string(teacher.shape()), *said, axis);
  }
  const bool as_many = count_of(teacher.shape()) == count_of(student);
  if (!as_many || extent(teacher.shape(), axis) != classes) reject_teacher(teacher, student);
  Expr logits(b, logits_of(b, teacher, axis));
  if (layout && !layout->turned.empty()) {
    const Shape& from = layout->turned;
    logits = ops::transpose(ops::reshape(logits, {from[0], from[1], classes}), {1, 0, 2});
  }
  return ops::reshape(logits, student);
}

ops::LossValue loss_of(Builder& b, const LossSettings& settings, const Target& target,
                       Value* labels, DType dtype) {
  const auto in_dtype = [&](Value* value) { return ops::as(Expr(b, value), dtype).value(); };
  switch (settings.loss) {
    case Loss::kOutput:
      if (count_of(target.shape()) != 1) {
        fail(ErrorCode::kInvalidArgument, "target '{}': expected one number as the loss, got {}",
             target.name, to_string(target.shape()));
      }
      return {ops::reshape(Expr(b, in_dtype(target.value)), {}),
              ops::filled(b, ir::Type::scalar(dtype), 1)};
    case Loss::kMeanSquaredError:
      return ops::squared_error_of(b, in_dtype(target.value), in_dtype(labels));
    case Loss::kBinaryCrossEntropy: {
      Value *logits = in_dtype(ops::before_activation(b, target.end)), *truth = in_dtype(labels);
      if (settings.pos_weight.size() > 1) {
        logits = axis_last(b, logits, *settings.class_axis);
        truth = axis_last(b, truth, *settings.class_axis);
      }
      return ops::binary_cross_entropy_of(b, logits, truth, settings.pos_weight);
    }
    default:
      return ops::cross_entropy_of(b, in_dtype(logits_of(b, target, *settings.class_axis)), labels,
                                   settings.label_smoothing);
  }
}

}  // namespace mw::training
