// SPDX-License-Identifier: Apache-2.0
// Gradients of softmax and log_softmax from their results, in f32: two passes over a row.
//
//   SoftmaxBackwardKernel<Config>(y, dy, dx, rows, cols, scale);    // Config: types Y, DY and DX

#if defined(HALFWAY_SIMD_SOFTMAX_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_SOFTMAX_BACKWARD_INL_H_
#undef HALFWAY_SIMD_SOFTMAX_BACKWARD_INL_H_
#else
#define HALFWAY_SIMD_SOFTMAX_BACKWARD_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/math-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr size_t kGradientLanes = 64;  // detail::sum_lanes

// The sum of y * dy.
template <class Y, class DY>
struct WeightedSumOp {
  const Y* y;
  const DY* dy;

  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum) const {
    sum = Fma(LoadF32(df, y + i), LoadF32(df, dy + i), sum);
  }
  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, size_t count) const {
    sum = Fma(LoadNF32(df, y + i, count), LoadNF32(df, dy + i, count), sum);
  }
};

template <class DY>
struct PlainSumOp {
  const DY* dy;

  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum) const {
    sum = hn::Add(sum, LoadF32(df, dy + i));
  }
  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, size_t count) const {
    sum = hn::Add(sum, LoadNF32(df, dy + i, count));
  }
};

// (dy - sum) * y * scale
struct SoftmaxBackwardOp {
  float sum;
  float scale;
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V y, V dy) const {
    return hn::Mul(hn::Mul(hn::Sub(dy, hn::Set(df, sum)), y), hn::Set(df, scale));
  }
};

// dy - e^y * sum
struct LogSoftmaxBackwardOp {
  float sum;
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V y, V dy) const {
    return NegFma(Exp(df, y), hn::Set(df, sum), dy);
  }
};

template <class Config>
void SoftmaxBackwardKernel(detail::row_block<const typename Config::Y> y,
                           detail::row_block<const typename Config::DY> dy,
                           detail::row_block<typename Config::DX> dx, size_t rows, size_t cols,
                           float scale) {
  using Op = WeightedSumOp<typename Config::Y, typename Config::DY>;
  for (size_t r = 0; r < rows; ++r) {
    const float sum = Sum<kGradientLanes>(Op{y.row(r), dy.row(r)}, cols);
    MapPairs(SoftmaxBackwardOp{sum, scale}, y.row(r), dy.row(r), dx.row(r), cols);
  }
}

template <class Config>
void LogSoftmaxBackwardKernel(detail::row_block<const typename Config::Y> y,
                              detail::row_block<const typename Config::DY> dy,
                              detail::row_block<typename Config::DX> dx, size_t rows, size_t cols) {
  for (size_t r = 0; r < rows; ++r) {
    const float sum = Sum<kGradientLanes>(PlainSumOp<typename Config::DY>{dy.row(r)}, cols);
    MapPairs(LogSoftmaxBackwardOp{sum}, y.row(r), dy.row(r), dx.row(r), cols);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_SOFTMAX_BACKWARD_INL_H_
