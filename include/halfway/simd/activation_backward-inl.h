// SPDX-License-Identifier: Apache-2.0
// Gradients of the activation functions with respect to their input x: dx = dy f'(x), computed in
// f32.
//
//   GeluBackwardKernel<Config>(x, dy, dx, n);

#if defined(HALFWAY_SIMD_ACTIVATION_BACKWARD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ACTIVATION_BACKWARD_INL_H_
#undef HALFWAY_SIMD_ACTIVATION_BACKWARD_INL_H_
#else
#define HALFWAY_SIMD_ACTIVATION_BACKWARD_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/fma-inl.h"
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

// phi and Phi, the density and the distribution function of the normal distribution: Phi(x) + x
// phi(x).
struct GeluBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    const auto t = AtMost(hn::Abs(x), hn::Set(df, 15.0f));
    const auto square = hn::Mul(t, t);
    const auto square_low = NegFma(t, t, square);
    const auto e =
        SplitExp(df, hn::Mul(square, hn::Set(df, -0.5f)), hn::Mul(square_low, hn::Set(df, 0.5f)));
    const auto w = hn::Div(hn::Set(df, 1.0f), hn::Add(t, hn::Set(df, 4.0f)));
    const auto s = Fma(hn::Set(df, -8.0f), w, hn::Set(df, 1.0f));
    const auto p = Polynomial(df, s, 0x1.82b4bcp-1f, -0x1.373e38p-1f, 0x1.8c6d72p-2f,
                              -0x1.7e002cp-3f, 0x1.eee374p-5f, -0x1.ecfbe4p-8f, -0x1.cfe1b0p-9f,
                              0x1.97b9eap-10f, 0x1.b847dcp-13f, -0x1.ca7482p-14f);
    // For -t: e^(-t^2 / 2) (r(t) - t / sqrt(2 pi)), and the slope at t is 1 minus the slope at -t.
    const auto bracket = NegFma(t, hn::Set(df, 0.3989422804014327f), hn::Mul(w, p));
    const auto at_minus_t =
        ScaleByPowerOf2(df, hn::Mul(bracket, hn::Add(hn::Set(df, 1.0f), e.p)), e.n);
    const auto slope =
        hn::IfThenElse(hn::Lt(x, hn::Zero(df)), at_minus_t, hn::Sub(hn::Set(df, 1.0f), at_minus_t));
    return hn::Mul(dy, slope);
  }
};

struct TanhBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    // 1 - tanh^2 = 4 e / (1 + e)^2 with e = e^-2|x|, which does not cancel.
    const auto t = AtMost(hn::Abs(x), hn::Set(df, 52.0f));
    const auto e = Exp(df, hn::Mul(t, hn::Set(df, -2.0f)));
    const auto d = hn::Add(e, hn::Set(df, 1.0f));
    return hn::Mul(dy, hn::Div(hn::Mul(e, hn::Set(df, 4.0f)), hn::Mul(d, d)));
  }
};

struct SigmoidBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    const auto e = Exp(df, hn::Neg(hn::Abs(x)));
    const auto d = hn::Add(e, hn::Set(df, 1.0f));
    return hn::Mul(dy, hn::Div(e, hn::Mul(d, d)));
  }
};

// s(x) (1 + x (1 - s(x))), s the sigmoid; 1 - s(x) = s(-x).
struct SiluBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    const auto one = hn::Set(df, 1.0f);
    const auto clamped = AtMost(AtLeast(x, hn::Set(df, -120.0f)), hn::Set(df, 120.0f));
    const auto s = Sigmoid(df, clamped);
    return hn::Mul(dy, hn::Mul(s, Fma(clamped, Sigmoid(df, hn::Neg(clamped)), one)));
  }
};

struct GeluTanhBackwardOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x, V dy) const {
    // gelu = x s(z): slope = s + x s (1 - s) z', z = c1 x + c3 x^3.
    const auto one = hn::Set(df, 1.0f);
    const auto clamped = AtMost(AtLeast(x, hn::Set(df, -12.0f)), hn::Set(df, 12.0f));
    const auto c1 = hn::Set(df, 1.5957691216057308f);
    const auto c3 = hn::Set(df, 0.07135481282636104f);
    const auto u = hn::Mul(clamped, clamped);
    const auto z = hn::Mul(clamped, Fma(u, c3, c1));
    const auto slope_z = hn::Mul(clamped, Fma(u, hn::Set(df, 3 * 0.07135481282636104f), c1));
    return hn::Mul(dy, hn::Mul(Sigmoid(df, z), Fma(slope_z, Sigmoid(df, hn::Neg(z)), one)));
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

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ACTIVATION_BACKWARD_INL_H_
