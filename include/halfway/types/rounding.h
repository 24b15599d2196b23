// SPDX-License-Identifier: Apache-2.0
// Rounding modes and overflow policies as types, the two choices every narrowing conversion makes.
//
//   constexpr auto m = (sig + halfway::round_to_nearest_even{}.addend(sig, shift)) >> shift;
//
// A rounding mode is what is added to a significand before its low bits are cut off. That one
// function is all a conversion needs, so a mode that is added here serves every format and every
// source type.

#ifndef HALFWAY_TYPES_ROUNDING_H_
#define HALFWAY_TYPES_ROUNDING_H_

#include <concepts>

namespace halfway {

/// What a conversion gives for a value past the largest finite one (after rounding), and for an
/// infinity.
enum class overflow {
  ieee,      ///< infinity; NaN without infinity; the largest finite value with neither
  saturate,  ///< the largest finite value, with the sign
};

/// IEEE 754 roundTiesToEven.
struct round_to_nearest_even {
  template <std::unsigned_integral U>
  constexpr U addend(U significand, int shift) const {
    return static_cast<U>(((U{1} << shift) >> 1) - 1 + ((significand >> shift) & 1));
  }
};

}  // namespace halfway

#endif  // HALFWAY_TYPES_ROUNDING_H_
