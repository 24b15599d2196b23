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
// ConvertRoundedKernel is for the other rounding modes, from float:
//
//   struct Config {
//     using To = half;
//     using Rounding = round_stochastically;
//     static constexpr overflow kOverflow = overflow::ieee;
//   };
//   ConvertRoundedKernel<Config>(from, to, n, round_stochastically{seed, first});
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

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/encode_rounded-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/philox-inl.h"
#include "halfway/simd/storage.h"
#include "halfway/types/rounding.h"
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

template <class Config>
void ConvertRoundedKernel(const float* from, typename Config::To* to, size_t n,
                          typename Config::Rounding rounding) {
  using To = typename Config::To;
  using Rounding = typename Config::Rounding;
  using Raw = detail::raw_of<To>;
  constexpr size_t kBlock = 512;  // whose random words stay in the nearest cache
  const hn::ScalableTag<float> df;
  const hn::RebindToUnsigned<decltype(df)> du;
  const RawTag<To, decltype(df)> dr;
  const size_t lanes = hn::Lanes(df);
  [[maybe_unused]] HWY_ALIGN uint32_t buffer[RandomBufferSize(kBlock)];
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t end = HWY_MIN(begin + kBlock, n);
    const uint32_t* words = nullptr;
    if constexpr (kIsRandom<Rounding>) {
      words = FillRandom(rounding.seed, rounding.first + begin, end - begin, buffer);
    }
    const auto encode = [&](size_t i, auto v, auto random) HWY_ATTR {
      if constexpr (kIsRandom<Rounding>) random = hn::LoadU(du, words + (i - begin));
      return EncodeRounded<To, Config::kOverflow, Rounding>(df, v, random);
    };
    size_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      const auto codes = encode(i, hn::LoadU(df, from + i), hn::Zero(du));
      hn::StoreU(codes, dr, reinterpret_cast<Raw*>(to + i));
    }
    if (i != end) {
      const auto codes = encode(i, hn::LoadN(df, from + i, end - i), hn::Zero(du));
      hn::StoreN(codes, dr, reinterpret_cast<Raw*>(to + i), end - i);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_CONVERT_INL_H_
