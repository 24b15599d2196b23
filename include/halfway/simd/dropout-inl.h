// SPDX-License-Identifier: Apache-2.0
// Elements left out at random, by the numbered words of types/philox.h: the same on every target.
//
//   DropoutKernel<Config>(x, y, n, seed, first, threshold, scale);  // word first + i: x[i]

#if defined(HALFWAY_SIMD_DROPOUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_DROPOUT_INL_H_
#undef HALFWAY_SIMD_DROPOUT_INL_H_
#else
#define HALFWAY_SIMD_DROPOUT_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/philox-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// y[i] = x[i] * scale where word first + i of the seed is at least `threshold`, else 0.
template <class Config>
void DropoutKernel(const typename Config::X* x, typename Config::Y* y, size_t n, uint64_t seed,
                   uint64_t first, uint32_t threshold, float scale) {
  constexpr size_t kBlock = 512;
  HWY_ALIGN uint32_t buffer[RandomBufferSize(kBlock)];
  const hn::ScalableTag<float> df;
  const hn::RebindToUnsigned<decltype(df)> du;
  const size_t lanes = hn::Lanes(df);
  const auto vscale = hn::Set(df, scale);
  const auto kept = [&](auto v, const uint32_t* words, size_t count) HWY_ATTR {
    const auto keep = hn::Ge(hn::LoadN(du, words, count), hn::Set(du, threshold));
    return hn::IfThenElseZero(hn::RebindMask(df, keep), hn::Mul(v, vscale));
  };
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t here = HWY_MIN(kBlock, n - begin);
    const uint32_t* words = FillRandom(seed, first + begin, here, buffer);
    size_t i = 0;
    for (; i + lanes <= here; i += lanes) {
      StoreF32(kept(LoadF32(df, x + begin + i), words + i, lanes), df, y + begin + i);
    }
    if (i != here) {
      const size_t rest = here - i;
      StoreNF32(kept(LoadNF32(df, x + begin + i, rest), words + i, rest), df, y + begin + i, rest);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_DROPOUT_INL_H_
