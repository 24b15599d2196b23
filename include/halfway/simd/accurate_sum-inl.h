// SPDX-License-Identifier: Apache-2.0
// Sums with smaller errors than those of sum-inl.h: as a tree, in double, and compensated. The same
// bits on every target.
//
//   const float tree = SumPairwiseKernel<half>(x, n);
//   const double wide = SumInDoubleKernel<half>(x, n);
//   const detail::sum_and_error s = SumCompensatedKernel<half>(x, n);  // s.sum + s.error

#if defined(HALFWAY_SIMD_ACCURATE_SUM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ACCURATE_SUM_INL_H_
#undef HALFWAY_SIMD_ACCURATE_SUM_INL_H_
#else
#define HALFWAY_SIMD_ACCURATE_SUM_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/reduce-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum-inl.h"
#include "halfway/simd/sum_order.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// ------------------------------ Pairwise

// Partial sums in memory, which need not be set to zero first.
HWY_INLINE void StoreSums(const Partials<kSumLanes>& sums, float* HWY_RESTRICT to) {
  const PartialTag df;
  HALFWAY_PARTIALS_CONSTEXPR size_t count = Partials<kSumLanes>::Count();
  HALFWAY_UNROLL_PARTIALS
  for (size_t k = 0; k < count; ++k) hn::Store(sums.Get(k), df, to + k * hn::Lanes(df));
}
HWY_INLINE void AddStoredSums(Partials<kSumLanes>& sums, const float* HWY_RESTRICT stored) {
  const PartialTag df;
  HALFWAY_PARTIALS_CONSTEXPR size_t count = Partials<kSumLanes>::Count();
  HALFWAY_UNROLL_PARTIALS
  for (size_t k = 0; k < count; ++k) {
    sums.Set(k, hn::Add(sums.Get(k), hn::Load(df, stored + k * hn::Lanes(df))));
  }
}

// Runs of pairwise_run elements for each partial sum, which are then added two and two: two runs,
// two pairs of runs, and so on, as a binary counter does. `levels` stand for its digits.
template <class Op>
HWY_INLINE float SumPairwise(const Op& op, size_t n) {
  constexpr size_t kBlock = detail::pairwise_run * kSumLanes;
  constexpr size_t kLevels = detail::ceil_log2(detail::reduction_part / kBlock) + 1;
  HWY_ALIGN float levels[kLevels][kSumLanes];
  size_t blocks = 0;
  size_t begin = 0;
  for (; begin + kBlock <= n; begin += kBlock, ++blocks) {
    Partials<kSumLanes> sums;
    AddElements(op, begin, begin + kBlock, sums);
    size_t level = 0;
    for (; (blocks >> level) % 2 == 1; ++level) AddStoredSums(sums, levels[level]);
    StoreSums(sums, levels[level]);
  }
  Partials<kSumLanes> total;
  AddElements(op, begin, n, total);
  for (size_t level = 0; blocks >> level != 0; ++level) {
    if ((blocks >> level) % 2 == 1) AddStoredSums(total, levels[level]);
  }
  return total.Fold();
}

template <class T>
float SumPairwiseKernel(const T* x, size_t n) {
  return SumPairwise(SumOp<T>{x}, n);
}
template <class Config>
float DotPairwiseKernel(const typename Config::X* x, const typename Config::Y* y, size_t n) {
  return SumPairwise(DotOp<typename Config::X, typename Config::Y>{x, y}, n);
}

// ------------------------------ In double

// Elements i = j mod wide_lanes in turn, for each j; then the upper half of the lanes is added to the
// lower until one is left.
using WideTag = hn::CappedTag<double, 8>;
using WideVec = hn::VFromD<WideTag>;

// term(d, i) gives the elements from i on, term(d, i, count) only so many and zeros.
template <class Term>
HWY_INLINE double SumInDouble(const Term& term, size_t n) {
  constexpr size_t kLanes = detail::wide_lanes;
  const WideTag d;
  const size_t lanes = hn::Lanes(d);
  HWY_ALIGN double sums[kLanes];
  size_t i = 0;
#if HWY_HAVE_SCALABLE || \
    !HWY_NATIVE_FMA  // vectors can't be in arrays, or are too many for registers
  for (double& sum : sums) sum = 0.0;
  for (; i + kLanes <= n; i += kLanes) {
    for (size_t k = 0; k < kLanes; k += lanes) {
      hn::Store(hn::Add(hn::Load(d, sums + k), term(d, i + k)), d, sums + k);
    }
  }
#else
  constexpr size_t kVectors = kLanes / hn::MaxLanes(WideTag());
  WideVec v[kVectors];
  HWY_UNROLL(16)
  for (size_t k = 0; k < kVectors; ++k) v[k] = hn::Zero(d);
  for (; i + kLanes <= n; i += kLanes) {
    HWY_UNROLL(16)
    for (size_t k = 0; k < kVectors; ++k) v[k] = hn::Add(v[k], term(d, i + k * lanes));
  }
  HWY_UNROLL(16)
  for (size_t k = 0; k < kVectors; ++k) hn::Store(v[k], d, sums + k * lanes);
#endif
  for (size_t k = 0; i < n; i += lanes, k += lanes) {
    hn::Store(hn::Add(hn::Load(d, sums + k), term(d, i, HWY_MIN(lanes, n - i))), d, sums + k);
  }
  for (size_t half = kLanes / 2; half != 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) sums[j] += sums[j + half];
  }
  return sums[0];
}

template <class T>
HWY_INLINE WideVec LoadDouble(WideTag d, const T* p) {
  return hn::PromoteTo(d, LoadF32(hn::Rebind<float, WideTag>(), p));
}
template <class T>
HWY_INLINE WideVec LoadNDouble(WideTag d, const T* p, size_t count) {
  return hn::PromoteTo(d, LoadNF32(hn::Rebind<float, WideTag>(), p, count));
}

template <class T>
struct WideElements {
  const T* x;
  HWY_INLINE WideVec operator()(WideTag d, size_t i) const { return LoadDouble(d, x + i); }
  HWY_INLINE WideVec operator()(WideTag d, size_t i, size_t count) const {
    return LoadNDouble(d, x + i, count);
  }
};

// Products of floats are exact in double, so it does not matter whether they are fused with the
// addition.
template <class X, class Y>
struct WideProducts {
  const X* x;
  const Y* y;
  HWY_INLINE WideVec operator()(WideTag d, size_t i) const {
    return hn::Mul(LoadDouble(d, x + i), LoadDouble(d, y + i));
  }
  HWY_INLINE WideVec operator()(WideTag d, size_t i, size_t count) const {
    return hn::Mul(LoadNDouble(d, x + i, count), LoadNDouble(d, y + i, count));
  }
};

template <class T>
double SumInDoubleKernel(const T* x, size_t n) {
  return SumInDouble(WideElements<T>{x}, n);
}
template <class Config>
double DotInDoubleKernel(const typename Config::X* x, const typename Config::Y* y, size_t n) {
  return SumInDouble(WideProducts<typename Config::X, typename Config::Y>{x, y}, n);
}

// ------------------------------ Compensated

// sum += x, error += what that is rounded by, exactly (Knuth's TwoSum), and `more`.
template <class V>
HWY_INLINE void AddWithError(V x, V more, V& sum, V& error) {
  const V s = hn::Add(sum, x);
  const V part = hn::Sub(s, sum);
  const V rounding = hn::Add(hn::Sub(sum, hn::Sub(s, part)), hn::Sub(x, part));
  error = hn::Add(error, hn::Add(rounding, more));
  sum = s;
}

HWY_INLINE void AddWithError(float x, float more, float& sum, float& error) {
  const hn::CappedTag<float, 1> d1;
  auto s = hn::Set(d1, sum), e = hn::Set(d1, error);
  AddWithError(hn::Set(d1, x), hn::Set(d1, more), s, e);
  sum = hn::GetLane(s);
  error = hn::GetLane(e);
}

// Partial sums and their errors: Sum2 of Ogita, Rump and Oishi, "Accurate sum and dot product"
// (2005), in every lane.
constexpr size_t kCompensatedLanes = detail::compensated_lanes;
struct CompensatedPartials {
  Partials<kCompensatedLanes> sums, errors;

  HWY_INLINE CompensatedPartials() {}  // not implicit: g++ would compile that for no target

  HWY_INLINE void Add(size_t k, PartialVec x, PartialVec more) {
    PartialVec sum = sums.Get(k), error = errors.Get(k);
    AddWithError(x, more, sum, error);
    sums.Set(k, sum);
    errors.Set(k, error);
  }

  // Of all lanes, the upper half added to the lower until one is left.
  HWY_INLINE detail::sum_and_error Fold() const {
    const PartialTag df;
    HWY_ALIGN float s[kCompensatedLanes];
    HWY_ALIGN float e[kCompensatedLanes];
    HALFWAY_PARTIALS_CONSTEXPR size_t count = Partials<kCompensatedLanes>::Count();
    HALFWAY_UNROLL_PARTIALS
    for (size_t k = 0; k < count; ++k) {
      hn::Store(sums.Get(k), df, s + k * hn::Lanes(df));
      hn::Store(errors.Get(k), df, e + k * hn::Lanes(df));
    }
    for (size_t half = kCompensatedLanes / 2; half != 0; half /= 2) {
      for (size_t j = 0; j < half; ++j) AddWithError(s[j + half], e[j + half], s[j], e[j]);
    }
    return {s[0], e[0]};
  }
};

template <class T>
struct CompensatedSumOp {
  const T* x;

  HWY_INLINE void operator()(PartialTag df, size_t i, size_t k, CompensatedPartials& to) const {
    to.Add(k, LoadF32(df, x + i), hn::Zero(df));
  }
  HWY_INLINE void operator()(PartialTag df, size_t i, size_t k, CompensatedPartials& to,
                             size_t count) const {
    to.Add(k, LoadNF32(df, x + i, count), hn::Zero(df));
  }
};

// Dot2: the errors of the products too, each of which FMA gives exactly.
template <class X, class Y>
struct CompensatedDotOp {
  const X* x;
  const Y* y;

  static HWY_INLINE void AddProduct(PartialVec a, PartialVec b, size_t k, CompensatedPartials& to) {
    const PartialVec product = RoundedProduct(a, b);
    to.Add(k, product, FmaSub(a, b, product));
  }
  HWY_INLINE void operator()(PartialTag df, size_t i, size_t k, CompensatedPartials& to) const {
    AddProduct(LoadF32(df, x + i), LoadF32(df, y + i), k, to);
  }
  HWY_INLINE void operator()(PartialTag df, size_t i, size_t k, CompensatedPartials& to,
                             size_t count) const {
    AddProduct(LoadNF32(df, x + i, count), LoadNF32(df, y + i, count), k, to);
  }
};

// In the order of Sum (sum-inl.h).
template <class Op>
HWY_INLINE detail::sum_and_error SumCompensated(const Op& op, size_t n) {
  constexpr size_t kBlock = detail::sum_run * kCompensatedLanes;
  const PartialTag df;
  const size_t lanes = hn::Lanes(df);
  HALFWAY_PARTIALS_CONSTEXPR size_t count = Partials<kCompensatedLanes>::Count();
  CompensatedPartials total;
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t end = HWY_MIN(n, begin + kBlock);
    CompensatedPartials part;
    size_t i = begin;
    for (; i + kCompensatedLanes <= end; i += kCompensatedLanes) {
      HALFWAY_UNROLL_PARTIALS
      for (size_t k = 0; k < count; ++k) op(df, i + k * lanes, k, part);
    }
    if (i != end) {
      HALFWAY_UNROLL_PARTIALS
      for (size_t k = 0; k < count; ++k) {
        const size_t at = i + k * lanes;
        if (at < end) op(df, at, k, part, HWY_MIN(lanes, end - at));
      }
    }
    HALFWAY_UNROLL_PARTIALS
    for (size_t k = 0; k < count; ++k) total.Add(k, part.sums.Get(k), part.errors.Get(k));
  }
  return total.Fold();
}

template <class T>
detail::sum_and_error SumCompensatedKernel(const T* x, size_t n) {
  return SumCompensated(CompensatedSumOp<T>{x}, n);
}
template <class Config>
detail::sum_and_error DotCompensatedKernel(const typename Config::X* x, const typename Config::Y* y,
                                           size_t n) {
  return SumCompensated(CompensatedDotOp<typename Config::X, typename Config::Y>{x, y}, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ACCURATE_SUM_INL_H_
