// SPDX-License-Identifier: Apache-2.0
// Layer normalization and RMS normalization of rows, in f32.
//
//   LayerNormKernel(detail::norm_rows<detail::norm_config<half, float, float, half>>{x, ...});

#if defined(HALFWAY_SIMD_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_NORM_INL_H_
#undef HALFWAY_SIMD_NORM_INL_H_
#else
#define HALFWAY_SIMD_NORM_INL_H_
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/reduce-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Elements p[i...], or `absent` if p is null.
template <class DF, class T>
HWY_INLINE hn::VFromD<DF> LoadOr(DF df, const T* p, size_t i, float absent) {
  return p == nullptr ? hn::Set(df, absent) : LoadF32(df, p + i);
}
template <class DF, class T>
HWY_INLINE hn::VFromD<DF> LoadNOr(DF df, const T* p, size_t i, float absent, size_t count) {
  return p == nullptr ? hn::Set(df, absent) : LoadNF32(df, p + i, count);
}

// How a row is normalized: (x - pivot) * scale + offset.
struct Normalizer {
  float pivot;
  float scale;
  float offset;

  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return Fma(hn::Sub(x, hn::Set(df, pivot)), hn::Set(df, scale), hn::Set(df, offset));
  }
};

// Where there is a residual, x is the sum, which is first written: addend + residual.
template <class Config>
HWY_INLINE void AddResidual(const detail::norm_rows<Config>& a, size_t r) {
  if constexpr (Config::kAdds) {
    MapPairs(AddOp(), a.addend.row(r), a.residual.row(r), a.sum.row(r), a.cols);
  }
}

// How a row is normalized by its root mean square: as by a Normalizer, to the bit.
struct Scaler {
  float scale;

  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return hn::Mul(x, hn::Set(df, scale));
  }
};

// y = normalized x * gamma + beta. kGiven: gamma and, where kMayHaveBeta, beta are there; otherwise
// either may be null. `next`: the row that will be read after this one's turn, to fetch meanwhile
// where kStream, which is that y is written past the caches.
template <bool kMayHaveBeta, bool kGiven, bool kStream, class Normalize, class X, class G, class B,
          class Y>
HWY_INLINE void NormalizeElements(Normalize normalize, const X* x, const G* gamma, const B* beta,
                                  Y* y, size_t cols, const X* next) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  using V = hn::VFromD<decltype(df)>;
  const auto finish = [&](V x_j, size_t j) HWY_ATTR {
    const auto v = normalize(df, x_j);
    const auto gamma_j = kGiven ? LoadF32(df, gamma + j) : LoadOr(df, gamma, j, 1.0f);
    if constexpr (kMayHaveBeta) {
      return Fma(v, gamma_j, kGiven ? LoadF32(df, beta + j) : LoadOr(df, beta, j, -0.0f));
    } else {
      return hn::Mul(v, gamma_j);
    }
  };
  size_t j = 0;
  HWY_UNROLL(2)
  for (; j + 4 * lanes <= cols; j += 4 * lanes) {
    if constexpr (kStream) PrefetchLines(next + j, 4 * lanes);
    V v0, v1, v2, v3;
    Load4F32(df, x + j, v0, v1, v2, v3);
    Store4F32(finish(v0, j), finish(v1, j + lanes), finish(v2, j + 2 * lanes),
              finish(v3, j + 3 * lanes), df, y + j, kStream);
  }
  for (; j < cols; j += lanes) {
    const size_t n = HWY_MIN(lanes, cols - j);
    auto v = normalize(df, LoadNF32(df, x + j, n));
    const auto gamma_j = LoadNOr(df, gamma, j, 1.0f, n);
    if constexpr (kMayHaveBeta) {
      v = Fma(v, gamma_j, LoadNOr(df, beta, j, -0.0f, n));
    } else {
      v = hn::Mul(v, gamma_j);
    }
    StoreNF32(v, df, y + j, n);
  }
}

template <bool kMayHaveBeta, class Normalize, class X, class G, class B, class Y>
HWY_INLINE void NormalizeRow(Normalize normalize, const X* x, const G* gamma, const B* beta, Y* y,
                             size_t cols, const X* next, bool stream) {
  stream = stream && reinterpret_cast<uintptr_t>(y) % HWY_MAX_BYTES == 0;
  if (gamma == nullptr || (kMayHaveBeta && beta == nullptr)) {
    NormalizeElements<kMayHaveBeta, false, false>(normalize, x, gamma, beta, y, cols, next);
  } else if (stream) {
    NormalizeElements<kMayHaveBeta, true, true>(normalize, x, gamma, beta, y, cols, next);
  } else {
    NormalizeElements<kMayHaveBeta, true, false>(normalize, x, gamma, beta, y, cols, next);
  }
}

// What each of some rows is normalized by. All rows go through each step before the next step: the
// chains of folds at the end of a row, then overlap with other rows, and one division and one root
// serve all.
class Normalizers {
 public:
  HWY_INLINE Normalizer operator[](size_t k) const { return {pivot_[k], scale_[k], offset_[k]}; }
  HWY_INLINE Scaler ScalerOf(size_t k) const { return {scale_[k]}; }

  // Of n <= max_rows_together rows, by mean and variance.
  template <class T>
  HWY_INLINE void SetToMoments(detail::row_block<const T> x, size_t n, size_t cols, float epsilon) {
    if (cols >= kFirstElements) {
      for (size_t k = 0; k < n; ++k) pivot_[k] = MeanOfFirst(x.row(k));
      for (size_t k = 0; k < n; ++k) {
        const TwoSums sums = SumPairs<kSumLanes>(SumDeviationsOp<T>{x.row(k), pivot_[k]}, cols);
        offset_[k] = sums.first;
        scale_[k] = sums.second;
      }
    }
    const Tag df;
    const auto count = hn::Set(df, static_cast<float>(cols));
    for (size_t k = 0; k < detail::max_rows_together; k += hn::Lanes(df)) {
      const auto correction = hn::Div(hn::Load(df, offset_ + k), count);
      const auto variance =
          NegFma(correction, correction, hn::Div(hn::Load(df, scale_ + k), count));
      hn::Store(correction, df, correction_ + k);
      hn::Store(variance, df, variance_ + k);
    }
    for (size_t k = 0; k < n; ++k) {
      if (cols >= kFirstElements && IsNearMean(correction_[k], variance_[k])) continue;
      const Moments m = ComputeMoments(x.row(k), cols);
      pivot_[k] = m.pivot;
      correction_[k] = m.correction;
      variance_[k] = m.variance;
    }
    for (size_t k = 0; k < detail::max_rows_together; k += hn::Lanes(df)) {
      const auto scale = InverseRoot(df, hn::Load(df, variance_ + k), epsilon);
      hn::Store(scale, df, scale_ + k);
      hn::Store(hn::Neg(hn::Mul(hn::Load(df, correction_ + k), scale)), df, offset_ + k);
    }
  }

  // By root mean square.
  template <class T>
  HWY_INLINE void SetToRootMeanSquares(detail::row_block<const T> x, size_t n, size_t cols,
                                       float epsilon) {
    for (size_t k = 0; k < n; ++k) {
      scale_[k] = Sum<kSumLanes>(SumOfSquaresOp<T>{x.row(k)}, cols);
    }
    const Tag df;
    for (size_t k = 0; k < detail::max_rows_together; k += hn::Lanes(df)) {
      const auto mean = hn::Div(hn::Load(df, scale_ + k), hn::Set(df, static_cast<float>(cols)));
      hn::Store(InverseRoot(df, mean, epsilon), df, scale_ + k);
      hn::Store(hn::Zero(df), df, pivot_ + k);
      hn::Store(hn::Set(df, -0.0f), df, offset_ + k);
    }
  }

 private:
  using Tag = hn::CappedTag<float, detail::max_rows_together>;

  template <class V>
  static HWY_INLINE V InverseRoot(Tag df, V square, float epsilon) {
    return hn::Div(hn::Set(df, 1.0f), hn::Sqrt(hn::Add(square, hn::Set(df, epsilon))));
  }

  HWY_ALIGN float pivot_[detail::max_rows_together] = {};
  HWY_ALIGN float scale_[detail::max_rows_together] = {};
  HWY_ALIGN float offset_[detail::max_rows_together] = {};
  HWY_ALIGN float correction_[detail::max_rows_together] = {};
  HWY_ALIGN float variance_[detail::max_rows_together] = {};
};

template <class Config>
void LayerNormKernel(const detail::norm_rows<Config>& a) {
  Normalizers normalizers;
  const size_t together = detail::rows_together(a.cols, sizeof(typename Config::X));
  for (size_t begin = 0; begin < a.rows; begin += together) {
    const size_t n = HWY_MIN(together, a.rows - begin);
    for (size_t k = 0; k < n; ++k) AddResidual(a, begin + k);
    normalizers.SetToMoments(a.x.from(begin), n, a.cols, a.epsilon);
    for (size_t k = 0; k < n; ++k) {
      NormalizeRow<true>(normalizers[k], a.x.row(begin + k), a.gamma, a.beta, a.y.row(begin + k),
                         a.cols, a.x.row(begin + k + together), a.stream);
    }
  }
  if (a.stream) hwy::FlushStream();
}

template <class Config>
void RmsNormKernel(const detail::norm_rows<Config>& a) {
  Normalizers normalizers;
  const size_t together = detail::rows_together(a.cols, sizeof(typename Config::X));
  for (size_t begin = 0; begin < a.rows; begin += together) {
    const size_t n = HWY_MIN(together, a.rows - begin);
    for (size_t k = 0; k < n; ++k) AddResidual(a, begin + k);
    normalizers.SetToRootMeanSquares(a.x.from(begin), n, a.cols, a.epsilon);
    for (size_t k = 0; k < n; ++k) {
      NormalizeRow<false>(normalizers.ScalerOf(k), a.x.row(begin + k), a.gamma, a.beta,
                          a.y.row(begin + k), a.cols, a.x.row(begin + k + together), a.stream);
    }
  }
  if (a.stream) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_NORM_INL_H_
