// SPDX-License-Identifier: Apache-2.0
// Any small float format in vectors of f32: patterns from values with one rounding, values from
// patterns.
//
//   auto code = EncodeMinifloat<formats::float8_e4m3fn, overflow::ieee>(df, v);   // u32 lanes,
//   pattern in the low bits auto same = DecodeMinifloat<formats::float8_e4m3fn>(df, code);
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
  static_assert(L::has_zero && L::min_exponent - L::mantissa_bits > -126,
                "the format's smallest value must be normal in f32");
};

// Adds to |v| the power of two whose last mantissa bit is worth one unit of the format's last place
// at |v|: the addition rounds, to nearest even and correctly in the subnormal range, and leaves the
// significand in the low bits of the sum.
//
// The pattern that follows the largest finite one stands for infinity (IEEE formats) or NaN (fn,
// fnuz). So where overflow gives one of these, limiting |v| to that pattern's nominal value is all
// that it takes.
template <class Format, overflow kOverflow, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> EncodeMinifloat(DF df, hn::VFromD<DF> v) {
  using L = detail::layout<Format>;
  using F = F32Landmarks<Format>;
  constexpr bool kHasSpecial = Format::nan != nan_encoding::none;
  constexpr bool kToSpecial = kHasSpecial && kOverflow == overflow::ieee;
  constexpr uint32_t kLimit = F::Value(kToSpecial ? L::max_finite + 1 : L::max_finite);
  constexpr uint32_t kMagicShift = static_cast<uint32_t>(F::kShift) << 23;
  const hn::RebindToUnsigned<DF> du;
  const hn::RebindToSigned<DF> di;  // compares faster than unsigned before AVX-512
  const auto bits = hn::BitCast(du, v);
  const auto magnitude = hn::BitCast(di, hn::And(bits, hn::Set(du, 0x7FFFFFFFu)));
  const auto limited = hn::Min(magnitude, hn::Set(di, static_cast<int32_t>(kLimit)));
  const auto exponent =
      hn::BitCast(du, hn::Max(hn::And(limited, hn::Set(di, 0x7F800000)),
                              hn::Set(di, static_cast<int32_t>(F::kMinExponent))));
  const auto magic = hn::Add(exponent, hn::Set(du, kMagicShift));
  const auto sum = hn::Add(hn::BitCast(df, limited), hn::BitCast(df, magic));
  const auto significand = hn::Sub(hn::BitCast(du, sum), magic);
  const auto field = hn::ShiftRight<F::kShift>(hn::Sub(exponent, hn::Set(du, F::kMinExponent)));
  auto code = hn::Add(field, significand);

  auto sign = hn::Zero(du);
  if constexpr (Format::is_signed)
    sign = hn::And(hn::ShiftRight<32 - L::bits>(bits), hn::Set(du, L::sign));
  if constexpr (Format::nan == nan_encoding::ieee) {
    const auto is_nan = hn::RebindMask(du, hn::Gt(magnitude, hn::Set(di, 0x7F800000)));
    const auto payload = hn::And(hn::ShiftRight<F::kShift>(bits), hn::Set(du, L::mantissa));
    code = hn::IfThenElse(is_nan, hn::Or(payload, hn::Set(du, L::exponent | L::quiet)), code);
  } else if constexpr (Format::nan == nan_encoding::none) {
    const auto is_nan = hn::RebindMask(du, hn::Gt(magnitude, hn::Set(di, 0x7F800000)));
    sign = hn::IfThenZeroElse(is_nan, sign);
  } else if constexpr (!kToSpecial) {
    const auto is_nan = hn::RebindMask(du, hn::Gt(magnitude, hn::Set(di, 0x7F800000)));
    code = hn::IfThenElse(is_nan, hn::Set(du, L::max_finite + 1), code);
  }
  if constexpr (Format::nan == nan_encoding::negative_zero) {  // what would be -0 is NaN
    sign = hn::IfThenZeroElse(hn::Eq(code, hn::Zero(du)), sign);
  }
  return hn::Or(code, sign);
}

// `code`: patterns in u32 lanes, zero above the format's bits.
template <class Format, class DF>
HWY_INLINE hn::VFromD<DF> DecodeMinifloat(DF df, hn::VFromD<hn::RebindToUnsigned<DF>> code) {
  using L = detail::layout<Format>;
  using F = F32Landmarks<Format>;
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

// A tie goes to the larger power. Zero and negative values: NaN, or the smallest power where
// overflow saturates.
template <overflow kOverflow, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> EncodeE8M0(DF /*df*/, hn::VFromD<DF> v) {
  const hn::RebindToUnsigned<DF> du;
  const hn::RebindToSigned<DF> di;
  const auto bits = hn::BitCast(di, v);
  // Half a unit of the exponent field. Below the normal numbers of f32 the next power is 0.5 units
  // (2^-127) from the first normal one, and a tie with it a quarter.
  const auto is_normal = hn::Gt(bits, hn::Set(di, 0x007FFFFF));
  const auto half_unit =
      hn::IfThenElse(is_normal, hn::Set(di, 0x00400000), hn::Set(di, 0x00200000));
  const auto rounded = hn::ShiftRight<23>(hn::BitCast(du, hn::Add(bits, half_unit)));
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
