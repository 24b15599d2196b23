// SPDX-License-Identifier: Apache-2.0
// Bulk conversion of n elements from one storage type to another, through vectors of f32.
//
//   struct Config {
//     using From = float;
//     using To = half;
//     static constexpr overflow kOverflow = overflow::ieee;
//   };
//   ConvertKernel<Config>(from, to, n, false);
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
#include <type_traits>

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// LoadF32's value, in which bfloat16's signalling NaNs are quiet where To would not make them so.
template <class To, class From>
struct QuietOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V v) const {
    if constexpr (std::is_same_v<To, float> && IsFormat<From>(formats::bfloat16{})) {
      const auto quiet_bit = hn::BitCast(df, hn::Set(hn::RebindToUnsigned<DF>(), 0x00400000u));
      return hn::IfThenElse(hn::IsNaN(v), hn::Or(v, quiet_bit), v);
    } else {
      return v;
    }
  }
};

// `stream`: `to` is so large that it is written past the caches.
template <class Config>
void ConvertKernel(const typename Config::From* from, typename Config::To* to, size_t n,
                   bool stream) {
  using Op = QuietOp<typename Config::To, typename Config::From>;
  MapElements<Config::kOverflow>(Op(), from, to, n, stream);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_CONVERT_INL_H_
