// The SIMD loops of row programs, compiled for each instruction set.
#include "cpu/primitives.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "cpu/bf16_loops.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/primitives.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

#include "cpu/math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mw::cpu {
namespace HWY_NAMESPACE {

using plan::RowOp;

// --- loops: whole vectors in place, the rest through a buffer --------------------------------

template <class F>
HWY_INLINE void map_one(const float* a, float* y, size_t count, const F& f) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(f(hn::LoadU(d, a + i)), d, y + i);
  if (i == count) return;
  HWY_ALIGN float rest[hn::MaxLanes(d)] = {};
  std::memcpy(rest, a + i, (count - i) * sizeof(float));
  hn::Store(f(hn::Load(d, rest)), d, rest);
  std::memcpy(y + i, rest, (count - i) * sizeof(float));
}

template <bool kScalar>
HWY_INLINE V load(const float* a, size_t i) {
  if constexpr (kScalar) return hn::Set(D(), *a);
  return hn::LoadU(D(), a + i);
}
template <bool kScalar>
HWY_INLINE V load_rest(const float* a, size_t i, size_t count) {
  if constexpr (kScalar) return hn::Set(D(), *a);
  HWY_ALIGN float rest[hn::MaxLanes(D())] = {};
  std::memcpy(rest, a + i, (count - i) * sizeof(float));
  return hn::Load(D(), rest);
}
HWY_INLINE void store_rest(V v, float* y, size_t i, size_t count) {
  HWY_ALIGN float rest[hn::MaxLanes(D())];
  hn::Store(v, D(), rest);
  std::memcpy(y + i, rest, (count - i) * sizeof(float));
}

template <class F>
struct Unary {
  static void loop(const float* a, float* y, size_t count, float alpha, float beta) {
    const V va = set(alpha), vb = set(beta);
    map_one(a, y, count, [&](V x) { return F::of(x, va, vb); });
  }
};

template <class F, bool kScalarA, bool kScalarB>
struct Binary {
  static void loop(const float* a, const float* b, float* y, size_t count) {
    const size_t lanes = hn::Lanes(D());
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
      hn::StoreU(F::of(load<kScalarA>(a, i), load<kScalarB>(b, i)), D(), y + i);
    }
    if (i == count) return;
    store_rest(F::of(load_rest<kScalarA>(a, i, count), load_rest<kScalarB>(b, i, count)), y, i,
               count);
  }
};

template <class F, bool kScalarA, bool kScalarB, bool kScalarC>
struct Ternary {
  static void loop(const float* a, const float* b, const float* c, float* y, size_t count) {
    const size_t lanes = hn::Lanes(D());
    size_t i = 0;
    for (; i + lanes <= count; i += lanes) {
      hn::StoreU(F::of(load<kScalarA>(a, i), load<kScalarB>(b, i), load<kScalarC>(c, i)), D(),
                 y + i);
    }
    if (i == count) return;
    store_rest(F::of(load_rest<kScalarA>(a, i, count), load_rest<kScalarB>(b, i, count),
                     load_rest<kScalarC>(c, i, count)),
               y, i, count);
  }
};

// Four accumulators hide the latency of the addition; blocks keep the rounding of long sums small.
template <class F>
struct Reduce {
  static constexpr size_t kBlock = 2048;

  static float loop(const float* a, size_t count, float, float) {
    typename F::Total total = block(a, std::min(kBlock, count));
    for (size_t done = kBlock; done < count; done += kBlock) {
      total = F::join_numbers(total, block(a + done, std::min(kBlock, count - done)));
    }
    return F::result(total, a, count);
  }

 private:
  static float block(const float* a, size_t count) {
    const D d;
    const size_t lanes = hn::Lanes(d);
    V s0 = F::start(), s1 = s0, s2 = s0, s3 = s0;
    for (; count >= 4 * lanes; count -= 4 * lanes, a += 4 * lanes) {
      s0 = F::add(s0, hn::LoadU(d, a));
      s1 = F::add(s1, hn::LoadU(d, a + lanes));
      s2 = F::add(s2, hn::LoadU(d, a + 2 * lanes));
      s3 = F::add(s3, hn::LoadU(d, a + 3 * lanes));
    }
    for (; count >= lanes; count -= lanes, a += lanes) s0 = F::add(s0, hn::LoadU(d, a));
    if (count > 0) {
      HWY_ALIGN float rest[hn::MaxLanes(d)];
      hn::Store(F::start(), d, rest);
      std::memcpy(rest, a, count * sizeof(float));
      s1 = F::join(s1, F::add(F::start(), hn::Load(d, rest)));
    }
    HWY_ALIGN float parts[hn::MaxLanes(d)];
    hn::Store(F::join(F::join(s0, s1), F::join(s2, s3)), d, parts);
    return fold<hn::MaxLanes(d)>(parts);
  }

  // Halves are joined until one number is left.
  template <size_t kCount>
  static HWY_INLINE float fold(float* parts) {
    if constexpr (kCount == 1) return parts[0];
    for (size_t k = 0; k < kCount / 2; ++k) {
      parts[k] = F::join_numbers(parts[k], parts[k + kCount / 2]);
    }
    return fold<(kCount + 1) / 2>(parts);
  }
};

// --- formulas --------------------------------------------------------------------------------

HWY_INLINE V truth(hn::Mask<D> mask) {
  const DI di;
  return hn::BitCast(D(), hn::IfThenElseZero(hn::RebindMask(di, mask), hn::Set(di, 1)));
}
HWY_INLINE V truth(hn::Mask<DI> mask) {
  const DI di;
  return hn::BitCast(D(), hn::IfThenElseZero(mask, hn::Set(di, 1)));
}
HWY_INLINE VI ints(V v) { return hn::BitCast(DI(), v); }
HWY_INLINE V floats(VI v) { return hn::BitCast(D(), v); }

#define MW_UNARY(name, formula)                                                      \
  struct name {                                                                      \
    static HWY_INLINE V of(V x, [[maybe_unused]] V alpha, [[maybe_unused]] V beta) { \
      return formula;                                                                \
    }                                                                                \
  };
MW_UNARY(Copy, x)
MW_UNARY(Negate, hn::Neg(x))
MW_UNARY(Magnitude, hn::Abs(x))
MW_UNARY(Square, hn::Mul(x, x))
MW_UNARY(Sqrt, hn::Sqrt(x))
MW_UNARY(Rsqrt, hn::Div(set(1.0f), hn::Sqrt(x)))
MW_UNARY(Inverse, hn::Div(set(1.0f), x))
MW_UNARY(Exp, exp_of(x))
MW_UNARY(Log, log_of(x))
MW_UNARY(Tanh, tanh_of(x))
MW_UNARY(Sigmoid, sigmoid_of(x))
MW_UNARY(Silu, hn::Mul(x, sigmoid_of(x)))
MW_UNARY(Softplus, softplus_of(x))
MW_UNARY(Softsign, hn::Div(x, hn::Add(set(1.0f), hn::Abs(x))))
MW_UNARY(Erf, erf_of(x))
MW_UNARY(Gelu, gelu_of(x))
MW_UNARY(GeluTanh, gelu_tanh_of(x))
MW_UNARY(GeluSigmoid, hn::Mul(x, sigmoid_of(hn::Mul(set(1.702f), x))))
MW_UNARY(Relu, hn::IfThenElse(hn::Lt(x, set(0.0f)), set(0.0f), x))
MW_UNARY(Elu, hn::IfThenElse(hn::Lt(x, set(0.0f)), hn::Mul(alpha, expm1_of(x)), x))
MW_UNARY(LeakyRelu, hn::IfThenElse(hn::Lt(x, set(0.0f)), hn::Mul(alpha, x), x))
MW_UNARY(ThresholdedRelu, hn::IfThenElse(hn::Lt(x, alpha), set(0.0f), x))
MW_UNARY(Affine, hn::MulAdd(alpha, x, beta))
MW_UNARY(Ceil, hn::Ceil(x))
MW_UNARY(Floor, hn::Floor(x))
MW_UNARY(Round, hn::Round(x))
MW_UNARY(Not, truth(hn::Eq(ints(x), hn::Zero(DI()))))
MW_UNARY(IntToBool, truth(hn::Ne(ints(x), hn::Zero(DI()))))
MW_UNARY(ToBool, truth(hn::Not(hn::Eq(x, hn::Zero(D())))))
MW_UNARY(ToFloat, hn::ConvertTo(D(), ints(x)))
#undef MW_UNARY

// NaN stays; the sign of -0 is 0.
struct Sign {
  static HWY_INLINE V of(V x, V, V) {
    const V one = set(1.0f), zero = set(0.0f);
    const V y = hn::IfThenElse(hn::IsNaN(x), x, hn::IfThenElseZero(hn::Gt(x, zero), one));
    return hn::IfThenElse(hn::Lt(x, zero), hn::Neg(one), y);
  }
};
// NaN stays.
struct Clip {
  static HWY_INLINE V of(V x, V low, V high) {
    const V y = hn::IfThenElse(hn::Lt(x, low), low, x);
    return hn::IfThenElse(hn::Gt(y, high), high, y);
  }
};

#define MW_BINARY(name, formula)                         \
  struct name {                                          \
    static HWY_INLINE V of(V a, V b) { return formula; } \
  };
MW_BINARY(Add, hn::Add(a, b))
MW_BINARY(Sub, hn::Sub(a, b))
MW_BINARY(Mul, hn::Mul(a, b))
MW_BINARY(Div, hn::Div(a, b))
MW_BINARY(FloorDiv, hn::Floor(hn::Div(a, b)))
MW_BINARY(Equal, truth(hn::Eq(a, b)))
MW_BINARY(NotEqual, truth(hn::Not(hn::Eq(a, b))))
MW_BINARY(Less, truth(hn::Lt(a, b)))
MW_BINARY(LessEqual, truth(hn::Le(a, b)))
MW_BINARY(AddInt, floats(hn::Add(ints(a), ints(b))))
MW_BINARY(SubInt, floats(hn::Sub(ints(a), ints(b))))
MW_BINARY(MulInt, floats(hn::Mul(ints(a), ints(b))))
MW_BINARY(MaxInt, floats(hn::Max(ints(a), ints(b))))
MW_BINARY(MinInt, floats(hn::Min(ints(a), ints(b))))
MW_BINARY(EqualInt, truth(hn::Eq(ints(a), ints(b))))
MW_BINARY(NotEqualInt, truth(hn::Ne(ints(a), ints(b))))
MW_BINARY(LessInt, truth(hn::Lt(ints(a), ints(b))))
MW_BINARY(LessEqualInt, truth(hn::Not(hn::Gt(ints(a), ints(b)))))
MW_BINARY(And, floats(hn::And(ints(a), ints(b))))
MW_BINARY(Or, floats(hn::Or(ints(a), ints(b))))
MW_BINARY(Xor, floats(hn::Xor(ints(a), ints(b))))
#undef MW_BINARY

// NaN wins. Of two zeros the larger is +0, in either order: equal numbers differ in no other bit.
HWY_INLINE V larger(V a, V b) { return hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::IsNaN(a)), a, b); }
HWY_INLINE V smaller(V a, V b) { return hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(a)), a, b); }
struct Max {
  static HWY_INLINE V of(V a, V b) {
    return hn::IfThenElse(hn::Eq(a, b), hn::And(a, b), larger(a, b));
  }
};
struct Min {
  static HWY_INLINE V of(V a, V b) {
    return hn::IfThenElse(hn::Eq(a, b), hn::Or(a, b), smaller(a, b));
  }
};
struct MulAdd {
  static HWY_INLINE V of(V a, V b, V c) { return hn::MulAdd(a, b, c); }
};
struct Select {
  static HWY_INLINE V of(V a, V b, V c) {
    const auto chosen = hn::RebindMask(D(), hn::Ne(ints(a), hn::Zero(DI())));
    return hn::IfThenElse(chosen, b, c);
  }
};

// Sums in fp64 of what fp32 has no room for.
template <class F>
double wide_sum(const float* a, size_t count, const F& f) {
  double sum = 0;
  for (size_t i = 0; i < count; ++i) sum += f(static_cast<double>(a[i]));
  return sum;
}
double wide_sum(const float* a, size_t count) {
  return wide_sum(a, count, [](double x) { return x; });
}

struct RowSum {
  static HWY_INLINE V start() { return set(0.0f); }
  static HWY_INLINE V add(V sum, V x) { return hn::Add(sum, x); }
  static HWY_INLINE V join(V a, V b) { return hn::Add(a, b); }
  using Total = double;
  template <class T>
  static T join_numbers(T a, float b) {
    return a + b;
  }
  // Parts may overflow where the whole does not.
  static float result(double total, const float* a, size_t count) {
    const auto sum = static_cast<float>(total);
    return std::isfinite(sum) ? sum : static_cast<float>(wide_sum(a, count));
  }
};
struct RowMean : RowSum {
  static float result(double total, const float* a, size_t count) {
    const auto sum = static_cast<float>(total), n = static_cast<float>(count);
    return std::isfinite(sum) ? sum / n : static_cast<float>(wide_sum(a, count) / n);
  }
};
struct RowSumSquares : RowSum {
  static HWY_INLINE V add(V sum, V x) { return hn::MulAdd(x, x, sum); }
  static float result(double total, const float*, size_t) { return static_cast<float>(total); }
};
struct RowSumAbs : RowSum {
  static HWY_INLINE V add(V sum, V x) { return hn::Add(sum, hn::Abs(x)); }
  static float result(double total, const float*, size_t) { return static_cast<float>(total); }
};
// Where squares are neither too large nor too small for fp32.
bool is_middling(float x) { return x > 1e-15f && x < 1e15f; }
struct RowNorm {
  static float loop(const float* a, size_t count, float b, float) {
    if (is_middling(b)) return b;
    return static_cast<float>(std::sqrt(wide_sum(a, count, [](double x) { return x * x; })));
  }
};
struct RowRstd {
  static float loop(const float* a, size_t count, float b, float alpha) {
    if (is_middling(b)) return b;
    const auto n = static_cast<double>(count);
    const double mean = wide_sum(a, count) / n;
    const double variance =
        wide_sum(a, count, [mean](double x) { return (x - mean) * (x - mean); }) / n;
    return static_cast<float>(1 / std::sqrt(variance + static_cast<double>(alpha)));
  }
};
struct RowLogSum {
  static float loop(const float* a, size_t count, float b, float) {
    return std::isfinite(b) ? b : static_cast<float>(std::log(wide_sum(a, count)));
  }
};
// Which of two zeros came first is seen only where the result is zero.
struct RowExtreme {
  static bool has_zero(const float* a, size_t count, bool negative) {
    return std::any_of(a, a + count,
                       [&](float x) { return x == 0 && std::signbit(x) == negative; });
  }
};
struct RowMax : RowExtreme {
  static HWY_INLINE V start() { return set(-std::numeric_limits<float>::infinity()); }
  static HWY_INLINE V add(V best, V x) { return larger(best, x); }
  static HWY_INLINE V join(V a, V b) { return larger(a, b); }
  using Total = float;
  static float join_numbers(float a, float b) { return a > b || a != a ? a : b; }
  static float result(float best, const float* a, size_t count) {
    return best != 0 ? best : has_zero(a, count, false) ? 0.0f : -0.0f;
  }
};
struct RowMin : RowExtreme {
  static HWY_INLINE V start() { return set(std::numeric_limits<float>::infinity()); }
  static HWY_INLINE V add(V best, V x) { return smaller(best, x); }
  static HWY_INLINE V join(V a, V b) { return smaller(a, b); }
  using Total = float;
  static float join_numbers(float a, float b) { return a < b || a != a ? a : b; }
  static float result(float best, const float* a, size_t count) {
    return best != 0 ? best : has_zero(a, count, true) ? -0.0f : 0.0f;
  }
};

// --- tables ----------------------------------------------------------------------------------

UnaryLoop Unaries(RowOp op) {
  switch (op) {
    case RowOp::kCopy:
      return Unary<Copy>::loop;
    case RowOp::kNeg:
      return Unary<Negate>::loop;
    case RowOp::kAbs:
      return Unary<Magnitude>::loop;
    case RowOp::kSign:
      return Unary<Sign>::loop;
    case RowOp::kSquare:
      return Unary<Square>::loop;
    case RowOp::kSqrt:
      return Unary<Sqrt>::loop;
    case RowOp::kRsqrt:
      return Unary<Rsqrt>::loop;
    case RowOp::kInverse:
      return Unary<Inverse>::loop;
    case RowOp::kExp:
      return Unary<Exp>::loop;
    case RowOp::kLog:
      return Unary<Log>::loop;
    case RowOp::kTanh:
      return Unary<Tanh>::loop;
    case RowOp::kSigmoid:
      return Unary<Sigmoid>::loop;
    case RowOp::kSilu:
      return Unary<Silu>::loop;
    case RowOp::kSoftplus:
      return Unary<Softplus>::loop;
    case RowOp::kSoftsign:
      return Unary<Softsign>::loop;
    case RowOp::kErf:
      return Unary<Erf>::loop;
    case RowOp::kGelu:
      return Unary<Gelu>::loop;
    case RowOp::kGeluTanh:
      return Unary<GeluTanh>::loop;
    case RowOp::kGeluSigmoid:
      return Unary<GeluSigmoid>::loop;
    case RowOp::kRelu:
      return Unary<Relu>::loop;
    case RowOp::kElu:
      return Unary<Elu>::loop;
    case RowOp::kLeakyRelu:
      return Unary<LeakyRelu>::loop;
    case RowOp::kThresholdedRelu:
      return Unary<ThresholdedRelu>::loop;
    case RowOp::kClip:
      return Unary<Clip>::loop;
    case RowOp::kAffine:
      return Unary<Affine>::loop;
    case RowOp::kCeil:
      return Unary<Ceil>::loop;
    case RowOp::kFloor:
      return Unary<Floor>::loop;
    case RowOp::kRound:
      return Unary<Round>::loop;
    case RowOp::kNot:
      return Unary<Not>::loop;
    case RowOp::kIntToBool:
      return Unary<IntToBool>::loop;
    case RowOp::kToBool:
      return Unary<ToBool>::loop;
    case RowOp::kToFloat:
      return Unary<ToFloat>::loop;
    default:
      return nullptr;
  }
}

template <class F>
BinaryLoop binary_of(Scalar scalar) {
  switch (scalar) {
    case Scalar::kNone:
      return Binary<F, false, false>::loop;
    case Scalar::kFirst:
      return Binary<F, true, false>::loop;
    case Scalar::kSecond:
      return Binary<F, false, true>::loop;
  }
  return nullptr;
}

BinaryLoop Binaries(RowOp op, Scalar scalar) {
  switch (op) {
    case RowOp::kAdd:
      return binary_of<Add>(scalar);
    case RowOp::kSub:
      return binary_of<Sub>(scalar);
    case RowOp::kMul:
      return binary_of<Mul>(scalar);
    case RowOp::kDiv:
      return binary_of<Div>(scalar);
    case RowOp::kMax:
      return binary_of<Max>(scalar);
    case RowOp::kMin:
      return binary_of<Min>(scalar);
    case RowOp::kFloorDiv:
      return binary_of<FloorDiv>(scalar);
    case RowOp::kEqual:
      return binary_of<Equal>(scalar);
    case RowOp::kNotEqual:
      return binary_of<NotEqual>(scalar);
    case RowOp::kLess:
      return binary_of<Less>(scalar);
    case RowOp::kLessEqual:
      return binary_of<LessEqual>(scalar);
    case RowOp::kAddInt:
      return binary_of<AddInt>(scalar);
    case RowOp::kSubInt:
      return binary_of<SubInt>(scalar);
    case RowOp::kMulInt:
      return binary_of<MulInt>(scalar);
    case RowOp::kMaxInt:
      return binary_of<MaxInt>(scalar);
    case RowOp::kMinInt:
      return binary_of<MinInt>(scalar);
    case RowOp::kEqualInt:
      return binary_of<EqualInt>(scalar);
    case RowOp::kNotEqualInt:
      return binary_of<NotEqualInt>(scalar);
    case RowOp::kLessInt:
      return binary_of<LessInt>(scalar);
    case RowOp::kLessEqualInt:
      return binary_of<LessEqualInt>(scalar);
    case RowOp::kAnd:
      return binary_of<And>(scalar);
    case RowOp::kOr:
      return binary_of<Or>(scalar);
    case RowOp::kXor:
      return binary_of<Xor>(scalar);
    default:
      return nullptr;
  }
}

template <class F>
TernaryLoop ternary_of(unsigned scalars) {
  switch (scalars) {
    case 0:
      return Ternary<F, false, false, false>::loop;
    case 1:
      return Ternary<F, true, false, false>::loop;
    case 2:
      return Ternary<F, false, true, false>::loop;
    case 3:
      return Ternary<F, true, true, false>::loop;
    case 4:
      return Ternary<F, false, false, true>::loop;
    case 5:
      return Ternary<F, true, false, true>::loop;
    case 6:
      return Ternary<F, false, true, true>::loop;
    default:
      return nullptr;
  }
}

TernaryLoop Ternaries(RowOp op, unsigned scalars) {
  if (op == RowOp::kMulAdd) return ternary_of<MulAdd>(scalars);
  if (op == RowOp::kSelect) return ternary_of<Select>(scalars);
  return nullptr;
}

ReduceLoop Reductions(RowOp op) {
  switch (op) {
    case RowOp::kRowSum:
      return Reduce<RowSum>::loop;
    case RowOp::kRowMean:
      return Reduce<RowMean>::loop;
    case RowOp::kRowNorm:
      return RowNorm::loop;
    case RowOp::kRowRstd:
      return RowRstd::loop;
    case RowOp::kRowLogSum:
      return RowLogSum::loop;
    case RowOp::kRowSumSquares:
      return Reduce<RowSumSquares>::loop;
    case RowOp::kRowSumAbs:
      return Reduce<RowSumAbs>::loop;
    case RowOp::kRowMax:
      return Reduce<RowMax>::loop;
    case RowOp::kRowMin:
      return Reduce<RowMin>::loop;
    default:
      return nullptr;
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace mw::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mw::cpu {
namespace {

HWY_EXPORT(Unaries);
HWY_EXPORT(Binaries);
HWY_EXPORT(Ternaries);
HWY_EXPORT(Reductions);

using plan::RowOp;

// Rare functions, by the C library.
template <class F>
struct PlainUnary {
  static void loop(const float* a, float* y, size_t count, float, float) {
    for (size_t i = 0; i < count; ++i) y[i] = F{}(a[i]);
  }
};
template <class F, bool kScalarA, bool kScalarB>
struct PlainBinary {
  static void loop(const float* a, const float* b, float* y, size_t count) {
    for (size_t i = 0; i < count; ++i) y[i] = F{}(a[kScalarA ? 0 : i], b[kScalarB ? 0 : i]);
  }
};

#define MW_PLAIN(name, formula)                         \
  struct name {                                         \
    float operator()(float x) const { return formula; } \
  };
MW_PLAIN(Exp2, std::exp2(x))
MW_PLAIN(Sin, std::sin(x))
MW_PLAIN(Cos, std::cos(x))
MW_PLAIN(Tan, std::tan(x))
MW_PLAIN(Asin, std::asin(x))
MW_PLAIN(Acos, std::acos(x))
MW_PLAIN(Atan, std::atan(x))
MW_PLAIN(Atanh, std::atanh(x))
MW_PLAIN(Sinh, std::sinh(x))
MW_PLAIN(Cosh, std::cosh(x))
#undef MW_PLAIN

float bits_of(int32_t value) {
  float result;
  std::memcpy(&result, &value, sizeof(result));
  return result;
}

void round_halves(const float* a, float* y, size_t count, float, float) {
  constexpr size_t kPart = 256;
  uint16_t halves[kPart];
  for (size_t i = 0; i < count; i += kPart) {
    const size_t part = std::min(kPart, count - i);
    f32_to_f16(a + i, halves, part);
    f16_to_f32(halves, y + i, part);
  }
}

// Truncates toward zero and saturates; NaN becomes 0.
struct ToInt {
  float operator()(float x) const {
    if (x != x) return bits_of(0);
    if (x >= 2147483648.0f) return bits_of(std::numeric_limits<int32_t>::max());
    if (x < -2147483648.0f) return bits_of(std::numeric_limits<int32_t>::min());
    return bits_of(static_cast<int32_t>(x));
  }
};
struct Pow {
  float operator()(float x, float y) const { return std::pow(x, y); }
};
// The remainder of the floored quotient: it has the sign of y.
struct Mod {
  float operator()(float x, float y) const {
    const float rest = std::fmod(x, y);
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
  }
};

template <class F>
BinaryLoop plain_binary(Scalar scalar) {
  switch (scalar) {
    case Scalar::kNone:
      return PlainBinary<F, false, false>::loop;
    case Scalar::kFirst:
      return PlainBinary<F, true, false>::loop;
    case Scalar::kSecond:
      return PlainBinary<F, false, true>::loop;
  }
  return nullptr;
}

template <class T>
void load_ints(const void* from, float* to, size_t count) {
  const T* source = static_cast<const T*>(from);
  for (size_t i = 0; i < count; ++i) to[i] = bits_of(static_cast<int32_t>(source[i]));
}
void load_bools(const void* from, float* to, size_t count) {
  const auto* source = static_cast<const uint8_t*>(from);
  for (size_t i = 0; i < count; ++i) to[i] = bits_of(source[i] != 0 ? 1 : 0);
}
void load_words(const void* from, float* to, size_t count) {
  std::memcpy(to, from, count * sizeof(float));
}
void load_halves(const void* from, float* to, size_t count) {
  f16_to_f32(static_cast<const uint16_t*>(from), to, count);
}
void store_bools(const float* from, void* to, size_t count) {
  auto* target = static_cast<uint8_t*>(to);
  for (size_t i = 0; i < count; ++i) {
    int32_t lane;
    std::memcpy(&lane, from + i, sizeof(lane));
    target[i] = lane != 0 ? 1 : 0;
  }
}
void store_words(const float* from, void* to, size_t count) {
  std::memcpy(to, from, count * sizeof(float));
}
void store_halves(const float* from, void* to, size_t count) {
  f32_to_f16(from, static_cast<uint16_t*>(to), count);
}

}  // namespace

UnaryLoop unary_loop(RowOp op) {
  switch (op) {
    case RowOp::kExp2:
      return PlainUnary<Exp2>::loop;
    case RowOp::kSin:
      return PlainUnary<Sin>::loop;
    case RowOp::kCos:
      return PlainUnary<Cos>::loop;
    case RowOp::kTan:
      return PlainUnary<Tan>::loop;
    case RowOp::kAsin:
      return PlainUnary<Asin>::loop;
    case RowOp::kAcos:
      return PlainUnary<Acos>::loop;
    case RowOp::kAtan:
      return PlainUnary<Atan>::loop;
    case RowOp::kAtanh:
      return PlainUnary<Atanh>::loop;
    case RowOp::kSinh:
      return PlainUnary<Sinh>::loop;
    case RowOp::kCosh:
      return PlainUnary<Cosh>::loop;
    case RowOp::kToInt:
      return PlainUnary<ToInt>::loop;
    case RowOp::kRoundHalf:
      return round_halves;
    case RowOp::kRoundBf16:
      return round_bf16;
    default:
      return HWY_DYNAMIC_DISPATCH(Unaries)(op);
  }
}

BinaryLoop binary_loop(RowOp op, Scalar scalar) {
  if (op == RowOp::kPow) return plain_binary<Pow>(scalar);
  if (op == RowOp::kMod) return plain_binary<Mod>(scalar);
  return HWY_DYNAMIC_DISPATCH(Binaries)(op, scalar);
}

TernaryLoop ternary_loop(RowOp op, unsigned scalars) {
  return HWY_DYNAMIC_DISPATCH(Ternaries)(op, scalars);
}
ReduceLoop reduce_loop(RowOp op) { return HWY_DYNAMIC_DISPATCH(Reductions)(op); }

LoadLoop load_loop(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
      return load_words;
    case DType::kF16:
      return load_halves;
    case DType::kBF16:
      return load_bf16;
    case DType::kBool:
      return load_bools;
    case DType::kI8:
      return load_ints<int8_t>;
    case DType::kU8:
      return load_ints<uint8_t>;
    case DType::kI16:
      return load_ints<int16_t>;
    case DType::kU16:
      return load_ints<uint16_t>;
    default:
      return nullptr;
  }
}

StoreLoop store_loop(DType dtype) {
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
      return store_words;
    case DType::kF16:
      return store_halves;
    case DType::kBF16:
      return store_bf16;
    case DType::kBool:
      return store_bools;
    default:
      return nullptr;
  }
}

std::string instruction_sets() {
  std::string names;
  for (int64_t left = hwy::SupportedTargets() & HWY_TARGETS; left != 0; left &= left - 1) {
    const int64_t target = left & -left;  // the best target has the lowest bit
    if (!names.empty()) names += ' ';
    names += hwy::TargetName(target);
  }
  return names;
}

}  // namespace mw::cpu
#endif  // HWY_ONCE
