// SPDX-License-Identifier: Apache-2.0
// Softmax of a row of scores that come block by block: a running maximum and sum (Milakov and
// Gimelshein, "Online normalizer calculation for softmax", 2018).
//
// All in powers of two: p = 2^(c (s - m)), c = scale * log2(e), m a maximum of the scores so far.

#if defined(HALFWAY_SIMD_ATTENTION_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ATTENTION_SOFTMAX_INL_H_
#undef HALFWAY_SIMD_ATTENTION_SOFTMAX_INL_H_
#else
#define HALFWAY_SIMD_ATTENTION_SOFTMAX_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>

#include "halfway/simd/gemm_step-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 1 + c1 r + c2 r^2 + ..., by Horner's rule, not the same bits on every target.
template <class DF>
HWY_INLINE hn::VFromD<DF> FastPolynomial(DF df, hn::VFromD<DF> /*x*/, float c0) {
  return hn::Set(df, c0);
}
template <class DF, class... Coefficients>
HWY_INLINE hn::VFromD<DF> FastPolynomial(DF df, hn::VFromD<DF> x, float c0,
                                         Coefficients... higher) {
  return hn::MulAdd(FastPolynomial(df, x, higher...), x, hn::Set(df, c0));
}

// 2^x for x <= 127; NaN gives NaN, results below 2^-126 may be 0. 2^0 is 1 exactly. Relative error
// at most 2^-22.4, or with kCoarse, for results that are rounded to bfloat16, 2^-13.2. (Minimax
// polynomials of 2^r on [-1/2, 1/2] by Remez' algorithm: 2^-23.2 and 2^-13.26; the rest is
// rounding.)
template <bool kCoarse, class DF>
HWY_INLINE hn::VFromD<DF> Exp2(DF df, hn::VFromD<DF> x) {
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  x = AtLeast(x, hn::Set(df, -160.0f));  // -inf would become NaN
  const auto n = hn::Round(x);
#else
  x = AtLeast(x, hn::Set(df, -126.0f));
  const auto shifter = hn::Set(df, 12582912.0f);  // 1.5 * 2^23: the last place is worth 1
  const auto n = hn::Sub(hn::Add(x, shifter), shifter);
#endif
  const auto r = hn::Sub(x, n);
  hn::VFromD<DF> y;
  if constexpr (kCoarse) {
    y = FastPolynomial(df, r, 1.0f, 0x1.62f5fap-1f, 0x1.f00c4ap-3f, 0x1.c2a242p-5f);
  } else {
    y = FastPolynomial(df, r, 1.0f, 0x1.62e42ap-1f, 0x1.ebf9c2p-3f, 0x1.c6b62ap-5f, 0x1.3ce8ap-7f,
                       0x1.5c399ep-10f);
  }
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  return ScaleByPowerOf2(df, y, n);
#else
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(df, -125.0f)), hn::Mul(y, PowerOf2(df, n)));
#endif
}

// Where a row stands between blocks.
struct RowState {
  float* max;   // m; -infinity before the first block
  float* sums;  // partial sums of p, as many as a vector has lanes
};

HWY_INLINE void ClearState(const RowState row) {
  *row.max = -std::numeric_limits<float>::infinity();
  hn::StoreU(hn::Zero(GemmDF()), GemmDF(), row.sums);
}
HWY_INLINE float SumOf(const RowState row) {
  return hn::ReduceSum(GemmDF(), hn::LoadU(GemmDF(), row.sums));
}

// Takes s[0, n), scores of a row, into account: they become p, and zeros follow up to `padded`
// (a multiple of the lanes), as floats or (kToBF16) as bfloat16 from the same address. Returns what
// everything summed so far must be multiplied with; the partial sums have been.
//
// The maximum is kept while a larger one would leave p below 2^8: then nothing needs to be scaled,
// and FP32 has room for that.
template <bool kToBF16>
HWY_INLINE float SoftmaxOfBlock(float* HWY_RESTRICT s, const size_t n, const size_t padded,
                                const float c, const RowState row) {
  const GemmDF df;
  using V = GemmVF;
  const size_t lanes = hn::Lanes(df);
  const auto lowest = hn::Neg(hn::Inf(df));
  for (size_t i = n / lanes * lanes; i < padded; i += lanes) {
    const auto keep = hn::FirstN(df, i < n ? n - i : 0);
    hn::StoreU(hn::IfThenElse(keep, hn::LoadU(df, s + i), lowest), df, s + i);
  }

  V max0 = lowest, max1 = lowest;
  size_t i = 0;
  for (; i + 2 * lanes <= padded; i += 2 * lanes) {
    max0 = LargerOrFirst(max0, hn::LoadU(df, s + i));
    max1 = LargerOrFirst(max1, hn::LoadU(df, s + i + lanes));
  }
  if (i < padded) max0 = LargerOrFirst(max0, hn::LoadU(df, s + i));
  // Finite if all are -inf: then p is 0.
  const float max =
      HWY_MAX(hn::ReduceMax(df, hn::Max(max0, max1)), -std::numeric_limits<float>::max());
  float factor = 1.0f;
  V sum = hn::LoadU(df, row.sums);
  if (HWY_UNLIKELY(*row.max == -std::numeric_limits<float>::infinity())) {
    *row.max = max;
  } else if (HWY_UNLIKELY((max - *row.max) * c > 8.0f)) {
    const hn::CappedTag<float, 1> d1;
    factor = hn::GetLane(Exp2<false>(d1, hn::Set(d1, (*row.max - max) * c)));
    sum = hn::Mul(sum, hn::Set(df, factor));
    *row.max = max;
  }

  const auto vc = hn::Set(df, c);
  const auto vmax = hn::Set(df, *row.max);
#if HWY_NATIVE_DOT_BF16
  if constexpr (kToBF16) {
    const hn::Repartition<hwy::bfloat16_t, GemmDF> dbf;
    hwy::bfloat16_t* HWY_RESTRICT p = reinterpret_cast<hwy::bfloat16_t*>(s);
    const auto ones = hn::BitCast(dbf, hn::Set(GemmDU(), 0x3F803F80u));
    V unused = hn::Zero(df);
    for (i = 0; i < padded; i += 2 * lanes) {
      const V p0 = Exp2<true>(df, hn::Mul(hn::Sub(hn::LoadU(df, s + i), vmax), vc));
      const V p1 = Exp2<true>(df, hn::Mul(hn::Sub(hn::LoadU(df, s + i + lanes), vmax), vc));
      const auto pair = hn::OrderedDemote2To(dbf, p0, p1);
      // The sum is of the rounded p, so that the weights of the values add up to 1.
      sum = hn::ReorderWidenMulAccumulate(df, pair, ones, sum, unused);
      hn::StoreU(pair, dbf, p + i);
    }
  } else  // NOLINT(readability-misleading-indentation)
#endif
  {
    for (i = 0; i < padded; i += lanes) {
      const V p = Exp2<false>(df, hn::Mul(hn::Sub(hn::LoadU(df, s + i), vmax), vc));
      sum = hn::Add(sum, p);
      hn::StoreU(p, df, s + i);
    }
  }
  hn::StoreU(sum, df, row.sums);
  return factor;
}

// s[j] = scale s[j] + what the bias adds to the score of key `first` + j, for n keys. One rounding
// each for a slope's product, the scaled score with it, and the mask.
HWY_INLINE void AddBias(const float* HWY_RESTRICT mask, const float slope, const float distance,
                        const float scale, const size_t n, float* HWY_RESTRICT s) {
  const GemmDF df;
  const size_t lanes = hn::Lanes(df);
  const auto vscale = hn::Set(df, scale), vslope = hn::Set(df, slope);
  auto from_query = hn::Iota(df, distance);
  for (size_t j = 0; j < n; j += lanes) {
    auto v = hn::MulAdd(hn::LoadU(df, s + j), vscale, hn::Mul(from_query, vslope));
    if (mask != nullptr) v = hn::Add(v, hn::LoadN(df, mask + j, HWY_MIN(lanes, n - j)));
    hn::StoreU(v, df, s + j);
    from_query = hn::Add(from_query, hn::Set(df, static_cast<float>(lanes)));
  }
}

// SoftmaxOfBlock of row r with keys [key, key + keys) of a head: of those that it sees, with what is
// added to their scores. The others count as if their scores were -infinity.
template <bool kToBF16, class Operands>
HWY_INLINE float SoftmaxOfRow(const Operands& p, size_t kv_head, size_t r, size_t key, size_t keys,
                              size_t padded, RowState row, float* HWY_RESTRICT s) {
  const size_t end = p.end_key(r);
  const size_t seen = end <= key ? 0 : HWY_MIN(end - key, keys);
  if (!p.bias.is_empty()) {
    const size_t head = kv_head * p.group + r % p.group;
    const float slope = p.bias.slopes == nullptr ? 0.0f : p.bias.slopes[head];
    const float distance =
        static_cast<float>(static_cast<ptrdiff_t>(key) - static_cast<ptrdiff_t>(p.position(r)));
    AddBias(p.bias.of_row(head, p.query(r), key), slope, distance, p.scale, seen, s);
  }
  const size_t begin = p.first_key(r);
  if (HWY_UNLIKELY(begin > key)) {
    const size_t n = HWY_MIN(begin - key, seen);
    for (size_t j = 0; j < n; ++j) s[j] = -std::numeric_limits<float>::infinity();
  }
  return SoftmaxOfBlock<kToBF16>(s, seen, padded, p.log2_scale, row);
}

// to[0, n) = to[0, n) * by, n a multiple of the lanes.
HWY_INLINE void ScaleRun(float by, size_t n, float* HWY_RESTRICT to) {
  const GemmDF df;
  for (size_t c = 0; c < n; c += hn::Lanes(df)) {
    hn::StoreU(hn::Mul(hn::LoadU(df, to + c), hn::Set(df, by)), df, to + c);
  }
}

// to[0, n) = from[0, n) divided by the sum; 0 where no score was above -infinity.
template <class T>
HWY_INLINE void StoreQuotient(const float* HWY_RESTRICT from, float sum, size_t n,
                              T* HWY_RESTRICT to) {
  const GemmDF df;
  const size_t lanes = hn::Lanes(df);
  const GemmVF by = hn::Set(df, sum == 0.0f ? 0.0f : 1.0f / sum);
  size_t c = 0;
  for (; c + lanes <= n; c += lanes) {
    StoreF32(hn::Mul(hn::LoadU(df, from + c), by), df, to + c);
  }
  if (c < n) StoreNF32(hn::Mul(hn::LoadU(df, from + c), by), df, to + c, n - c);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ATTENTION_SOFTMAX_INL_H_
