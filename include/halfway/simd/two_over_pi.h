// SPDX-License-Identifier: Apache-2.0
// x modulo pi / 2 for large x, in integers: the same bits whatever the compiler does to floating
// point.
//
//   const auto r = halfway::detail::reduce_by_quarter_turns(1e30f);   // x = quadrant pi/2 + r
#ifndef HALFWAY_SIMD_TWO_OVER_PI_H_
#define HALFWAY_SIMD_TWO_OVER_PI_H_

#include <bit>
#include <cstdint>

namespace halfway::detail {

struct reduced_angle {
  float high;  // in [-pi/4, pi/4]
  float low;   // what rounding took from high
  std::int32_t quadrant;
};

// The upper 64 bits of the product.
constexpr std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
  constexpr std::uint64_t lower_half = 0xFFFFFFFF;
  const std::uint64_t a0 = a & lower_half, a1 = a >> 32, b0 = b & lower_half, b1 = b >> 32;
  const std::uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
  return a1 * b1 + (middle >> 32) + ((a0 * b1 + (middle & lower_half)) >> 32);
}

// x = (4 k + quadrant) pi/2 + high + low for x in [2^16, inf), error 2^-62, which is 2^-8 of low's
// place where high is smallest, by Payne and Hanek ("Radian reduction for trigonometric functions",
// 1983): of the digits of 2 / pi only those are multiplied by x's significand that leave neither
// whole turns nor less than what is wanted.
inline reduced_angle reduce_by_quarter_turns(float x) {
  // 2 / pi, after 32 zeros.
  constexpr std::uint32_t digits[8] = {0x00000000, 0xA2F9836E, 0x4E441529, 0xFC2757D1,
                                       0xF534DDC0, 0xDB629599, 0x3C439041, 0xFE5163AB};
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(x);
  const std::uint64_t significand = (bits & 0x7FFFFF) | 0x800000;
  // Times 2^e, e = biased exponent - 150, and significand, the digit at `first` is worth an even
  // number of quarter turns.
  const std::uint32_t first = (bits >> 23) - 120;
  const std::uint32_t* word = digits + first / 32;
  const std::uint32_t shift = first % 32;
  const std::uint64_t upper = std::uint64_t{word[0]} << 32 | word[1];
  const std::uint64_t lower = std::uint64_t{word[2]} << 32 | word[3];
  const std::uint64_t window = shift == 0 ? upper : upper << shift | lower >> (64 - shift);
  const std::uint64_t rest = lower << shift >> 32;
  // Two bits of the quadrant, and 62 of the fraction.
  const std::uint64_t turns = significand * window + (significand * rest >> 32);
  const std::uint64_t fraction = turns << 2;  // as a signed number, in [-1/2, 1/2)
  const bool negative = fraction >> 63 != 0;
  const auto quadrant = static_cast<std::int32_t>((turns >> 62) + (negative ? 1 : 0));
  // Times pi / 2, in units of 2^-63: pi / 4 in units of 2^-64 is 0xC90FDAA22168C234.
  const auto magnitude = static_cast<std::int64_t>(
      multiply_high(negative ? 0 - fraction : fraction, 0xC90FDAA22168C234));
  const float high = static_cast<float>(magnitude);
  const float low = static_cast<float>(magnitude - static_cast<std::int64_t>(high));
  const float unit = negative ? -0x1p-63f : 0x1p-63f;
  return {high * unit, low * unit, quadrant};
}

}  // namespace halfway::detail

#endif  // HALFWAY_SIMD_TWO_OVER_PI_H_
