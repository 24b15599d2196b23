// SPDX-License-Identifier: Apache-2.0
// Reductions of contiguous elements of any float storage type, in f32, with the same bits on every
// target.
//
//   const float s = SumKernel<half>(x, n);

#if defined(HALFWAY_SIMD_REDUCE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_REDUCE_INL_H_
#undef HALFWAY_SIMD_REDUCE_INL_H_
#else
#define HALFWAY_SIMD_REDUCE_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/math-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum-inl.h"
#include "halfway/simd/sum_order.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ------------------------------ Sums

template <class T>
struct SumOp {
  static constexpr bool kEvenOdd = kLoadsEvenOdd<T>;
  const T* x;

  template <class DF, class V>
  HWY_INLINE void EvenOdd(DF df, size_t i, V& even, V& odd) const {
    V v0, v1;
    Load2EvenOdd(df, x + i, v0, v1);
    even = hn::Add(even, v0);
    odd = hn::Add(odd, v1);
  }

  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum) const {
    sum = hn::Add(sum, LoadF32(df, x + i));
  }
  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, size_t count) const {
    sum = hn::Add(sum, LoadNF32(df, x + i, count));
  }
};

template <class T>
struct SumOfSquaresOp {
  static constexpr bool kEvenOdd = kLoadsEvenOdd<T>;
  const T* x;

  template <class DF, class V>
  HWY_INLINE void EvenOdd(DF df, size_t i, V& even, V& odd) const {
    V v0, v1;
    Load2EvenOdd(df, x + i, v0, v1);
    even = Fma(v0, v0, even);
    odd = Fma(v1, v1, odd);
  }

  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum) const {
    const auto v = LoadF32(df, x + i);
    sum = Fma(v, v, sum);
  }
  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, size_t count) const {
    const auto v = LoadNF32(df, x + i, count);
    sum = Fma(v, v, sum);
  }
};

template <class X, class Y>
struct DotOp {
  static constexpr bool kEvenOdd = kLoadsEvenOdd<X> && kLoadsEvenOdd<Y>;
  const X* x;
  const Y* y;

  template <class DF, class V>
  HWY_INLINE void EvenOdd(DF df, size_t i, V& even, V& odd) const {
    V x0, x1, y0, y1;
    Load2EvenOdd(df, x + i, x0, x1);
    Load2EvenOdd(df, y + i, y0, y1);
    even = Fma(x0, y0, even);
    odd = Fma(x1, y1, odd);
  }

  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum) const {
    sum = Fma(LoadF32(df, x + i), LoadF32(df, y + i), sum);
  }
  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, size_t count) const {
    sum = Fma(LoadNF32(df, x + i, count), LoadNF32(df, y + i, count), sum);
  }
};

// The sum of x - shift.
template <class T>
struct SumShiftedOp {
  const T* x;
  float shift;

  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum) const {
    sum = hn::Add(sum, hn::Sub(LoadF32(df, x + i), hn::Set(df, shift)));
  }
  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, size_t count) const {
    const auto d = hn::Sub(LoadNF32(df, x + i, count), hn::Set(df, shift));
    sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(df, count), d));
  }
};

// The sums of x - shift and of its square.
template <class T>
struct SumDeviationsOp {
  static constexpr bool kEvenOdd = kLoadsEvenOdd<T>;
  const T* x;
  float shift;

  template <class DF, class V>
  HWY_INLINE void EvenOdd(DF df, size_t i, V& even, V& odd, V& squares_even, V& squares_odd) const {
    V v0, v1;
    Load2EvenOdd(df, x + i, v0, v1);
    const auto d0 = hn::Sub(v0, hn::Set(df, shift));
    const auto d1 = hn::Sub(v1, hn::Set(df, shift));
    even = hn::Add(even, d0);
    odd = hn::Add(odd, d1);
    squares_even = Fma(d0, d0, squares_even);
    squares_odd = Fma(d1, d1, squares_odd);
  }

  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, V& squares) const {
    const auto d = hn::Sub(LoadF32(df, x + i), hn::Set(df, shift));
    sum = hn::Add(sum, d);
    squares = Fma(d, d, squares);
  }
  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, V& squares, size_t count) const {
    const auto all = hn::Sub(LoadNF32(df, x + i, count), hn::Set(df, shift));
    const auto d = hn::IfThenElseZero(hn::FirstN(df, count), all);
    sum = hn::Add(sum, d);
    squares = Fma(d, d, squares);
  }
};

constexpr size_t kSumLanes = detail::sum_lanes;
constexpr size_t kPairLanes = detail::pair_lanes;

template <class T>
float SumKernel(const T* x, size_t n) {
  return Sum<kSumLanes>(SumOp<T>{x}, n);
}

template <class T>
float SumOfSquaresKernel(const T* x, size_t n) {
  return Sum<kSumLanes>(SumOfSquaresOp<T>{x}, n);
}

template <class Config>
float DotKernel(const typename Config::X* x, const typename Config::Y* y, size_t n) {
  return Sum<kSumLanes>(DotOp<typename Config::X, typename Config::Y>{x, y}, n);
}

// ------------------------------ Moments

using Moments = detail::moments;

// Two passes over n >= 1 elements: a mean of the differences from the first element, then the
// deviations from that mean, corrected for its rounding (Chan, Golub and LeVeque, "Algorithms for
// computing the sample variance", 1983, equation 1.7). Equal elements have a variance of exactly 0.
template <class T>
HWY_INLINE Moments ComputeMoments(const T* x, size_t n) {
  const hn::CappedTag<float, 1> d1;
  const float count = static_cast<float>(n);
  const float first = hn::GetLane(LoadNF32(d1, x, 1));
  // An infinite or NaN shift would make every difference NaN.
  const float shift = first - first == 0.0f ? first : 0.0f;
  const float pivot = shift + Sum<kSumLanes>(SumShiftedOp<T>{x, shift}, n) / count;
  const TwoSums sums = SumPairs<kPairLanes>(SumDeviationsOp<T>{x, pivot}, n);
  const float correction = sums.first / count;
  const float variance = FmaScalar(-correction, correction, sums.second / count);
  return {pivot, correction, variance < 0.0f ? 0.0f : variance};
}

// One pass about the mean of the first elements does as well where that is within a deviation of
// the mean, as it nearly always is; correction and variance are then about it.
constexpr size_t kFirstElements = 64;  // a power of two: the mean of equal elements is exact
template <class T>
HWY_INLINE float MeanOfFirst(const T* x) {
  return Sum<kSumLanes>(SumOp<T>{x}, kFirstElements) / static_cast<float>(kFirstElements);
}
HWY_INLINE bool IsNearMean(float correction, float variance) {
  return correction * correction <= variance;
}

template <class T>
detail::moments MomentsKernel(const T* x, size_t n) {
  return ComputeMoments(x, n);
}

template <class T>
mean_and_variance MeanVarianceKernel(const T* x, size_t n) {
  const Moments m = ComputeMoments(x, n);
  // Infinite elements make the correction NaN.
  return {m.correction == m.correction ? m.pivot + m.correction : m.pivot, m.variance};
}

// ------------------------------ Extrema

// The better of a and x; a where x is NaN, and where they are equal.
struct GreaterOp {
  template <class V>
  HWY_INLINE V operator()(V a, V x) const {
    return LargerOrFirst(a, x);
  }
  static constexpr float kWorst = -std::numeric_limits<float>::infinity();
};
struct LessOp {
  template <class V>
  HWY_INLINE V operator()(V a, V x) const {
    return SmallerOrFirst(a, x);
  }
  static constexpr float kWorst = std::numeric_limits<float>::infinity();
};

struct Extremum {
  float value;   // of the elements that are no NaN; of zeros with different signs either
  bool has_nan;  // among the elements
};
template <class Op, class T>
HWY_INLINE Extremum FindExtremum(const Op& better, const T* x, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const auto worst = hn::Set(df, Op::kWorst);
  auto best0 = worst, best1 = worst, best2 = worst, best3 = worst;
  auto nan0 = hn::MaskFalse(df), nan1 = nan0;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    hn::VFromD<decltype(df)> v0, v1, v2, v3;
    Load2EvenOdd(df, x + i, v0, v1);
    Load2EvenOdd(df, x + i + 2 * lanes, v2, v3);
    best0 = better(best0, v0);
    best1 = better(best1, v1);
    best2 = better(best2, v2);
    best3 = better(best3, v3);
    nan0 = hn::Or(nan0, hn::IsEitherNaN(v0, v1));
    nan1 = hn::Or(nan1, hn::IsEitherNaN(v2, v3));
  }
  for (; i < n; i += lanes) {
    const size_t count = HWY_MIN(lanes, n - i);
    const auto v = hn::IfThenElse(hn::FirstN(df, count), LoadNF32(df, x + i, count), worst);
    best0 = better(best0, v);
    nan0 = hn::Or(nan0, hn::IsNaN(v));
  }
  best0 = better(better(best0, best1), better(best2, best3));
  HWY_ALIGN float values[hn::MaxLanes(df)];
  hn::Store(best0, df, values);
  const hn::CappedTag<float, 1> d1;
  auto best = hn::Load(d1, values);
  for (size_t j = 1; j < lanes; ++j) best = better(best, hn::LoadU(d1, values + j));
  return {hn::GetLane(best), !hn::AllFalse(df, hn::Or(nan0, nan1))};
}

// The first index whose element is `value`, or is NaN if nan; n if there is none.
template <class T>
HWY_INLINE size_t FindFirst(const T* x, size_t n, float value, bool nan) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const auto target = hn::Set(df, value);
  for (size_t i = 0; i < n; i += lanes) {
    const size_t count = HWY_MIN(lanes, n - i);
    const auto v = LoadNF32(df, x + i, count);
    const auto found = hn::And(hn::FirstN(df, count), nan ? hn::IsNaN(v) : hn::Eq(v, target));
    const auto j = hn::FindFirstTrue(df, found);
    if (j >= 0) return i + static_cast<size_t>(j);
  }
  return n;
}

template <class Op, class T>
HWY_INLINE size_t FindFirstExtremum(const Op& better, const T* x, size_t n) {
  const Extremum extremum = FindExtremum(better, x, n);
  return FindFirst(x, n, extremum.value, extremum.has_nan);
}

// As an element: the first NaN, and of zeros with different signs the first one.
template <class Op, class T>
HWY_INLINE float ExtremeElement(const Op& better, const T* x, size_t n) {
  const Extremum extremum = FindExtremum(better, x, n);
  if (!extremum.has_nan && extremum.value != 0.0f) return extremum.value;
  const size_t i = FindFirst(x, n, extremum.value, extremum.has_nan);
  return hn::GetLane(LoadNF32(hn::CappedTag<float, 1>(), x + i, 1));
}

template <class T>
float MaxKernel(const T* x, size_t n) {
  return ExtremeElement(GreaterOp(), x, n);
}
template <class T>
float MinKernel(const T* x, size_t n) {
  return ExtremeElement(LessOp(), x, n);
}
template <class T>
size_t ArgmaxKernel(const T* x, size_t n) {
  return FindFirstExtremum(GreaterOp(), x, n);
}

// ------------------------------ Columns

// out[j] = the sum of column j. Rows are taken eight at a time and summed as a tree, so that an
// element goes through at most rows / 8 + 6 additions; what is left of them by four, two and one.
template <class T>
void ColumnSumsKernel(const T* x, size_t rows, size_t cols, size_t stride, float* out) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  for (size_t j = 0; j < cols; ++j) out[j] = 0.0f;
  size_t i = 0;
  for (; i + 8 <= rows; i += 8) {
    const T* r = x + i * stride;
    for (size_t j = 0; j < cols; j += lanes) {
      const size_t count = HWY_MIN(lanes, cols - j);
      const auto load = [&](size_t k) HWY_ATTR {
        return count == lanes ? LoadF32(df, r + k * stride + j)
                              : LoadNF32(df, r + k * stride + j, count);
      };
      const auto low = hn::Add(hn::Add(load(0), load(1)), hn::Add(load(2), load(3)));
      const auto high = hn::Add(hn::Add(load(4), load(5)), hn::Add(load(6), load(7)));
      hn::StoreN(hn::Add(hn::LoadN(df, out + j, count), hn::Add(low, high)), df, out + j, count);
    }
  }
  for (; i < rows; ++i) {
    const T* r = x + i * stride;
    for (size_t j = 0; j < cols; j += lanes) {
      const size_t count = HWY_MIN(lanes, cols - j);
      hn::StoreN(hn::Add(hn::LoadN(df, out + j, count), LoadNF32(df, r + j, count)), df, out + j,
                 count);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_REDUCE_INL_H_
