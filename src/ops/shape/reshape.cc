// reshape: y has the elements of x in the same order and the extents that `shape` asks for.
// In `shape`, -1 stands for what is left over and 0 for an extent of x: the one at the same
// position up to iOS16 (the ranks must then be equal), the one at the same distance from the end
// from iOS17 on (1 where x has none).
#include <algorithm>

#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

Shape with_zeros_copied(const OpView& op, const Shape& x, const std::vector<int64_t>& wanted) {
  Shape result = wanted;
  for (size_t i = 0; i < result.size(); ++i) {
    if (result[i] != 0) continue;
    if (op.opset() < Opset::kIos17) {
      if (x.size() != wanted.size()) {
        op.reject("shape", "expected as many extents as x has where one is 0 ({}), got {}",
                  to_string(x), list_text(wanted));
      }
      result[i] = x[i];
    } else {
      const size_t from_end = result.size() - i;
      result[i] = from_end <= x.size() ? x[x.size() - from_end] : 1;
    }
  }
  return result;
}

// Replaces the one -1 of `wanted` at `position`.
void fill_in(const OpView& op, const Shape& x, Shape& result, size_t position) {
  const int64_t count = product(x, 0, x.size());
  const int64_t before = product(result, 0, position);
  const int64_t rest = dim_mul(before, product(result, position + 1, result.size()));
  if (count == kAny || rest == kAny) {
    result[position] = kAny;
    return;
  }
  if (rest == 0 || count % rest != 0) {
    result[position] = -1;
    op.reject("shape", "expected extents that divide the {} elements of x, got {}", count,
              list_text(result));
  }
  result[position] = count / rest;
}

Shape resolve(const OpView& op, const Shape& x, const std::vector<int64_t>& wanted) {
  if (wanted.size() > kMaxRank) {
    op.reject("shape", "expected at most {} extents, got {}", kMaxRank, wanted.size());
  }
  for (const int64_t extent : wanted) {
    if (extent < -1) op.reject("shape", "expected extents of at least -1, got {}", extent);
  }
  const auto guess = std::find(wanted.begin(), wanted.end(), -1);
  if (guess != wanted.end() && std::find(guess + 1, wanted.end(), -1) != wanted.end()) {
    op.reject("shape", "expected at most one -1, got {}", list_text(wanted));
  }
  const int64_t count = product(x, 0, x.size());
  // An empty tensor may be given extents of 0 that are meant literally.
  if (count == 0 && guess == wanted.end() && product(wanted, 0, wanted.size()) == 0) {
    const bool same_rank = x.size() == wanted.size() || op.opset() >= Opset::kIos17;
    if (!same_rank) return wanted;
    Shape copied = with_zeros_copied(op, x, wanted);
    return product(copied, 0, copied.size()) == 0 ? copied : wanted;
  }
  Shape result = with_zeros_copied(op, x, wanted);
  if (guess != wanted.end()) {
    fill_in(op, x, result, static_cast<size_t>(guess - wanted.begin()));
    return result;
  }
  const int64_t got = product(result, 0, result.size());
  if (count != kAny && got != kAny && count != got) {
    op.reject("shape", "expected {} elements as x has with {}, got {}", count, to_string(x),
              to_string(result));
  }
  return result;
}

Type infer(const OpView& op) {
  const Type x = op.tensor_type("x");
  expect_index_vector(op, "shape", kAny);
  if (const auto wanted = op.known_ints("shape")) {
    return Type::tensor(x.dtype(), resolve(op, x.shape(), *wanted));
  }
  return type_of_extents(op, "shape", x.dtype());
}

}  // namespace

OpDef reshape() {
  return OpDef("reshape")
      .types("T", moved_dtypes())
      .input("x", "T")
      .input("shape", DType::kI32)
      .since(Opset::kIos17,
             [](OpDef& def) {
               def.types("T", moved_dtypes_ios17()).types("U", index_dtypes_ios17());
               def.retype({"shape"}, "U");
             })
      .traits(kMovesElements)
      .infer(infer)
      .eval([](Eval& e) { e.set_out(0, e.in("x").reshaped(e.result_type().shape())); })
      .vjp(reshape_back);
}

}  // namespace mw::ops
