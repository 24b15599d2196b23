// SPDX-License-Identifier: Apache-2.0
// Softmax, its logarithm and the cross entropy of rows of logits: three passes over a row, in f32.
//
//   SoftmaxKernel(detail::softmax_rows<detail::softmax_config<half, float>>{x, y, ...}, nullptr);

#if defined(HALFWAY_SIMD_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_SOFTMAX_INL_H_
#undef HALFWAY_SIMD_SOFTMAX_INL_H_
#else
#define HALFWAY_SIMD_SOFTMAX_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/math-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum-inl.h"
#include "halfway/types/limits.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ------------------------------ Logits: what a row's elements are before the exponential

template <class T>
struct PlainLogits {
  static constexpr bool kEvenOdd = kLoadsEvenOdd<T>;
  const T* x;

  template <class DF>
  HWY_INLINE hn::VFromD<DF> operator()(DF df, size_t j) const {
    return LoadF32(df, x + j);
  }
  template <class DF>
  HWY_INLINE hn::VFromD<DF> operator()(DF df, size_t j, size_t count) const {
    return LoadNF32(df, x + j, count);
  }
  // Two vectors, in any order.
  template <class DF, class V>
  HWY_INLINE void Two(DF df, size_t j, V& v0, V& v1) const {
    Load2EvenOdd(df, x + j, v0, v1);
  }
};

// scale * x + mask, the product rounded; no mask where it is null.
template <class T, class M>
struct MaskedLogits {
  static constexpr bool kEvenOdd = false;
  const T* x;
  const M* mask;
  float scale;

  template <class DF>
  HWY_INLINE hn::VFromD<DF> operator()(DF df, size_t j) const {
    const auto v = LoadF32(df, x + j);
    if (mask == nullptr) return hn::Mul(v, hn::Set(df, scale));
    return Fma(v, hn::Set(df, scale), LoadF32(df, mask + j));
  }
  template <class DF>
  HWY_INLINE hn::VFromD<DF> operator()(DF df, size_t j, size_t count) const {
    const auto v = LoadNF32(df, x + j, count);
    if (mask == nullptr) return hn::Mul(v, hn::Set(df, scale));
    return Fma(v, hn::Set(df, scale), LoadNF32(df, mask + j, count));
  }
  template <class DF, class V>
  HWY_INLINE void Two(DF df, size_t j, V& v0, V& v1) const {
    v0 = (*this)(df, j);
    v1 = (*this)(df, j + hn::Lanes(df));
  }
};

// The largest element that is no NaN; -inf if there is none. Which of +0 and -0 does not matter to
// what is subtracted from.
template <class Logits>
HWY_INLINE float RowMax(const Logits& x, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const auto lowest = hn::Neg(hn::Inf(df));
  auto max0 = lowest, max1 = lowest, max2 = lowest, max3 = lowest;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    hn::VFromD<decltype(df)> v0, v1, v2, v3;
    x.Two(df, i, v0, v1);
    x.Two(df, i + 2 * lanes, v2, v3);
    max0 = LargerOrFirst(max0, v0);
    max1 = LargerOrFirst(max1, v1);
    max2 = LargerOrFirst(max2, v2);
    max3 = LargerOrFirst(max3, v3);
  }
  for (; i + lanes <= n; i += lanes) max0 = LargerOrFirst(max0, x(df, i));
  if (i != n) {
    const auto v = x(df, i, n - i);
    max1 = LargerOrFirst(max1, hn::IfThenElse(hn::FirstN(df, n - i), v, lowest));
  }
  return hn::ReduceMax(df, hn::Max(hn::Max(max0, max1), hn::Max(max2, max3)));
}

// Adds up e^(x - max), and keeps each in e unless kDiscard. kEvenOdd elements are kept in the order
// that Several loads them in.
template <class Logits, bool kDiscard, bool kRoughExp, bool kInAnyOrder>
struct SumExpOp {
  static constexpr bool kEvenOdd = Logits::kEvenOdd && (kDiscard || kInAnyOrder);
  Logits x;
  float* e;
  float max;
  decltype(Logits::x) next = nullptr;  // if not null, the row to fetch meanwhile

  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum) const {
    const auto v = ExpOfDifference<kRoughExp>(df, hn::Sub(x(df, i), hn::Set(df, max)));
    if constexpr (!kDiscard) hn::StoreU(v, df, e + i);
    sum = hn::Add(sum, v);
  }
  template <class DF, class V, size_t N>
  HWY_INLINE void Several(DF df, size_t i, V (&sums)[N]) const {
    const size_t lanes = hn::Lanes(df);
    if (next != nullptr) PrefetchLines(next + i, N * lanes);
    V v[N];
    HWY_UNROLL(4)
    for (size_t k = 0; k < N; k += 2) {
      if constexpr (kEvenOdd) {
        x.Two(df, i + k * lanes, v[k], v[k + 1]);
      } else {
        v[k] = x(df, i + k * lanes);
        v[k + 1] = x(df, i + (k + 1) * lanes);
      }
    }
    HWY_UNROLL(4)
    for (size_t k = 0; k < N; ++k) v[k] = hn::Sub(v[k], hn::Set(df, max));
    ExpOfDifferences<N, kRoughExp>(df, v);
    HWY_UNROLL(4)
    for (size_t k = 0; k < N; ++k) {
      if constexpr (!kDiscard) hn::StoreU(v[k], df, e + i + k * lanes);
      sums[k] = hn::Add(sums[k], v[k]);
    }
  }
  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, size_t count) const {
    const auto v = ExpOfDifference<kRoughExp>(df, hn::Sub(x(df, i, count), hn::Set(df, max)));
    if constexpr (!kDiscard) hn::StoreN(v, df, e + i, count);
    sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(df, count), v));
  }
};

constexpr size_t kExpLanes = 64;  // enough vectors at a time to hide how long an exponential takes

struct ScaleOp {
  float factor;
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return hn::Mul(x, hn::Set(df, factor));
  }
};

// x - max - log_sum
struct LogSoftmaxOp {
  float max;
  float log_sum;
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return hn::Sub(hn::Sub(x, hn::Set(df, max)), hn::Set(df, log_sum));
  }
};

HWY_INLINE float LogScalar(float x) {
  const hn::CappedTag<float, 1> d1;
  return hn::GetLane(Log(d1, hn::Set(d1, x)));
}

// Where a row's logits are.
template <class Config>
HWY_INLINE auto LogitsOfRow(const detail::softmax_rows<Config>& a, size_t r) {
  using X = typename Config::X;
  if constexpr (Config::kMasked) {
    using M = typename Config::M;
    const M* mask = a.mask.data == nullptr ? nullptr : a.mask.row(r);
    return MaskedLogits<X, M>{a.x.row(r), mask, a.scale};
  } else {
    return PlainLogits<X>{a.x.row(r)};
  }
}

template <class Y>
HWY_INLINE void WriteZeros(Y* y, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  for (size_t j = 0; j < n; j += lanes) {
    StoreNF32(hn::Zero(df), df, y + j, HWY_MIN(lanes, n - j));
  }
}

// The elements that SumExpOp::Several has kept in its order; returns how many they are.
template <class Y>
HWY_INLINE size_t ScaleEvenOdd(const ScaleOp& scale, const float* e, Y* y, size_t n, bool stream) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const size_t whole = n - n % kExpLanes;
  stream = stream && reinterpret_cast<uintptr_t>(y) % (lanes * sizeof(float)) == 0;
  const auto scaled = [&](size_t j) HWY_ATTR { return scale(df, hn::LoadU(df, e + j)); };
  for (size_t j = 0; j < whole; j += 4 * lanes) {
    Store4EvenOdd(scaled(j), scaled(j + lanes), scaled(j + 2 * lanes), scaled(j + 3 * lanes), df,
                  y + j, stream);
  }
  if (stream) hwy::FlushStream();
  return whole;
}

// `scratch` holds rows_together(...) rows of floats, unless y does.
// Several rows go through each pass together, so that the end of one, a chain of folds, overlaps
// with the next.
template <class Config>
void SoftmaxKernel(const detail::softmax_rows<Config>& a, float* scratch) {
  using Y = typename Config::Y;
  constexpr bool kRough = std::numeric_limits<Y>::digits <= 11;
  constexpr bool kMixed = !Config::kMasked && kMapsEvenOdd<typename Config::X, Y>;
  constexpr size_t kMaxRows = detail::max_rows_together;
  const size_t together = detail::rows_together(a.cols, sizeof(float));
  float max[kMaxRows], sum[kMaxRows];
  for (size_t begin = 0; begin < a.rows; begin += together) {
    const size_t n = HWY_MIN(together, a.rows - begin);
    const auto e_of = [&](size_t k) HWY_ATTR {
      if constexpr (std::is_same_v<Y, float>) return a.y.row(begin + k);
      return scratch + k * a.cols;
    };
    for (size_t k = 0; k < n; ++k) {
      max[k] = RowMax(LogitsOfRow(a, begin + k), a.visible(begin + k));
    }
    for (size_t k = 0; k < n; ++k) {
      const auto x = LogitsOfRow(a, begin + k);
      const SumExpOp<std::remove_const_t<decltype(x)>, false, kRough, kMixed> op{
          x, e_of(k), max[k], a.stream ? a.x.row(begin + k + together) : nullptr};
      sum[k] = Sum<kExpLanes>(op, a.visible(begin + k));
    }
    for (size_t k = 0; k < n; ++k) {
      const size_t visible = a.visible(begin + k);
      Y* y = a.y.row(begin + k);
      const ScaleOp scale{1.0f / sum[k]};
      size_t done = 0;
      if constexpr (kMixed) done = ScaleEvenOdd(scale, e_of(k), y, visible, a.stream);
      const bool stream =
          a.stream && !std::is_same_v<Y, float>;  // floats are in the caches already
      MapElements(scale, e_of(k) + done, y + done, visible - done, stream);
      WriteZeros(y + visible, a.cols - visible);
    }
  }
}

template <class Config>
void LogSoftmaxKernel(const detail::softmax_rows<Config>& a) {
  constexpr size_t kMaxRows = detail::max_rows_together;
  const size_t together = detail::rows_together(a.cols, sizeof(float));
  float max[kMaxRows], sum[kMaxRows];
  for (size_t begin = 0; begin < a.rows; begin += together) {
    const size_t n = HWY_MIN(together, a.rows - begin);
    for (size_t k = 0; k < n; ++k) max[k] = RowMax(LogitsOfRow(a, begin + k), a.cols);
    for (size_t k = 0; k < n; ++k) {
      const auto x = LogitsOfRow(a, begin + k);
      using Logits = std::remove_const_t<decltype(x)>;
      constexpr bool kRough = std::numeric_limits<typename Config::Y>::digits <= 11;
      sum[k] = Sum<kExpLanes>(
          SumExpOp<Logits, true, kRough, true>{x, nullptr, max[k],
                                               a.stream ? a.x.row(begin + k + together) : nullptr},
          a.cols);
    }
    for (size_t k = 0; k < n; ++k) {
      MapElements(LogSoftmaxOp{max[k], LogScalar(sum[k])}, a.x.row(begin + k), a.y.row(begin + k),
                  a.cols, a.stream);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_SOFTMAX_INL_H_
