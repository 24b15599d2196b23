// SPDX-License-Identifier: Apache-2.0
// Attention of few queries, as in decoding: keys and values are read where they lie, once, so that
// the memory they come from is the limit.
//
//   AttentionDecodeKernel<Config>(operands, kv_head);
//
// All in f32, whatever the storage.

#if defined(HALFWAY_SIMD_ATTENTION_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ATTENTION_DECODE_INL_H_
#undef HALFWAY_SIMD_ATTENTION_DECODE_INL_H_
#else
#define HALFWAY_SIMD_ATTENTION_DECODE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/attention_args.h"
#include "halfway/simd/attention_pack-inl.h"
#include "halfway/simd/attention_softmax-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Keys of a block.
static constexpr size_t kDecodeBlock = 32;
// How many rows ahead memory is asked for. Measured on Zen 5 with caches of 8 heads x 16384 tokens:
// 24 to 48 rows are best, blocks of 32 and 64 keys are alike, and reading from several places of a
// head at once is no faster.
static constexpr size_t kDecodeAhead = 32;

// Rows that pass over keys and values together: with four keys or vectors of columns, 16 sums, or 8.
#if (HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86) || HWY_ARCH_ARM_A64
static constexpr size_t kDecodeRows = 4;
#else
static constexpr size_t kDecodeRows = 2;
#endif

// to[i] = the sum of lane i of each block of four lanes.
template <class DF>
HWY_INLINE void StoreSumOfBlocks(DF df, hn::VFromD<DF> v, float* HWY_RESTRICT to) {
  if constexpr (HWY_MAX_LANES_D(DF) <= 4) {
    hn::StoreU(v, df, to);
  } else {
    const hn::Half<DF> dh;
    StoreSumOfBlocks(dh, hn::Add(hn::LowerHalf(dh, v), hn::UpperHalf(dh, v)), to);
  }
}

// to[i] = the sum of the lanes of vi.
HWY_INLINE void StoreSumsOfLanes(GemmVF v0, GemmVF v1, GemmVF v2, GemmVF v3,
                                 float* HWY_RESTRICT to) {
  const GemmDF df;
  if constexpr (HWY_MAX_LANES_D(GemmDF) < 4) {
    to[0] = hn::ReduceSum(df, v0);
    to[1] = hn::ReduceSum(df, v1);
    to[2] = hn::ReduceSum(df, v2);
    to[3] = hn::ReduceSum(df, v3);
  } else {
#if HWY_TARGET != HWY_SCALAR
    const hn::Repartition<uint64_t, GemmDF> du64;
    // Within blocks of four lanes: v0 v1 v0 v1 and v2 v3 v2 v3, then v0 v1 v2 v3.
    const auto v01 = hn::Add(hn::InterleaveLower(df, v0, v1), hn::InterleaveUpper(df, v0, v1));
    const auto v23 = hn::Add(hn::InterleaveLower(df, v2, v3), hn::InterleaveUpper(df, v2, v3));
    const auto p01 = hn::BitCast(du64, v01);
    const auto p23 = hn::BitCast(du64, v23);
    const auto all = hn::Add(hn::BitCast(df, hn::InterleaveLower(du64, p01, p23)),
                             hn::BitCast(df, hn::InterleaveUpper(du64, p01, p23)));
    StoreSumOfBlocks(df, all, to);
#endif
  }
}

// Asks for the cache lines of `bytes` bytes that start `ahead` bytes after `row`, which may lie past
// the end of the array.
HWY_INLINE void PrefetchAhead(const void* row, size_t ahead, size_t bytes) {
  const uintptr_t from = reinterpret_cast<uintptr_t>(row) + ahead;
  for (size_t i = 0; i < bytes; i += 64) hwy::Prefetch(reinterpret_cast<const void*>(from + i));
}

// sum[i] += the products of q[i] with the elements [c, c + 4 lanes) of a key.
template <size_t kRows, class T>
HWY_INLINE void AddProducts(const float* HWY_RESTRICT q, size_t q_stride, const T* k, size_t c,
                            GemmVF* HWY_RESTRICT sum) {
  const GemmDF df;
  const size_t lanes = hn::Lanes(df);
  GemmVF v0, v1, v2, v3;
  Load4F32(df, k + c, v0, v1, v2, v3);
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
    const float* HWY_RESTRICT of_row = q + i * q_stride + c;
    sum[i] = hn::MulAdd(hn::LoadU(df, of_row), v0, sum[i]);
    sum[i] = hn::MulAdd(hn::LoadU(df, of_row + lanes), v1, sum[i]);
    sum[i] = hn::MulAdd(hn::LoadU(df, of_row + 2 * lanes), v2, sum[i]);
    sum[i] = hn::MulAdd(hn::LoadU(df, of_row + 3 * lanes), v3, sum[i]);
  }
}

// The same for elements [c, c + count), at most a vector.
template <size_t kRows, class T>
HWY_INLINE void AddLastProducts(const float* HWY_RESTRICT q, size_t q_stride, const T* k, size_t c,
                                size_t count, GemmVF* HWY_RESTRICT sum) {
  const GemmDF df;
  const GemmVF v = LoadNF32(df, k + c, count);
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
    sum[i] = hn::MulAdd(hn::LoadU(df, q + i * q_stride + c), v, sum[i]);
  }
}

// s[i][j] = q[i] . k[j] for kRows rows of q and four keys.
template <size_t kRows, class T>
HWY_INLINE void ScoresOfFour(const float* HWY_RESTRICT q, size_t q_stride, const T* k0, const T* k1,
                             const T* k2, const T* k3, size_t size, float* HWY_RESTRICT s,
                             size_t s_stride) {
  const GemmDF df;
  const size_t lanes = hn::Lanes(df);
  GemmVF s0[kRows], s1[kRows], s2[kRows], s3[kRows];
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) s0[i] = s1[i] = s2[i] = s3[i] = hn::Zero(df);
  size_t c = 0;
  for (; c + 4 * lanes <= size; c += 4 * lanes) {
    AddProducts<kRows>(q, q_stride, k0, c, s0);
    AddProducts<kRows>(q, q_stride, k1, c, s1);
    AddProducts<kRows>(q, q_stride, k2, c, s2);
    AddProducts<kRows>(q, q_stride, k3, c, s3);
  }
  for (; c < size; c += lanes) {
    const size_t count = HWY_MIN(lanes, size - c);
    AddLastProducts<kRows>(q, q_stride, k0, c, count, s0);
    AddLastProducts<kRows>(q, q_stride, k1, c, count, s1);
    AddLastProducts<kRows>(q, q_stride, k2, c, count, s2);
    AddLastProducts<kRows>(q, q_stride, k3, c, count, s3);
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
    StoreSumsOfLanes(s0[i], s1[i], s2[i], s3[i], s + i * s_stride);
  }
}

// The same for `keys` keys; up to three floats more are written. `ahead`: bytes to the key that
// memory is asked for; 0: for none.
template <size_t kRows, class T>
HWY_NOINLINE void ScoresInPlace(const float* HWY_RESTRICT q, size_t q_stride,
                                const T* HWY_RESTRICT k, size_t stride, size_t keys, size_t size,
                                float* HWY_RESTRICT s, size_t s_stride, size_t ahead) {
  for (size_t j = 0; j < keys; j += 4, k += 4 * stride) {
    const size_t last = HWY_MIN(keys - j, size_t{4}) - 1;  // past the end, the last one again
    if (ahead != 0) {
      for (size_t i = 0; i <= last; ++i) PrefetchAhead(k + i * stride, ahead, size * sizeof(T));
    }
    ScoresOfFour<kRows>(q, q_stride, k, k + HWY_MIN(last, size_t{1}) * stride,
                        k + HWY_MIN(last, size_t{2}) * stride, k + last * stride, size, s + j,
                        s_stride);
  }
}

// out[i][c] += the sum over j of p[i][j] v[j][c], for kRows rows and four vectors of columns.
// `ahead` as above.
template <size_t kRows, class T>
HWY_NOINLINE void AddValuesInPlace(const float* HWY_RESTRICT p, size_t p_stride,
                                   const T* HWY_RESTRICT v, size_t stride, size_t keys,
                                   float* HWY_RESTRICT out, size_t out_stride, size_t ahead) {
  const GemmDF df;
  const size_t lanes = hn::Lanes(df);
  GemmVF sum[kRows][4];
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (size_t x = 0; x < 4; ++x) sum[i][x] = hn::LoadU(df, out + i * out_stride + x * lanes);
  }
  for (size_t j = 0; j < keys; ++j) {
    if (ahead != 0) PrefetchAhead(v, ahead, 4 * lanes * sizeof(T));
    GemmVF v0, v1, v2, v3;
    Load4F32(df, v, v0, v1, v2, v3);
#pragma GCC unroll 4
    for (size_t i = 0; i < kRows; ++i) {
      const GemmVF weight = hn::Set(df, p[i * p_stride + j]);
      sum[i][0] = hn::MulAdd(weight, v0, sum[i][0]);
      sum[i][1] = hn::MulAdd(weight, v1, sum[i][1]);
      sum[i][2] = hn::MulAdd(weight, v2, sum[i][2]);
      sum[i][3] = hn::MulAdd(weight, v3, sum[i][3]);
    }
    v += stride;
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (size_t x = 0; x < 4; ++x) hn::StoreU(sum[i][x], df, out + i * out_stride + x * lanes);
  }
}

// The same for one row and `cols` columns, at most a vector.
template <class T>
HWY_NOINLINE void AddLastValuesInPlace(const float* HWY_RESTRICT p, const T* HWY_RESTRICT v,
                                       size_t stride, size_t keys, size_t cols,
                                       float* HWY_RESTRICT out) {
  const GemmDF df;
  GemmVF sum = hn::LoadU(df, out);
  for (size_t j = 0; j < keys; ++j) {
    sum = hn::MulAdd(hn::Set(df, p[j]), LoadNF32(df, v + j * stride, cols), sum);
  }
  hn::StoreU(sum, df, out);
}

template <class Config>
class DecodeTask {
 public:
  using T = typename Config::KV;

  DecodeTask(const typename Config::Operands& operands, size_t kv_head)
      : p_(operands), kv_head_(kv_head), rows_(operands.group * operands.q_rows) {
    q_stride_ = hwy::RoundUpTo(p_.size, kGranule);
    width_ = hwy::RoundUpTo(p_.v_size, kGranule);
    padded_rows_ = rows_ == 1 ? 1 : hwy::RoundUpTo(rows_, kDecodeRows);
    const size_t row_floats = q_stride_ + width_ + kScoreStride + kGranule + 1;
    q_ = static_cast<float*>(p_.scratch(padded_rows_ * row_floats * sizeof(float)));
    result_ = q_ + padded_rows_ * q_stride_;
    scores_ = result_ + padded_rows_ * width_;
    sums_ = scores_ + padded_rows_ * kScoreStride;
    max_ = sums_ + rows_ * kGranule;
  }

  HWY_INLINE void Run() {
    for (size_t r = 0; r < rows_; ++r) {
      float* HWY_RESTRICT to = q_ + r * q_stride_;
      PackRun(p_.q_row(kv_head_, r), p_.size, to);
      hwy::ZeroBytes(to + p_.size, (q_stride_ - p_.size) * sizeof(float));
    }
    hwy::ZeroBytes(q_ + rows_ * q_stride_, (padded_rows_ - rows_) * q_stride_ * sizeof(float));
    hwy::ZeroBytes(result_, padded_rows_ * width_ * sizeof(float));

    const size_t last_key = p_.keys_of(rows_ - 1);
    for (size_t key = 0; key < last_key; key += kDecodeBlock) {
      RunBlock(key, HWY_MIN(kDecodeBlock, last_key - key));
    }
    for (size_t r = 0; r < rows_; ++r) {
      StoreQuotient(result_ + r * width_, sums_ + r * kGranule, p_.v_size, p_.out_row(kv_head_, r));
    }
  }

 private:
  static constexpr size_t kGranule = detail::panel_granule;
  static constexpr size_t kScoreStride = kDecodeBlock + kGranule;

  HWY_INLINE void RunBlock(size_t key, size_t keys) {
    const auto k_scale = p_.k_scale.of_head(kv_head_).from_row(key);
    const auto v_scale = p_.v_scale.of_head(kv_head_).from_row(key);
    Scores(key, keys);
    for (size_t r = 0; r < rows_; ++r) {
      const size_t all = p_.keys_of(r);
      const size_t seen = all <= key ? 0 : HWY_MIN(all - key, keys);
      float* HWY_RESTRICT s = scores_ + r * kScoreStride;
      Scale(k_scale, keys, s);
      const float factor =
          SoftmaxOfBlock<false>(s, seen, hwy::RoundUpTo(keys, kGranule), p_.log2_scale, key == 0,
                                RowState{max_ + r, sums_ + r * kGranule});
      if (HWY_UNLIKELY(factor != 1.0f)) {
        for (size_t c = 0; c < width_; ++c) result_[r * width_ + c] *= factor;
      }
      Scale(v_scale, keys, s);
    }
    AddValues(key, keys);
  }

  // Multiplies what belongs to each key with its scale.
  static HWY_INLINE void Scale(const detail::token_scales& scales, size_t keys,
                               float* HWY_RESTRICT s) {
    if (scales.data == nullptr) return;
    for (size_t j = 0; j < keys; ++j) s[j] *= scales[j];
  }

  HWY_INLINE void Scores(size_t key, size_t keys) const {
    const T* k = p_.k.row(kv_head_, key);
    const size_t stride = p_.k.row_stride;
    const size_t ahead = kDecodeAhead * stride * sizeof(T);
    if (rows_ == 1) {
      ScoresInPlace<1>(q_, q_stride_, k, stride, keys, p_.size, scores_, kScoreStride, ahead);
      return;
    }
    for (size_t r = 0; r < rows_; r += kDecodeRows) {
      ScoresInPlace<kDecodeRows>(q_ + r * q_stride_, q_stride_, k, stride, keys, p_.size,
                                 scores_ + r * kScoreStride, kScoreStride, r == 0 ? ahead : 0);
    }
  }

  HWY_INLINE void AddValues(size_t key, size_t keys) {
    const size_t lanes = hn::Lanes(GemmDF());
    const T* v = p_.v.row(kv_head_, key);
    const size_t stride = p_.v.row_stride;
    const size_t ahead = kDecodeAhead * stride * sizeof(T);
    size_t c = 0;
    for (; c + 4 * lanes <= p_.v_size; c += 4 * lanes) {
      if (rows_ == 1) {
        AddValuesInPlace<1>(scores_, kScoreStride, v + c, stride, keys, result_ + c, width_, ahead);
        continue;
      }
      for (size_t r = 0; r < rows_; r += kDecodeRows) {
        AddValuesInPlace<kDecodeRows>(scores_ + r * kScoreStride, kScoreStride, v + c, stride, keys,
                                      result_ + r * width_ + c, width_, r == 0 ? ahead : 0);
      }
    }
    for (; c < p_.v_size; c += lanes) {
      for (size_t r = 0; r < rows_; ++r) {
        AddLastValuesInPlace(scores_ + r * kScoreStride, v + c, stride, keys,
                             HWY_MIN(lanes, p_.v_size - c), result_ + r * width_ + c);
      }
    }
  }

  const typename Config::Operands& p_;
  size_t kv_head_;
  size_t rows_, padded_rows_;  // those that are there; with those that are worked on
  size_t q_stride_, width_;
  float* q_;
  float* result_;  // not yet divided by the sum
  float* scores_;  // then p
  float* sums_;
  float* max_;
};

// All rows of the group of kv_head.
template <class Config>
void AttentionDecodeKernel(const typename Config::Operands& operands, size_t kv_head) {
  DecodeTask<Config>(operands, kv_head).Run();
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ATTENTION_DECODE_INL_H_
