// The ends of losses, seen as what is sampled from and scored.
#include "train/ending.h"

#include "ops/catalog.h"
#include "train/objective.h"

namespace mw::training {
namespace {

using Kind = ops::End::Kind;

lm::Numbers numbers_of(const ops::End& end) {
  switch (end.kind) {
    case Kind::kSoftmax:
      return lm::Numbers::kProbabilities;
    case Kind::kLogSoftmax:
    case Kind::kLogProbabilities:
      return lm::Numbers::kLogits;
    case Kind::kSigmoid:
    case Kind::kLogSigmoid:
      return lm::Numbers::kSeparate;
    case Kind::kPlain:
      return end.of_layer ? lm::Numbers::kLogits : lm::Numbers::kUnknown;
    case Kind::kProbabilities:
      break;
  }
  return lm::Numbers::kUnknown;
}

}  // namespace

lm::Ending ending_of(const std::string& name, ir::Value* output) {
  const Target target = target_of(name, output, ops::catalog());
  if (!target.value->type.is_static()) return {};
  // Beside a softmax of something else the classes lie where the layer has its features.
  if (target.end.features && output->type.is_tensor()) {
    return {lm::Numbers::kUnknown, *target.end.features};
  }
  const int64_t axis = target.end.axis.value_or(-1);
  if (output->type.is_tensor()) return {numbers_of(target.end), axis};
  // The dictionary has one axis, which counts all there is.
  const Shape& shape = target.shape();
  const bool whole = axis >= 0 && shape[static_cast<size_t>(axis)] == count_of(shape);
  return {numbers_of(target.end), whole ? 0 : -1};
}

}  // namespace mw::training
