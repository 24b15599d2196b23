// SPDX-License-Identifier: Apache-2.0
// Any small float format in vectors of f32: patterns with one rounding, and values from patterns.
//
//   auto code = EncodeMinifloat<formats::float8_e4m3fn, overflow::ieee>(df, v);    // u32 lanes
//   auto value = DecodeMinifloat<formats::float8_e4m3fn>(df, code);
//
// Lane for lane the same bits as halfway::detail::encode and decode (types/encode.h) and the policy
// of types/minifloat.h. Neither function meets a subnormal f32 whose value matters, so
// flush-to-zero and denormals-are-zero change nothing; encoding relies on the rounding mode being
// to nearest, the default. One template serves float16 (where the CPU has no instruction), float8,
// float6 and float4. bfloat16 has f32's exponents, and so subnormals, and a file of its own.

#if defined(HALFWAY_SIMD_MINIFLOAT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_MINIFLOAT_INL_H_
#undef HALFWAY_SIMD_MINIFLOAT_INL_H_
#else
#define HALFWAY_SIMD_MINIFLOAT_INL_H_
#endif

#include <cstdint>
#include <limits>

#include "halfway/types/encode.h"
#include "halfway/types/formats.h"
#include "halfway/types/rounding.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ------------------------------ Formats with zero and subnormals

// Landmarks of `Format` among the bit patterns of f32.
template <class Format>
struct F32Landmarks {
  using L = detail::layout<Format>;
  static constexpr int kShift =
      23 - L::mantissa_bits;  // from the end of Format's mantissa to the end of f32's
  static constexpr uint32_t kRebias = static_cast<uint32_t>(127 - Format::bias) << 23;
  static constexpr uint32_t kMinExponent = static_cast<uint32_t>(127 + L::min_exponent) << 23;
  // The value that a magnitude would have if its exponent field had no special codes.
  static constexpr uint32_t Value(uint32_t magnitude) { return (magnitude << kShift) + kRebias; }
  static_assert(L::has_zero);
  // The format's smallest value is normal in f32.
  static constexpr bool kSmallestIsNormal = L::min_exponent - L::mantissa_bits > -126;
};

// Patterns without sign, in the low bits of each lane; what is above Format's storage is undefined.
// NaN as the largest number.
//
// Adds to |v| the power of two whose last mantissa bit is worth one unit of the format's last place
// at |v|: the addition rounds, to nearest even and correctly in the subnormal range, and leaves the
// significand in the low bits of the sum.
//
// The pattern that follows the largest finite one stands for infinity (IEEE formats) or NaN (fn,
// fnuz). So where overflow gives one of these, limiting |v| to that pattern's nominal value is all
// that it takes.
template <class Format, overflow kOverflow, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> EncodeMagnitude(DF df, hn::VFromD<DF> v) {
  using L = detail::layout<Format>;
  using F = F32Landmarks<Format>;
  static_assert(F::kSmallestIsNormal);
  constexpr bool kToSpecial = Format::nan != nan_encoding::none && kOverflow == overflow::ieee;
  constexpr uint32_t kLimit = F::Value(kToSpecial ? L::max_finite + 1 : L::max_finite);
  // The exponent field counts from the smallest normal number. Taking that off here, modulo the
  // storage's size, costs nothing: it is an even number of last places, which rounding to even does
  // not see.
  constexpr uint32_t kField =
      (0u - (F::kMinExponent >> F::kShift)) & std::numeric_limits<typename Format::storage>::max();
  static_assert(kField % 2 == 0);
  constexpr uint32_t kToMagic = (static_cast<uint32_t>(F::kShift) << 23) + kField;
  const hn::RebindToUnsigned<DF> du;
  const hn::RebindToSigned<DF> di;  // compares faster than unsigned before AVX-512
  const auto magnitude = hn::And(hn::BitCast(di, v), hn::Set(di, 0x7FFFFFFF));
  const auto limited = hn::Min(magnitude, hn::Set(di, static_cast<int32_t>(kLimit)));
  const auto exponent =
      hn::BitCast(du, hn::Max(hn::And(limited, hn::Set(di, 0x7F800000)),
                              hn::Set(di, static_cast<int32_t>(F::kMinExponent))));
  const auto magic = hn::BitCast(df, hn::Add(exponent, hn::Set(du, kToMagic)));
  const auto sum = hn::Add(hn::BitCast(df, limited), magic);
  return hn::Add(hn::ShiftRight<F::kShift>(exponent), hn::BitCast(du, sum));
}

template <class DF>
HWY_INLINE hn::MFromD<hn::RebindToUnsigned<DF>> NanMask(DF /*df*/, hn::VFromD<DF> v) {
  const hn::RebindToUnsigned<DF> du;
  const hn::RebindToSigned<DF> di;
  const auto magnitude = hn::And(hn::BitCast(di, v), hn::Set(di, 0x7FFFFFFF));
  return hn::RebindMask(du, hn::Gt(magnitude, hn::Set(di, 0x7F800000)));
}

// EncodeMagnitude's pattern for NaN is not yet the right one.
template <class Format, overflow kOverflow>
constexpr bool NanNeedsCode() {
  return Format::nan == nan_encoding::ieee ||
         (Format::nan != nan_encoding::none && kOverflow == overflow::saturate);
}

// Patterns without sign for lanes that are NaN.
template <class Format, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> EncodeNan(DF /*df*/, hn::VFromD<DF> v) {
  using L = detail::layout<Format>;
  const hn::RebindToUnsigned<DF> du;
  if constexpr (Format::nan == nan_encoding::ieee) {
    const auto payload = hn::ShiftRight<F32Landmarks<Format>::kShift>(hn::BitCast(du, v));
    return hn::Or(hn::And(payload, hn::Set(du, L::mantissa)), hn::Set(du, L::exponent | L::quiet));
  } else {
    return hn::Set(du, L::max_finite + 1);
  }
}

// Patterns without sign, as EncodeMagnitude makes them, with v's sign and NaNs.
template <class Format, overflow kOverflow, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> CompleteCode(
    DF df, hn::VFromD<DF> v, hn::VFromD<hn::RebindToUnsigned<DF>> code) {
  using L = detail::layout<Format>;
  static_assert(Format::is_signed);
  const hn::RebindToUnsigned<DF> du;
  if constexpr (NanNeedsCode<Format, kOverflow>()) {
    code = hn::IfThenElse(NanMask(df, v), EncodeNan<Format>(df, v), code);
  }
  auto sign = hn::And(hn::ShiftRight<32 - L::bits>(hn::BitCast(du, v)), hn::Set(du, L::sign));
  if constexpr (Format::nan == nan_encoding::none) {
    sign = hn::IfThenZeroElse(NanMask(df, v), sign);
  } else if constexpr (Format::nan == nan_encoding::negative_zero) {  // what would be -0 is NaN
    const auto is_zero = hn::Eq(hn::And(code, hn::Set(du, L::all)), hn::Zero(du));
    sign = hn::IfThenZeroElse(is_zero, sign);
  }
  return hn::Or(code, sign);
}

// Patterns in the low bits of each lane; what is above Format's storage is undefined.
template <class Format, overflow kOverflow, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> EncodeMinifloat(DF df, hn::VFromD<DF> v) {
  return CompleteCode<Format, kOverflow>(df, v, EncodeMagnitude<Format, kOverflow>(df, v));
}

#if HWY_TARGET != HWY_SCALAR  // which has no vectors of four bytes

// The lowest byte of each u32 lane, a's lanes first.
template <class DU32, class V = hn::VFromD<DU32>>
HWY_INLINE hn::VFromD<hn::Repartition<uint8_t, DU32>> PackBytes(DU32 /*du*/, V a, V b, V c, V d) {
  const hn::Repartition<uint16_t, DU32> du16;
  const hn::Repartition<uint8_t, DU32> du8;
  return hn::OrderedTruncate2To(du8, hn::OrderedTruncate2To(du16, a, b),
                                hn::OrderedTruncate2To(du16, c, d));
}

// `code`: patterns without sign; `top`: the upper bytes of the values, whose first bit is the sign.
template <class Format, class DU8, class VU8 = hn::VFromD<DU8>>
HWY_INLINE VU8 WithSign(DU8 du8, VU8 code, VU8 top) {
  const hn::Repartition<uint16_t, DU8> du16;
  auto sign = hn::And(top, hn::Set(du8, uint8_t{0x80}));
  sign =
      hn::BitCast(du8, hn::ShiftRight<8 - detail::layout<Format>::bits>(hn::BitCast(du16, sign)));
  if constexpr (Format::nan == nan_encoding::negative_zero) {
    sign = hn::IfThenZeroElse(hn::Eq(code, hn::Zero(du8)), sign);
  }
  return hn::Or(code, sign);
}

// Four vectors at once, for formats of at most 8 bits: what does not depend on rounding is done
// after packing, and NaNs, which are rare, are left to a branch.
template <class Format, overflow kOverflow, class DF, class V = hn::VFromD<DF>>
HWY_INLINE hn::VFromD<hn::Repartition<uint8_t, DF>> EncodeMinifloatx4(DF df, V v0, V v1, V v2,
                                                                      V v3) {
  using L = detail::layout<Format>;
  static_assert(Format::is_signed && L::bits <= 8);
  const hn::RebindToUnsigned<DF> du;
  const hn::Repartition<uint16_t, DF> du16;
  const hn::Repartition<uint8_t, DF> du8;
  auto c0 = EncodeMagnitude<Format, kOverflow>(df, v0);
  auto c1 = EncodeMagnitude<Format, kOverflow>(df, v1);
  auto c2 = EncodeMagnitude<Format, kOverflow>(df, v2);
  auto c3 = EncodeMagnitude<Format, kOverflow>(df, v3);
  if constexpr (NanNeedsCode<Format, kOverflow>() || Format::nan == nan_encoding::none) {
    const auto n0 = NanMask(df, v0), n1 = NanMask(df, v1), n2 = NanMask(df, v2),
               n3 = NanMask(df, v3);
    if (HWY_UNLIKELY(!hn::AllFalse(du, hn::Or(hn::Or(n0, n1), hn::Or(n2, n3))))) {
      if constexpr (Format::nan == nan_encoding::none) {  // the largest value, positive
        v0 = hn::IfThenZeroElse(hn::RebindMask(df, n0), v0);
        v1 = hn::IfThenZeroElse(hn::RebindMask(df, n1), v1);
        v2 = hn::IfThenZeroElse(hn::RebindMask(df, n2), v2);
        v3 = hn::IfThenZeroElse(hn::RebindMask(df, n3), v3);
      } else {
        c0 = hn::IfThenElse(n0, EncodeNan<Format>(df, v0), c0);
        c1 = hn::IfThenElse(n1, EncodeNan<Format>(df, v1), c1);
        c2 = hn::IfThenElse(n2, EncodeNan<Format>(df, v2), c2);
        c3 = hn::IfThenElse(n3, EncodeNan<Format>(df, v3), c3);
      }
    }
  }
  const auto code = PackBytes(du, c0, c1, c2, c3);
  const auto upper = [&](V low, V high) HWY_ATTR {
    return hn::ConcatOdd(du16, hn::BitCast(du16, high), hn::BitCast(du16, low));
  };
  const auto top =
      hn::ConcatOdd(du8, hn::BitCast(du8, upper(v2, v3)), hn::BitCast(du8, upper(v0, v1)));
  return WithSign<Format>(du8, code, top);
}

#endif  // HWY_TARGET != HWY_SCALAR

// `code`: patterns in u32 lanes, zero above the format's bits.
template <class Format, class DF>
HWY_INLINE hn::VFromD<DF> DecodeMinifloat(DF df, hn::VFromD<hn::RebindToUnsigned<DF>> code) {
  using L = detail::layout<Format>;
  using F = F32Landmarks<Format>;
  static_assert(F::kSmallestIsNormal);
  const hn::RebindToUnsigned<DF> du;
  const hn::RebindToSigned<DF> di;
  const auto set = [&](uint32_t value)
                       HWY_ATTR { return hn::Set(di, static_cast<int32_t>(value)); };
  auto magnitude = hn::BitCast(di, code);
  auto sign = hn::Zero(du);
  if constexpr (Format::is_signed) {
    magnitude = hn::And(magnitude, set(L::magnitude));
    sign = hn::ShiftLeft<32 - L::bits>(hn::And(code, hn::Set(du, L::sign)));
  }
  const auto normal = hn::Add(hn::ShiftLeft<F::kShift>(magnitude), set(F::kRebias));
  constexpr float kUnit = detail::power_of_two(L::min_exponent - L::mantissa_bits);
  const auto subnormal = hn::Mul(hn::ConvertTo(df, magnitude), hn::Set(df, kUnit));
  auto value =
      hn::IfThenElse(hn::Gt(magnitude, set(L::mantissa)), normal, hn::BitCast(di, subnormal));
  if constexpr (Format::nan == nan_encoding::ieee) {
    const auto is_special = hn::Gt(magnitude, set(L::infinity - 1));
    const auto is_nan = hn::Gt(magnitude, set(L::infinity));
    value = hn::Or(value, hn::IfThenElseZero(is_special, set(0x7F800000u)));
    value = hn::Or(value, hn::IfThenElseZero(is_nan, set(0x00400000u)));
  } else if constexpr (Format::nan == nan_encoding::all_ones) {
    value = hn::IfThenElse(hn::Eq(magnitude, set(L::magnitude)), set(0x7FC00000u), value);
  } else if constexpr (Format::nan == nan_encoding::negative_zero) {
    const auto is_nan = hn::Eq(hn::BitCast(di, code), set(L::sign));
    value = hn::IfThenElse(is_nan, set(0x7FC00000u), value);
    sign = hn::IfThenZeroElse(hn::RebindMask(du, is_nan), sign);
  }
  return hn::BitCast(df, hn::Or(hn::BitCast(du, value), sign));
}

// ------------------------------ e8m0: powers of two, no zero, no sign

// `rounded`: patterns for positive numbers and infinity, from 0 to 0xFF. Zero and negative values:
// NaN, or the smallest power where overflow saturates.
template <overflow kOverflow, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> CompleteE8M0(
    DF /*df*/, hn::VFromD<DF> v, hn::VFromD<hn::RebindToUnsigned<DF>> rounded) {
  const hn::RebindToUnsigned<DF> du;
  const hn::RebindToSigned<DF> di;
  const auto bits = hn::BitCast(di, v);
  const auto magnitude = hn::And(bits, hn::Set(di, 0x7FFFFFFF));
  const auto is_nan = hn::RebindMask(du, hn::Gt(magnitude, hn::Set(di, 0x7F800000)));
  const auto is_positive = hn::RebindMask(du, hn::Gt(bits, hn::Zero(di)));
  const auto nan = hn::Set(du, 0xFFu);
  if constexpr (kOverflow == overflow::saturate) {
    const auto in_range =
        hn::BitCast(du, hn::Min(hn::BitCast(di, rounded), hn::Set(di, int32_t{0xFE})));
    return hn::IfThenElse(is_nan, nan, hn::IfThenElseZero(is_positive, in_range));
  } else {
    return hn::IfThenElse(hn::AndNot(is_nan, is_positive), rounded, nan);
  }
}

// A tie goes to the larger power.
template <overflow kOverflow, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> EncodeE8M0(DF df, hn::VFromD<DF> v) {
  const hn::RebindToUnsigned<DF> du;
  const hn::RebindToSigned<DF> di;
  const auto bits = hn::BitCast(di, v);
  // Half a unit of the exponent field. Below the normal numbers of f32 the next power is 0.5 units
  // (2^-127) from the first normal one, and a tie with it a quarter.
  const auto is_normal = hn::Gt(bits, hn::Set(di, 0x007FFFFF));
  const auto half_unit =
      hn::IfThenElse(is_normal, hn::Set(di, 0x00400000), hn::Set(di, 0x00200000));
  const auto rounded = hn::ShiftRight<23>(hn::BitCast(du, hn::Add(bits, half_unit)));
  return CompleteE8M0<kOverflow>(df, v, rounded);
}

template <class DF>
HWY_INLINE hn::VFromD<DF> DecodeE8M0(DF df, hn::VFromD<hn::RebindToUnsigned<DF>> code) {
  const hn::RebindToUnsigned<DF> du;
  const auto power = hn::ShiftLeft<23>(code);
  const auto smallest = hn::Set(du, 0x00400000u);  // 2^-127, subnormal in f32
  const auto value = hn::IfThenElse(hn::Eq(code, hn::Zero(du)), smallest, power);
  const auto is_nan = hn::Eq(code, hn::Set(du, 0xFFu));
  return hn::BitCast(df, hn::IfThenElse(is_nan, hn::Set(du, 0x7FC00000u), value));
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_MINIFLOAT_INL_H_
