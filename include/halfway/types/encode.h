// SPDX-License-Identifier: Apache-2.0
// Bit patterns of a small format from a number with one rounding, and the exact float from a bit
// pattern.
//
//   constexpr auto bits = halfway::detail::encode<halfway::formats::float16,
//                                                 halfway::overflow::ieee>(1.0f);
//   static_assert(bits == 0x3C00 && halfway::detail::decode<halfway::formats::float16>(bits) == 1);
//
// Everything is integer arithmetic on bit patterns, but for one exact subtraction of normal numbers
// in decode, so results do not depend on the rounding mode, flush-to-zero or denormals-are-zero
// state of the processor.

#ifndef HALFWAY_TYPES_ENCODE_H_
#define HALFWAY_TYPES_ENCODE_H_

#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "halfway/types/formats.h"
#include "halfway/types/rounding.h"

namespace halfway::detail {

/// float or double seen as an unsigned integer.
template <class Float>
struct binary_layout;

template <>
struct binary_layout<float> {
  using bits = std::uint32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr int bias = 127;
};

/// float as a target, with the names of a small format's tag.
struct float32_format {
  using storage = std::uint32_t;
  static constexpr int exponent_bits = 8;
  static constexpr int mantissa_bits = 23;
  static constexpr int bias = 127;
  static constexpr bool is_signed = true;
  static constexpr bool has_infinity = true;
  static constexpr nan_encoding nan = nan_encoding::ieee;
};

template <>
struct binary_layout<double> {
  using bits = std::uint64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr int bias = 1023;
};

/// NaN of a format: sign kept, quiet bit set, then as many of the top bits of `payload`
/// (left-aligned in 64 bits, quiet bit of the source first) as there is room for. The codes where
/// only one NaN exists get that one.
template <class Format>
constexpr std::uint32_t encode_nan(std::uint32_t sign, std::uint64_t payload) {
  using L = layout<Format>;
  if constexpr (Format::nan == nan_encoding::ieee) {
    return sign | L::exponent | L::quiet |
           static_cast<std::uint32_t>(payload >> (64 - L::mantissa_bits));
  } else if constexpr (Format::nan == nan_encoding::all_ones) {
    return sign | L::magnitude;
  } else if constexpr (Format::nan == nan_encoding::negative_zero) {
    return L::sign;
  } else {
    // No NaN exists: the positive largest value, as ONNX and NVIDIA define it (types/minifloat.h).
    return L::max_finite;
  }
}

/// Sign and overflow policy applied to a rounded magnitude, which may lie past the largest finite
/// one.
template <class Format, overflow Overflow, class Magnitude>
constexpr std::uint32_t finish(std::uint32_t sign, Magnitude magnitude) {
  using L = layout<Format>;
  if constexpr (!Format::is_signed) {
    if (sign != 0) return Overflow == overflow::saturate ? 0u : encode_nan<Format>(0, 0);
  }
  if constexpr (Overflow == overflow::ieee && Format::has_infinity) {
    return sign | (magnitude < L::infinity ? static_cast<std::uint32_t>(magnitude) : L::infinity);
  } else if constexpr (Overflow == overflow::ieee && L::has_nan) {
    if (magnitude > L::max_finite) return encode_nan<Format>(sign, 0);
  }
  const std::uint32_t m =
      magnitude < L::max_finite ? static_cast<std::uint32_t>(magnitude) : L::max_finite;
  if constexpr (Format::nan == nan_encoding::negative_zero) return m == 0 ? 0u : sign | m;
  return sign | m;
}

/// A rounded magnitude of a finite number, which modes that do not overflow keep finite.
template <class Format, class Rounding, class Magnitude>
constexpr Magnitude limit_finite(Magnitude magnitude) {
  constexpr Magnitude largest = layout<Format>::max_finite;
  return !Rounding::overflows && magnitude > largest ? largest : magnitude;
}

/// Magnitude bits for significand * 2^(exponent - Point), where Point is the position of the
/// significand's leading bit.
///
/// The leading bit may be missing only where the value is so small that it cannot matter. Rounding
/// carries into the exponent, and past the largest exponent, by plain addition.
template <class Format, int Point, class Bits, class Rounding>
constexpr Bits round_magnitude(Bits significand, int exponent, Rounding rounding) {
  using L = layout<Format>;
  static_assert(Point > L::mantissa_bits);
  const int floor_exponent = exponent > L::min_exponent ? exponent : L::min_exponent;
  const int shift = floor_exponent - exponent + Point - L::mantissa_bits;
  const Bits m = round_off(significand, static_cast<unsigned>(shift), rounding);
  const Bits magnitude =
      (static_cast<Bits>(floor_exponent - L::min_exponent) << L::mantissa_bits) + m;
  // Normals start at pattern 0 where there are no subnormals, and at 1 << mantissa_bits otherwise.
  if constexpr (!L::has_zero) return magnitude == 0 ? 0 : magnitude - 1;
  return magnitude;
}

/// A magnitude (significand + tail) * 2^exponent with 0 <= tail < 1, the tail zero only where
/// `inexact` is false.
struct scaled {
  std::uint64_t significand = 0;
  int exponent = 0;
  bool inexact = false;

  constexpr bool is_zero() const { return significand == 0 && !inexact; }
};

/// Magnitude bits for a number that is not zero; past the largest finite one where it overflows.
template <class Format, class Rounding = round_to_nearest_even>
constexpr std::uint64_t scaled_magnitude(scaled x, Rounding rounding = {}) {
  // Two bits of room above: a value below half of the smallest one must stay there when its shift
  // is cut to 63.
  constexpr int point = 61;
  if (x.significand == 0) return round_magnitude<Format, point>(std::uint64_t{1}, -1000, rounding);
  // Bits that fall off are kept as one sticky bit at the bottom, where it decides ties and nothing
  // else.
  const int up = std::countl_zero(x.significand) - (63 - point);
  std::uint64_t aligned = x.significand << (up > 0 ? up : 0);
  bool sticky = x.inexact;
  if (up < 0) {
    sticky = sticky || (aligned & ((1u << -up) - 1)) != 0;
    aligned >>= -up;
  }
  return round_magnitude<Format, point>(aligned | (sticky ? 1u : 0u), x.exponent + point - up,
                                        rounding);
}

/// Bits for (-1)^negative * x.
template <class Format, overflow Overflow, class Rounding = round_to_nearest_even>
constexpr std::uint32_t encode_scaled(bool negative, scaled x, Rounding rounding = {}) {
  using L = layout<Format>;
  const std::uint32_t sign = negative ? (Format::is_signed ? L::sign : 1u) : 0u;
  if (x.is_zero()) {
    if constexpr (!L::has_zero) {
      return Overflow == overflow::saturate ? 0u : encode_nan<Format>(0, 0);
    }
    return finish<Format, Overflow>(sign, std::uint32_t{0});
  }
  return finish<Format, Overflow>(
      sign, limit_finite<Format, Rounding>(scaled_magnitude<Format>(x, rounding)));
}

template <class T>
concept float_or_double = std::same_as<T, float> || std::same_as<T, double>;

/// Bits for a float or double.
template <class Format, overflow Overflow, class Rounding = round_to_nearest_even,
          float_or_double Float>
constexpr std::uint32_t encode(Float value, Rounding rounding = {}) {
  using L = layout<Format>;
  using S = binary_layout<Float>;
  using Bits = typename S::bits;
  constexpr unsigned width = std::numeric_limits<Bits>::digits;
  constexpr Bits leading = Bits{1} << S::mantissa_bits;
  constexpr Bits infinity = static_cast<Bits>(2 * S::bias + 1) << S::mantissa_bits;

  const Bits x = std::bit_cast<Bits>(value);
  const Bits a = x & ~(Bits{1} << (width - 1));
  const std::uint32_t negative = static_cast<std::uint32_t>(x >> (width - 1));
  const std::uint32_t sign =
      Format::is_signed ? static_cast<std::uint32_t>(x >> (width - L::bits)) & L::sign : negative;
  const Bits fraction = a & (leading - 1);
  if constexpr (!L::has_zero) {  // the lowest binade of e8m0 is subnormal in float: normalize first
    if (a > infinity) return encode_nan<Format>(0, 0);
    if (a == infinity) return finish<Format, Overflow>(negative, L::max_finite + 1);
    const int field = static_cast<int>(a >> S::mantissa_bits);
    const int exponent = (field != 0 ? field : 1) - S::bias - S::mantissa_bits;
    return encode_scaled<Format, Overflow>(
        negative != 0, {field != 0 ? fraction | leading : fraction, exponent}, rounding);
  } else {
    // A normal result is the pattern itself, cut off by a constant shift, with the biases'
    // difference taken from its exponent. Computing the subnormal result too and choosing costs
    // less than a branch that data can mislead.
    constexpr int shift = S::mantissa_bits - L::mantissa_bits;
    constexpr int lift = S::bias + L::min_exponent - 1;
    constexpr Bits lift_bits = static_cast<Bits>(lift) << S::mantissa_bits;
    Bits magnitude = (a + rounding.addend(a, shift) - lift_bits) >> shift;
    if constexpr (lift > 0) {
      const int field = static_cast<int>(a >> S::mantissa_bits);
      // As unsigned, the negative shifts of values far in the normal range are clamped too.
      const auto further = static_cast<unsigned>(lift + 1 - field + shift);
      const Bits subnormal = round_off(fraction | leading, further, rounding);
      magnitude = field <= lift ? subnormal : magnitude;
    }
    if (a != infinity) magnitude = limit_finite<Format, Rounding>(magnitude);
    const std::uint32_t finite = finish<Format, Overflow>(sign, magnitude);
    const std::uint64_t payload = static_cast<std::uint64_t>(fraction) << (64 - S::mantissa_bits);
    const std::uint32_t nan = encode_nan<Format>(sign, payload);
    return a > infinity ? nan : finite;
  }
}

/// A long double as a double, rounded to odd, which a second rounding cannot spoil (Boldo and
/// Melquiond 2005).
constexpr double round_to_odd(long double value) {
  if constexpr (std::numeric_limits<long double>::digits == std::numeric_limits<double>::digits) {
    return static_cast<double>(value);
  } else {
    constexpr double largest = std::numeric_limits<double>::max();
    constexpr long double infinity = std::numeric_limits<long double>::infinity();
    double d{};
    if (value != value || value == infinity || value == -infinity) {
      d = static_cast<double>(value);
    } else if (value > static_cast<long double>(largest) ||
               value < -static_cast<long double>(largest)) {
      d = value > 0 ? largest : -largest;
    } else {
      d = static_cast<double>(value);
      const auto back = static_cast<long double>(d);
      if (back != value) {
        auto bits = std::bit_cast<std::uint64_t>(d);
        const bool away = value < 0 ? back < value : back > value;
        if (away) --bits;  // towards zero; the magnitude was rounded up, so it is not zero
        // A magnitude below the smallest double was rounded to zero, whose sign the bits keep.
        d = std::bit_cast<double>(bits | 1);
      }
    }
    return d;
  }
}

/// Bits for a long double.
template <class Format, overflow Overflow, class Rounding = round_to_nearest_even>
constexpr std::uint32_t encode(long double value, Rounding rounding = {}) {
  return encode<Format, Overflow>(round_to_odd(value), rounding);
}

/// Bits for an integer.
template <class Format, overflow Overflow, class Rounding = round_to_nearest_even,
          std::integral Int>
constexpr std::uint32_t encode(Int value, Rounding rounding = {}) {
  if constexpr (std::same_as<Int, bool>) {
    return encode_scaled<Format, Overflow>(false, {value ? 1u : 0u}, rounding);
  } else {
    using U = std::make_unsigned_t<Int>;
    const bool negative = value < Int{0};
    U magnitude = static_cast<U>(value);
    if (negative) magnitude = static_cast<U>(U{0} - magnitude);
    int exponent = 0;
    bool inexact = false;
    if constexpr (sizeof(U) > sizeof(std::uint64_t)) {
      for (; (magnitude >> 64) != 0; magnitude >>= 1, ++exponent)
        inexact = inexact || (magnitude & 1) != 0;
    }
    return encode_scaled<Format, Overflow>(
        negative, {static_cast<std::uint64_t>(magnitude), exponent, inexact}, rounding);
  }
}

/// 2^e as a float, for -126 <= e <= 127.
constexpr float power_of_two(int e) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(e + 127) << 23);
}

/// The float that a bit pattern stands for: exact for every finite value of every format. Bits
/// above the format's are ignored.
template <class Format>
constexpr float decode(std::uint32_t bits) {
  using L = layout<Format>;
  constexpr std::uint32_t float_nan = 0x7FC00000u;
  constexpr int shift = 23 - L::mantissa_bits;
  const std::uint32_t magnitude = bits & L::magnitude;
  const std::uint32_t sign = Format::is_signed ? (bits & L::sign) << (32 - L::bits) : 0u;
  if constexpr (!L::has_zero) {
    static_assert(Format::bias == 127);
    const std::uint32_t power = magnitude == 0 ? 0x00400000u : magnitude << 23;
    return std::bit_cast<float>(magnitude == L::magnitude ? float_nan : power);
  } else if constexpr (L::min_exponent == -126) {  // bfloat16: the upper half of a float
    static_assert(Format::nan == nan_encoding::ieee);
    const std::uint32_t quiet = magnitude > L::infinity ? 0x00400000u : 0u;
    return std::bit_cast<float>(bits << shift | quiet);
  } else {
    constexpr std::uint32_t lift = static_cast<std::uint32_t>(127 - Format::bias) << 23;
    // A subnormal's mantissa put under the smallest normal's exponent, less that leading one.
    const float with_leading = std::bit_cast<float>((magnitude << shift) + lift + (1u << 23));
    const float subnormal = with_leading - power_of_two(L::min_exponent);
    std::uint32_t x = magnitude <= L::mantissa
                          ? std::bit_cast<std::uint32_t>(subnormal) & 0x7FFFFFFFu
                          : (magnitude << shift) + lift;
    if constexpr (Format::nan == nan_encoding::ieee) {
      x += magnitude >= L::infinity ? lift : 0u;
      x |= magnitude > L::infinity ? 0x00400000u : 0u;
    } else if constexpr (Format::nan == nan_encoding::all_ones) {
      x = magnitude == L::magnitude ? float_nan : x;
    } else if constexpr (Format::nan == nan_encoding::negative_zero) {
      return std::bit_cast<float>((bits & L::all) == L::sign ? float_nan : sign | x);
    }
    return std::bit_cast<float>(sign | x);
  }
}

}  // namespace halfway::detail

#endif  // HALFWAY_TYPES_ENCODE_H_
