// SPDX-License-Identifier: Apache-2.0
// Adam's moments as vectors of FP32, however they are kept. Each MomentBlock
//
//   Prefetch(i, n)                       asks for elements i to i + n - 1 of memory,
//   Begin(i, n)                          goes on to elements i to i + n - 1 of one block,
//   LoadFirst, LoadSecond(df, part, i)   give some of them,
//   Store(m, v, df, part, i)             takes their new values, and
//   End(i, n)                            leaves them in memory.

#if defined(HALFWAY_SIMD_OPTIMIZER_MOMENTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_OPTIMIZER_MOMENTS_INL_H_
#undef HALFWAY_SIMD_OPTIMIZER_MOMENTS_INL_H_
#else
#define HALFWAY_SIMD_OPTIMIZER_MOMENTS_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/encode_rounded-inl.h"
#include "halfway/simd/optimizer_args.h"
#include "halfway/simd/optimizer_weights-inl.h"
#include "halfway/simd/scale-inl.h"
#include "halfway/types/float8.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <class Moments>
class MomentBlock;

template <>
class MomentBlock<FloatMoments> {
 public:
  static constexpr bool kComputesBetween = false;
  explicit HWY_INLINE MomentBlock(FloatMoments s) : s_(s) {}
  HWY_INLINE void Prefetch(size_t i, size_t n) const {
    PrefetchElements(s_.first, i, n);
    PrefetchElements(s_.second, i, n);
  }
  HWY_INLINE void Begin(size_t /*i*/, size_t /*n*/) {}
  HWY_INLINE void End(size_t /*i*/, size_t /*n*/) {}

  template <class DF, class Part>
  HWY_INLINE hn::VFromD<DF> LoadFirst(DF df, Part part, size_t i) const {
    return part.Load(df, s_.first + i);
  }
  template <class DF, class Part>
  HWY_INLINE hn::VFromD<DF> LoadSecond(DF df, Part part, size_t i) const {
    return part.Load(df, s_.second + i);
  }
  template <class DF, class Part>
  HWY_INLINE void Store(hn::VFromD<DF> m, hn::VFromD<DF> v, DF df, Part part, size_t i) {
    part.Store(m, df, s_.first + i);
    part.Store(v, df, s_.second + i);
  }

 private:
  FloatMoments s_;
};

// The scale under which `largest` becomes `top`. It and its inverse are normal; NaN for what is not
// finite.
HWY_INLINE float BlockScale(float largest, float top) {
  constexpr float kLeast = 0x1p-126f;
  const float scale = largest / top;
  if (!(largest <= 3.40282347e38f)) return largest - largest;  // NaN
  return scale < kLeast ? kLeast : scale;
}

template <>
class MomentBlock<BlockMoments> {
 public:
  static constexpr bool kComputesBetween = true;
  explicit HWY_INLINE MomentBlock(BlockMoments s) : s_(s) {}
  HWY_INLINE void Prefetch(size_t i, size_t n) const {
    PrefetchElements(s_.first, i, n);
    PrefetchElements(s_.second, i, n);
  }

  HWY_INLINE void Begin(size_t i, size_t /*n*/) {
    begin_ = i;
    first_scale_ = s_.first_scales[i / optimizer_block];
    second_scale_ = s_.second_scales[i / optimizer_block];
  }

  template <class DF, class Part>
  HWY_INLINE hn::VFromD<DF> LoadFirst(DF df, Part part, size_t i) const {
    return hn::Mul(part.Load(df, s_.first + i), hn::Set(df, first_scale_));
  }
  template <class DF, class Part>
  HWY_INLINE hn::VFromD<DF> LoadSecond(DF df, Part part, size_t i) const {
    const hn::RebindToUnsigned<DF> du;
    const hn::Rebind<uint8_t, DF> d8;
    const auto codes = hn::PromoteTo(du, part.LoadRaw(d8, s_.second + i));
    const auto bits =
        hn::ShiftLeft<second_moment_shift>(hn::Add(codes, hn::Set(du, second_moment_first)));
    return hn::Mul(hn::BitCast(df, bits), hn::Set(df, second_scale_));
  }

  // Whole vectors: the buffers have room, and End looks at no more than n elements.
  template <class DF, class Part>
  HWY_INLINE void Store(hn::VFromD<DF> m, hn::VFromD<DF> v, DF df, Part /*part*/, size_t i) {
    hn::StoreU(m, df, first_ + (i - begin_));
    hn::StoreU(v, df, second_ + (i - begin_));
  }

  HWY_INLINE void End(size_t i, size_t n) {
    const float first_scale = BlockScale(AmaxKernel(first_, n), 448.0f);
    const float second_scale = BlockScale(AmaxKernel(second_, n), 1.0f);
    s_.first_scales[i / optimizer_block] = first_scale;
    s_.second_scales[i / optimizer_block] = second_scale;
    random_.Fill(s_.seed, i, n);
    const OptimizerTag df;
    const auto first_inverse = hn::Set(df, 1.0f / first_scale);
    const auto second_inverse = hn::Set(df, 1.0f / second_scale);
    const auto encode = [&](auto part, size_t k) HWY_ATTR {
      const hn::RebindToUnsigned<OptimizerTag> du;
      const hn::Rebind<uint8_t, OptimizerTag> d8;
      const auto m = hn::Mul(hn::Load(df, first_ + k), first_inverse);
      part.StoreRaw(EncodeRounded<float8_e4m3fn, overflow::saturate, round_stochastically>(
                        df, m, random_.Upper(du, k)),
                    d8, reinterpret_cast<uint8_t*>(s_.first + i + k));
      const auto v = hn::Mul(hn::Load(df, second_ + k), second_inverse);
      part.StoreRaw(EncodeSecond(v, random_.UpperSwapped(du, k)), d8, s_.second + i + k);
    };
    size_t k = 0;
    const size_t lanes = hn::Lanes(df);
    for (; k + lanes <= n; k += lanes) encode(WholeVector(), k);
    if (k != n) encode(FirstLanes{n - k}, k);
  }

 private:
  // From [0, 1], and what rounding made of 1; anything for NaN.
  static HWY_INLINE hn::VFromD<hn::Rebind<uint8_t, OptimizerTag>> EncodeSecond(
      hn::VFromD<OptimizerTag> v, hn::VFromD<hn::RebindToUnsigned<OptimizerTag>> random) {
    const hn::RebindToUnsigned<OptimizerTag> du;
    const hn::RebindToSigned<OptimizerTag> di;
    const hn::Rebind<uint8_t, OptimizerTag> d8;
    const auto sum = hn::Add(hn::BitCast(du, v), hn::ShiftRight<32 - second_moment_shift>(random));
    const auto code = hn::Sub(hn::BitCast(di, hn::ShiftRight<second_moment_shift>(sum)),
                              hn::Set(di, static_cast<int32_t>(second_moment_first)));
    const auto limited = hn::Min(hn::Max(code, hn::Zero(di)), hn::Set(di, 255));
    return hn::TruncateTo(d8, hn::BitCast(du, limited));
  }

  BlockMoments s_;
  size_t begin_ = 0;
  float first_scale_ = 0;
  float second_scale_ = 0;
  HWY_ALIGN float first_[optimizer_block];
  HWY_ALIGN float second_[optimizer_block];
  RandomHalves random_;
};

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_OPTIMIZER_MOMENTS_INL_H_
