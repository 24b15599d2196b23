// SPDX-License-Identifier: Apache-2.0
// bfloat16 in vectors of f32, exact on every target, subnormals included.
//
//   auto code = EncodeBF16(df, v);              // u16 lanes, rounded once, to nearest even
//   auto codes = EncodeBF16x2(df, low, high);   // twice the lanes, low's first: the faster form
//   auto wide = DecodeBF16(df, code);           // the upper half of an f32, bit for bit
//
// Encoding makes a NaN quiet, decoding leaves it as it is.
//
// x86's bf16 conversion instructions treat subnormals as zero whatever the control register says.
// They are used where no lane is subnormal: none is if no result is zero, and otherwise integer
// arithmetic on the patterns decides. The rest is integer arithmetic, as on all other targets.

#if defined(HALFWAY_SIMD_BFLOAT16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_BFLOAT16_INL_H_
#undef HALFWAY_SIMD_BFLOAT16_INL_H_
#else
#define HALFWAY_SIMD_BFLOAT16_INL_H_
#endif

#include <cstdint>

#include "halfway/types/rounding.h"
#include "hwy/highway.h"

// Set anew for each target.
#undef HALFWAY_SIMD_NATIVE_BF16_CONVERSION
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_ZEN4 && HWY_AVX3_HAVE_F32_TO_BF16C
#define HALFWAY_SIMD_NATIVE_BF16_CONVERSION 1
#else
#define HALFWAY_SIMD_NATIVE_BF16_CONVERSION 0
#endif

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HALFWAY_SIMD_NATIVE_BF16_CONVERSION

// An unsigned number below 2^24 where v is subnormal, and not where it is zero; also for the
// smallest normal number, which does no harm. (Comparisons, and even the instruction that
// classifies numbers, take subnormals for zero if the control register says so.)
template <class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> SubnormalKey(DF /*df*/, hn::VFromD<DF> v) {
  const hn::RebindToUnsigned<DF> du;
  const auto bits = hn::BitCast(du, v);
  return hn::Add(hn::Add(bits, bits), hn::Set(du, ~uint32_t{1}));  // twice the magnitude, minus 2
}
template <class DU>
HWY_INLINE bool NoneSubnormal(DU du, hn::VFromD<DU> key) {
  return hn::AllFalse(du, hn::Eq(hn::And(key, hn::Set(du, 0xFF000000u)), hn::Zero(du)));
}
template <class DU16>
HWY_INLINE bool NoneZero(DU16 du16, hn::VFromD<DU16> codes) {
  return hn::AllTrue(du16, hn::TestBit(codes, hn::Set(du16, uint16_t{0x7FFF})));  // any of the bits
}

#endif  // HALFWAY_SIMD_NATIVE_BF16_CONVERSION

// Values past the largest finite one replaced by it; NaN stays.
template <class DF>
HWY_INLINE hn::VFromD<DF> SaturateToBF16(DF df, hn::VFromD<DF> v) {
  const hn::RebindToUnsigned<DF> du;
  const auto largest = hn::BitCast(df, hn::Set(du, 0x7F7F0000u));
  return hn::IfThenElse(hn::Gt(hn::Abs(v), largest), hn::CopySign(largest, v), v);
}

// The pattern in the upper half of each lane, and whatever in the lower half.
template <class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> RoundToBF16(DF /*df*/, hn::VFromD<DF> v) {
  const hn::RebindToUnsigned<DF> du;
  const auto bits = hn::BitCast(du, v);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFFu)));
  const auto quiet = hn::Or(bits, hn::Set(du, 0x00400000u));
  return hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
}

template <overflow kOverflow = overflow::ieee, class DF>
HWY_INLINE hn::VFromD<hn::Rebind<uint16_t, DF>> EncodeBF16(DF df, hn::VFromD<DF> v) {
  const hn::Rebind<uint16_t, DF> du16;
  if constexpr (kOverflow == overflow::saturate) v = SaturateToBF16(df, v);
#if HALFWAY_SIMD_NATIVE_BF16_CONVERSION
  const hn::Rebind<hwy::bfloat16_t, DF> dbf16;
  const hn::RebindToUnsigned<DF> du;
  const auto code = hn::BitCast(du16, hn::DemoteTo(dbf16, v));
  if (HWY_LIKELY(NoneZero(du16, code)) || NoneSubnormal(du, SubnormalKey(df, v))) return code;
#endif
  return hn::TruncateTo(du16, hn::ShiftRight<16>(RoundToBF16(df, v)));
}

#if HWY_TARGET != HWY_SCALAR  // which has no vectors of two 16-bit lanes
template <overflow kOverflow = overflow::ieee, class DF>
HWY_INLINE hn::VFromD<hn::Repartition<uint16_t, DF>> EncodeBF16x2(DF df, hn::VFromD<DF> low,
                                                                  hn::VFromD<DF> high) {
  const hn::Repartition<uint16_t, DF> du16;
  if constexpr (kOverflow == overflow::saturate) {
    low = SaturateToBF16(df, low);
    high = SaturateToBF16(df, high);
  }
#if HALFWAY_SIMD_NATIVE_BF16_CONVERSION
  const hn::Repartition<hwy::bfloat16_t, DF> dbf16;
  const hn::RebindToUnsigned<DF> du;
  const auto codes = hn::BitCast(du16, hn::OrderedDemote2To(dbf16, low, high));
  if (HWY_LIKELY(NoneZero(du16, codes)) ||
      NoneSubnormal(du, hn::Min(SubnormalKey(df, low), SubnormalKey(df, high)))) {
    return codes;
  }
#endif
  return hn::ConcatOdd(du16, hn::BitCast(du16, RoundToBF16(df, high)),
                       hn::BitCast(du16, RoundToBF16(df, low)));
}
#endif  // HWY_TARGET != HWY_SCALAR

#if HALFWAY_SIMD_NATIVE_BF16_CONVERSION
// Four vectors with one branch.
template <overflow kOverflow = overflow::ieee, class DF, class V = hn::VFromD<DF>,
          class VU16 = hn::VFromD<hn::Repartition<uint16_t, DF>>>
HWY_INLINE void EncodeBF16x4(DF df, V v0, V v1, V v2, V v3, VU16& low, VU16& high) {
  const hn::Repartition<uint16_t, DF> du16;
  if constexpr (kOverflow == overflow::saturate) {
    v0 = SaturateToBF16(df, v0);
    v1 = SaturateToBF16(df, v1);
    v2 = SaturateToBF16(df, v2);
    v3 = SaturateToBF16(df, v3);
  }
  const hn::Repartition<hwy::bfloat16_t, DF> dbf16;
  low = hn::BitCast(du16, hn::OrderedDemote2To(dbf16, v0, v1));
  high = hn::BitCast(du16, hn::OrderedDemote2To(dbf16, v2, v3));
  // As NoneZero, but compared in a general register, which measures faster.
  const auto magnitude = hn::Set(du16, uint16_t{0x7FFF});
  const uint32_t not_zero = hn::TestBit(low, magnitude).raw & hn::TestBit(high, magnitude).raw;
  if (HWY_UNLIKELY(not_zero != ~uint32_t{0})) {
    low = EncodeBF16x2(df, v0, v1);
    high = EncodeBF16x2(df, v2, v3);
  }
}
#endif

template <class DF>
HWY_INLINE hn::VFromD<DF> DecodeBF16(DF df, hn::VFromD<hn::Rebind<uint16_t, DF>> code) {
  const hn::RebindToUnsigned<DF> du;
  return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(du, code)));
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_BFLOAT16_INL_H_
