// SPDX-License-Identifier: Apache-2.0
// One template for every small float: a bit pattern with conversions that round once, arithmetic
// through float, comparisons.
//
//   constexpr auto x = halfway::minifloat<halfway::formats::float16>(0.1);  // nearest, ties to even
//   static_assert(x.bits() == 0x2E66);
//   float y = x * 2.0f;  // float arithmetic
//
// The conversion policy, for every format:
//
// - From float, double, long double and integers: one rounding, to nearest, ties to even. In e8m0,
//   whose significand has one digit, a tie goes to the larger power of two (IEEE 754-2019, 4.3.1;
//   ml_dtypes does the same).
// - Past the largest finite value: infinity; NaN where the format has none (e4m3fn, fnuz, e8m0);
//   the largest finite value where it has neither (fp6, fp4). These are the results of ml_dtypes,
//   PyTorch and ONNX without `saturate`. `saturate_cast` in types/cast.h gives the largest finite
//   value in all of them.
// - NaN: the sign is kept, the quiet bit set, the top payload bits kept (as F16C and AArch64 do).
//   e4m3fn has one NaN of each sign, fnuz and e8m0 have one. fp6 and fp4 have none: the result is
//   the positive largest value, as ONNX's Cast and NVIDIA's cvt.satfinite define it. (MX leaves it
//   open. ml_dtypes gives -0, which hides that something went wrong.)
// - -0 stays -0, except in fnuz, where it becomes +0.
// - e8m0 has no zero and no sign: zero and negative values become NaN, or 2^-127 with
//   `saturate_cast` (both as in ml_dtypes). Positive values below 2^-127 become 2^-127.
// - To float: exact. A NaN comes out quiet, with its payload; that of fnuz positive.

#ifndef HALFWAY_TYPES_MINIFLOAT_H_
#define HALFWAY_TYPES_MINIFLOAT_H_

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string_view>  // std::hash
#include <type_traits>

#include "halfway/types/encode.h"
#include "halfway/types/formats.h"
#include "halfway/types/rounding.h"

namespace halfway {

template <class Format>
class minifloat;

/// Whether T is a `minifloat`, of any format.
/// @{
template <class T>
inline constexpr bool is_minifloat_v = false;
template <class Format>
inline constexpr bool is_minifloat_v<minifloat<Format>> = true;
/// @}

/// float, double, long double.
template <class T>
concept builtin_float =
    std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, long double>;

/// The above, the integers and bool.
template <class T>
concept builtin_number = std::integral<T> || builtin_float<T>;

/// What a minifloat can be converted from, or computed with, by name.
template <class T>
concept any_number = builtin_number<T> || is_minifloat_v<T>;

/// A number in `Format`. Trivially copyable, as large as `Format::storage`; value-initialized it is
/// pattern 0.
///
/// Between two values of one format + - * / give that format, computed in float and rounded: for
/// half, bfloat16 and everything narrower that is the correctly rounded result, because float has
/// at least twice their digits plus two. (e8m0, whose products leave float's range, uses double.)
/// With any other number the operands convert to float (or to double, where the other is one) and
/// the result is that type.
///
/// Memory that holds the same patterns under another type (a compiler's _Float16, Eigen::half, the
/// std::uint16_t of a file) may be read and written through a pointer to it: like std::byte, a
/// minifloat may alias anything.
template <class Format>
class [[gnu::may_alias]] minifloat {
 public:
  using format = Format;  ///< the tag, of namespace formats
  /// Of the bit pattern: `std::uint8_t` or `std::uint16_t`.
  using storage = typename Format::storage;

  constexpr minifloat() = default;

  /// Nearest value, ties to even, IEEE overflow: see the top of this file.
  template <builtin_number T>
  constexpr explicit minifloat(T value)
      : bits_(static_cast<storage>(detail::encode<Format, overflow::ieee>(value))) {}

  /// By way of float, which is exact: one rounding, by the rules above.
  template <class Other>
  constexpr explicit minifloat(minifloat<Other> value) : minifloat(static_cast<float>(value)) {}

  /// The value with this bit pattern, right-aligned; bits above the format's are dropped.
  static constexpr minifloat from_bits(storage bits) {
    minifloat x;
    x.bits_ = static_cast<storage>(bits & detail::layout<Format>::all);
    return x;
  }
  constexpr storage bits() const { return bits_; }  ///< right-aligned, zeros above

  /// Exact for every value, and so implicit.
  constexpr operator float() const {
    return detail::decode<Format>(bits_);
  }  // NOLINT: implicit, because exact

  constexpr minifloat operator+() const { return *this; }  ///< unchanged, not promoted
  /// Flips the sign. fnuz has no -0, and its NaN stays; in the unsigned e8m0 the result is NaN.
  constexpr minifloat operator-() const {
    using L = detail::layout<Format>;
    if constexpr (!Format::is_signed) return from_bits(static_cast<storage>(L::magnitude));
    if constexpr (Format::nan == nan_encoding::negative_zero) {
      if ((bits_ & L::magnitude) == 0) return *this;
    }
    return from_bits(static_cast<storage>(bits_ ^ L::sign));
  }

  /// Rounded once to this format, to nearest even (see above).
  /// @{
  friend constexpr minifloat operator+(minifloat a, minifloat b) {
    return minifloat(static_cast<wide>(a) + static_cast<wide>(b));
  }
  friend constexpr minifloat operator-(minifloat a, minifloat b) {
    return minifloat(static_cast<wide>(a) - static_cast<wide>(b));
  }
  friend constexpr minifloat operator*(minifloat a, minifloat b) {
    return minifloat(static_cast<wide>(a) * static_cast<wide>(b));
  }
  friend constexpr minifloat operator/(minifloat a, minifloat b) {
    return minifloat(static_cast<wide>(a) / static_cast<wide>(b));
  }
  /// @}

  /// @copydoc operator+(minifloat, minifloat)
  /// @{
  constexpr minifloat& operator+=(minifloat b) { return *this = *this + b; }
  constexpr minifloat& operator-=(minifloat b) { return *this = *this - b; }
  constexpr minifloat& operator*=(minifloat b) { return *this = *this * b; }
  constexpr minifloat& operator/=(minifloat b) { return *this = *this / b; }
  /// @}

  /// With another number: computed in float, or in double or long double where `b` is one, then
  /// rounded to this format.
  template <any_number T>
  constexpr minifloat& operator+=(T b) {
    return *this = minifloat(static_cast<with<T>>(*this) + static_cast<with<T>>(b));
  }
  /// @copydoc operator+=(T)
  template <any_number T>
  constexpr minifloat& operator-=(T b) {
    return *this = minifloat(static_cast<with<T>>(*this) - static_cast<with<T>>(b));
  }
  /// @copydoc operator+=(T)
  template <any_number T>
  constexpr minifloat& operator*=(T b) {
    return *this = minifloat(static_cast<with<T>>(*this) * static_cast<with<T>>(b));
  }
  /// @copydoc operator+=(T)
  template <any_number T>
  constexpr minifloat& operator/=(T b) {
    return *this = minifloat(static_cast<with<T>>(*this) / static_cast<with<T>>(b));
  }

  /// By one, rounded: from 2^digits on the value stays, as that of a float does.
  /// @{
  constexpr minifloat& operator++() { return *this += 1.0f; }
  constexpr minifloat& operator--() { return *this -= 1.0f; }
  constexpr minifloat operator++(int) {
    const minifloat old = *this;
    ++*this;
    return old;
  }
  constexpr minifloat operator--(int) {
    const minifloat old = *this;
    --*this;
    return old;
  }
  /// @}

  /// As IEEE 754: -0 equals +0, NaN is unordered and unequal to everything.
  friend constexpr bool operator==(minifloat a, minifloat b) {
    return static_cast<float>(a) == static_cast<float>(b);
  }
  /// Unordered where either is NaN; -0 and +0 are equivalent.
  friend constexpr std::partial_ordering operator<=>(minifloat a, minifloat b) {
    return static_cast<float>(a) <=> static_cast<float>(b);
  }

 private:
  using wide = std::conditional_t<detail::layout<Format>::has_zero, float, double>;

  /// double and long double stay; anything else becomes float, as in the built-in float + int.
  template <class T>
  using with = std::conditional_t<builtin_float<T>, T, float>;

  storage bits_{};
};

/// Of either sign, quiet or signalling. Never where the format has no NaN.
template <class Format>
constexpr bool isnan(minifloat<Format> x) {
  using L = detail::layout<Format>;
  if constexpr (Format::nan == nan_encoding::ieee) return (x.bits() & L::magnitude) > L::infinity;
  if constexpr (Format::nan == nan_encoding::all_ones)
    return (x.bits() & L::magnitude) == L::magnitude;
  if constexpr (Format::nan == nan_encoding::negative_zero) return x.bits() == L::sign;
  return false;
}

/// Of either sign. Never where the format has no infinity.
template <class Format>
constexpr bool isinf(minifloat<Format> x) {
  using L = detail::layout<Format>;
  return Format::has_infinity && (x.bits() & L::magnitude) == L::infinity;
}

/// Neither infinite nor NaN.
template <class Format>
constexpr bool isfinite(minifloat<Format> x) {
  using L = detail::layout<Format>;
  if constexpr (Format::nan == nan_encoding::negative_zero) return x.bits() != L::sign;
  return (x.bits() & L::magnitude) <= L::max_finite;
}

/// The sign bit, also of zero and NaN. A fnuz NaN has no sign: false.
template <class Format>
constexpr bool signbit(minifloat<Format> x) {
  using L = detail::layout<Format>;
  if constexpr (Format::nan == nan_encoding::negative_zero) return x.bits() > L::sign;
  return (x.bits() & L::sign) != 0;
}

}  // namespace halfway

// What stands in namespace std is no part of the reference.
/// @cond std
/// +0 and -0 are equal, so they hash alike.
template <class Format>
struct std::hash<halfway::minifloat<Format>> {
  std::size_t operator()(halfway::minifloat<Format> x) const noexcept {
    using L = halfway::detail::layout<Format>;
    const std::uint32_t bits = x.bits();
    return std::hash<std::uint32_t>{}(L::has_zero && bits == L::sign && !halfway::isnan(x) ? 0u
                                                                                           : bits);
  }
};
/// @endcond

// Without these a minifloat would compile and quietly behave as the float it converts to, or have
// all-zero numeric_limits.
#include "halfway/types/limits.h"  // IWYU pragma: export
#include "halfway/types/math.h"    // IWYU pragma: export
#include "halfway/types/text.h"    // IWYU pragma: export

#endif  // HALFWAY_TYPES_MINIFLOAT_H_
