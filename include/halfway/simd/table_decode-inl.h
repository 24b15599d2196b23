// SPDX-License-Identifier: Apache-2.0
// 8-bit floats to four vectors of f32 by table lookup, where the CPU looks up 64 bytes in 128.
//
//   if constexpr (kHasTableDecode<Format>) TableDecode<Format>(df, p, v0, v1, v2, v3);
//
// A value of such a format is exact in the upper half of an f32, so two tables of bytes hold all
// there is to know.

#if defined(HALFWAY_SIMD_TABLE_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_TABLE_DECODE_INL_H_
#undef HALFWAY_SIMD_TABLE_DECODE_INL_H_
#else
#define HALFWAY_SIMD_TABLE_DECODE_INL_H_
#endif

#include <bit>
#include <cstddef>
#include <cstdint>

#include "halfway/types/encode.h"
#include "halfway/types/formats.h"
#include "hwy/highway.h"

// Set anew for each target.
#undef HALFWAY_SIMD_TABLE_DECODE
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
#define HALFWAY_SIMD_TABLE_DECODE 1
#else
#define HALFWAY_SIMD_TABLE_DECODE 0
#endif

namespace halfway {
namespace HWY_NAMESPACE {

// e4m3fn. Formats with float16's exponents convert as fast without tables; fnuz has a NaN where the
// sign alone would be.
template <class Format>
inline constexpr bool kHasTableDecode =
    HALFWAY_SIMD_TABLE_DECODE&& Format::is_signed&& detail::layout<Format>::bits == 8 &&
    Format::nan == nan_encoding::all_ones;

}  // namespace HWY_NAMESPACE
}  // namespace halfway

#if HALFWAY_SIMD_TABLE_DECODE

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Bits 16-23 and 24-31 of the f32 for each magnitude.
template <class Format>
struct DecodeTables {
  alignas(64) uint8_t low[128];
  alignas(64) uint8_t high[128];

  constexpr DecodeTables() : low(), high() {
    for (uint32_t i = 0; i < 128; ++i) {
      const uint32_t bits = std::bit_cast<uint32_t>(detail::decode<Format>(i));
      low[i] = static_cast<uint8_t>(bits >> 16);
      high[i] = static_cast<uint8_t>(bits >> 24);
    }
  }
};
template <class Format>
inline constexpr DecodeTables<Format> kDecodeTables{};

template <class Format, class DF, class V = hn::VFromD<DF>>
HWY_INLINE void TableDecode(DF df, const uint8_t* p, V& v0, V& v1, V& v2, V& v3) {
  const hn::RebindToUnsigned<DF> du;
  const hn::Repartition<uint16_t, DF> du16;
  const hn::Repartition<uint8_t, DF> du8;
  static_assert(HWY_MAX_LANES_D(DF) == 16);
  // Interleaving works within blocks of 16 bytes: give each block four bytes for each of the four
  // vectors.
  alignas(64) static constexpr uint32_t kOrder[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                      2, 6, 10, 14, 3, 7, 11, 15};
  const auto x = hn::BitCast(du8, hn::TableLookupLanes(hn::BitCast(du, hn::LoadU(du8, p)),
                                                       hn::SetTableIndices(du, kOrder)));
  const auto index = hn::IndicesFromVec(du8, hn::And(x, hn::Set(du8, uint8_t{0x7F})));
  const auto lookup = [&](const uint8_t* table) HWY_ATTR {
    return hn::TwoTablesLookupLanes(du8, hn::Load(du8, table), hn::Load(du8, table + 64), index);
  };
  const auto low = lookup(kDecodeTables<Format>.low);
  const auto high =
      hn::Or(lookup(kDecodeTables<Format>.high), hn::And(x, hn::Set(du8, uint8_t{0x80})));
  const auto upper01 = hn::BitCast(du16, hn::InterleaveLower(du8, low, high));
  const auto upper23 = hn::BitCast(du16, hn::InterleaveUpper(du8, low, high));
  const auto zero = hn::Zero(du16);
  v0 = hn::BitCast(df, hn::InterleaveLower(du16, zero, upper01));
  v1 = hn::BitCast(df, hn::InterleaveUpper(du16, zero, upper01));
  v2 = hn::BitCast(df, hn::InterleaveLower(du16, zero, upper23));
  v3 = hn::BitCast(df, hn::InterleaveUpper(du16, zero, upper23));
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_TABLE_DECODE

#endif  // HALFWAY_SIMD_TABLE_DECODE_INL_H_
