// reshape_like: y has the elements of x in the same order; its extents are parts of the extents of
// reference tensors, put together: ref_tensors[i].shape[begins[i] : ends[i]], to the end where
// end_masks[i].
#include <algorithm>

#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

// Element `index` of a tuple of constant scalars.
int64_t scalar(const OpView& op, std::string_view input, size_t index) {
  const Tensor* value = op.known(input, index);
  if (value == nullptr || value->count() != 1 || value->dtype() == DType::kString) {
    op.reject(input, "expected constant scalars, got {}", op.type(input, index).str());
  }
  return value->integer_at(0);
}

// Python's rule for one bound of a slice of `rank` extents.
int64_t bound(int64_t value, int64_t rank) {
  return std::clamp<int64_t>(value < 0 ? value + rank : value, 0, rank);
}

Shape referenced(const OpView& op) {
  const size_t count = op.operand_count("ref_tensors");
  for (const char* input : {"begins", "ends", "end_masks"}) {
    if (op.operand_count(input) != count) {
      op.reject(input, "expected {} values, one per reference tensor, got {}", count,
                op.operand_count(input));
    }
  }
  Shape result;
  for (size_t i = 0; i < count; ++i) {
    const Shape shape = op.shape("ref_tensors", i);
    const auto rank = static_cast<int64_t>(shape.size());
    const int64_t begin = bound(scalar(op, "begins", i), rank);
    const int64_t end = scalar(op, "end_masks", i) != 0 ? rank : bound(scalar(op, "ends", i), rank);
    if (begin < end) result.insert(result.end(), shape.begin() + begin, shape.begin() + end);
    if (result.size() > kMaxRank) {
      op.reject("ref_tensors", "expected at most {} extents in all, got {}", kMaxRank,
                result.size());
    }
  }
  return result;
}

Type infer(const OpView& op) {
  const Type x = op.tensor_type("x");
  const Shape result = referenced(op);
  const int64_t have = product(x.shape(), 0, x.shape().size());
  const int64_t want = product(result, 0, result.size());
  if (have != kAny && want != kAny && have != want) {
    op.reject("ref_tensors", "expected extents of {} elements in all as x has with {}, got {}",
              have, to_string(x.shape()), to_string(result));
  }
  return Type::tensor(x.dtype(), result);
}

}  // namespace

OpDef reshape_like() {
  return OpDef("reshape_like")
      .first(Opset::kIos16)
      .types("T", moved_dtypes())
      .input("x", "T")
      .any_input("ref_tensors", kVariadic)
      .input("begins", DType::kI32, kConst | kVariadic)
      .input("ends", DType::kI32, kConst | kVariadic)
      .input("end_masks", DType::kBool, kConst | kVariadic)
      .since(Opset::kIos17, [](OpDef& def) { def.types("T", moved_dtypes_ios17()); })
      .traits(kMovesElements)
      .infer(infer)
      .eval([](Eval& e) { e.set_out(0, e.in("x").reshaped(e.result_type().shape())); })
      .vjp(reshape_back);
}

}  // namespace mw::ops
