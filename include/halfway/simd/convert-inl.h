// SPDX-License-Identifier: Apache-2.0
// Bulk conversion of n elements from one storage type to another, through vectors of f32.
//
//   struct Config {
//     using From = float;
//     using To = half;
//     static constexpr overflow kOverflow = overflow::ieee;
//   };
//   ConvertKernel<Config>(from, to, n);
//
// `from` and `to` may be the same memory where the elements have the same size: each block is read
// before it is written.

#if defined(HALFWAY_SIMD_CONVERT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_CONVERT_INL_H_
#undef HALFWAY_SIMD_CONVERT_INL_H_
#else
#define HALFWAY_SIMD_CONVERT_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/load_store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// LoadF32's value, in which bfloat16's signalling NaNs are quiet where To would not make them so.
template <class To, class From, class DF>
HWY_INLINE hn::VFromD<DF> QuietF32(DF df, hn::VFromD<DF> v) {
  if constexpr (std::is_same_v<To, float> && IsFormat<From>(formats::bfloat16{})) {
    const auto quiet_bit = hn::BitCast(df, hn::Set(hn::RebindToUnsigned<DF>(), 0x00400000u));
    return hn::IfThenElse(hn::IsNaN(v), hn::Or(v, quiet_bit), v);
  } else {
    return v;
  }
}

template <class Config>
void ConvertKernel(const typename Config::From* from, typename Config::To* to, size_t n) {
  using From = typename Config::From;
  using To = typename Config::To;
  constexpr overflow kOverflow = Config::kOverflow;
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);

  size_t i = 0;
  if constexpr (sizeof(To) == 1 || PrefersLoad4<From, decltype(df)>()) {
    for (const size_t whole = n - n % (4 * lanes); i < whole; i += 4 * lanes) {
      hn::VFromD<decltype(df)> v0, v1, v2, v3;
      Load4F32(df, from + i, v0, v1, v2, v3);
      Store4F32<kOverflow>(v0, v1, v2, v3, df, to + i);
    }
  } else {
    for (const size_t whole = n - n % (2 * lanes); i < whole; i += 2 * lanes) {
      const auto low = QuietF32<To, From>(df, LoadF32(df, from + i));
      const auto high = QuietF32<To, From>(df, LoadF32(df, from + i + lanes));
      Store2F32<kOverflow>(low, high, df, to + i);
    }
  }
  for (; i < n; i += lanes) {
    const size_t here = HWY_MIN(lanes, n - i);
    const auto v = QuietF32<To, From>(df, LoadNF32(df, from + i, here));
    StoreNF32<kOverflow>(v, df, to + i, here);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_CONVERT_INL_H_
