// SPDX-License-Identifier: Apache-2.0
// float16 in vectors of f32, exact on every target, with the CPU's conversions where it has them.
//
//   auto code = EncodeF16<overflow::ieee>(df, v);   // u16 lanes, rounded once, to nearest even
//   auto wide = DecodeF16(df, code);                // exact; a NaN is made quiet
//
// The CPU's conversions (F16C, AArch64) neither flush subnormal halves nor read denormals-are-zero,
// and F16C's carry their rounding mode with them. Highway's stand-in for CPUs without them is not
// used: it widens infinity to 65536. Other CPUs get minifloat-inl.h.

#if defined(HALFWAY_SIMD_FLOAT16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_FLOAT16_INL_H_
#undef HALFWAY_SIMD_FLOAT16_INL_H_
#else
#define HALFWAY_SIMD_FLOAT16_INL_H_
#endif

#include <cstdint>

#include "halfway/simd/minifloat-inl.h"
#include "halfway/types/formats.h"
#include "halfway/types/rounding.h"
#include "hwy/highway.h"

// Set anew for each target.
#undef HALFWAY_SIMD_NATIVE_F16_CONVERSION
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2 && !defined(HWY_DISABLE_F16C)
#define HALFWAY_SIMD_NATIVE_F16_CONVERSION 1
#elif HWY_ARCH_ARM_A64 && (HWY_TARGET & (HWY_ALL_NEON | HWY_ALL_SVE))
#define HALFWAY_SIMD_NATIVE_F16_CONVERSION 1
#else
#define HALFWAY_SIMD_NATIVE_F16_CONVERSION 0
#endif

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <overflow kOverflow = overflow::ieee, class DF>
HWY_INLINE hn::VFromD<hn::Rebind<uint16_t, DF>> EncodeF16(DF df, hn::VFromD<DF> v) {
  const hn::Rebind<uint16_t, DF> du16;
#if HALFWAY_SIMD_NATIVE_F16_CONVERSION
  const hn::Rebind<hwy::float16_t, DF> dh;
  if constexpr (kOverflow == overflow::saturate) {  // a NaN compares false and stays
    const auto largest = hn::Set(df, 65504.0f);
    v = hn::IfThenElse(hn::Gt(hn::Abs(v), largest), hn::CopySign(largest, v), v);
  }
  return hn::BitCast(du16, hn::DemoteTo(dh, v));
#else
  return hn::TruncateTo(du16, EncodeMinifloat<formats::float16, kOverflow>(df, v));
#endif
}

template <class DF>
HWY_INLINE hn::VFromD<DF> DecodeF16(DF df, hn::VFromD<hn::Rebind<uint16_t, DF>> code) {
#if HALFWAY_SIMD_NATIVE_F16_CONVERSION
  const hn::Rebind<hwy::float16_t, DF> dh;
  auto wide = hn::PromoteTo(df, hn::BitCast(dh, code));
#if HWY_COMPILER_CLANG && HWY_ARCH_X86
  // clang takes a comparison of the wide value for one of halves, and does it lane by lane.
  asm("" : "+v"(wide.raw));  // NOLINT(hicpp-no-assembler)
#endif
  return wide;
#else
  const hn::RebindToUnsigned<DF> du;
  return DecodeMinifloat<formats::float16>(df, hn::PromoteTo(du, code));
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_FLOAT16_INL_H_
