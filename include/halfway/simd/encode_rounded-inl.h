// SPDX-License-Identifier: Apache-2.0
// Vectors of f32 to patterns of any storage type with rounding toward zero or stochastic rounding.
//
//   auto codes = EncodeRounded<T, overflow::ieee, round_toward_zero>(df, v, hn::Zero(du));
//   auto codes = EncodeRounded<T, overflow::ieee, round_stochastically>(df, v, random);
//
// `random`: a random word for each lane. Lane for lane the same bits as the scalar conversions
// (types/encode.h), and the same way: add the mode's part of the last place, then cut. Integer
// arithmetic, so that the control register's rounding mode and flushing of subnormals change
// nothing. To nearest even there are faster ways (load_store-inl.h).

#if defined(HALFWAY_SIMD_ENCODE_ROUNDED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ENCODE_ROUNDED_INL_H_
#undef HALFWAY_SIMD_ENCODE_ROUNDED_INL_H_
#else
#define HALFWAY_SIMD_ENCODE_ROUNDED_INL_H_
#endif

#include <cstdint>
#include <type_traits>

#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/minifloat-inl.h"
#include "halfway/types/formats.h"
#include "halfway/types/rounding.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class Rounding>
inline constexpr bool kIsRandom = std::is_same_v<Rounding, round_stochastically>;

// `significand` with what the mode adds before kShift bits are cut, 1 <= kShift <= 31.
template <class Rounding, int kShift, class DU, class V = hn::VFromD<DU>>
HWY_INLINE V AddBeforeCut(DU /*du*/, V significand, [[maybe_unused]] V random) {
  static_assert(kIsRandom<Rounding> || std::is_same_v<Rounding, round_toward_zero>);
  if constexpr (kIsRandom<Rounding>)
    return hn::Add(significand, hn::ShiftRight<32 - kShift>(random));
  return significand;
}

// detail::round_off: significand / 2^shift, for any shift of at least 0. significand < 2^30.
template <class Rounding, class DU, class V = hn::VFromD<DU>>
HWY_INLINE V RoundOff(DU du, V significand, V shift, [[maybe_unused]] V random) {
  const hn::RebindToSigned<DU> di;  // whose Min is one instruction everywhere
  const auto most = hn::Set(du, 31u);
  const auto at_most = [&](V x) HWY_ATTR {
    return hn::BitCast(du, hn::Min(hn::BitCast(di, x), hn::BitCast(di, most)));
  };
  const auto kept = at_most(shift);
  significand = hn::Shr(significand, at_most(hn::Sub(shift, kept)));
  if constexpr (kIsRandom<Rounding>) {
    const auto addend = hn::Shr(hn::ShiftRight<1>(random), hn::Sub(most, kept));
    significand = hn::Add(significand, addend);
  }
  return hn::Shr(significand, kept);
}

// Patterns without sign; NaN as the largest number. See EncodeMagnitude for the limits.
template <class Format, overflow kOverflow, class Rounding, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> EncodeRoundedMagnitude(
    DF /*df*/, hn::VFromD<DF> v, hn::VFromD<hn::RebindToUnsigned<DF>> random) {
  using L = detail::layout<Format>;
  using F = F32Landmarks<Format>;
  constexpr bool kToSpecial = Format::nan != nan_encoding::none && kOverflow == overflow::ieee;
  const hn::RebindToUnsigned<DF> du;
  const hn::RebindToSigned<DF> di;  // compares faster than unsigned before AVX-512
  const auto set = [&](uint32_t value)
                       HWY_ATTR { return hn::Set(di, static_cast<int32_t>(value)); };
  const auto magnitude = hn::And(hn::BitCast(di, v), set(0x7FFFFFFFu));
  auto limited = hn::Min(magnitude, set(F::Value(L::max_finite)));
  if constexpr (kToSpecial) {
    const auto special = set(F::Value(L::max_finite + 1));
    if constexpr (Rounding::overflows) {
      limited = hn::Min(magnitude, special);
    } else {
      limited = hn::IfThenElse(hn::Gt(magnitude, set(0x7F7FFFFFu)), special, limited);
    }
  }
  const auto bits = hn::BitCast(du, limited);
  const auto sum = AddBeforeCut<Rounding, F::kShift>(du, bits, random);
  auto code = hn::ShiftRight<F::kShift>(hn::Sub(sum, hn::Set(du, F::kRebias)));
  if constexpr (F::kRebias != 0) {  // else the formats' subnormals are those of f32
    constexpr int32_t kLift = static_cast<int32_t>(F::kRebias >> 23);
    const auto lift = hn::Set(di, kLift);
    const auto field = hn::BitCast(di, hn::ShiftRight<23>(bits));
    const auto shift = hn::Sub(hn::Set(di, kLift + 1 + F::kShift), hn::Min(field, lift));
    // A leading bit that is not there belongs to a number far too small to matter.
    const auto significand =
        hn::Or(hn::And(bits, hn::Set(du, 0x007FFFFFu)), hn::Set(du, 0x00800000u));
    const auto subnormal = RoundOff<Rounding>(du, significand, hn::BitCast(du, shift), random);
    code = hn::IfThenElse(hn::RebindMask(du, hn::Gt(field, lift)), code, subnormal);
  }
  return code;
}

template <overflow kOverflow, class Rounding, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> EncodeRoundedE8M0(
    DF df, hn::VFromD<DF> v, hn::VFromD<hn::RebindToUnsigned<DF>> random) {
  const hn::RebindToUnsigned<DF> du;
  const hn::RebindToSigned<DF> di;
  const auto bits = hn::BitCast(du, v);
  const auto normal = hn::ShiftRight<23>(AddBeforeCut<Rounding, 23>(du, bits, random));
  // Between 2^-127 and 2^-126 a unit of the pattern is half as large; below there is nothing.
  const auto halves = hn::ShiftRight<22>(AddBeforeCut<Rounding, 22>(du, bits, random));
  const auto one = hn::Set(di, 1);
  const auto subnormal = hn::Sub(hn::Max(hn::BitCast(di, halves), one), one);
  const auto is_normal = hn::Gt(hn::BitCast(di, v), hn::Set(di, 0x007FFFFF));
  const auto rounded = hn::IfThenElse(is_normal, hn::BitCast(di, normal), subnormal);
  return CompleteE8M0<kOverflow>(df, v, hn::BitCast(du, rounded));
}

// Two's complement in the low bits.
template <class T, class Rounding, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> EncodeRoundedInteger(
    DF df, hn::VFromD<DF> v, hn::VFromD<hn::RebindToUnsigned<DF>> random) {
  const hn::RebindToUnsigned<DF> du;
  const auto x = hn::BitCast(du, LimitToInteger<T>(df, v));
  const auto magnitude = hn::And(x, hn::Set(du, 0x7FFFFFFFu));
  const auto significand = hn::Or(hn::And(x, hn::Set(du, 0x007FFFFFu)), hn::Set(du, 0x00800000u));
  const auto shift = hn::Sub(hn::Set(du, 150u), hn::ShiftRight<23>(magnitude));
  const auto whole = RoundOff<Rounding>(du, significand, shift, random);
  const auto sign = hn::BitCast(du, hn::BroadcastSignBit(hn::BitCast(hn::RebindToSigned<DF>(), x)));
  return hn::Sub(hn::Xor(whole, sign), sign);
}

template <class T, overflow kOverflow, class Rounding, class DF>
HWY_INLINE hn::VFromD<RawTag<T, DF>> EncodeRounded(DF df, hn::VFromD<DF> v,
                                                   hn::VFromD<hn::RebindToUnsigned<DF>> random) {
  const RawTag<T, DF> dr;
  const hn::RebindToUnsigned<decltype(dr)> dur;
  if constexpr (detail::int8_storage<T>) {
    return hn::BitCast(dr, hn::TruncateTo(dur, EncodeRoundedInteger<T, Rounding>(df, v, random)));
  } else if constexpr (IsFormat<T>(formats::float8_e8m0fnu{})) {
    return hn::TruncateTo(dr, EncodeRoundedE8M0<kOverflow, Rounding>(df, v, random));
  } else {
    using Format = typename T::format;
    const auto code = EncodeRoundedMagnitude<Format, kOverflow, Rounding>(df, v, random);
    return hn::TruncateTo(dr, CompleteCode<Format, kOverflow>(df, v, code));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ENCODE_ROUNDED_INL_H_
