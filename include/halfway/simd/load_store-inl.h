// SPDX-License-Identifier: Apache-2.0
// Vectors of f32 from and to memory in any storage type: what lets one kernel serve every type.
//
//   const hn::ScalableTag<float> df;
//   auto v = LoadF32(df, p);                   // p: const T*, Lanes(df) elements, widened exactly
//   StoreF32(hn::Mul(v, v), df, q);            // q: T*, rounded once, ties to even; IEEE overflow
//   StoreF32<overflow::saturate>(v, df, q);    // past the range: the largest finite value
//
// T: float, every minifloat, std::int8_t, std::uint8_t, int8, uint8, int4, uint4 (one element a
// byte); loads also std::int32_t, rounded to nearest from 2^24 on. Integers are stored rounded to
// nearest even and saturated, NaN as 0.
//
// The N forms touch only the first n elements: LoadNF32 fills the other lanes with zero, StoreNF32
// leaves the rest of memory.
//
// The bits are those of the scalar types, but for one thing: a signalling NaN of bfloat16 or float
// is loaded as it is; the first arithmetic operation, or a store to another type, makes it quiet.
// Pointers need no alignment beyond the element's.

#if defined(HALFWAY_SIMD_LOAD_STORE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_LOAD_STORE_INL_H_
#undef HALFWAY_SIMD_LOAD_STORE_INL_H_
#else
#define HALFWAY_SIMD_LOAD_STORE_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "halfway/simd/bfloat16-inl.h"
#include "halfway/simd/float16-inl.h"
#include "halfway/simd/minifloat-inl.h"
#include "halfway/simd/storage.h"
#include "halfway/simd/table_decode-inl.h"
#include "halfway/simd/table_encode-inl.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/encode.h"
#include "halfway/types/rounding.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// As many patterns of T as DF has lanes.
template <class T, class DF>
using RawTag = hn::Rebind<detail::raw_of<T>, DF>;

template <class T>
constexpr bool IsFormat(auto tag) {
  if constexpr (is_minifloat_v<T>) return std::is_same_v<typename T::format, decltype(tag)>;
  return false;
}

// Formats whose patterns, shifted, are patterns of float16: then float16's conversion does the
// work, subnormals included, and a multiplication by a power of two, exact, corrects the exponent's
// bias.
template <class Format>
constexpr bool FitsFloat16() {
  return Format::exponent_bits < 5 ||
         (Format::exponent_bits == 5 && Format::nan == nan_encoding::ieee &&
          Format::mantissa_bits <= 10);
}

template <class Format, class DF>
HWY_INLINE hn::VFromD<DF> DecodeThroughF16(DF df, hn::VFromD<hn::Rebind<uint8_t, DF>> raw) {
  using L = detail::layout<Format>;
  constexpr int kShift = 10 - L::mantissa_bits;
  constexpr uint16_t kMagnitude = static_cast<uint16_t>(L::magnitude << kShift);
  const hn::Rebind<uint16_t, DF> du16;
  auto code = hn::Zero(du16);
  if constexpr (L::bits == 8) {  // sign extension brings the sign to the top of the shifted code
    const hn::Rebind<int16_t, DF> di16;
    const auto x =
        hn::BitCast(du16, hn::PromoteTo(di16, hn::BitCast(hn::Rebind<int8_t, DF>(), raw)));
    code = hn::And(hn::ShiftLeft<kShift>(x), hn::Set(du16, uint16_t{0x8000 | kMagnitude}));
  } else {
    const auto x = hn::PromoteTo(du16, raw);
    const auto sign = hn::And(hn::ShiftLeft<16 - L::bits>(x), hn::Set(du16, uint16_t{0x8000}));
    code = hn::Or(sign, hn::And(hn::ShiftLeft<kShift>(x), hn::Set(du16, kMagnitude)));
  }
  if constexpr (Format::nan == nan_encoding::all_ones) {
    const auto without_sign = hn::Add(code, code);
    const auto is_nan = hn::Eq(without_sign, hn::Set(du16, static_cast<uint16_t>(2 * kMagnitude)));
    const auto to_nan = hn::Set(du16, static_cast<uint16_t>(0x7E00 - kMagnitude));
    code = hn::Add(code, hn::IfThenElseZero(is_nan, to_nan));
  } else if constexpr (Format::nan == nan_encoding::negative_zero) {
    const auto is_nan = hn::Eq(code, hn::Set(du16, uint16_t{0x8000}));
    code = hn::IfThenElse(is_nan, hn::Set(du16, uint16_t{0x7E00}), code);
  }
  const auto wide = DecodeF16(df, code);
  if constexpr (Format::bias == 15) return wide;
  return hn::Mul(wide, hn::Set(df, detail::power_of_two(15 - Format::bias)));
}

// ------------------------------ Patterns to f32

template <class T, class DF>
HWY_INLINE hn::VFromD<DF> DecodeF32(DF df, hn::VFromD<RawTag<T, DF>> raw) {
  const hn::RebindToUnsigned<DF> du;
  const hn::RebindToSigned<DF> di;
  if constexpr (detail::int8_storage<T>) {
    return hn::ConvertTo(df, hn::PromoteTo(di, raw));
  } else if constexpr (IsFormat<T>(formats::float16{})) {
    return DecodeF16(df, raw);
  } else if constexpr (IsFormat<T>(formats::bfloat16{})) {
    return DecodeBF16(df, raw);
  } else if constexpr (IsFormat<T>(formats::float8_e8m0fnu{})) {
    return DecodeE8M0(df, hn::PromoteTo(du, raw));
#if HALFWAY_SIMD_NATIVE_F16_CONVERSION
  } else if constexpr (FitsFloat16<typename T::format>()) {
    return DecodeThroughF16<typename T::format>(df, raw);
#endif
  } else {
    return DecodeMinifloat<typename T::format>(df, hn::PromoteTo(du, raw));
  }
}

// ------------------------------ f32 to patterns

// The integer nearest to each lane, ties to even, in the low 22 bits, two's complement. |v| < 2^21.
template <class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> RoundInLowBits(DF df, hn::VFromD<DF> v) {
  const hn::RebindToUnsigned<DF> du;
  return hn::BitCast(
      du, hn::Add(v, hn::Set(df, 12582912.0f)));  // 1.5 * 2^23: the last place is worth 1
}

// Saturated to the range of T; NaN gives 0.
template <class T, class DF>
HWY_INLINE hn::VFromD<DF> LimitToInteger(DF df, hn::VFromD<DF> v) {
  constexpr float kLowest = static_cast<float>(static_cast<int>(std::numeric_limits<T>::lowest()));
  constexpr float kLargest = static_cast<float>(static_cast<int>(std::numeric_limits<T>::max()));
  v = hn::IfThenZeroElse(hn::IsNaN(v), v);
  return hn::Min(hn::Max(v, hn::Set(df, kLowest)), hn::Set(df, kLargest));
}

// RoundInLowBits, saturated to the range of T; NaN gives 0.
template <class T, class DF>
HWY_INLINE hn::VFromD<hn::RebindToUnsigned<DF>> EncodeInteger(DF df, hn::VFromD<DF> v) {
  return RoundInLowBits(df, LimitToInteger<T>(df, v));
}

template <class T, overflow kOverflow, class DF>
HWY_INLINE hn::VFromD<RawTag<T, DF>> EncodeF32(DF df, hn::VFromD<DF> v) {
  const RawTag<T, DF> dr;
  const hn::RebindToUnsigned<decltype(dr)> dur;
  if constexpr (detail::int8_storage<T>) {
    return hn::BitCast(dr, hn::TruncateTo(dur, EncodeInteger<T>(df, v)));
  } else if constexpr (IsFormat<T>(formats::float16{})) {
    return EncodeF16<kOverflow>(df, v);
  } else if constexpr (IsFormat<T>(formats::bfloat16{})) {
    return EncodeBF16<kOverflow>(df, v);
  } else if constexpr (IsFormat<T>(formats::float8_e8m0fnu{})) {
    return hn::TruncateTo(dr, EncodeE8M0<kOverflow>(df, v));
  } else {
    return hn::TruncateTo(dr, EncodeMinifloat<typename T::format, kOverflow>(df, v));
  }
}

// ------------------------------ Loads

template <class DF>
HWY_INLINE hn::VFromD<DF> LoadF32(DF df, const float* p) {
  return hn::LoadU(df, p);
}
template <class DF>
HWY_INLINE hn::VFromD<DF> LoadNF32(DF df, const float* p, size_t n) {
  return hn::LoadN(df, p, n);
}

template <class DF>
HWY_INLINE hn::VFromD<DF> LoadF32(DF df, const int32_t* p) {
  return hn::ConvertTo(df, hn::LoadU(hn::RebindToSigned<DF>(), p));
}
template <class DF>
HWY_INLINE hn::VFromD<DF> LoadNF32(DF df, const int32_t* p, size_t n) {
  return hn::ConvertTo(df, hn::LoadN(hn::RebindToSigned<DF>(), p, n));
}

template <class DF, detail::narrow_storage T>
HWY_INLINE hn::VFromD<DF> LoadF32(DF df, const T* p) {
  const RawTag<T, DF> dr;
  return DecodeF32<T>(df, hn::LoadU(dr, reinterpret_cast<const detail::raw_of<T>*>(p)));
}
template <class DF, detail::narrow_storage T>
HWY_INLINE hn::VFromD<DF> LoadNF32(DF df, const T* p, size_t n) {
  const RawTag<T, DF> dr;
  const auto v = DecodeF32<T>(df, hn::LoadN(dr, reinterpret_cast<const detail::raw_of<T>*>(p), n));
  if constexpr (IsFormat<T>(formats::float8_e8m0fnu{})) {  // whose pattern 0 is not zero
    return hn::IfThenElseZero(hn::FirstN(df, n), v);
  }
  return v;
}

// Four vectors from consecutive elements load faster at once.
template <class T, class DF>
constexpr bool PrefersLoad4() {
  if constexpr (is_minifloat_v<T> && HWY_MAX_LANES_D(DF) == 16) {
    return kHasTableDecode<typename T::format>;
  }
  return false;
}

// Two vectors from consecutive elements.
template <class DF, class T, class V = hn::VFromD<DF>>
HWY_INLINE void Load2F32(DF df, const T* p, V& v0, V& v1) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  if constexpr (IsFormat<T>(formats::bfloat16{}) && HWY_MAX_LANES_D(DF) == 16) {
    // One permutation each, with zeros between.
    const hn::Repartition<uint16_t, DF> du16;
    alignas(64) static constexpr uint16_t kLow[32] = {0, 0,  0, 1,  0, 2,  0, 3,  0, 4, 0,
                                                      5, 0,  6, 0,  7, 0,  8, 0,  9, 0, 10,
                                                      0, 11, 0, 12, 0, 13, 0, 14, 0, 15};
    const auto codes = hn::LoadU(du16, reinterpret_cast<const uint16_t*>(p));
    const auto low = hn::Load(du16, kLow);
    const auto high = hn::Add(low, hn::Set(du16, uint16_t{16}));
    const auto upper =
        hn::MaskFromVec(hn::BitCast(du16, hn::Set(hn::RebindToUnsigned<DF>(), 0xFFFF0000u)));
    const auto widen = [&](hn::VFromD<decltype(du16)> index) HWY_ATTR {
      const auto spread = hn::TableLookupLanes(codes, hn::IndicesFromVec(du16, index));
      return hn::BitCast(df, hn::IfThenElseZero(upper, spread));
    };
    v0 = widen(low);
    v1 = widen(high);
    return;
  }
#endif
  v0 = LoadF32(df, p);
  v1 = LoadF32(df, p + hn::Lanes(df));
}

template <class DF, class T, class V = hn::VFromD<DF>>
HWY_INLINE void Load4F32(DF df, const T* p, V& v0, V& v1, V& v2, V& v3) {
  if constexpr (PrefersLoad4<T, DF>()) {
    TableDecode<typename T::format>(df, reinterpret_cast<const uint8_t*>(p), v0, v1, v2, v3);
  } else {
    const size_t lanes = hn::Lanes(df);
    Load2F32(df, p, v0, v1);
    Load2F32(df, p + 2 * lanes, v2, v3);
  }
}

// Two vectors from consecutive elements in an order of their own, where order does not matter: for
// types with kLoadsEvenOdd the even elements and the odd ones, which takes half the instructions,
// for others the first ones and the rest.
template <class T>
inline constexpr bool kLoadsEvenOdd =
    IsFormat<T>(formats::bfloat16{}) && HWY_TARGET != HWY_SCALAR&& HWY_IS_LITTLE_ENDIAN != 0;

template <class DF, class T, class V = hn::VFromD<DF>>
HWY_INLINE void Load2EvenOdd(DF df, const T* p, V& even, V& odd) {
  if constexpr (kLoadsEvenOdd<T>) {
    const hn::RebindToUnsigned<DF> du;
    const hn::Repartition<uint16_t, DF> du16;
    const auto pairs = hn::BitCast(du, hn::LoadU(du16, reinterpret_cast<const uint16_t*>(p)));
    even = hn::BitCast(df, hn::ShiftLeft<16>(pairs));
    odd = hn::BitCast(df, hn::And(pairs, hn::Set(du, 0xFFFF0000u)));
  } else {
    even = LoadF32(df, p);
    odd = LoadF32(df, p + hn::Lanes(df));
  }
}

// ------------------------------ Stores

// `stream`: past the caches, which pays where so much is written that they could not keep it; the
// memory is then aligned to a vector.
template <class D>
HWY_INLINE void StoreVector(hn::VFromD<D> v, D d, hn::TFromD<D>* p, bool stream) {
  if (stream) {
    hn::Stream(v, d, p);
  } else {
    hn::StoreU(v, d, p);
  }
}

template <overflow kOverflow = overflow::ieee, class DF>
HWY_INLINE void StoreF32(hn::VFromD<DF> v, DF df, float* p) {
  hn::StoreU(v, df, p);
}
template <overflow kOverflow = overflow::ieee, class DF>
HWY_INLINE void StoreNF32(hn::VFromD<DF> v, DF df, float* p, size_t n) {
  hn::StoreN(v, df, p, n);
}

template <overflow kOverflow = overflow::ieee, class DF, detail::narrow_storage T>
HWY_INLINE void StoreF32(hn::VFromD<DF> v, DF df, T* p) {
  const RawTag<T, DF> dr;
  hn::StoreU(EncodeF32<T, kOverflow>(df, v), dr, reinterpret_cast<detail::raw_of<T>*>(p));
}
template <overflow kOverflow = overflow::ieee, class DF, detail::narrow_storage T>
HWY_INLINE void StoreNF32(hn::VFromD<DF> v, DF df, T* p, size_t n) {
  const RawTag<T, DF> dr;
  hn::StoreN(EncodeF32<T, kOverflow>(df, v), dr, reinterpret_cast<detail::raw_of<T>*>(p), n);
}

// Two vectors to consecutive elements: packs both at once where that is faster.
template <overflow kOverflow = overflow::ieee, class DF, class T>
HWY_INLINE void Store2F32(hn::VFromD<DF> low, hn::VFromD<DF> high, DF df, T* p,
                          bool stream = false) {
  if constexpr (std::is_same_v<T, float>) {
    StoreVector(low, df, p, stream);
    StoreVector(high, df, p + hn::Lanes(df), stream);
    return;
#if HWY_TARGET != HWY_SCALAR
  } else if constexpr (sizeof(T) == 2) {
    const hn::Repartition<uint16_t, DF> du16;
    auto codes = hn::Zero(du16);
    if constexpr (IsFormat<T>(formats::bfloat16{})) {
      codes = EncodeBF16x2<kOverflow>(df, low, high);
    } else {
      codes =
          hn::Combine(du16, EncodeF32<T, kOverflow>(df, high), EncodeF32<T, kOverflow>(df, low));
    }
    StoreVector(codes, du16, reinterpret_cast<uint16_t*>(p), stream);
#endif
  } else {
    StoreF32<kOverflow>(low, df, p);
    StoreF32<kOverflow>(high, df, p + hn::Lanes(df));
  }
}

// Stores what Load2EvenOdd loaded, twice, for types that it loads and this stores in that order.
template <class X, class Y>
inline constexpr bool kMapsEvenOdd =
    kLoadsEvenOdd<X>&& std::is_same_v<X, Y>&& HALFWAY_SIMD_NATIVE_BF16_CONVERSION != 0;
template <class DF, class T, class V = hn::VFromD<DF>>
HWY_INLINE void Store4EvenOdd(V even0, V odd0, V even1, V odd1, DF df, T* p, bool stream) {
#if HALFWAY_SIMD_NATIVE_BF16_CONVERSION
  const hn::Repartition<uint16_t, DF> du16;
  alignas(64) static constexpr uint16_t kOrder[32] = {0,  16, 1,  17, 2,  18, 3,  19, 4,  20, 5,
                                                      21, 6,  22, 7,  23, 8,  24, 9,  25, 10, 26,
                                                      11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const auto order = hn::SetTableIndices(du16, kOrder);
  hn::VFromD<decltype(du16)> codes0, codes1;
  EncodeBF16x4(df, even0, odd0, even1, odd1, codes0, codes1);
  uint16_t* to = reinterpret_cast<uint16_t*>(p);
  StoreVector(hn::TableLookupLanes(codes0, order), du16, to, stream);
  StoreVector(hn::TableLookupLanes(codes1, order), du16, to + hn::Lanes(du16), stream);
#else
  (void)even0, (void)odd0, (void)even1, (void)odd1, (void)df, (void)p, (void)stream;
#endif
}

// Four vectors to consecutive elements, which is how some types are faster stored.
template <class T>
inline constexpr bool kPrefersStore4 = sizeof(T) == 1 ||
                                       (HALFWAY_SIMD_NATIVE_BF16_CONVERSION != 0 &&
                                        IsFormat<T>(formats::bfloat16{}));
template <overflow kOverflow = overflow::ieee, class DF, class T, class V = hn::VFromD<DF>>
HWY_INLINE void Store4F32(V v0, V v1, V v2, V v3, DF df, T* p, bool stream = false) {
#if HWY_TARGET != HWY_SCALAR
  if constexpr (sizeof(T) == 1) {
    const hn::RebindToUnsigned<DF> du;
    const hn::Repartition<uint8_t, DF> du8;
    auto codes = hn::Zero(du8);
    if constexpr (detail::int8_storage<T>) {
      codes = PackBytes(du, EncodeInteger<T>(df, v0), EncodeInteger<T>(df, v1),
                        EncodeInteger<T>(df, v2), EncodeInteger<T>(df, v3));
    } else if constexpr (IsFormat<T>(formats::float8_e8m0fnu{})) {
      codes = PackBytes(du, EncodeE8M0<kOverflow>(df, v0), EncodeE8M0<kOverflow>(df, v1),
                        EncodeE8M0<kOverflow>(df, v2), EncodeE8M0<kOverflow>(df, v3));
#if HALFWAY_SIMD_TABLE_DECODE
    } else if constexpr (HasTableEncode<typename T::format>() && HWY_MAX_LANES_D(DF) == 16) {
      codes = TableEncode<typename T::format, kOverflow>(df, v0, v1, v2, v3);
#endif
    } else {
      codes = EncodeMinifloatx4<typename T::format, kOverflow>(df, v0, v1, v2, v3);
    }
    StoreVector(codes, du8, reinterpret_cast<uint8_t*>(p), stream);
    return;
  }
#endif
#if HALFWAY_SIMD_NATIVE_BF16_CONVERSION
  if constexpr (IsFormat<T>(formats::bfloat16{})) {
    const hn::Repartition<uint16_t, DF> du16;
    hn::VFromD<decltype(du16)> low, high;
    EncodeBF16x4<kOverflow>(df, v0, v1, v2, v3, low, high);
    uint16_t* to = reinterpret_cast<uint16_t*>(p);
    StoreVector(low, du16, to, stream);
    StoreVector(high, du16, to + hn::Lanes(du16), stream);
    return;
  }
#endif
  Store2F32<kOverflow>(v0, v1, df, p, stream);
  Store2F32<kOverflow>(v2, v3, df, p + 2 * hn::Lanes(df), stream);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_LOAD_STORE_INL_H_
