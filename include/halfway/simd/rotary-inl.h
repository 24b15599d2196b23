// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al., "RoFormer", 2021): pairs of elements turned by angles that
// grow with the position. The same bits on every target.
//
//   RotaryKernel<Config>(args, first_row, last_row);
//
// The sines and cosines of a row are computed once, for all heads.

#if defined(HALFWAY_SIMD_ROTARY_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ROTARY_INL_H_
#undef HALFWAY_SIMD_ROTARY_INL_H_
#else
#define HALFWAY_SIMD_ROTARY_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/attention_args.h"
#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// cosines[p] and sines[p] of position * (turns_high[p] + turns_low[p]) full turns; count values,
// rounded up to whole vectors, are written, so many must be readable. Absolute error below 2^-22.5
// and that of the turns.
//
// turns_high has 27 significant bits and turns_low 26, so that their products with a position below
// 2^26 are exact in double, whether or not the compiler contracts them with what they are added to.
HWY_INLINE void RotarySinCos(double position, const double* HWY_RESTRICT turns_high,
                             const double* HWY_RESTRICT turns_low, size_t count,
                             float* HWY_RESTRICT cosines, float* HWY_RESTRICT sines) {
  const hn::CappedTag<double, 8> dd;
  const hn::Rebind<float, decltype(dd)> df;
  const hn::RebindToSigned<decltype(df)> di;
  const auto at = hn::Set(dd, position);
  for (size_t p = 0; p < count; p += hn::Lanes(dd)) {
    const auto most = hn::Mul(at, hn::LoadU(dd, turns_high + p));
    const auto turns =
        hn::Add(hn::Sub(most, hn::Round(most)), hn::Mul(at, hn::LoadU(dd, turns_low + p)));
    // To a multiple of a quarter, and what is left, at most an eighth.
    const auto quarters = hn::Round(hn::Mul(turns, hn::Set(dd, 4.0)));
    const auto rest = hn::DemoteTo(df, hn::Sub(turns, hn::Mul(quarters, hn::Set(dd, 0.25))));
    const auto quadrant = hn::ConvertTo(di, hn::DemoteTo(df, quarters));
    // sin(2 pi r) = r S(r^2), relative error 2^-25.1, cos(2 pi r) = 1 + r^2 C(r^2), error 2^-31
    // (Remez' algorithm).
    const auto square = hn::Mul(rest, rest);
    const auto sine = hn::Mul(rest, Polynomial(df, square, 0x1.921fb6p+2f, -0x1.4abc2p+5f,
                                               0x1.467f06p+6f, -0x1.32ce6ep+6f));
    const auto cosine = Fma(
        square,
        Polynomial(df, square, -0x1.3bd3ccp+4f, 0x1.03c1aep+6f, -0x1.55b146p+6f, 0x1.d47d48p+5f),
        hn::Set(df, 1.0f));
    const auto one = hn::Set(di, 1);
    const auto swap = hn::RebindMask(df, hn::Ne(hn::And(quadrant, one), hn::Zero(di)));
    // In the quadrants 1 and 2 the cosine is negative, in 2 and 3 the sine.
    const auto cosine_sign =
        hn::BitCast(df, hn::ShiftLeft<30>(hn::And(hn::Add(quadrant, one), hn::Set(di, 2))));
    const auto sine_sign = hn::BitCast(df, hn::ShiftLeft<30>(hn::And(quadrant, hn::Set(di, 2))));
    hn::StoreU(hn::Xor(hn::IfThenElse(swap, sine, cosine), cosine_sign), df, cosines + p);
    hn::StoreU(hn::Xor(hn::IfThenElse(swap, cosine, sine), sine_sign), df, sines + p);
  }
}

// y[p] = x[p] cos - x[pairs + p] sin, y[pairs + p] = x[p] sin + x[pairs + p] cos.
template <class X, class Y>
HWY_INLINE void RotateHalves(const X* x, Y* y, size_t pairs, const float* HWY_RESTRICT cosines,
                             const float* HWY_RESTRICT sines) {
  const hn::CappedTag<float, 16> df;
  const size_t lanes = hn::Lanes(df);
  for (size_t p = 0; p < pairs; p += lanes) {
    const auto c = hn::LoadU(df, cosines + p);
    const auto s = hn::LoadU(df, sines + p);
    const bool whole = p + lanes <= pairs;
    const size_t n = whole ? lanes : pairs - p;
    const auto a = whole ? LoadF32(df, x + p) : LoadNF32(df, x + p, n);
    const auto b = whole ? LoadF32(df, x + pairs + p) : LoadNF32(df, x + pairs + p, n);
    const auto first = NegFma(b, s, hn::Mul(a, c));
    const auto second = Fma(a, s, hn::Mul(b, c));
    if (whole) {
      StoreF32(first, df, y + p);
      StoreF32(second, df, y + pairs + p);
    } else {
      StoreNF32(first, df, y + p, n);
      StoreNF32(second, df, y + pairs + p, n);
    }
  }
}

// y[2p] = x[2p] cos - x[2p + 1] sin, y[2p + 1] = x[2p] sin + x[2p + 1] cos. cosines[2p] and
// cosines[2p + 1] are the pair's cosine, sines[2p] is minus its sine and sines[2p + 1] its sine.
template <class X, class Y>
HWY_INLINE void RotateNeighbours(const X* x, Y* y, size_t pairs, const float* HWY_RESTRICT cosines,
                                 const float* HWY_RESTRICT sines) {
  const hn::CappedTag<float, 16> df;
#if HWY_TARGET == HWY_SCALAR
  for (size_t p = 0; p < 2 * pairs; p += 2) {
    const auto a = LoadF32(df, x + p);
    const auto b = LoadF32(df, x + p + 1);
    const auto first = Fma(b, hn::LoadU(df, sines + p), hn::Mul(a, hn::LoadU(df, cosines + p)));
    const auto second =
        Fma(a, hn::LoadU(df, sines + p + 1), hn::Mul(b, hn::LoadU(df, cosines + p + 1)));
    StoreF32(first, df, y + p);
    StoreF32(second, df, y + p + 1);
  }
#else
  const size_t lanes = hn::Lanes(df);
  for (size_t p = 0; p < 2 * pairs; p += lanes) {
    const auto c = hn::LoadU(df, cosines + p);
    const auto s = hn::LoadU(df, sines + p);
    if (p + lanes <= 2 * pairs) {
      const auto v = LoadF32(df, x + p);
      StoreF32(Fma(hn::Reverse2(df, v), s, hn::Mul(v, c)), df, y + p);
    } else {
      const size_t n = 2 * pairs - p;
      const auto v = LoadNF32(df, x + p, n);
      StoreNF32(Fma(hn::Reverse2(df, v), s, hn::Mul(v, c)), df, y + p, n);
    }
  }
#endif
}

// y[0, n) = x[0, n).
template <class X, class Y>
HWY_INLINE void CopyElements(const X* x, Y* y, size_t n) {
  const hn::CappedTag<float, 16> df;
  const size_t lanes = hn::Lanes(df);
  for (size_t i = 0; i < n; i += lanes) {
    const size_t count = HWY_MIN(lanes, n - i);
    StoreNF32(LoadNF32(df, x + i, count), df, y + i, count);
  }
}

template <class Config>
void RotaryKernel(const typename Config::Args& args, size_t first_row, size_t last_row) {
  const size_t pairs = args.pairs;
  const size_t padded = hwy::RoundUpTo(pairs, size_t{16});
  float* HWY_RESTRICT cosines = static_cast<float*>(args.scratch(6 * padded * sizeof(float)));
  float* HWY_RESTRICT sines = cosines + padded;
  // For neighbours: of each element, rather than each pair.
  float* HWY_RESTRICT cosines_of_elements = sines + padded;
  float* HWY_RESTRICT sines_of_elements = cosines_of_elements + 2 * padded;
  for (size_t i = first_row; i < last_row; ++i) {
    const double position = args.positions == nullptr ? static_cast<double>(args.first_position + i)
                                                      : static_cast<double>(args.positions[i]);
    RotarySinCos(args.inverse ? -position : position, args.turns_high, args.turns_low, pairs,
                 cosines, sines);
    if (args.interleaved) {
      for (size_t p = 0; p < pairs; ++p) {
        cosines_of_elements[2 * p] = cosines_of_elements[2 * p + 1] = cosines[p];
        sines_of_elements[2 * p] = -sines[p];
        sines_of_elements[2 * p + 1] = sines[p];
      }
    }
    for (size_t h = 0; h < args.heads; ++h) {
      const auto* x = args.x.row(h, i);
      auto* y = args.y.row(h, i);
      if (args.interleaved) {
        RotateNeighbours(x, y, pairs, cosines_of_elements, sines_of_elements);
      } else {
        RotateHalves(x, y, pairs, cosines, sines);
      }
      if (static_cast<const void*>(x) != static_cast<const void*>(y)) {
        CopyElements(x + 2 * pairs, y + 2 * pairs, args.size - 2 * pairs);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ROTARY_INL_H_
