// SPDX-License-Identifier: Apache-2.0
// Vectors of f32 from and to memory in any storage format: what lets one kernel serve every type.
//
//   const hn::ScalableTag<float> df;
//   auto v = LoadF32(df, p);                   // p: const T*, Lanes(df) elements, widened exactly
//   StoreF32(hn::Mul(v, v), df, q);            // q: T*, each lane rounded once, to nearest even
//
// The N forms touch only the first n elements: LoadNF32 fills the other lanes with zero, StoreNF32 leaves the rest of memory.

#if defined(HALFWAY_SIMD_LOAD_STORE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_LOAD_STORE_INL_H_
#undef HALFWAY_SIMD_LOAD_STORE_INL_H_
#else
#define HALFWAY_SIMD_LOAD_STORE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ------------------------------ f32

template <class DF>
HWY_INLINE hn::VFromD<DF> LoadF32(DF df, const float* HWY_RESTRICT p) {
  return hn::LoadU(df, p);
}
template <class DF>
HWY_INLINE hn::VFromD<DF> LoadNF32(DF df, const float* HWY_RESTRICT p, size_t n) {
  return hn::LoadN(df, p, n);
}
template <class DF>
HWY_INLINE void StoreF32(hn::VFromD<DF> v, DF df, float* HWY_RESTRICT p) {
  hn::StoreU(v, df, p);
}
template <class DF>
HWY_INLINE void StoreNF32(hn::VFromD<DF> v, DF df, float* HWY_RESTRICT p, size_t n) {
  hn::StoreN(v, df, p, n);
}

// ------------------------------ float16

template <class DF>
HWY_INLINE hn::VFromD<DF> LoadF32(DF df, const half* HWY_RESTRICT p) {
  const hn::Rebind<hwy::float16_t, DF> dh;
  return hn::PromoteTo(df, hn::LoadU(dh, reinterpret_cast<const hwy::float16_t*>(p)));
}
template <class DF>
HWY_INLINE hn::VFromD<DF> LoadNF32(DF df, const half* HWY_RESTRICT p, size_t n) {
  const hn::Rebind<hwy::float16_t, DF> dh;
  return hn::PromoteTo(df, hn::LoadN(dh, reinterpret_cast<const hwy::float16_t*>(p), n));
}
template <class DF>
HWY_INLINE void StoreF32(hn::VFromD<DF> v, DF /*df*/, half* HWY_RESTRICT p) {
  const hn::Rebind<hwy::float16_t, DF> dh;
  hn::StoreU(hn::DemoteTo(dh, v), dh, reinterpret_cast<hwy::float16_t*>(p));
}
template <class DF>
HWY_INLINE void StoreNF32(hn::VFromD<DF> v, DF /*df*/, half* HWY_RESTRICT p, size_t n) {
  const hn::Rebind<hwy::float16_t, DF> dh;
  hn::StoreN(hn::DemoteTo(dh, v), dh, reinterpret_cast<hwy::float16_t*>(p), n);
}

// ------------------------------ bfloat16

// Rounds to nearest even in integer arithmetic, not with the bf16 conversion instructions: those flush subnormals.
// A NaN keeps its sign and upper payload and becomes quiet.
template <class DF>
HWY_INLINE hn::VFromD<hn::Rebind<uint16_t, DF>> EncodeBF16(DF df, hn::VFromD<DF> v) {
  const hn::RebindToUnsigned<DF> du;
  const hn::Rebind<uint16_t, DF> du16;
  const auto bits = hn::BitCast(du, v);
  const auto upper = hn::ShiftRight<16>(bits);
  const auto odd = hn::And(upper, hn::Set(du, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7FFFu))));
  const auto quiet = hn::Or(upper, hn::Set(du, 0x40u));
  const auto is_nan = hn::RebindMask(du, hn::IsNaN(v));
  (void)df;
  return hn::TruncateTo(du16, hn::IfThenElse(is_nan, quiet, rounded));
}

template <class DF>
HWY_INLINE hn::VFromD<DF> DecodeBF16(DF df, hn::VFromD<hn::Rebind<uint16_t, DF>> v) {
  const hn::RebindToUnsigned<DF> du;
  return hn::BitCast(df, hn::ShiftLeft<16>(hn::PromoteTo(du, v)));
}

template <class DF>
HWY_INLINE hn::VFromD<DF> LoadF32(DF df, const bfloat16* HWY_RESTRICT p) {
  const hn::Rebind<uint16_t, DF> du16;
  return DecodeBF16(df, hn::LoadU(du16, reinterpret_cast<const uint16_t*>(p)));
}
template <class DF>
HWY_INLINE hn::VFromD<DF> LoadNF32(DF df, const bfloat16* HWY_RESTRICT p, size_t n) {
  const hn::Rebind<uint16_t, DF> du16;
  return DecodeBF16(df, hn::LoadN(du16, reinterpret_cast<const uint16_t*>(p), n));
}
template <class DF>
HWY_INLINE void StoreF32(hn::VFromD<DF> v, DF df, bfloat16* HWY_RESTRICT p) {
  const hn::Rebind<uint16_t, DF> du16;
  hn::StoreU(EncodeBF16(df, v), du16, reinterpret_cast<uint16_t*>(p));
}
template <class DF>
HWY_INLINE void StoreNF32(hn::VFromD<DF> v, DF df, bfloat16* HWY_RESTRICT p, size_t n) {
  const hn::Rebind<uint16_t, DF> du16;
  hn::StoreN(EncodeBF16(df, v), du16, reinterpret_cast<uint16_t*>(p), n);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_LOAD_STORE_INL_H_
