// SPDX-License-Identifier: Apache-2.0
// Gradients of the activation functions with respect to their input x: dx = dy f'(x), computed in
// f32.
//
//   GeluBackwardKernel<Config>(x, dy, dx, n);     // Config: types X, DY and DX

#if defined(HALFWAY_SIMD_ACTIVATION_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ACTIVATION_BACKWARD_INL_H_
#undef HALFWAY_SIMD_ACTIVATION_BACKWARD_INL_H_
#else
#define HALFWAY_SIMD_ACTIVATION_BACKWARD_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/fma-inl.h"
#include "halfway/simd/gelu-inl.h"
#include "halfway/simd/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// dy where x > 0, 0 where x <= 0, NaN where x is NaN.
struct ReluBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    const auto zero = hn::Zero(df);
    return hn::IfThenElse(hn::Gt(x, zero), dy, hn::IfThenElseZero(hn::IsNaN(x), x));
  }
};

struct GeluBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    return hn::Mul(dy, GeluSlope(df, x));
  }
};

struct GeluTanhBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    return hn::Mul(dy, GeluTanhSlope(df, x));
  }
};

// 1 - tanh^2 x = 4 e / (1 + e)^2 with e = e^-2|x|, which does not cancel.
struct TanhBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    const auto t = AtMost(hn::Abs(x), hn::Set(df, 54.0f));  // where it has fallen to 0
    return hn::Mul(dy, LogisticSlope(df, SplitExp(df, hn::Mul(t, hn::Set(df, -2.0f))), 2.0f));
  }
};

struct SigmoidBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    const auto t = AtMost(hn::Abs(x), hn::Set(df, 105.0f));
    return hn::Mul(dy, LogisticSlope(df, SplitExp(df, hn::Neg(t)), 0.0f));
  }
};

struct SoftplusBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    return hn::Mul(dy, Sigmoid(df, x));
  }
};

// s(x) (1 + x (1 - s(x))), s the sigmoid; 1 - s(x) = s(-x).
struct SiluBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    // Beyond, it has fallen to 0 or risen to 1; an infinity would make the product NaN.
    const auto bound = hn::Set(df, 110.0f);
    const auto clamped = AtMost(AtLeast(x, hn::Neg(bound)), bound);
    const auto e = SplitExp(df, hn::Neg(hn::Abs(clamped)));
    const auto one = hn::Set(df, 1.0f);
    const auto complement = ScaledSigmoid(df, hn::Neg(clamped), one, e);
    return hn::Mul(dy, ScaledSigmoid(df, clamped, Fma(clamped, complement, one), e));
  }
};

// dx[i] = op(x[i], dy[i])
template <class Config>
void ReluBackwardKernel(const typename Config::X* x, const typename Config::DY* dy,
                        typename Config::DX* dx, size_t n) {
  MapPairs(ReluBackwardOp(), x, dy, dx, n);
}
template <class Config>
void GeluBackwardKernel(const typename Config::X* x, const typename Config::DY* dy,
                        typename Config::DX* dx, size_t n) {
  MapPairs(GeluBackwardOp(), x, dy, dx, n);
}
template <class Config>
void GeluTanhBackwardKernel(const typename Config::X* x, const typename Config::DY* dy,
                            typename Config::DX* dx, size_t n) {
  MapPairs(GeluTanhBackwardOp(), x, dy, dx, n);
}
template <class Config>
void SiluBackwardKernel(const typename Config::X* x, const typename Config::DY* dy,
                        typename Config::DX* dx, size_t n) {
  MapPairs(SiluBackwardOp(), x, dy, dx, n);
}
template <class Config>
void TanhBackwardKernel(const typename Config::X* x, const typename Config::DY* dy,
                        typename Config::DX* dx, size_t n) {
  MapPairs(TanhBackwardOp(), x, dy, dx, n);
}
template <class Config>
void SigmoidBackwardKernel(const typename Config::X* x, const typename Config::DY* dy,
                           typename Config::DX* dx, size_t n) {
  MapPairs(SigmoidBackwardOp(), x, dy, dx, n);
}
template <class Config>
void SoftplusBackwardKernel(const typename Config::X* x, const typename Config::DY* dy,
                            typename Config::DX* dx, size_t n) {
  MapPairs(SoftplusBackwardOp(), x, dy, dx, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ACTIVATION_BACKWARD_INL_H_
