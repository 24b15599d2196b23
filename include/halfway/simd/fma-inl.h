// SPDX-License-Identifier: Apache-2.0
// a * b + c rounded once, on every target: what makes a kernel give the same bits whatever the CPU.
//
//   const auto y = Fma(a, b, c);                       // vectors of float
//   const float s = FmaScalar(a, b, c);
//
// Targets without the instruction (SSE2 to SSE4) compute it in double. Kernels that promise the
// same bits never add a product otherwise: compilers contract Mul and Add into an FMA where there
// is one (g++ by default, even across intrinsics) and can't where there is none.

#if defined(HALFWAY_SIMD_FMA_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_FMA_INL_H_
#undef HALFWAY_SIMD_FMA_INL_H_
#else
#define HALFWAY_SIMD_FMA_INL_H_
#endif

#include <cstddef>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_NATIVE_FMA

template <class V>
HWY_INLINE V Fma(V a, V b, V c) {
  return hn::MulAdd(a, b, c);
}

#else

// a * b + c for float values in double lanes, rounded to odd: its last bit is set if it is inexact.
// Rounded once more, to float, that is the correctly rounded sum (Boldo and Melquiond, "Emulation
// of FMA and correctly rounded sums", 2008: rounding to odd with at least two bits more is
// innocuous). The product is exact, 48 of 53 bits.
template <class VD>
HWY_INLINE VD FmaToOdd(VD a, VD b, VD c) {
  const hn::DFromV<VD> dd;
  const hn::RebindToUnsigned<decltype(dd)> du;
  const auto product = hn::Mul(a, b);
  const auto sum = hn::Add(product, c);
  // Knuth's TwoSum: sum + error is the exact value.
  const auto c_part = hn::Sub(sum, product);
  const auto error = hn::Add(hn::Sub(product, hn::Sub(sum, c_part)), hn::Sub(c, c_part));
  const auto zero = hn::Zero(dd);
  // False for NaN, which is what the error of an infinite sum is.
  const auto inexact =
      hn::BitCast(du, hn::VecFromMask(dd, hn::Or(hn::Lt(error, zero), hn::Gt(error, zero))));
  // Toward zero first: one step back where the sum was rounded away from it.
  const auto away = hn::ShiftRight<63>(hn::BitCast(du, hn::Xor(sum, error)));
  const auto truncated = hn::Sub(hn::BitCast(du, sum), hn::And(away, inexact));
  return hn::BitCast(dd, hn::Or(truncated, hn::ShiftRight<63>(inexact)));
}

template <class V>
HWY_NOINLINE V FmaByOdd(V a, V b, V c) {
  const hn::DFromV<V> df;
#if HWY_TARGET != HWY_SCALAR
  if constexpr (hn::MaxLanes(df) * sizeof(double) > HWY_MAX_BYTES) {
    const hn::Half<decltype(df)> dh;
    return hn::Combine(df,
                       FmaByOdd(hn::UpperHalf(dh, a), hn::UpperHalf(dh, b), hn::UpperHalf(dh, c)),
                       FmaByOdd(hn::LowerHalf(dh, a), hn::LowerHalf(dh, b), hn::LowerHalf(dh, c)));
  } else  // NOLINT(readability-misleading-indentation)
#endif
  {
    const hn::Rebind<double, decltype(df)> dd;
    return hn::DemoteTo(df,
                        FmaToOdd(hn::PromoteTo(dd, a), hn::PromoteTo(dd, b), hn::PromoteTo(dd, c)));
  }
}

template <class V>
HWY_INLINE V Fma(V a, V b, V c) {
#if HWY_TARGET != HWY_SCALAR
  const hn::DFromV<V> df;
  if constexpr (hn::MaxLanes(df) * sizeof(float) == HWY_MAX_BYTES) {
    const hn::Repartition<double, decltype(df)> dd;
    const hn::RebindToSigned<decltype(df)> di;
    const auto low = hn::Add(hn::Mul(hn::PromoteLowerTo(dd, a), hn::PromoteLowerTo(dd, b)),
                             hn::PromoteLowerTo(dd, c));
    const auto high = hn::Add(hn::Mul(hn::PromoteUpperTo(dd, a), hn::PromoteUpperTo(dd, b)),
                              hn::PromoteUpperTo(dd, c));
    // Rounding the rounded sum again is wrong only if it lies half-way between two floats: the
    // lower 29 bits are 1000..., or others where the float is subnormal.
    const auto lower = hn::ConcatEven(di, hn::BitCast(di, high), hn::BitCast(di, low));
    const auto upper = hn::ConcatOdd(di, hn::BitCast(di, high), hn::BitCast(di, low));
    const auto half_way = hn::Eq(hn::And(lower, hn::Set(di, 0x1FFFFFFF)), hn::Set(di, 0x10000000));
    const auto subnormal =
        hn::Lt(hn::And(upper, hn::Set(di, 0x7FF00000)), hn::Set(di, (1023 - 126) << 20));
    if (HWY_LIKELY(hn::AllFalse(di, hn::Or(half_way, subnormal)))) {
      return hn::Combine(df, hn::DemoteTo(hn::Half<decltype(df)>(), high),
                         hn::DemoteTo(hn::Half<decltype(df)>(), low));
    }
  }
#endif
  return FmaByOdd(a, b, c);
}

#endif  // HWY_NATIVE_FMA

// c - a * b rounded once.
template <class V>
HWY_INLINE V NegFma(V a, V b, V c) {
#if HWY_NATIVE_FMA
  return hn::NegMulAdd(a, b, c);
#else
  return Fma(hn::Neg(a), b, c);
#endif
}

// a * b - c rounded once.
template <class V>
HWY_INLINE V FmaSub(V a, V b, V c) {
#if HWY_NATIVE_FMA
  return hn::MulSub(a, b, c);
#else
  return Fma(a, b, hn::Neg(c));
#endif
}

// a * b for a result that is no -0, as a product that compilers don't contract with what it is
// added to: without -fno-signed-zeros nothing simplifies the sum with +0.
template <class V>
HWY_INLINE V RoundedProduct(V a, V b) {
  const auto zero = hn::Zero(hn::DFromV<V>());
#if HWY_NATIVE_FMA
  return hn::MulAdd(a, b, zero);
#else
  return hn::Add(hn::Mul(a, b), zero);
#endif
}

HWY_INLINE float FmaScalar(float a, float b, float c) {
  const hn::CappedTag<float, 1> d1;
  return hn::GetLane(Fma(hn::Set(d1, a), hn::Set(d1, b), hn::Set(d1, c)));
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_FMA_INL_H_
