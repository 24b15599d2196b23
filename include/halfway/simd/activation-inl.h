// SPDX-License-Identifier: Apache-2.0
// Activation functions of contiguous elements in any float storage type, computed in f32.
//
//   GeluKernel<detail::pair_config<half, half>>(x, y, n);

#if defined(HALFWAY_SIMD_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ACTIVATION_INL_H_
#undef HALFWAY_SIMD_ACTIVATION_INL_H_
#else
#define HALFWAY_SIMD_ACTIVATION_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/gelu-inl.h"
#include "halfway/simd/math-inl.h"
#include "halfway/simd/row_args.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

struct ReluOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return AtLeast(x, hn::Zero(df));
  }
};

struct TanhOp {
  static constexpr bool kLong = true;

  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return Tanh(df, x);
  }
};

// Correctly rounded where X and Y are both half, or both bfloat16.
template <class X, class Y>
struct SigmoidOp {
  static constexpr bool kLong = true;

  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    const auto y = Sigmoid(df, x);
    if constexpr (IsFormat<X>(formats::float16{}) && IsFormat<Y>(formats::float16{})) {
      // Where 1/2 + x / 4 lies half-way between two results, and f32 does not see that the
      // function lies nearer to 1/2: a little of x less, which no other result shows.
      const auto is_small = hn::Lt(hn::Abs(x), hn::Set(df, 0x1p-6f));
      const auto small = Fma(x, hn::Set(df, 0x1.fffp-3f), hn::Set(df, 0.5f));
      return hn::IfThenElse(is_small, small, y);
    } else {
      return y;
    }
  }
};

// y[i] = op(x[i]).
template <class Config>
void ReluKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(ReluOp(), x, y, n, detail::streams(n * sizeof(*y), x, y));
}
template <class Config>
void TanhKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(TanhOp(), x, y, n, detail::streams(n * sizeof(*y), x, y));
}
template <class Config>
void SigmoidKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(SigmoidOp<typename Config::X, typename Config::Y>(), x, y, n,
              detail::streams(n * sizeof(*y), x, y));
}
template <class Config>
void SiluKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(SiluOp<typename Config::Y>(), x, y, n, detail::streams(n * sizeof(*y), x, y));
}
template <class Config>
void GeluTanhKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(GeluTanhOp<typename Config::Y>(), x, y, n, detail::streams(n * sizeof(*y), x, y));
}
template <class Config>
void GeluKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(GeluOp<typename Config::Y>(), x, y, n, detail::streams(n * sizeof(*y), x, y));
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ACTIVATION_INL_H_
