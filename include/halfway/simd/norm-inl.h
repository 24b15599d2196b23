// SPDX-License-Identifier: Apache-2.0
// Layer normalization and RMS normalization of rows, in f32.
//
//   LayerNormKernel<Config>(x, gamma, beta, y, rows, cols, epsilon);

#if defined(HALFWAY_SIMD_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_NORM_INL_H_
#undef HALFWAY_SIMD_NORM_INL_H_
#else
#define HALFWAY_SIMD_NORM_INL_H_
#endif

#include <cmath>
#include <cstddef>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/reduce-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum-inl.h"
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

template <class T>
HWY_INLINE Normalizer LayerNormalizer(const T* x, size_t cols, float epsilon) {
  const Moments m = ComputeMoments(x, cols);
  const float scale = 1.0f / std::sqrt(m.variance + epsilon);
  return {m.pivot, scale, -m.correction * scale};
}

template <class T>
HWY_INLINE Normalizer RmsNormalizer(const T* x, size_t cols, float epsilon) {
  const float mean_of_squares =
      Sum<kSumLanes>(SumOfSquaresOp<T>{x}, cols) / static_cast<float>(cols);
  return {0.0f, 1.0f / std::sqrt(mean_of_squares + epsilon), -0.0f};
}

// y = normalized x * gamma + beta
template <class X, class G, class B, class Y>
HWY_INLINE void NormalizeRow(const Normalizer& normalize, const X* x, const G* gamma, const B* beta,
                             Y* y, size_t cols) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  size_t j = 0;
  for (; j + lanes <= cols; j += lanes) {
    const auto v = normalize(df, LoadF32(df, x + j));
    StoreF32(Fma(v, LoadOr(df, gamma, j, 1.0f), LoadOr(df, beta, j, -0.0f)), df,
             y + j);  // adding -0 changes nothing
  }
  if (j != cols) {
    const size_t n = cols - j;
    const auto v = normalize(df, LoadNF32(df, x + j, n));
    StoreNF32(Fma(v, LoadNOr(df, gamma, j, 1.0f, n), LoadNOr(df, beta, j, -0.0f, n)), df, y + j, n);
  }
}

template <class Config>
void LayerNormKernel(detail::row_block<const typename Config::X> x, const typename Config::G* gamma,
                     const typename Config::B* beta, detail::row_block<typename Config::Y> y,
                     size_t rows, size_t cols, float epsilon) {
  for (size_t r = 0; r < rows; ++r) {
    NormalizeRow(LayerNormalizer(x.row(r), cols, epsilon), x.row(r), gamma, beta, y.row(r), cols);
  }
}

template <class Config>
void RmsNormKernel(detail::row_block<const typename Config::X> x, const typename Config::G* gamma,
                   detail::row_block<typename Config::Y> y, size_t rows, size_t cols,
                   float epsilon) {
  for (size_t r = 0; r < rows; ++r) {
    NormalizeRow(RmsNormalizer(x.row(r), cols, epsilon), x.row(r), gamma,
                 static_cast<const float*>(nullptr), y.row(r), cols);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_NORM_INL_H_
