// SPDX-License-Identifier: Apache-2.0
// The two products of attention with keys and values that are read where they lie: for a few queries,
// where memory is the limit and packing would not pay.
//
// In f32 whatever the storage, but for queries and keys of bfloat16 where the CPU multiplies these.

#if defined(HALFWAY_SIMD_ATTENTION_IN_PLACE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ATTENTION_IN_PLACE_INL_H_
#undef HALFWAY_SIMD_ATTENTION_IN_PLACE_INL_H_
#else
#define HALFWAY_SIMD_ATTENTION_IN_PLACE_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/gemm_step-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows that pass over keys and values together: with four keys or vectors of columns, 16 sums, or 8.
#if (HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86) || HWY_ARCH_ARM_A64
static constexpr size_t kDecodeRows = 4;
#else
static constexpr size_t kDecodeRows = 2;
#endif

#if HWY_TARGET != HWY_SCALAR  // which has no blocks

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

#endif

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

// Cache lines that memory is asked for while rows are worked on: `lines` of them each `every` rows (a
// power of two), from `at` bytes after `row` to the end of that row, then from the next row on. They
// may lie past the end of the array.
struct LinesAhead {
  uintptr_t row;
  size_t at, bytes, stride;  // of a row: its size, and from one to the next
  size_t lines, every;

  HWY_INLINE void AtRow(size_t j) {
    if ((j & (every - 1)) != 0) return;
    for (size_t i = 0; i < lines; ++i) {
      hwy::Prefetch(reinterpret_cast<const void*>(row + at));
      at += 64;
      if (at >= bytes) {
        at = 0;
        row += stride;
      }
    }
  }
};

// How keys of T are multiplied with queries, a vector of elements of each at a time.
template <class T>
struct InPlaceF32 {
  using Query = float;
  using V = GemmVF;

  static HWY_INLINE size_t Elements() { return hn::Lanes(GemmDF()); }
  static HWY_INLINE V LoadKey(const T* k) { return LoadF32(GemmDF(), k); }
  static HWY_INLINE V LoadKeyN(const T* k, size_t n) { return LoadNF32(GemmDF(), k, n); }
  static HWY_INLINE V LoadQuery(const float* q) { return hn::LoadU(GemmDF(), q); }
  static HWY_INLINE GemmVF MultiplyAdd(V q, V k, GemmVF sum) { return hn::MulAdd(q, k, sum); }
};

#if HWY_NATIVE_DOT_BF16
struct InPlaceBF16 {
  using Query = bfloat16;
  using D = hn::Repartition<hwy::bfloat16_t, GemmDF>;
  using DRaw = hn::Repartition<uint16_t, GemmDF>;
  using V = hn::VFromD<D>;

  static HWY_INLINE const uint16_t* Raw(const bfloat16* p) {
    return reinterpret_cast<const uint16_t*>(p);
  }
  static HWY_INLINE size_t Elements() { return hn::Lanes(D()); }
  static HWY_INLINE V LoadKey(const bfloat16* k) {
    return hn::BitCast(D(), hn::LoadU(DRaw(), Raw(k)));
  }
  static HWY_INLINE V LoadKeyN(const bfloat16* k, size_t n) {
    return hn::BitCast(D(), hn::LoadN(DRaw(), Raw(k), n));
  }
  static HWY_INLINE V LoadQuery(const bfloat16* q) { return LoadKey(q); }
  static HWY_INLINE GemmVF MultiplyAdd(V q, V k, GemmVF sum) {
    GemmVF unused = hn::Zero(GemmDF());
    return hn::ReorderWidenMulAccumulate(GemmDF(), q, k, sum, unused);
  }
};
#endif

template <class TQ, class TKV>
constexpr auto ChooseInPlaceStep() {
#if HWY_NATIVE_DOT_BF16
  if constexpr (std::is_same_v<TQ, bfloat16> && std::is_same_v<TKV, bfloat16>) {
    return InPlaceBF16();
  } else  // NOLINT(readability-misleading-indentation)
#endif
  {
    return InPlaceF32<TKV>();
  }
}

// s[i][j] = q[i] . k[j] for kRows rows of q and four keys.
template <class Step, size_t kRows, class T>
HWY_INLINE void ScoresOfFour(const typename Step::Query* HWY_RESTRICT q, size_t q_stride,
                             const T* k0, const T* k1, const T* k2, const T* k3, size_t size,
                             float* HWY_RESTRICT s, size_t s_stride) {
  GemmVF s0[kRows], s1[kRows], s2[kRows], s3[kRows];
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) s0[i] = s1[i] = s2[i] = s3[i] = hn::Zero(GemmDF());
  const auto add = [&](size_t c, auto v0, auto v1, auto v2, auto v3) HWY_ATTR {
#pragma GCC unroll 4
    for (size_t i = 0; i < kRows; ++i) {
      const auto of_row = Step::LoadQuery(q + i * q_stride + c);
      s0[i] = Step::MultiplyAdd(of_row, v0, s0[i]);
      s1[i] = Step::MultiplyAdd(of_row, v1, s1[i]);
      s2[i] = Step::MultiplyAdd(of_row, v2, s2[i]);
      s3[i] = Step::MultiplyAdd(of_row, v3, s3[i]);
    }
  };
  const size_t step = Step::Elements();
  size_t c = 0;
#pragma GCC unroll 2
  for (; c + step <= size; c += step) {
    add(c, Step::LoadKey(k0 + c), Step::LoadKey(k1 + c), Step::LoadKey(k2 + c),
        Step::LoadKey(k3 + c));
  }
  if (c < size) {
    const size_t n = size - c;
    add(c, Step::LoadKeyN(k0 + c, n), Step::LoadKeyN(k1 + c, n), Step::LoadKeyN(k2 + c, n),
        Step::LoadKeyN(k3 + c, n));
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
    StoreSumsOfLanes(s0[i], s1[i], s2[i], s3[i], s + i * s_stride);
  }
}

// The same for `keys` keys; up to three floats more are written.
template <class Step, size_t kRows, class T>
HWY_NOINLINE void ScoresInPlace(const typename Step::Query* HWY_RESTRICT q, size_t q_stride,
                                const T* HWY_RESTRICT k, size_t stride, size_t keys, size_t size,
                                float* HWY_RESTRICT s, size_t s_stride, LinesAhead ahead) {
  const T* k2 = k + 2 * stride;
  size_t j = 0;
  for (; j + 4 <= keys; j += 4, k += 4 * stride, k2 += 4 * stride) {
#pragma GCC unroll 4
    for (size_t i = 0; i < 4; ++i) ahead.AtRow(j + i);
    ScoresOfFour<Step, kRows>(q, q_stride, k, k + stride, k2, k2 + stride, size, s + j, s_stride);
  }
  if (j < keys) {  // past the end, the last one again
    const T* last = k + (keys - j - 1) * stride;
    ScoresOfFour<Step, kRows>(q, q_stride, k, keys - j > 1 ? k + stride : last, last, last, size,
                              s + j, s_stride);
  }
}

// sum[x] += p v[x] for the columns [0, 4 lanes) of a value, in vectors of weights, one for each row.
template <size_t kRows, class T>
HWY_INLINE void AddValue(const float* HWY_RESTRICT p, size_t p_stride, const T* HWY_RESTRICT v,
                         GemmVF (&sum)[kRows][4]) {
  const GemmDF df;
  GemmVF v0, v1, v2, v3;
  Load4F32(df, v, v0, v1, v2, v3);
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
    const GemmVF weight = hn::Set(df, p[i * p_stride]);
    sum[i][0] = hn::MulAdd(weight, v0, sum[i][0]);
    sum[i][1] = hn::MulAdd(weight, v1, sum[i][1]);
    sum[i][2] = hn::MulAdd(weight, v2, sum[i][2]);
    sum[i][3] = hn::MulAdd(weight, v3, sum[i][3]);
  }
}

// out[i][c] += the sum over j of p[i][j] v[j][c], for kRows rows and four vectors of columns.
template <size_t kRows, class T>
HWY_NOINLINE void AddValuesInPlace(const float* HWY_RESTRICT p, size_t p_stride,
                                   const T* HWY_RESTRICT v, size_t stride, size_t keys,
                                   float* HWY_RESTRICT out, size_t out_stride, LinesAhead ahead) {
  const GemmDF df;
  const size_t lanes = hn::Lanes(df);
  GemmVF sum[kRows][4];
#pragma GCC unroll 4
  for (size_t i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (size_t x = 0; x < 4; ++x) sum[i][x] = hn::LoadU(df, out + i * out_stride + x * lanes);
  }
  size_t j = 0;
  if constexpr (kRows == 1) {  // four sums would wait for their own results
    GemmVF odd[1][4];
#pragma GCC unroll 4
    for (size_t x = 0; x < 4; ++x) odd[0][x] = hn::Zero(df);
    for (; j + 2 <= keys; j += 2, v += 2 * stride) {
      ahead.AtRow(j);
      ahead.AtRow(j + 1);
      AddValue(p + j, p_stride, v, sum);
      AddValue(p + j + 1, p_stride, v + stride, odd);
    }
#pragma GCC unroll 4
    for (size_t x = 0; x < 4; ++x) sum[0][x] = hn::Add(sum[0][x], odd[0][x]);
  }
  for (; j < keys; ++j, v += stride) {
    ahead.AtRow(j);
    AddValue(p + j, p_stride, v, sum);
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

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ATTENTION_IN_PLACE_INL_H_
