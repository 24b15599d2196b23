// SPDX-License-Identifier: Apache-2.0
// std::numeric_limits of every small float.
//
//   static_assert(std::numeric_limits<halfway::half>::max() == 65504.0f);
//
// Where a format has no infinity or no NaN, infinity() and quiet_NaN() give what converting one
// gives (see types/minifloat.h), and has_infinity and has_quiet_NaN say so.

#ifndef HALFWAY_TYPES_LIMITS_H_
#define HALFWAY_TYPES_LIMITS_H_

#include <limits>

#include "halfway/types/minifloat.h"

namespace halfway::detail {

/// Largest n with 10^n <= x, for x >= 1.
constexpr int floor_log10(double x) {
  int n = 0;
  for (double power = 10; power <= x; power *= 10) ++n;
  return n;
}

}  // namespace halfway::detail

// What stands in namespace std is no part of the reference.
/// @cond std

// C++23 deprecates has_denorm, which generic code still asks for.
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif
template <class Format>
class std::numeric_limits<halfway::minifloat<Format>> {
  using T = halfway::minifloat<Format>;
  using L = halfway::detail::layout<Format>;
  static constexpr T pattern(std::uint32_t bits) {
    return T::from_bits(static_cast<typename T::storage>(bits));
  }

 public:
  static constexpr bool is_specialized = true;
  static constexpr bool is_signed = Format::is_signed;
  static constexpr bool is_integer = false;
  static constexpr bool is_exact = false;
  static constexpr bool has_infinity = Format::has_infinity;
  static constexpr bool has_quiet_NaN = L::has_nan;
  static constexpr bool has_signaling_NaN =
      Format::nan == halfway::nan_encoding::ieee && Format::mantissa_bits > 1;
  static constexpr std::float_denorm_style has_denorm =
      L::has_zero ? std::denorm_present : std::denorm_absent;
  static constexpr bool has_denorm_loss = false;
  static constexpr std::float_round_style round_style = std::round_to_nearest;
  static constexpr bool is_iec559 =
      Format::has_infinity && Format::nan == halfway::nan_encoding::ieee;
  static constexpr bool is_bounded = true;
  static constexpr bool is_modulo = false;
  static constexpr int digits = Format::mantissa_bits + 1;
  static constexpr int digits10 =
      Format::mantissa_bits * 30103 / 100000;  // floor((digits - 1) log10(2))
  static constexpr int max_digits10 =
      2 + (Format::mantissa_bits + 1) * 30103 / 100000;  // ceil(1 + digits log10(2))
  static constexpr int radix = 2;
  static constexpr int min_exponent = L::min_exponent + 1;
  static constexpr int max_exponent =
      static_cast<int>(L::max_finite >> Format::mantissa_bits) - Format::bias + 1;
  static constexpr int min_exponent10 = -halfway::detail::floor_log10(
      1.0 / static_cast<double>(static_cast<float>(pattern(L::has_zero ? L::mantissa + 1 : 0))));
  static constexpr int max_exponent10 =
      halfway::detail::floor_log10(static_cast<double>(static_cast<float>(pattern(L::max_finite))));
  static constexpr bool traps = false;
  static constexpr bool tinyness_before = false;

  static constexpr T min() noexcept { return pattern(L::has_zero ? L::mantissa + 1 : 0); }
  static constexpr T lowest() noexcept {
    return pattern(Format::is_signed ? L::sign | L::max_finite : 0);
  }
  static constexpr T max() noexcept { return pattern(L::max_finite); }
  static constexpr T epsilon() noexcept {
    return T(halfway::detail::power_of_two(-Format::mantissa_bits));
  }
  static constexpr T round_error() noexcept { return T(0.5f); }
  static constexpr T infinity() noexcept { return T(std::numeric_limits<float>::infinity()); }
  static constexpr T quiet_NaN() noexcept {
    return pattern(halfway::detail::encode_nan<Format>(0, 0));
  }
  static constexpr T signaling_NaN() noexcept {
    return has_signaling_NaN ? pattern(L::exponent | L::quiet >> 1) : quiet_NaN();
  }
  static constexpr T denorm_min() noexcept { return pattern(L::has_zero ? 1 : 0); }
};
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
/// @endcond

#endif  // HALFWAY_TYPES_LIMITS_H_
