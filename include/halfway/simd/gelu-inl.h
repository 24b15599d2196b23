// SPDX-License-Identifier: Apache-2.0
// gelu(x) = x Phi(x), its tanh form, the slopes of both, and silu, on vectors of f32: the same bits
// on every target.
//
//   const auto y = Gelu(df, x);
//
// With t = |x|, all are max(x, 0) - t q(t), where q is a positive function that falls off as fast
// as an exponential: for gelu Phi(-t), for its tanh form 1 / (1 + e^(2 z(t))), for silu 1 / (1 +
// e^t). For t below 3.9 (3.4 for the tanh form in f32, 7.8 for silu) q is a polynomial from a
// table; beyond, where few elements of a layer lie, it comes from an exponential, so that the
// results keep their digits down to the smallest floats.

#if defined(HALFWAY_SIMD_GELU_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_GELU_INL_H_
#undef HALFWAY_SIMD_GELU_INL_H_
#else
#define HALFWAY_SIMD_GELU_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <limits>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/gelu_table.h"
#include "halfway/simd/math-inl.h"
#include "halfway/types/limits.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// table[index[i] mod 32].
template <class DF>
HWY_INLINE hn::VFromD<DF> LookUp32(DF df, const float* table,
                                   hn::VFromD<hn::RebindToSigned<DF>> any_index) {
  const hn::RebindToSigned<DF> di;
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86 && !HWY_IS_DEBUG_BUILD
  const auto index = any_index;  // the instruction takes it modulo 32
#else
  const auto index = hn::And(any_index, hn::Set(di, 31));
#endif
#if HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
  if constexpr (hn::MaxLanes(df) == 16) {
    return hn::TwoTablesLookupLanes(df, hn::Load(df, table), hn::Load(df, table + 16),
                                    hn::IndicesFromVec(df, index));
  } else if constexpr (hn::MaxLanes(df) == 8) {
    const auto index32 = hn::And(any_index, hn::Set(di, 31));
    const auto in_half = hn::IndicesFromVec(df, hn::And(index32, hn::Set(di, 15)));
    const auto low =
        hn::TwoTablesLookupLanes(df, hn::Load(df, table), hn::Load(df, table + 8), in_half);
    const auto high =
        hn::TwoTablesLookupLanes(df, hn::Load(df, table + 16), hn::Load(df, table + 24), in_half);
    const auto is_high = hn::RebindMask(df, hn::Gt(index32, hn::Set(di, 15)));
    return hn::IfThenElse(is_high, high, low);
  }
#endif
  return hn::GatherIndex(df, table, hn::And(index, hn::Set(di, 31)));
}

// Adding 1.5 * 2^23 spacings leaves the number of the piece, round(t / spacing), in the last
// digits.
template <size_t kDegree, class DF>
HWY_INLINE hn::VFromD<DF> Shifter(DF df, const detail::piecewise_polynomials<kDegree>& table) {
  return hn::Set(df, static_cast<float>(12582912.0 * table.spacing));
}

// c[kFrom] + c[kFrom + 1] d + ... in the piece of each element.
template <size_t kFrom, size_t kDegree, class DF>
HWY_INLINE hn::VFromD<DF> TailPolynomial(DF df, hn::VFromD<hn::RebindToSigned<DF>> piece,
                                         hn::VFromD<DF> d,
                                         const detail::piecewise_polynomials<kDegree>& table) {
  const auto c = LookUp32(df, table.coefficient[kFrom], piece);
  if constexpr (kFrom == kDegree) {
    return c;
  } else {
    return Fma(TailPolynomial<kFrom + 1>(df, piece, d, table), d, c);
  }
}

// q(t) as first + rest, |rest| < |first| / 3, for t below TableEnd; garbage beyond, NaN for NaN.
template <class V>
struct TailParts {
  V first;
  V rest;
};
template <class DF>
HWY_INLINE TailParts<hn::VFromD<DF>> LookUpTail(DF df, hn::VFromD<DF> t,
                                                const detail::piecewise_polynomials<5>& table) {
  const hn::RebindToSigned<DF> di;
  const auto shifted = hn::Add(t, Shifter(df, table));
  const auto d = hn::Sub(t, hn::Sub(shifted, Shifter(df, table)));
  const auto piece = hn::BitCast(di, shifted);
  return {LookUp32(df, table.coefficient[0], piece),
          Fma(TailPolynomial<1>(df, piece, d, table), d, LookUp32(df, table.low, piece))};
}

// Where the table ends.
template <size_t kDegree, class DF>
HWY_INLINE hn::VFromD<DF> TableEnd(DF df, const detail::piecewise_polynomials<kDegree>& table) {
  return hn::Set(df, static_cast<float>(table.end));
}

// ------------------------------ The exact form

// t Phi(-t) = e^(-t^2 / 2) (g + g_low) for t in [3.9, 15]; from 14.6 on it rounds to 0.
template <class V>
struct NormalTail {
  ExactExpParts<V> exp;
  V g;
  V g_low;
};
template <class DF>
HWY_INLINE NormalTail<hn::VFromD<DF>> SplitNormalTail(DF df, hn::VFromD<DF> t) {
  const auto square = hn::Mul(t, t);
  const auto square_error = NegFma(t, t, square);  // square - t^2
  const auto half = hn::Set(df, 0.5f);
  // g = 1 / sqrt(2 pi) + w p(w) with w = 1 / (t^2 + 4), relative error 2^-30.2.
  const auto w = hn::Div(hn::Set(df, 1.0f), hn::Add(square, hn::Set(df, 4.0f)));
  const auto p = Polynomial(df, w, -0x1.988430p-2f, -0x1.98afe4p-2f, -0x1.630d78p+1f,
                            0x1.ec2edcp-1f, -0x1.69cf70p+5f);
  const auto c0 = hn::Set(df, 0x1.988454p-2f);
  const auto g = Fma(w, p, c0);
  return {SplitExpExactly(df, hn::Mul(square, hn::Neg(half)), hn::Mul(square_error, half)), g,
          hn::Add(Fma(w, p, hn::Sub(c0, g)), hn::Set(df, -0x1.857936p-27f))};
}

// t Phi(-t) for t >= 3.9.
template <class DF>
HWY_NOINLINE hn::VFromD<DF> FarGelu(DF df, hn::VFromD<DF> t) {
  const auto far = SplitNormalTail(df, hn::Min(t, hn::Set(df, 15.0f)));
  // (g + g_low) (1 + p + p_low) in two floats.
  const auto& e = far.exp;
  const auto high = Fma(far.g, e.p, far.g);
  const auto high_error = Fma(far.g, e.p, hn::Sub(far.g, high));
  const auto low = Fma(far.g, e.p_low, Fma(far.g_low, e.p, far.g_low));
  return ScaleByPowerOf2(df, hn::Add(high, hn::Add(high_error, low)), e.n);
}

// gelu'(-t) = Phi(-t) - t phi(t), phi the density, for t >= 3.9.
template <class DF>
HWY_NOINLINE hn::VFromD<DF> FarGeluSlope(DF df, hn::VFromD<DF> t_any) {
  const auto t = hn::Min(t_any, hn::Set(df, 15.0f));
  const auto far = SplitNormalTail(df, t);
  const auto factor = NegFma(t, hn::Set(df, 0x1.988454p-2f), hn::Div(far.g, t));
  return ScaleByPowerOf2(df, Fma(factor, hn::Add(far.exp.p, far.exp.p_low), factor), far.exp.n);
}

// ------------------------------ The tanh form

// 1 / (1 + e^(2 z(t))) for t >= 3.4, times factor: e^-2z (1 - e^-2z + ...).
template <class DF>
HWY_INLINE hn::VFromD<DF> FarLogisticOfCubic(DF df, hn::VFromD<DF> t, hn::VFromD<DF> factor) {
  // 2 z = a t + b t^3 in two floats, as the exponential of a large number takes more digits than
  // one has: the products with their errors, then Knuth's TwoSum.
  const auto a = hn::Set(df, 0x1.988454p+0f);
  const auto b = hn::Set(df, 0x1.2444f2p-4f);
  const auto square = hn::Mul(t, t);
  const auto cube = hn::Mul(square, t);
  const auto cube_error = Fma(square, t, hn::Neg(cube));
  const auto cube_low = Fma(Fma(t, t, hn::Neg(square)), t, cube_error);
  const auto linear = RoundedProduct(a, t);
  const auto cubic = RoundedProduct(b, cube);
  const auto linear_low = Fma(hn::Set(df, -0x1.857936p-25f), t, Fma(a, t, hn::Neg(linear)));
  const auto cubic_low =
      Fma(b, cube_low, Fma(hn::Set(df, 0x1.49b16ap-29f), cube, Fma(b, cube, hn::Neg(cubic))));
  const auto sum = hn::Add(linear, cubic);
  const auto cubic_part = hn::Sub(sum, linear);
  const auto sum_error =
      hn::Add(hn::Sub(linear, hn::Sub(sum, cubic_part)), hn::Sub(cubic, cubic_part));
  const auto sum_low = hn::Add(sum_error, hn::Add(linear_low, cubic_low));
  const auto e = SplitExpExactly(df, hn::Neg(sum), hn::Neg(sum_low));
  // factor (1 + p + p_low) in two floats, and e^-2z to the digits that count in 1 - e^-2z.
  const auto high = Fma(factor, e.p, factor);
  const auto low = Fma(factor, e.p_low, Fma(factor, e.p, hn::Sub(factor, high)));
  const auto power = PowerOf2(df, AtLeast(e.n, hn::Set(df, -126.0f)));
  const auto exp = Fma(power, e.p, power);
  return ScaleByPowerOf2(df, hn::Add(high, NegFma(high, NegFma(exp, exp, exp), low)), e.n);
}

// t / (1 + e^(2 z(t))) for t >= 3.4; from 10.8 on it rounds to 0.
template <class DF>
HWY_NOINLINE hn::VFromD<DF> FarGeluTanh(DF df, hn::VFromD<DF> t_any) {
  const auto t = hn::Min(t_any, hn::Set(df, 11.0f));
  return FarLogisticOfCubic(df, t, t);
}

// s (1 - t (a + 3 b t^2) (1 - s)).
template <class DF>
HWY_INLINE hn::VFromD<DF> SlopeFactorOfGeluTanh(DF df, hn::VFromD<DF> t, hn::VFromD<DF> s) {
  const auto one = hn::Set(df, 1.0f);
  const auto slope_z = Fma(hn::Mul(t, t), hn::Set(df, static_cast<float>(3 * detail::gelu_tanh_b)),
                           hn::Set(df, static_cast<float>(detail::gelu_tanh_a)));
  return NegFma(hn::Mul(t, slope_z), hn::Sub(one, s), one);
}

// The slope at -t for t >= 3.4.
template <class DF>
HWY_NOINLINE hn::VFromD<DF> FarGeluTanhSlope(DF df, hn::VFromD<DF> t_any) {
  const auto t = hn::Min(t_any, hn::Set(df, 11.0f));
  const auto s = FarLogisticOfCubic(df, t, hn::Set(df, 1.0f));
  return FarLogisticOfCubic(df, t, SlopeFactorOfGeluTanh(df, t, s));
}

// ------------------------------ For all x

// For results of few digits: so little below 1/2 that only a result half-way between two subnormal
// values shows it, where x is so small that f32 does not tell q from 1/2.
template <class DF>
HWY_INLINE hn::VFromD<DF> BelowHalf(DF df, hn::VFromD<DF> q) {
  return hn::Min(q, hn::Set(df, 0x1.fffcp-2f));
}

// max(x, 0) - t q(t), whose sign is that of x, zeros included: with the full degree x first - t
// rest where x is negative, or so small that first is 1/2; otherwise x - t (first + rest).
template <class DF>
HWY_INLINE hn::VFromD<DF> SubtractParts(DF df, hn::VFromD<DF> x, const TailParts<hn::VFromD<DF>>& q,
                                        const detail::piecewise_polynomials<5>& table) {
  const auto minus_t = hn::Or(x, hn::Set(df, -0.0f));
  const auto apart = hn::Lt(x, hn::Set(df, static_cast<float>(0.5 * table.spacing)));
  const auto factor = hn::IfThenElse(apart, q.first, hn::Add(q.first, q.rest));
  return Fma(hn::IfThenElse(apart, x, minus_t), factor,
             hn::IfThenElse(apart, hn::Mul(minus_t, q.rest), x));
}
template <size_t kDegree, class DF>
HWY_INLINE hn::VFromD<DF> SubtractTail(DF df, hn::VFromD<DF> x,
                                       const detail::piecewise_polynomials<kDegree>& table) {
  const auto t = hn::Abs(x);
  if constexpr (kDegree == 5) {
    return SubtractParts(df, x, LookUpTail(df, t, table), table);
  } else {
    const hn::RebindToSigned<DF> di;
    const auto shifted = hn::Add(t, Shifter(df, table));
    const auto d = hn::Sub(t, hn::Sub(shifted, Shifter(df, table)));
    const auto q = TailPolynomial<0>(df, hn::BitCast(di, shifted), d, table);
    return NegFma(t, BelowHalf(df, q), AtLeast(x, hn::Zero(df)));
  }
}

// Of two vectors, step by step, as their chains of dependent instructions are long.
template <size_t kDegree, class DF, class V>
HWY_INLINE void SubtractTail2(DF df, const V x0, const V x1,
                              const detail::piecewise_polynomials<kDegree>& table, V& y0, V& y1) {
  const hn::RebindToSigned<DF> di;
  const auto shifter = Shifter(df, table);
  const auto t0 = hn::Abs(x0), t1 = hn::Abs(x1);
  const auto shifted0 = hn::Add(t0, shifter), shifted1 = hn::Add(t1, shifter);
  const auto d0 = hn::Sub(t0, hn::Sub(shifted0, shifter));
  const auto d1 = hn::Sub(t1, hn::Sub(shifted1, shifter));
  const auto i0 = hn::BitCast(di, shifted0), i1 = hn::BitCast(di, shifted1);
  auto p0 = LookUp32(df, table.coefficient[kDegree], i0);
  auto p1 = LookUp32(df, table.coefficient[kDegree], i1);
  const auto step = [&](const float* c) HWY_ATTR {
    p0 = Fma(p0, d0, LookUp32(df, c, i0));
    p1 = Fma(p1, d1, LookUp32(df, c, i1));
  };
  if constexpr (kDegree > 4) step(table.coefficient[4]);
  if constexpr (kDegree > 3) step(table.coefficient[3]);
  step(table.coefficient[2]);
  step(table.coefficient[1]);
  if constexpr (kDegree == 5) {
    step(table.low);
    y0 = SubtractParts(df, x0, TailParts<V>{LookUp32(df, table.coefficient[0], i0), p0}, table);
    y1 = SubtractParts(df, x1, TailParts<V>{LookUp32(df, table.coefficient[0], i1), p1}, table);
  } else {
    step(table.coefficient[0]);
    y0 = NegFma(t0, BelowHalf(df, p0), AtLeast(x0, hn::Zero(df)));
    y1 = NegFma(t1, BelowHalf(df, p1), AtLeast(x1, hn::Zero(df)));
  }
}

template <size_t kDegree, class DF>
HWY_INLINE hn::MFromD<DF> IsPastTable(DF df, hn::VFromD<DF> x,
                                      const detail::piecewise_polynomials<kDegree>& table) {
  return hn::Ge(hn::Abs(x), TableEnd(df, table));
}

// y, but max(x, 0) - far(|x|) past the table.
template <class Op, class DF>
HWY_INLINE hn::VFromD<DF> ReplaceFar(const Op& op, DF df, hn::VFromD<DF> x, hn::VFromD<DF> y) {
  const auto is_far = IsPastTable(df, x, op.Table());
  if (HWY_LIKELY(hn::AllFalse(df, is_far))) return y;
  const auto base = AtLeast(x, hn::Neg(hn::Zero(df)));
  return hn::IfThenElse(is_far, hn::Sub(base, op.Far(df, hn::Abs(x))), y);
}

// What the operations by tables share. Result: the type that results are rounded to.
template <class Derived>
struct MapByTable {
  static constexpr bool kLong = true;

  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    const auto& op = static_cast<const Derived&>(*this);
    return ReplaceFar(op, df, x, SubtractTail(df, x, op.Table()));
  }
  // Two vectors with one branch; more would not leave the tables their registers.
  template <class DF, class V>
  HWY_INLINE void Two(DF df, V& x0, V& x1) const {
    const auto& op = static_cast<const Derived&>(*this);
    V y0, y1;
    SubtractTail2(df, x0, x1, op.Table(), y0, y1);
    const hn::RebindToSigned<DF> di;
    // As integers, so that no NaN hides another element.
    const auto t = hn::Max(hn::BitCast(di, hn::Abs(x0)), hn::BitCast(di, hn::Abs(x1)));
    const auto end = hn::Sub(hn::BitCast(di, TableEnd(df, op.Table())), hn::Set(di, 1));
    if (HWY_UNLIKELY(!hn::AllFalse(di, hn::Gt(t, end)))) {
      y0 = ReplaceFar(op, df, x0, y0);
      y1 = ReplaceFar(op, df, x1, y1);
    }
    x0 = y0;
    x1 = y1;
  }
};

// t / (1 + e^t) for t >= 7.8: t e^-t (1 - e^-t + e^-2t); from 110 on it rounds to 0.
template <class DF>
HWY_NOINLINE hn::VFromD<DF> FarSilu(DF df, hn::VFromD<DF> t_any) {
  const auto t = hn::Min(t_any, hn::Set(df, 120.0f));
  const auto e = SplitExpExactly(df, hn::Neg(t), hn::Zero(df));
  const auto high = Fma(t, e.p, t);
  const auto low = Fma(t, e.p_low, Fma(t, e.p, hn::Sub(t, high)));
  const auto power = PowerOf2(df, AtLeast(e.n, hn::Set(df, -126.0f)));
  const auto exp = Fma(power, e.p, power);
  return ScaleByPowerOf2(df, hn::Add(high, NegFma(high, NegFma(exp, exp, exp), low)), e.n);
}

template <class T>
constexpr size_t DegreeFor() {
  return detail::degree_for_digits(std::numeric_limits<T>::digits);
}

// x Phi(x). Error below 1 ULP; where the result is rounded to a T of at most 11 digits, 2^-7 of a
// ULP of T, and where x is a half and so is the result, or both are bfloat16, it is correctly
// rounded. -0 at -inf.
template <class T>
struct GeluOp : MapByTable<GeluOp<T>> {
  static constexpr const auto& Table() { return detail::gelu_table<DegreeFor<T>()>; }
  template <class DF, class V>
  HWY_INLINE V Far(DF df, V t) const {
    return FarGelu(df, t);
  }
};

// x / 2 (1 + tanh(z(x))), z(x) = sqrt(2 / pi) (x + 0.044715 x^3). Errors as for GeluOp. -0 at -inf.
template <class T>
struct GeluTanhOp : MapByTable<GeluTanhOp<T>> {
  static constexpr const auto& Table() { return detail::gelu_tanh_table<DegreeFor<T>()>; }
  template <class DF, class V>
  HWY_INLINE V Far(DF df, V t) const {
    return FarGeluTanh(df, t);
  }
};

// x / (1 + e^-x). Errors as for GeluOp. -0 at -inf.
template <class T>
struct SiluOp : MapByTable<SiluOp<T>> {
  static constexpr const auto& Table() { return detail::silu_table<DegreeFor<T>()>; }
  template <class DF, class V>
  HWY_INLINE V Far(DF df, V t) const {
    return FarSilu(df, t);
  }
};

template <class DF>
HWY_INLINE hn::VFromD<DF> Gelu(DF df, hn::VFromD<DF> x) {
  return GeluOp<float>()(df, x);
}
template <class DF>
HWY_INLINE hn::VFromD<DF> GeluTanh(DF df, hn::VFromD<DF> x) {
  return GeluTanhOp<float>()(df, x);
}
template <class DF>
HWY_INLINE hn::VFromD<DF> Silu(DF df, hn::VFromD<DF> x) {
  return SiluOp<float>()(df, x);
}

// The slope at x from the slope at -|x|: the two add up to 1.
template <class DF>
HWY_INLINE hn::VFromD<DF> SlopeFromTail(DF df, hn::VFromD<DF> x, hn::VFromD<DF> slope) {
  return hn::IfThenElse(hn::Gt(x, hn::Zero(df)), hn::Sub(hn::Set(df, 1.0f), slope), slope);
}

// The derivative of Gelu.
template <class DF>
HWY_INLINE hn::VFromD<DF> GeluSlope(DF df, hn::VFromD<DF> x) {
  const auto t = hn::Abs(x);
  const auto q = LookUpTail(df, t, detail::gelu_table<5>);
  const auto e =
      SplitExp(df, hn::Mul(AtMost(hn::Mul(t, t), hn::Set(df, 100.0f)), hn::Set(df, -0.5f)));
  const auto power = hn::Mul(PowerOf2(df, e.n), hn::Set(df, 0x1.988454p-2f));
  auto slope = NegFma(t, Fma(power, e.p, power), hn::Add(q.first, q.rest));
  const auto is_far = IsPastTable(df, x, detail::gelu_table<5>);
  if (HWY_UNLIKELY(!hn::AllFalse(df, is_far))) {
    slope = hn::IfThenElse(is_far, FarGeluSlope(df, t), slope);
  }
  return SlopeFromTail(df, x, slope);
}

// The derivative of GeluTanh.
template <class DF>
HWY_INLINE hn::VFromD<DF> GeluTanhSlope(DF df, hn::VFromD<DF> x) {
  const auto t = hn::Abs(x);
  const auto q = LookUpTail(df, t, detail::gelu_tanh_table<5>);
  const auto sum = hn::Add(q.first, q.rest);
  auto slope = hn::Mul(sum, SlopeFactorOfGeluTanh(df, t, sum));
  const auto is_far = IsPastTable(df, x, detail::gelu_tanh_table<5>);
  if (HWY_UNLIKELY(!hn::AllFalse(df, is_far))) {
    slope = hn::IfThenElse(is_far, FarGeluTanhSlope(df, t), slope);
  }
  return SlopeFromTail(df, x, slope);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_GELU_INL_H_
