// SPDX-License-Identifier: Apache-2.0
// What happens to a row of scores between the products of attention's backward pass, in f32.
//
//   AttentionGradientRowKernel<Args>(row);    // Args: detail::attention_gradient_row

#if defined(HALFWAY_SIMD_ATTENTION_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ATTENTION_BACKWARD_INL_H_
#undef HALFWAY_SIMD_ATTENTION_BACKWARD_INL_H_
#else
#define HALFWAY_SIMD_ATTENTION_BACKWARD_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/attention_args.h"
#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/softmax-inl.h"
#include "halfway/simd/softmax_backward-inl.h"
#include "halfway/simd/sum-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE bool IsAllMinusInfinity(const float* x, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const auto lowest = hn::Neg(hn::Inf(df));
  for (size_t j = 0; j < n; j += lanes) {
    const size_t here = HWY_MIN(lanes, n - j);
    const auto v = hn::IfThenElse(hn::FirstN(df, here), hn::LoadN(df, x + j, here), lowest);
    if (!hn::AllTrue(df, hn::Eq(v, lowest))) return false;
  }
  return true;
}

// x[j] += mask[j] + slope * (first + j); no mask where it is null.
HWY_INLINE void AddScoreBias(float* x, const float* mask, float slope, float first, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  for (size_t j = 0; j < n; j += lanes) {
    const size_t here = HWY_MIN(lanes, n - j);
    const auto place = hn::Add(hn::Set(df, first + static_cast<float>(j)), hn::Iota(df, 0));
    auto v = Fma(hn::Set(df, slope), place, hn::LoadN(df, x + j, here));
    if (mask != nullptr) v = hn::Add(v, hn::LoadN(df, mask + j, here));
    hn::StoreN(v, df, x + j, here);
  }
}

// Turns scaled scores into weights, and the gradient of the weights into that of the scores before
// they were scaled. What the row does not see becomes 0 in both.
template <class Args>
void AttentionGradientRowKernel(const Args& a) {
  const size_t n = a.end - a.begin;
  float* weights = a.weights + a.begin;
  float* gradient = a.gradient + a.begin;
  WriteZeros(a.weights, a.begin);
  WriteZeros(a.gradient, a.begin);
  WriteZeros(a.weights + a.end, a.cols - a.end);
  WriteZeros(a.gradient + a.end, a.cols - a.end);
  if (a.mask != nullptr || a.slope != 0.0f) {
    AddScoreBias(weights, a.mask, a.slope, a.first_distance, n);
  }
  const PlainLogits<float> logits{weights};
  const float max = RowMax(logits, n);
  if (IsAllMinusInfinity(weights, n)) {
    WriteZeros(weights, n);
    WriteZeros(gradient, n);
    return;
  }
  const SumExpOp<PlainLogits<float>, false, false, false> op{logits, weights, max};
  const float sum = Sum<kExpLanes>(op, n);
  MapElements(ScaleOp{1.0f / sum}, weights, weights, n);
  const float mean = Sum<kGradientLanes>(WeightedSumOp<float, float>{weights, gradient}, n);
  MapPairs(SoftmaxBackwardOp{mean, a.scale}, weights, gradient, gradient, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ATTENTION_BACKWARD_INL_H_
