// SPDX-License-Identifier: Apache-2.0
// Softmax, its logarithm and the cross entropy of rows of logits: three passes over a row, in f32.
//
//   SoftmaxKernel<detail::pair_config<half, float>>(x, y, rows, cols, nullptr);

#if defined(HALFWAY_SIMD_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_SOFTMAX_INL_H_
#undef HALFWAY_SIMD_SOFTMAX_INL_H_
#else
#define HALFWAY_SIMD_SOFTMAX_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/math-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// The largest element that is no NaN; -inf if there is none. Which of +0 and -0 does not matter to
// what is subtracted from.
template <class T>
HWY_INLINE float RowMax(const T* x, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  const auto lowest = hn::Neg(hn::Inf(df));
  auto max0 = lowest, max1 = lowest, max2 = lowest, max3 = lowest;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    max0 = LargerOrFirst(max0, LoadF32(df, x + i));
    max1 = LargerOrFirst(max1, LoadF32(df, x + i + lanes));
    max2 = LargerOrFirst(max2, LoadF32(df, x + i + 2 * lanes));
    max3 = LargerOrFirst(max3, LoadF32(df, x + i + 3 * lanes));
  }
  for (; i + lanes <= n; i += lanes) max0 = LargerOrFirst(max0, LoadF32(df, x + i));
  if (i != n) {
    const auto v = LoadNF32(df, x + i, n - i);
    max1 = LargerOrFirst(max1, hn::IfThenElse(hn::FirstN(df, n - i), v, lowest));
  }
  return hn::ReduceMax(df, hn::Max(hn::Max(max0, max1), hn::Max(max2, max3)));
}

// Adds up e^(x - max), and keeps each in e unless kDiscard.
template <class T, bool kDiscard>
struct SumExpOp {
  const T* x;
  float* e;
  float max;

  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum) const {
    const auto v = Exp(df, hn::Sub(LoadF32(df, x + i), hn::Set(df, max)));
    if constexpr (!kDiscard) hn::StoreU(v, df, e + i);
    sum = hn::Add(sum, v);
  }
  template <class DF, class V>
  HWY_INLINE void operator()(DF df, size_t i, V& sum, size_t count) const {
    const auto v = Exp(df, hn::Sub(LoadNF32(df, x + i, count), hn::Set(df, max)));
    if constexpr (!kDiscard) hn::StoreN(v, df, e + i, count);
    sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(df, count), v));
  }
};

constexpr size_t kExpLanes =
    16;  // the exponential takes longer than an addition: one chain will do

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

// `scratch` holds cols floats where y is no float.
template <class Config>
void SoftmaxKernel(detail::row_block<const typename Config::X> x,
                   detail::row_block<typename Config::Y> y, size_t rows, size_t cols,
                   float* scratch) {
  using X = typename Config::X;
  using Y = typename Config::Y;
  for (size_t r = 0; r < rows; ++r) {
    float* e = scratch;
    if constexpr (std::is_same_v<Y, float>) e = y.row(r);
    const float sum = Sum<kExpLanes>(SumExpOp<X, false>{x.row(r), e, RowMax(x.row(r), cols)}, cols);
    MapElements(ScaleOp{1.0f / sum}, e, y.row(r), cols);
  }
}

template <class Config>
void LogSoftmaxKernel(detail::row_block<const typename Config::X> x,
                      detail::row_block<typename Config::Y> y, size_t rows, size_t cols) {
  using X = typename Config::X;
  for (size_t r = 0; r < rows; ++r) {
    const float max = RowMax(x.row(r), cols);
    const float sum = Sum<kExpLanes>(SumExpOp<X, true>{x.row(r), nullptr, max}, cols);
    MapElements(LogSoftmaxOp{max, LogScalar(sum)}, x.row(r), y.row(r), cols);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_SOFTMAX_INL_H_
