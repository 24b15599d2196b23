// SPDX-License-Identifier: Apache-2.0
// A float or double rounded to an integer that saturates.
//
//   static_assert(halfway::detail::round_to_integer(-2.5f, -128, 127,
//                                                   halfway::round_to_nearest_even()) == -2);

#ifndef HALFWAY_TYPES_ROUND_INTEGER_H_
#define HALFWAY_TYPES_ROUND_INTEGER_H_

#include <bit>
#include <cstdint>
#include <limits>

#include "halfway/types/encode.h"
#include "halfway/types/rounding.h"

namespace halfway::detail {

/// `value` limited to [lowest, largest], then rounded; NaN gives 0. Float holds the limits exactly,
/// and has digits to spare.
template <float_or_double Float, rounding_mode Rounding>
constexpr std::int32_t round_to_integer(Float value, std::int32_t lowest, std::int32_t largest,
                                        Rounding rounding) {
  using S = binary_layout<Float>;
  using Bits = typename S::bits;
  constexpr unsigned width = std::numeric_limits<Bits>::digits;
  constexpr Bits leading = Bits{1} << S::mantissa_bits;
  if (value != value) return 0;
  if (!(value > static_cast<Float>(lowest))) return lowest;
  if (!(value < static_cast<Float>(largest))) return largest;
  const Bits x = std::bit_cast<Bits>(value);
  const Bits a = x & ~(Bits{1} << (width - 1));
  const int field = static_cast<int>(a >> S::mantissa_bits);
  // Below the normal numbers there is no leading bit, but all of them are far below 1.
  const auto shift = static_cast<unsigned>(S::mantissa_bits + S::bias - field);
  const auto magnitude =
      static_cast<std::int32_t>(round_off((a & (leading - 1)) | leading, shift, rounding));
  return x >> (width - 1) != 0 ? -magnitude : magnitude;
}

}  // namespace halfway::detail

#endif  // HALFWAY_TYPES_ROUND_INTEGER_H_
