// Elementary functions on float vectors, within a few units in the last place over the whole range.
// Included once per SIMD target.
#if defined(MW_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MW_CPU_MATH_INL_H_
#undef MW_CPU_MATH_INL_H_
#else
#define MW_CPU_MATH_INL_H_
#endif

#include <limits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mw::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using DI = hn::RebindToSigned<D>;
using V = hn::Vec<D>;
using VI = hn::Vec<DI>;

HWY_INLINE V set(float value) { return hn::Set(D(), value); }

// 2^n for n in [-126, 127], n integral.
HWY_INLINE V power_of_two(VI n) {
  return hn::BitCast(D(), hn::ShiftLeft<23>(hn::Add(n, hn::Set(DI(), 127))));
}

// e^x = 2^n e^r with |r| <= ln(2) / 2; e^r - 1 - r = r^2 p(r), p minimax. The power is applied in
// two halves so that results below the normal range round once. Below -104 zero is not made by
// underflow, for which processors take a hundred cycles: scores behind a mask are such numbers.
HWY_INLINE V exp_of(V x) {
  const V low = set(-104.0f), high = set(89.0f);
  const V clamped = hn::Min(hn::Max(x, low), high);
  const V n = hn::Round(hn::Mul(clamped, set(1.44269504088896341f)));
  V r = hn::NegMulAdd(n, set(0.693359375f), clamped);
  r = hn::NegMulAdd(n, set(-2.12194440e-4f), r);
  V p = set(0.0013901761267334223f);
  p = hn::MulAdd(p, r, set(0.008364344947040081f));
  p = hn::MulAdd(p, r, set(0.041666869074106216f));
  p = hn::MulAdd(p, r, set(0.1666657030582428f));
  p = hn::MulAdd(p, r, set(0.5f));
  V y = hn::Add(hn::MulAdd(hn::Mul(r, r), p, r), set(1.0f));
  y = hn::IfThenZeroElse(hn::Lt(x, low), y);
  const VI whole = hn::ConvertTo(DI(), n);
  const VI half = hn::ShiftRight<1>(whole);
  const V scaled = hn::Mul(hn::Mul(y, power_of_two(half)), power_of_two(hn::Sub(whole, half)));
  return hn::IfThenElse(hn::IsNaN(x), x, scaled);
}

// e^x - 1, exact where x is small.
HWY_INLINE V expm1_of(V x) {
  const V e = exp_of(x);
  V p = set(1.0f / 5040);
  p = hn::MulAdd(p, x, set(1.0f / 720));
  p = hn::MulAdd(p, x, set(1.0f / 120));
  p = hn::MulAdd(p, x, set(1.0f / 24));
  p = hn::MulAdd(p, x, set(1.0f / 6));
  p = hn::MulAdd(p, x, set(0.5f));
  const V small = hn::MulAdd(hn::Mul(x, x), p, x);
  return hn::IfThenElse(hn::Lt(hn::Abs(x), set(0.4f)), small, hn::Sub(e, set(1.0f)));
}

// log(x) = n ln 2 + log(1 + f) with 1 + f in [sqrt(1/2), sqrt(2)].
HWY_INLINE V log_of(V x) {
  const D d;
  const DI di;
  const V tiny = set(1.17549435e-38f);
  const auto subnormal = hn::Lt(x, tiny);
  const V scaled = hn::IfThenElse(subnormal, hn::Mul(x, set(8388608.0f)), x);
  const VI bits = hn::BitCast(di, scaled);
  const VI offset = hn::Sub(bits, hn::Set(di, 0x3F3504F3));
  VI n = hn::ShiftRight<23>(offset);
  const V f = hn::Sub(hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(n))), set(1.0f));
  const V exponent = hn::Sub(hn::ConvertTo(d, n), hn::IfThenElseZero(subnormal, set(23.0f)));
  V p = set(-0.07973608374595642f);
  p = hn::MulAdd(p, f, set(0.12655428051948547f));
  p = hn::MulAdd(p, f, set(-0.12989358603954315f));
  p = hn::MulAdd(p, f, set(0.14209982752799988f));
  p = hn::MulAdd(p, f, set(-0.16641578078269958f));
  p = hn::MulAdd(p, f, set(0.2000119984149933f));
  p = hn::MulAdd(p, f, set(-0.25000303983688354f));
  p = hn::MulAdd(p, f, set(0.3333333134651184f));
  const V square = hn::Mul(f, f);
  V y = hn::Mul(hn::Mul(square, f), p);
  y = hn::MulAdd(exponent, set(-2.12194440e-4f), y);
  y = hn::NegMulAdd(set(0.5f), square, y);
  y = hn::Add(y, f);
  y = hn::MulAdd(exponent, set(0.693359375f), y);
  const V infinity = set(std::numeric_limits<float>::infinity());
  y = hn::IfThenElse(hn::Lt(x, infinity), y, x);  // infinity and NaN stay
  y = hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity), y);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), set(std::numeric_limits<float>::quiet_NaN()), y);
}

// log(1 + x) for x >= 0.
HWY_INLINE V log1p_of(V x) {
  const V u = hn::Add(set(1.0f), x);
  // What the sum lost, put back to first order.
  const V lost = hn::Sub(x, hn::Sub(u, set(1.0f)));
  const V y = hn::Add(log_of(u), hn::Div(lost, u));
  return hn::IfThenElse(hn::Lt(x, set(std::numeric_limits<float>::infinity())), y, x);
}

// tanh x = x p(x^2) near 0, else 1 - 2 / (e^(2|x|) + 1); it has the sign of x, -0 included.
HWY_INLINE V tanh_of(V x) {
  const V z = hn::Mul(x, x);
  V p = set(-0.005602716002613306f);
  p = hn::MulAdd(p, z, set(0.020539913326501846f));
  p = hn::MulAdd(p, z, set(-0.05370531231164932f));
  p = hn::MulAdd(p, z, set(0.13330931961536407f));
  p = hn::MulAdd(p, z, set(-0.33333250880241394f));
  const V small = hn::MulAdd(hn::Mul(x, z), p, x);
  const V magnitude = hn::Abs(x);
  const V e = exp_of(hn::Add(magnitude, magnitude));
  const V large = hn::Sub(set(1.0f), hn::Div(set(2.0f), hn::Add(e, set(1.0f))));
  return hn::CopySign(hn::IfThenElse(hn::Lt(magnitude, set(0.625f)), small, large), x);
}

// 1 / (1 + e^-x) without overflow on either side.
HWY_INLINE V sigmoid_of(V x) {
  const V one = set(1.0f);
  const V e = exp_of(hn::Neg(hn::Abs(x)));
  const V numerator = hn::IfThenElse(hn::Lt(x, hn::Zero(D())), e, one);
  return hn::Div(numerator, hn::Add(one, e));
}

// log(1 + e^x) = max(x, 0) + log(1 + e^-|x|).
HWY_INLINE V softplus_of(V x) {
  const V positive = hn::IfThenElse(hn::Lt(x, hn::Zero(D())), hn::Zero(D()), x);
  return hn::Add(positive, log1p_of(exp_of(hn::Neg(hn::Abs(x)))));
}

// erf x = x p(x^2) / q(x^2), minimax in relative error on |x| < 3.925, where erf reaches 1.
HWY_INLINE V erf_of(V x) {
  const V limit = set(3.925f);
  const V c = hn::Min(hn::Max(x, hn::Neg(limit)), limit);
  const V z = hn::Mul(c, c);
  V p = set(2.0465738543862244e-06f);
  p = hn::MulAdd(p, z, set(0.0002847930009011179f));
  p = hn::MulAdd(p, z, set(0.0037700217219206955f));
  p = hn::MulAdd(p, z, set(0.05276152864098549f));
  p = hn::MulAdd(p, z, set(0.19053414463996887f));
  p = hn::MulAdd(p, z, set(1.1283791065216064f));
  V q = set(3.805078085861169e-05f);
  q = hn::MulAdd(q, z, set(0.0011632561217993498f));
  q = hn::MulAdd(q, z, set(0.014978133141994476f));
  q = hn::MulAdd(q, z, set(0.11415819078683853f));
  q = hn::MulAdd(q, z, set(0.5021892189979553f));
  q = hn::MulAdd(q, z, set(1.0f));
  const V y = hn::Div(hn::Mul(c, p), q);
  const V one = set(1.0f);
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Min(hn::Max(y, hn::Neg(one)), one));
}

// x / 2 (1 + erf(x / sqrt 2)); it has the sign of x, -0 included.
HWY_INLINE V gelu_of(V x) {
  const V half = hn::Mul(x, set(0.5f));
  const V y = hn::MulAdd(half, erf_of(hn::Mul(x, set(0.70710678118654752f))), half);
  return hn::CopySign(y, x);
}

// x / 2 (1 + tanh u) = x sigmoid(2u) with u = sqrt(2 / pi) (x + 0.044715 x^3)
HWY_INLINE V gelu_tanh_of(V x) {
  const V cubic = hn::MulAdd(hn::Mul(hn::Mul(x, x), x), set(0.044715f), x);
  return hn::Mul(x, sigmoid_of(hn::Mul(cubic, set(1.59576912160573071f))));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace mw::cpu
HWY_AFTER_NAMESPACE();

#endif  // MW_CPU_MATH_INL_H_
