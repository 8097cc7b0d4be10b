// split: cuts x along `axis` into `num_splits` equal parts, or into parts of `split_sizes`.
#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

constexpr int64_t kMaxParts = 65536;

std::vector<int64_t> equal_parts(const OpView& op, int64_t extent, int64_t parts) {
  if (extent != kAny && extent % parts != 0) {
    op.reject("num_splits", "expected a divisor of the extent {}, got {}", extent, parts);
  }
  return std::vector<int64_t>(static_cast<size_t>(parts), extent == kAny ? kAny : extent / parts);
}

std::vector<int64_t> part_sizes(const OpView& op, int64_t extent) {
  const bool has_parts = op.has("num_splits");
  const int64_t parts = has_parts ? integer_in(op, "num_splits", 1, kMaxParts) : 0;
  if (!op.has("split_sizes")) {
    if (!has_parts) op.reject("num_splits", "expected num_splits or split_sizes, got neither");
    return equal_parts(op, extent, parts);
  }
  std::vector<int64_t> sizes = op.ints("split_sizes");
  if (sizes.empty() || static_cast<int64_t>(sizes.size()) > kMaxParts) {
    op.reject("split_sizes", "expected 1 to {} sizes, got {}", kMaxParts, sizes.size());
  }
  if (has_parts && static_cast<int64_t>(sizes.size()) != parts) {
    op.reject("split_sizes", "expected {} sizes as num_splits says, got {}", parts, sizes.size());
  }
  int64_t total = 0;
  for (const int64_t size : sizes) {
    if (size < 0) op.reject("split_sizes", "expected sizes of at least 0, got {}", size);
    total = dim_add(total, size);
  }
  if (extent != kAny && total != extent) {
    op.reject("split_sizes", "expected a sum of {}, the extent that is split, got {}", extent,
              total);
  }
  return sizes;
}

std::vector<Type> infer(const OpView& op) {
  const Type x = expect_movable(op, "x");
  const auto axis = static_cast<size_t>(op.axis("axis", x.rank()));
  std::vector<Type> results;
  for (const int64_t size : part_sizes(op, x.shape()[axis])) {
    Shape shape = x.shape();
    shape[axis] = size;
    results.push_back(Type::tensor(x.dtype(), shape));
  }
  return results;
}

void evaluate(Eval& e) {
  const Tensor& x = e.in("x");
  const auto axis = static_cast<size_t>(e.axis("axis", x.rank()));
  Layout from{strides_of(x.shape())};
  for (size_t i = 0; i < e.result_count(); ++i) {
    Tensor& y = e.out(i);
    copy_elements(y.shape(), x, from, y, {strides_of(y.shape())});
    from.offset += from.strides[axis] * y.shape()[axis];
  }
}

void rule(Vjp& v) {
  std::vector<Value*> parts;
  for (size_t i = 0; i < v.operation().outputs.size(); ++i) parts.push_back(grad_or_zeros(v, i));
  Builder& b = v.builder();
  v.add("x", b.op("concat", {{"values", parts}, {"axis", v.axis("axis", v.rank("x"))}}));
}

}  // namespace

OpDef split() {
  return OpDef("split")
      .types("T", moved_dtypes())
      .input("x", "T")
      .input("num_splits", DType::kI32, kConst | kOptional)
      .input("split_sizes", DType::kI32, kConst | kOptional)
      .input("axis", DType::kI32, kConst)
      .traits(kSlices)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
