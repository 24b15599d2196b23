// SPDX-License-Identifier: Apache-2.0
// Four vectors of f32 to 8-bit floats by table lookup, where the CPU looks up 64 bytes in 128.
//
//   if constexpr (HasTableEncode<Format>()) {
//     auto codes = TableEncode<Format, overflow::ieee>(df, v0, v1, v2, v3);
//   }
//
// The upper half of an f32 and one bit that says whether anything is in the lower half ("sticky")
// decide how it rounds. So two vectors become one of 16-bit numbers
//
//   u = 8 bits of exponent, 7 of the significand, the sticky bit,
//
// limited to the format's range, its smallest exponent taken off. What u is cut to for the format's
// mantissa is the pattern but for rounding; by how much that adds is a matter of its last bit and
// those that are cut, and stands in a table. Subnormal numbers are in another table.

#if defined(HALFWAY_SIMD_TABLE_ENCODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_TABLE_ENCODE_INL_H_
#undef HALFWAY_SIMD_TABLE_ENCODE_INL_H_
#else
#define HALFWAY_SIMD_TABLE_ENCODE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/minifloat-inl.h"
#include "halfway/simd/table_decode-inl.h"
#include "halfway/types/encode.h"
#include "halfway/types/formats.h"
#include "halfway/types/rounding.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Formats whose numbers lie in the tables' range.
template <class Format>
constexpr bool HasTableEncode() {
#if HALFWAY_SIMD_TABLE_DECODE
  using L = detail::layout<Format>;
  if constexpr (L::has_zero && Format::is_signed && L::bits <= 8) {
    return L::mantissa_bits == 2 || L::mantissa_bits == 3;
  }
#endif
  return false;
}

#if HALFWAY_SIMD_TABLE_DECODE

template <class Format>
struct EncodeTables {
  using L = detail::layout<Format>;
  using F = F32Landmarks<Format>;
  static constexpr int kMantissa = L::mantissa_bits;
  static constexpr int kCut = 8 - kMantissa;  // bits of u that are cut
  // Below the smallest normal number's exponent there are those of the subnormal numbers and one of
  // numbers that round to 0 or to the smallest of them.
  static constexpr int kBinadesBelow = kMantissa + 1;
  static constexpr uint16_t kLowest =
      static_cast<uint16_t>((F::kMinExponent >> 15) - (kBinadesBelow << 8));
  static constexpr uint8_t kFirstNormal = kBinadesBelow << kMantissa;  // u's exponent and mantissa

  alignas(64) uint8_t add[128];       // by u's last 7 bits: rounding, and to the format's exponents
  alignas(64) uint8_t subnormal[64];  // by what u is cut to and whether what is cut is not 0

  constexpr EncodeTables() : add(), subnormal() {
    for (int i = 0; i < 128; ++i) {
      const int cut = i % (1 << kCut), half = 1 << (kCut - 1);
      const bool odd = (i >> kCut) % 2 != 0;
      const int up = cut > half || (cut == half && odd) ? 1 : 0;
      add[i] = static_cast<uint8_t>(up + (1 << kMantissa) - kFirstNormal);
    }
    for (int i = 0; i < 2 * kFirstNormal; ++i) {
      // The significand in units of the last place of the largest subnormal numbers, twice with the
      // sticky bit, and how many of these are a unit of the format.
      const int binade = i >> (kMantissa + 1);
      const int significand = (i % (2 << kMantissa)) + (2 << kMantissa);
      const int shift = kMantissa + 2 - binade;
      const int cut = significand % (1 << shift), half = 1 << (shift - 1);
      const int down = significand >> shift;
      const bool up = cut > half || (cut == half && down % 2 != 0);
      subnormal[i] = static_cast<uint8_t>(down + (up ? 1 : 0));
    }
  }
};
template <class Format>
inline constexpr EncodeTables<Format> kEncodeTables{};

// Ones that clang does not see: it takes Min(x, 1) for a comparison, which is slower.
template <class D>
HWY_INLINE hn::VFromD<D> HiddenOnes(D d) {
  auto one = hn::Set(d, hn::TFromD<D>{1});
#if HWY_COMPILER_CLANG
  asm("" : "+v"(one.raw));  // NOLINT(hicpp-no-assembler)
#endif
  return one;
}

template <class Format, overflow kOverflow, class DF, class V = hn::VFromD<DF>>
HWY_INLINE hn::VFromD<hn::Repartition<uint8_t, DF>> TableEncode(DF df, V v0, V v1, V v2, V v3) {
  using L = detail::layout<Format>;
  using F = F32Landmarks<Format>;
  using Tables = EncodeTables<Format>;
  static_assert(HWY_MAX_LANES_D(DF) == 16);
  const hn::Repartition<uint16_t, DF> du16;
  const hn::Repartition<uint8_t, DF> du8;
  const auto halves = [&](V low, V high, auto& upper, auto& u) HWY_ATTR {
    const auto a = hn::BitCast(du16, low), b = hn::BitCast(du16, high);
    upper = hn::ConcatOdd(du16, b, a);
    const auto sticky = hn::Min(hn::ConcatEven(du16, b, a), HiddenOnes(du16));
    u = hn::Add(hn::Add(upper, upper), sticky);
  };
  hn::VFromD<decltype(du16)> upper0, upper1, u0, u1;
  halves(v0, v1, upper0, u0);
  halves(v2, v3, upper1, u1);
  if constexpr (NanNeedsCode<Format, kOverflow>() || Format::nan == nan_encoding::none) {
    const auto infinity = hn::Set(du16, uint16_t{0xFF00});
    if (HWY_UNLIKELY(!hn::AllFalse(du16, hn::Gt(hn::Max(u0, u1), infinity)))) {
      return EncodeMinifloatx4<Format, kOverflow>(df, v0, v1, v2, v3);
    }
  }
  constexpr bool kToSpecial = Format::nan != nan_encoding::none && kOverflow == overflow::ieee;
  constexpr uint32_t kLimit = F::Value(kToSpecial ? L::max_finite + 1 : L::max_finite);
  static_assert((kLimit >> 15) - Tables::kLowest < (256 << Tables::kCut));
  const auto limit = hn::Set(du16, static_cast<uint16_t>(kLimit >> 15));
  const auto lowest = hn::Set(du16, Tables::kLowest);
  u0 = hn::SaturatedSub(hn::Min(u0, limit), lowest);
  u1 = hn::SaturatedSub(hn::Min(u1, limit), lowest);
  const auto even_bytes = [&](auto a, auto b) HWY_ATTR {
    return hn::ConcatEven(du8, hn::BitCast(du8, b), hn::BitCast(du8, a));
  };
  const auto last = even_bytes(u0, u1);
  const auto first = even_bytes(hn::ShiftRight<Tables::kCut>(u0), hn::ShiftRight<Tables::kCut>(u1));
  const auto& tables = kEncodeTables<Format>;
  const auto index_of = [&](auto any, [[maybe_unused]] uint8_t mask) HWY_ATTR {
#if HWY_IS_DEBUG_BUILD  // which checks indices that the instructions take modulo their range
    any = hn::And(any, hn::Set(du8, mask));
#endif
    return hn::IndicesFromVec(du8, any);
  };
  auto code = hn::Add(
      first, hn::TwoTablesLookupLanes(du8, hn::Load(du8, tables.add),
                                      hn::Load(du8, tables.add + 64), index_of(last, 0x7F)));
  const auto is_subnormal = hn::Lt(first, hn::Set(du8, Tables::kFirstNormal));
  const auto cut = hn::And(last, hn::Set(du8, static_cast<uint8_t>((1 << Tables::kCut) - 1)));
  const auto sticky = hn::Min(cut, HiddenOnes(du8));
  const auto subnormal = hn::TableLookupLanes(
      hn::Load(du8, tables.subnormal), index_of(hn::Add(hn::Add(first, first), sticky), 0x3F));
  code = hn::IfThenElse(is_subnormal, subnormal, code);
  const auto top = hn::ConcatOdd(du8, hn::BitCast(du8, upper1), hn::BitCast(du8, upper0));
  return WithSign<Format>(du8, code, top);
}

#endif  // HALFWAY_SIMD_TABLE_DECODE

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_TABLE_ENCODE_INL_H_
