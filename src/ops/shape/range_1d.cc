// range_1d: y[i] = start + i * step for as long as that lies before `end`.
#include <cmath>
#include <limits>

#include "ops/shape/move.h"
#include "ops/shape/rules.h"

namespace mw::ops {
namespace {

constexpr int64_t kMaxCount = std::numeric_limits<int32_t>::max();

int64_t float_count(const OpView& op, double start, double end, double step) {
  const double exact = std::ceil((end - start) / step);
  if (std::isnan(exact) || exact > static_cast<double>(kMaxCount)) {
    op.reject("end", "expected a range of at most {} values, got {} to {} in steps of {}",
              kMaxCount, start, end, step);
  }
  return exact > 0 ? static_cast<int64_t>(exact) : 0;
}

int64_t integer_count(const OpView& op, int64_t start, int64_t end, int64_t step) {
  if (step > 0 ? start >= end : start <= end) return 0;
  // Unsigned, for the distance between two int64 may need 64 bits.
  const uint64_t span = step > 0 ? static_cast<uint64_t>(end) - static_cast<uint64_t>(start)
                                 : static_cast<uint64_t>(start) - static_cast<uint64_t>(end);
  const uint64_t size = step > 0 ? static_cast<uint64_t>(step) : 0 - static_cast<uint64_t>(step);
  const uint64_t count = (span - 1) / size + 1;
  if (count > static_cast<uint64_t>(kMaxCount)) {
    op.reject("end", "expected a range of at most {} values, got {} to {} in steps of {}",
              kMaxCount, start, end, step);
  }
  return static_cast<int64_t>(count);
}

int64_t count(const OpView& op) {
  const Tensor *start = op.known("start"), *end = op.known("end"), *step = op.known("step");
  if (step != nullptr && step->number_at(0) == 0) op.reject("step", "expected a step other than 0");
  if (start == nullptr || end == nullptr || step == nullptr) return kAny;
  if (is_float(start->dtype())) {
    return float_count(op, start->number_at(0), end->number_at(0), step->number_at(0));
  }
  return integer_count(op, start->integer_at(0), end->integer_at(0), step->integer_at(0));
}

Type infer(const OpView& op) {
  const DType dtype = op.dtype("start");
  for (const char* input : {"start", "end", "step"}) {
    const Type type = op.tensor_type(input);
    expect_dtype(op, input, dtype);
    if (!is_float(dtype) && !is_integer(dtype)) {
      op.reject(input, "expected a number, got dtype {}", mw::name_of(dtype));
    }
    if (product(type.shape(), 0, type.shape().size()) != 1) {
      op.reject(input, "expected one number, got shape {}", to_string(type.shape()));
    }
  }
  return Type::tensor(dtype, {count(op)});
}

void evaluate(Eval& e) {
  Tensor& y = e.out();
  const Tensor &start = e.in("start"), &step = e.in("step");
  for (int64_t i = 0; i < y.count(); ++i) {
    if (is_float(y.dtype())) {
      y.set_number(i, start.number_at(0) + static_cast<double>(i) * step.number_at(0));
    } else {
      // Unsigned, for the product alone may pass the end of int64.
      const uint64_t distance =
          static_cast<uint64_t>(i) * static_cast<uint64_t>(step.integer_at(0));
      y.set_integer(i, static_cast<int64_t>(static_cast<uint64_t>(start.integer_at(0)) + distance));
    }
  }
}

void rule(Vjp& v) {
  const Expr g = grad(v);
  if (v.wants("start")) v.add("start", sum_for(v, "start", g));
  if (!v.wants("step")) return;
  Tensor positions(DType::kF64, g.shape());
  for (int64_t i = 0; i < positions.count(); ++i) positions.set_number(i, static_cast<double>(i));
  v.add("step", sum_for(v, "step", g * constant_like(g, positions)));
}

}  // namespace

OpDef range_1d() {
  return OpDef("range_1d")
      .types("T", {DType::kF16, DType::kF32, DType::kI32})
      .input("end", "T")
      .input("start", "T", kNoWeight)
      .input("step", "T", kNoWeight)
      .infer(infer)
      .eval(evaluate)
      .vjp(rule);
}

}  // namespace mw::ops
