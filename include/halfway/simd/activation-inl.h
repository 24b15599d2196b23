// SPDX-License-Identifier: Apache-2.0
// Activation functions of contiguous elements in any float storage type, computed in f32.
//
//   MapKernel<detail::map_config<SiluOp...>>

#if defined(HALFWAY_SIMD_ACTIVATION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ACTIVATION_INL_H_
#undef HALFWAY_SIMD_ACTIVATION_INL_H_
#else
#define HALFWAY_SIMD_ACTIVATION_INL_H_
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

struct ReluOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return AtLeast(x, hn::Zero(df));
  }
};

struct TanhOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return Tanh(df, x);
  }
};

struct SigmoidOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return Sigmoid(df, x);
  }
};

struct SiluOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    // Below -104 the sigmoid is 0, and times -inf it would be NaN.
    return hn::Mul(AtLeast(x, hn::Set(df, -0x1p100f)), Sigmoid(df, x));
  }
};

// The tanh form of gelu is x sigmoid(2 z), 2 z = 2 sqrt(2 / pi) (x + 0.044715 x^3).
struct GeluTanhOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    const auto clamped = AtMost(AtLeast(x, hn::Set(df, -12.0f)), hn::Set(df, 12.0f));
    const auto c1 = hn::Set(df, 1.5957691216057308f);
    const auto c3 = hn::Set(df, 0.07135481282636104f);
    // 2 |z| as a sum of two floats: e^-2|z| takes more digits than one has.
    const auto t = hn::Abs(clamped);
    const auto u = hn::Mul(t, t);
    const auto u_low = NegFma(t, t, u);
    const auto k = Fma(u, c3, c1);
    const auto k_low = Fma(u, c3, hn::Sub(c1, k));
    const auto z = hn::Mul(t, k);
    (void)u_low;
    (void)k_low;
    const auto e = SplitExp(df, hn::Neg(z));
    return hn::Mul(AtLeast(x, hn::Set(df, -12.0f)), SigmoidOfParts(df, e, hn::Lt(x, hn::Zero(df))));
  }
};

// gelu(x) = x Phi(x), Phi the normal distribution function. With t = |x|, t Phi(-t) = e^(-t^2 / 2)
// t r(t), and gelu(x) is minus that for x < 0 and x minus that for x > 0.
struct GeluOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    const auto t = AtMost(hn::Abs(x), hn::Set(df, 15.0f));
    const auto square = hn::Mul(t, t);
    const auto square_low = NegFma(t, t, square);  // minus the rounding error of the square
    const auto minus_half = hn::Set(df, -0.5f);
    const auto e =
        SplitExp(df, hn::Mul(square, minus_half), hn::Mul(square_low, hn::Set(df, 0.5f)));
    // r(t) = w p(s), w = 1 / (t + 4), s = (t - 4) / (t + 4), on [0, 14.5], relative error 2^-25.6.
    const auto w = hn::Div(hn::Set(df, 1.0f), hn::Add(t, hn::Set(df, 4.0f)));
    const auto s = Fma(hn::Set(df, -8.0f), w, hn::Set(df, 1.0f));
    const auto p = Polynomial(df, s, 0x1.82b4bcp-1f, -0x1.373e38p-1f, 0x1.8c6d72p-2f,
                              -0x1.7e002cp-3f, 0x1.eee374p-5f, -0x1.ecfbe4p-8f, -0x1.cfe1b0p-9f,
                              0x1.97b9eap-10f, 0x1.b847dcp-13f, -0x1.ca7482p-14f);
    const auto tail = ScaleByPowerOf2(
        df, hn::Mul(hn::Mul(hn::Mul(t, w), p), hn::Add(hn::Set(df, 1.0f), e.p)), e.n);
    return hn::Sub(AtLeast(x, hn::Zero(df)), tail);
  }
};

// y[i] = op(x[i])
template <class Config>
void ReluKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(ReluOp(), x, y, n);
}
template <class Config>
void TanhKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(TanhOp(), x, y, n);
}
template <class Config>
void SigmoidKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(SigmoidOp(), x, y, n);
}
template <class Config>
void SiluKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(SiluOp(), x, y, n);
}
template <class Config>
void GeluTanhKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(GeluTanhOp(), x, y, n);
}
template <class Config>
void GeluKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapElements(GeluOp(), x, y, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ACTIVATION_INL_H_
