// random_uniform, random_normal and random_bernoulli: a tensor of the given shape, drawn by
// position from the stream of `seed` (see generator.h).
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/half.h"
#include "ops/random/generator.h"
#include "ops/support.h"

namespace mw::ops {
namespace {

// The parameters of a distribution share a dtype, which is that of the result.
DType result_dtype(const OpView& op, std::initializer_list<const char*> parameters) {
  const char* first = nullptr;
  for (const char* name : parameters) {
    if (!op.has(name)) continue;
    expect_float(op, name);
    const Shape shape = op.shape(name);
    const int64_t count = product(shape, 0, shape.size());
    if (count != 1 && count != kAny) {
      op.reject(name, "expected one number, got shape {}", to_string(shape));
    }
    if (first != nullptr) expect_dtype(op, name, op.dtype(first));
    if (first == nullptr) first = name;
  }
  return first == nullptr ? DType::kF32 : op.dtype(first);
}

Type infer(const OpView& op, std::initializer_list<const char*> parameters) {
  const DType dtype = result_dtype(op, parameters);
  expect_numeric(op, "shape");
  expect_rank(op, "shape", 1, 1);
  (void)op.integer("seed");
  const auto shape = op.known_ints("shape");
  if (!shape) return type_of_extents(op, "shape", dtype);
  if (shape->size() > kMaxRank) {
    op.reject("shape", "expected at most {} extents, got {}", kMaxRank, shape->size());
  }
  for (const int64_t extent : *shape) {
    if (extent < 0) op.reject("shape", "expected extents of 0 or more, got {}", extent);
  }
  return Type::tensor(dtype, *shape);
}

double parameter(Eval& e, const char* name) {
  return e.has(name) ? e.in(name).number_at(0) : e.number(name);
}

// The largest number of `dtype` below `value`, which is one itself.
double below(DType dtype, double value) {
  if (dtype == DType::kF64) return std::nextafter(value, -std::numeric_limits<double>::infinity());
  if (dtype != DType::kF16) {
    return std::nextafter(static_cast<float>(value), -std::numeric_limits<float>::infinity());
  }
  const uint16_t bits = f64_to_f16(value);
  if (value == 0) return f16_to_f32(0x8001);
  return f16_to_f32(static_cast<uint16_t>(value > 0 ? bits - 1 : bits + 1));
}

// low <= y < high also after rounding; low where the interval is empty.
void evaluate_uniform(Eval& e) {
  const double low = parameter(e, "low"), high = parameter(e, "high");
  const Generator generator(e.integer("seed"));
  const DType dtype = e.result_type().dtype();
  Tensor y(dtype, e.result_type().shape());
  const double last = high > low ? std::max(low, below(dtype, high)) : low;
  for (int64_t i = 0; i < y.count(); ++i) {
    y.set_number(i, low + (high - low) * generator.uniform(i));
    if (y.number_at(i) >= high) y.set_number(i, last);
  }
  e.set_out(0, std::move(y));
}

void evaluate_normal(Eval& e) {
  const double mean = parameter(e, "mean"), stddev = parameter(e, "stddev");
  const Generator generator(e.integer("seed"));
  Tensor& y = e.out();
  std::array<double, 4> values{};
  for (int64_t i = 0; i < y.count(); ++i) {
    if (i % 4 == 0) values = generator.normals(i / 4);
    y.set_number(i, mean + stddev * values[static_cast<size_t>(i % 4)]);
  }
}

void evaluate_bernoulli(Eval& e) {
  const double prob = parameter(e, "prob");
  if (!(prob >= 0 && prob <= 1)) {
    e.reject("prob", "expected a probability in [0, 1], got {}", prob);
  }
  const Generator generator(e.integer("seed"));
  Tensor& y = e.out();
  for (int64_t i = 0; i < y.count(); ++i) y.set_number(i, generator.uniform(i) < prob ? 1 : 0);
}

OpDef distribution(const char* name) {
  return OpDef(name)
      .types("T", {DType::kF16, DType::kF32})
      .input("shape", DType::kI32)
      .input("seed", DType::kI32, kConst | kOptional, -1)
      .traits(kRandom);
}

}  // namespace

OpDef random_uniform() {
  return distribution("random_uniform")
      .input("low", "T", kConst | kOptional, 0.0)
      .input("high", "T", kConst | kOptional, 1.0)
      .infer([](const OpView& op) {
        return infer(op, {"low", "high"});
      })
      .eval(evaluate_uniform)
      .no_vjp(NoGradient::kRandom);
}

OpDef random_normal() {
  return distribution("random_normal")
      .input("mean", "T", kConst | kOptional, 0.0)
      .input("stddev", "T", kConst | kOptional, 1.0)
      .infer([](const OpView& op) {
        return infer(op, {"mean", "stddev"});
      })
      .eval(evaluate_normal)
      .no_vjp(NoGradient::kRandom);
}

OpDef random_bernoulli() {
  return distribution("random_bernoulli")
      .input("prob", "T", kConst | kOptional, 0.5)
      .infer([](const OpView& op) { return infer(op, {"prob"}); })
      .eval(evaluate_bernoulli)
      .no_vjp(NoGradient::kRandom);
}

}  // namespace mw::ops
