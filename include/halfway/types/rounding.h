// SPDX-License-Identifier: Apache-2.0
// Rounding modes and overflow policies as types, the two choices every narrowing conversion makes.
//
//   constexpr auto m = (sig + halfway::round_to_nearest_even{}.addend(sig, shift)) >> shift;
//
// A rounding mode is what is added to a significand before its low bits are cut off. That one
// function is all a conversion needs, so a mode that is added here serves every format and every
// source type. Signs are apart: modes see magnitudes.

#ifndef HALFWAY_TYPES_ROUNDING_H_
#define HALFWAY_TYPES_ROUNDING_H_

#include <concepts>
#include <cstdint>
#include <limits>

#include "halfway/types/philox.h"

namespace halfway {

/// What a conversion gives for a value past the largest finite one (after rounding), and for an
/// infinity.
enum class overflow {
  ieee,      ///< infinity; NaN without infinity; the largest finite value with neither
  saturate,  ///< the largest finite value, with the sign
};

/// IEEE 754 roundTiesToEven.
struct round_to_nearest_even {
  static constexpr bool overflows = true;  ///< a large finite value may become infinite

  /// Half of the last place that is kept, less one where that place is even.
  template <std::unsigned_integral U>
  constexpr U addend(U significand, int shift) const {
    return static_cast<U>(((U{1} << shift) >> 1) - 1 + ((significand >> shift) & 1));
  }
};

/// IEEE 754 roundTowardZero: a finite value past the largest one becomes the largest one under
/// either overflow policy, and only infinity gives infinity.
struct round_toward_zero {
  static constexpr bool overflows = false;  ///< a finite value stays finite

  /// Nothing: what is below the last place is cut off.
  template <std::unsigned_integral U>
  constexpr U addend(U /*significand*/, int /*shift*/) const {
    return 0;
  }
};

/// Stochastic rounding by a random word of yours: x, which lies a fraction f of the way from its
/// lower neighbour (in magnitude) to its upper one, goes up if w / 2^31 >= 1 - f, where w is the
/// word without its last bit (random >> 1).
///
/// For a uniform word the probability is f rounded down to a multiple of 2^-31: exactly f for all
/// floats down to 2^-7 of a format's smallest value, so that the expected value of the result is x.
/// Values that the format has never move. Past the largest finite value x rounds as if there were
/// larger ones, and what comes out larger has overflowed.
struct round_with_random_word {
  static constexpr bool overflows = true;  ///< a large finite value may become infinite
  std::uint32_t random;                    ///< the word; its last bit is not used

  /// The top `shift` bits of the 31 that are used.
  template <std::unsigned_integral U>
  constexpr U addend(U /*significand*/, int shift) const {
    const U word = random >> 1;  // 31 bits, the fraction of a last place that is added
    return shift <= 31 ? static_cast<U>(word >> (31 - shift))
                       : static_cast<U>(word << (shift - 31));
  }
};

/// Stochastic rounding by a stream of random words: element i of a range rounds by
/// `random_word(seed, first + i)` (types/philox.h), whatever the CPU, the number of threads or the
/// division into calls. A scalar conversion rounds by `random_word(seed, first)`.
///
/// Different words, and so independent roundings, come from different seeds or from ranges of
/// indices that do not overlap.
struct round_stochastically {
  static constexpr bool overflows = true;  ///< a large finite value may become infinite
  std::uint64_t seed = 0;                  ///< of the stream
  std::uint64_t first = 0;                 ///< the index of element 0 in the stream

  /// The mode of element i of a range.
  constexpr round_with_random_word at(std::uint64_t i) const {
    return {random_word(seed, first + i)};
  }
  /// Of element 0.
  template <std::unsigned_integral U>
  constexpr U addend(U significand, int shift) const {
    return at(0).addend(significand, shift);
  }
};

/// One of the modes above, or one of your own. `addend(significand, shift)`, with 1 <= shift < the
/// width of the significand, is less than 2^shift, and the sum does not overflow. `overflows`: a
/// finite value may become infinite.
template <class R>
concept rounding_mode = requires(R mode, std::uint32_t u, std::uint64_t w) {
  { mode.addend(u, 0) } -> std::same_as<std::uint32_t>;
  { mode.addend(w, 0) } -> std::same_as<std::uint64_t>;
  { R::overflows } -> std::convertible_to<bool>;
};

namespace detail {

/// The mode for element i of a range.
template <rounding_mode Rounding>
constexpr auto rounding_at(Rounding rounding, std::uint64_t i) {
  if constexpr (std::same_as<Rounding, round_stochastically>) {
    return rounding.at(i);
  } else {
    return rounding;
  }
}

/// significand / 2^shift rounded to an integer, for any shift; the significand's two top bits are
/// zero.
template <std::unsigned_integral U, rounding_mode Rounding>
constexpr U round_off(U significand, unsigned shift, Rounding rounding) {
  // What a larger shift would cut is too small to matter to any mode.
  constexpr unsigned max_shift = std::numeric_limits<U>::digits - 1;
  const unsigned kept = shift < max_shift ? shift : max_shift;
  if constexpr (!std::same_as<Rounding, round_to_nearest_even>) {  // which then gives 0 anyway
    const unsigned excess = shift - kept < max_shift ? shift - kept : max_shift;
    significand = static_cast<U>(significand >> excess);
  }
  return static_cast<U>((significand + rounding.addend(significand, static_cast<int>(kept))) >>
                        kept);
}

}  // namespace detail
}  // namespace halfway

#endif  // HALFWAY_TYPES_ROUNDING_H_
