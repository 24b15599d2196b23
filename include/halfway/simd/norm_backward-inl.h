// SPDX-License-Identifier: Apache-2.0
// Gradients of layer normalization and RMS normalization, in f32.
//
//   LayerNormBackwardKernel<Config>(x, gamma, dy, dx, dgamma, dbeta, rows, cols, epsilon);

#if defined(HALFWAY_SIMD_NORM_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_NORM_BACKWARD_INL_H_
#undef HALFWAY_SIMD_NORM_BACKWARD_INL_H_
#else
#define HALFWAY_SIMD_NORM_BACKWARD_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/norm-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The sums of g = dy * gamma and of g times the normalized x.
template <class X, class G, class DY>
struct NormGradientSumsOp {
  Normalizer normalize;
  const X* x;
  const G* gamma;
  const DY* dy;

  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, V& sum_x) const {
    Accumulate(normalize(df, LoadF32(df, x + i)), LoadF32(df, dy + i), LoadOr(df, gamma, i, 1.0f),
               sum, sum_x);
  }
  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, V& sum_x, size_t count) const {
    const auto v =
        hn::IfThenElseZero(hn::FirstN(df, count), normalize(df, LoadNF32(df, x + i, count)));
    Accumulate(v, LoadNF32(df, dy + i, count), LoadNOr(df, gamma, i, 1.0f, count), sum, sum_x);
  }

 private:
  template <class V>
  HWY_INLINE void Accumulate(V v, V dy_i, V gamma_i, V& sum, V& sum_x) const {
    sum = Fma(dy_i, gamma_i, sum);
    sum_x = Fma(hn::Mul(dy_i, gamma_i), v, sum_x);
  }
};

// dx = scale * (g - mean_g - v * mean_gx), v the normalized x; dgamma += dy * v; dbeta += dy.
template <class X, class G, class DY, class DX>
HWY_INLINE void NormGradientRow(const Normalizer& normalize, float mean_g, float mean_gx,
                                const X* x, const G* gamma, const DY* dy, DX* dx, float* dgamma,
                                float* dbeta, size_t cols) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const auto scale = hn::Set(df, normalize.scale);
  const auto minus_mean = hn::Set(df, -mean_g);
  const auto vmean_gx = hn::Set(df, mean_gx);
  for (size_t j = 0; j < cols; j += lanes) {
    const size_t n = HWY_MIN(lanes, cols - j);
    const bool full = n == lanes;
    const auto v = normalize(df, full ? LoadF32(df, x + j) : LoadNF32(df, x + j, n));
    const auto dy_j = full ? LoadF32(df, dy + j) : LoadNF32(df, dy + j, n);
    const auto gamma_j = full ? LoadOr(df, gamma, j, 1.0f) : LoadNOr(df, gamma, j, 1.0f, n);
    const auto dx_j = hn::Mul(scale, NegFma(v, vmean_gx, Fma(dy_j, gamma_j, minus_mean)));
    if (dgamma != nullptr)
      hn::StoreN(Fma(dy_j, v, hn::LoadN(df, dgamma + j, n)), df, dgamma + j, n);
    if (dbeta != nullptr) hn::StoreN(hn::Add(dy_j, hn::LoadN(df, dbeta + j, n)), df, dbeta + j, n);
    if (full) {
      StoreF32(dx_j, df, dx + j);
    } else {
      StoreNF32(dx_j, df, dx + j, n);
    }
  }
}

// Adds to dgamma and dbeta, row after row; either may be null.
template <class Config>
void LayerNormBackwardKernel(detail::row_block<const typename Config::X> x,
                             const typename Config::G* gamma,
                             detail::row_block<const typename Config::DY> dy,
                             detail::row_block<typename Config::DX> dx, float* dgamma, float* dbeta,
                             size_t rows, size_t cols, float epsilon) {
  using Op = NormGradientSumsOp<typename Config::X, typename Config::G, typename Config::DY>;
  const float count = static_cast<float>(cols);
  Normalizers normalizers;
  for (size_t r = 0; r < rows; ++r) {
    normalizers.SetToMoments(x.from(r), 1, cols, epsilon);
    const Normalizer normalize = normalizers[0];
    const TwoSums sums = SumPairs<kPairLanes>(Op{normalize, x.row(r), gamma, dy.row(r)}, cols);
    NormGradientRow(normalize, sums.first / count, sums.second / count, x.row(r), gamma, dy.row(r),
                    dx.row(r), dgamma, dbeta, cols);
  }
}

template <class Config>
void RmsNormBackwardKernel(detail::row_block<const typename Config::X> x,
                           const typename Config::G* gamma,
                           detail::row_block<const typename Config::DY> dy,
                           detail::row_block<typename Config::DX> dx, float* dgamma, size_t rows,
                           size_t cols, float epsilon) {
  using Op = NormGradientSumsOp<typename Config::X, typename Config::G, typename Config::DY>;
  const float count = static_cast<float>(cols);
  Normalizers normalizers;
  for (size_t r = 0; r < rows; ++r) {
    normalizers.SetToRootMeanSquares(x.from(r), 1, cols, epsilon);
    const Normalizer normalize = normalizers[0];
    const TwoSums sums = SumPairs<kPairLanes>(Op{normalize, x.row(r), gamma, dy.row(r)}, cols);
    NormGradientRow(normalize, 0.0f, sums.second / count, x.row(r), gamma, dy.row(r), dx.row(r),
                    dgamma, static_cast<float*>(nullptr), cols);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_NORM_BACKWARD_INL_H_
