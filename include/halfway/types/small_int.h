// SPDX-License-Identifier: Apache-2.0
// Storage integers of 8 bits and fewer that round and saturate when made from a wider number, and
// never wrap.
//
//   static_assert(halfway::small_int<8, true>(200) == 127);
//   static_assert(halfway::small_int<8, true>(-2.5f) == -2);
//
// Arithmetic happens in int, to which they convert implicitly; making one again is explicit and
// saturates.

#ifndef HALFWAY_TYPES_SMALL_INT_H_
#define HALFWAY_TYPES_SMALL_INT_H_

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>  // std::hash
#include <type_traits>
#include <utility>

#include "halfway/types/encode.h"
#include "halfway/types/minifloat.h"
#include "halfway/types/round_integer.h"
#include "halfway/types/rounding.h"

namespace halfway {

/// An integer of `Bits` bits (at most 8) in a byte; int4 is kept sign-extended, so that its value
/// is that of the byte.
template <int Bits, bool Signed>
class small_int {
  static_assert(Bits >= 1 && Bits <= 8);

 public:
  /// Of the value, which is kept sign-extended.
  using storage = std::conditional_t<Signed, std::int8_t, std::uint8_t>;
  /// That of two's complement, or 0.
  static constexpr int lowest_value = Signed ? -(1 << (Bits - 1)) : 0;
  /// 2^(Bits - 1) - 1, or 2^Bits - 1 unsigned
  static constexpr int max_value = Signed ? (1 << (Bits - 1)) - 1 : (1 << Bits) - 1;

  constexpr small_int() = default;

  /// Saturates.
  template <std::integral T>
  constexpr explicit small_int(T value) : value_(clamp(value)) {}

  /// Nearest integer, ties to even, saturating; infinities saturate, NaN becomes 0.
  template <builtin_float T>
  constexpr explicit small_int(T value) : small_int(rounded(value, round_to_nearest_even())) {}

  /// The same with another rounding mode; what is out of range saturates before it is rounded.
  template <builtin_float T, rounding_mode Rounding>
  static constexpr small_int rounded(T value, Rounding rounding) {
    if constexpr (std::same_as<T, long double>) {
      return rounded(detail::round_to_odd(value), rounding);
    } else {
      return small_int(detail::round_to_integer(value, lowest_value, max_value, rounding));
    }
  }

  /// Nearest integer, ties to even, saturating; infinities saturate, NaN becomes 0.
  template <class Format>
  constexpr explicit small_int(minifloat<Format> value) : small_int(static_cast<float>(value)) {}

  /// Saturates: a negative value becomes 0 in an unsigned type.
  template <int OtherBits, bool OtherSigned>
  constexpr explicit small_int(small_int<OtherBits, OtherSigned> value)
      : small_int(static_cast<int>(value)) {}

  /// The value whose two's complement pattern is in the low bits; higher bits are dropped.
  static constexpr small_int from_bits(std::uint8_t bits) {
    int v = bits & ((1 << Bits) - 1);
    if (Signed && v > max_value) v -= 1 << Bits;
    return small_int(v);
  }
  /// The two's complement pattern in the low bits, zeros above.
  constexpr std::uint8_t bits() const {
    return static_cast<std::uint8_t>(value_ & ((1 << Bits) - 1));
  }

  /// Exact, and so implicit: arithmetic is in int.
  constexpr operator int() const { return value_; }  // NOLINT: implicit, because exact

  /// By value.
  /// @{
  friend constexpr bool operator==(small_int, small_int) = default;
  friend constexpr std::strong_ordering operator<=>(small_int, small_int) = default;
  /// @}

 private:
  template <class T>
  static constexpr storage clamp(T value) {
    if constexpr (std::same_as<T, bool>) {
      return clamp(static_cast<int>(value));
    } else {
      if (value > T{0} && static_cast<std::make_unsigned_t<T>>(value) > unsigned{max_value}) {
        return storage{max_value};
      }
      if constexpr (std::is_signed_v<T>) {
        if (value < lowest_value) return static_cast<storage>(lowest_value);
      }
      return static_cast<storage>(value);
    }
  }

  storage value_{};
};

/// Whether T is a `small_int`, of any width and sign.
/// @{
template <class T>
inline constexpr bool is_small_int_v = false;
template <int Bits, bool Signed>
inline constexpr bool is_small_int_v<small_int<Bits, Signed>> = true;
/// @}

}  // namespace halfway

// What stands in namespace std is no part of the reference.
/// @cond std
template <int Bits, bool Signed>
struct std::hash<halfway::small_int<Bits, Signed>> {
  std::size_t operator()(halfway::small_int<Bits, Signed> x) const noexcept {
    return std::hash<int>{}(x);
  }
};

// C++23 deprecates has_denorm, which generic code still asks for.
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
#endif
template <int Bits, bool Signed>
class std::numeric_limits<halfway::small_int<Bits, Signed>> {
  using T = halfway::small_int<Bits, Signed>;

 public:
  static constexpr bool is_specialized = true;
  static constexpr bool is_signed = Signed;
  static constexpr bool is_integer = true;
  static constexpr bool is_exact = true;
  static constexpr bool has_infinity = false;
  static constexpr bool has_quiet_NaN = false;
  static constexpr bool has_signaling_NaN = false;
  static constexpr std::float_denorm_style has_denorm = std::denorm_absent;
  static constexpr bool has_denorm_loss = false;
  static constexpr std::float_round_style round_style =
      std::round_to_nearest;  // of conversions from floating point
  static constexpr bool is_iec559 = false;
  static constexpr bool is_bounded = true;
  static constexpr bool is_modulo = false;
  static constexpr int digits = Signed ? Bits - 1 : Bits;
  static constexpr int digits10 = digits * 30103 / 100000;
  static constexpr int max_digits10 = 0;
  static constexpr int radix = 2;
  static constexpr int min_exponent = 0;
  static constexpr int min_exponent10 = 0;
  static constexpr int max_exponent = 0;
  static constexpr int max_exponent10 = 0;
  static constexpr bool traps = false;
  static constexpr bool tinyness_before = false;

  static constexpr T min() noexcept { return T(T::lowest_value); }
  static constexpr T lowest() noexcept { return T(T::lowest_value); }
  static constexpr T max() noexcept { return T(T::max_value); }
  static constexpr T epsilon() noexcept { return T(); }
  static constexpr T round_error() noexcept { return T(); }
  static constexpr T infinity() noexcept { return T(); }
  static constexpr T quiet_NaN() noexcept { return T(); }
  static constexpr T signaling_NaN() noexcept { return T(); }
  static constexpr T denorm_min() noexcept { return T(); }
};
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
/// @endcond

#endif  // HALFWAY_TYPES_SMALL_INT_H_
