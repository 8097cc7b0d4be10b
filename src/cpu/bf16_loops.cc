// Compiled for each instruction set; in integers, so that all round alike.
#include "cpu/bf16_loops.h"

#include <bit>
#include <cstdint>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/bf16_loops.cc"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mw::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using DU = hn::RebindToUnsigned<D>;
using DI = hn::RebindToSigned<D>;
using Half = hn::Rebind<uint16_t, D>;

// The bf16 nearest to x, in the high bits.
template <class Tag>
HWY_INLINE hn::Vec<hn::RebindToUnsigned<Tag>> rounded(Tag, hn::Vec<Tag> x) {
  const hn::RebindToUnsigned<Tag> du;
  const auto bits = hn::BitCast(du, x);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
  const auto up = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff)));
  const auto sign = hn::And(bits, hn::Set(du, 0x80000000u));
  const auto nan = hn::Or(sign, hn::Set(du, 0x7fc00000u));
  const auto high = hn::And(up, hn::Set(du, 0xffff0000u));
  return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(x)), nan, high);
}

void Round(const float* a, float* y, size_t count) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    hn::StoreU(hn::BitCast(d, rounded(d, hn::LoadU(d, a + i))), d, y + i);
  }
  const hn::CappedTag<float, 1> one;
  for (; i < count; ++i)
    hn::StoreU(hn::BitCast(one, rounded(one, hn::LoadU(one, a + i))), one, y + i);
}

void Load(const uint16_t* from, float* to, size_t count) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto bits = hn::PromoteTo(DU(), hn::LoadU(Half(), from + i));
    hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(bits)), d, to + i);
  }
  for (; i < count; ++i) to[i] = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
}

void Store(const float* from, uint16_t* to, size_t count) {
  const D d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto high = hn::ShiftRight<16>(rounded(d, hn::LoadU(d, from + i)));
    hn::StoreU(hn::DemoteTo(Half(), hn::BitCast(DI(), high)), Half(), to + i);
  }
  const hn::CappedTag<float, 1> one;
  for (; i < count; ++i) {
    to[i] = static_cast<uint16_t>(hn::GetLane(rounded(one, hn::LoadU(one, from + i))) >> 16);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace mw::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mw::cpu {

HWY_EXPORT(Round);
HWY_EXPORT(Load);
HWY_EXPORT(Store);

void round_bf16(const float* a, float* y, size_t count, float, float) {
  HWY_DYNAMIC_DISPATCH(Round)(a, y, count);
}
void load_bf16(const void* from, float* to, size_t count) {
  HWY_DYNAMIC_DISPATCH(Load)(static_cast<const uint16_t*>(from), to, count);
}
void store_bf16(const float* from, void* to, size_t count) {
  HWY_DYNAMIC_DISPATCH(Store)(from, static_cast<uint16_t*>(to), count);
}

}  // namespace mw::cpu
#endif  // HWY_ONCE
