// SPDX-License-Identifier: Apache-2.0
// Named conversions that say what happens past the range: ieee_cast (infinity) and saturate_cast
// (largest finite value).
//
//   auto a = halfway::ieee_cast<halfway::half>(1e6f);       // infinity
//   auto b = halfway::saturate_cast<halfway::half>(1e6f);   // 65504
//   auto c = halfway::ieee_cast<halfway::half>(0.1, halfway::round_toward_zero());
//   auto d = halfway::ieee_cast<halfway::half>(0.1, halfway::round_stochastically{1, 2});
//
// `To` and the argument are any of: a minifloat, float, a storage integer (types/int8.h,
// types/int4.h); the argument also any built-in number. One rounding, by a mode of
// types/rounding.h, to nearest even by default; NaN as in types/minifloat.h, under both names.

#ifndef HALFWAY_TYPES_CAST_H_
#define HALFWAY_TYPES_CAST_H_

#include <bit>
#include <concepts>
#include <limits>

#include "halfway/types/encode.h"
#include "halfway/types/minifloat.h"
#include "halfway/types/rounding.h"
#include "halfway/types/small_int.h"

namespace halfway {
namespace detail {

/// A minifloat as the float it stands for, a storage integer as int, anything else as it is: all
/// exact.
template <class T>
constexpr auto widen(T x) {
  if constexpr (is_minifloat_v<T>) {
    return static_cast<float>(x);
  } else if constexpr (is_small_int_v<T>) {
    return static_cast<int>(x);
  } else {
    return x;
  }
}

template <class To, overflow Overflow, rounding_mode Rounding, class From>
constexpr To cast(From x, Rounding rounding) {
  if constexpr (std::same_as<To, From>) {
    if constexpr (Overflow == overflow::saturate && is_minifloat_v<To>) {
      using Limits = std::numeric_limits<To>;
      if (isinf(x)) return signbit(x) ? Limits::lowest() : Limits::max();
    }
    return x;
  } else if constexpr (is_minifloat_v<To>) {
    using Format = typename To::format;
    return To::from_bits(
        static_cast<typename To::storage>(encode<Format, Overflow>(widen(x), rounding)));
  } else if constexpr (is_small_int_v<To>) {
    if constexpr (builtin_float<decltype(widen(x))>) {
      return To::rounded(widen(x), rounding);
    } else {
      return To(widen(x));
    }
  } else {
    static_assert(std::same_as<To, float>,
                  "halfway: To is a minifloat, float or a storage integer");
    if constexpr (std::same_as<Rounding, round_to_nearest_even> ||
                  std::same_as<decltype(widen(x)), float>) {
      return static_cast<float>(widen(x));
    } else {
      return std::bit_cast<float>(encode<float32_format, overflow::ieee>(widen(x), rounding));
    }
  }
}

}  // namespace detail

/// The nearest value, ties to even, or what another rounding mode makes of x; past the range
/// infinity, or what the format has in its place (types/minifloat.h). Storage integers saturate in
/// any case.
template <class To, class From, rounding_mode Rounding = round_to_nearest_even>
constexpr To ieee_cast(From x, Rounding rounding = {}) {
  return detail::cast<To, overflow::ieee>(x, rounding);
}

/// The same, but past the range, and for infinities, the largest finite value with
/// the sign (CUDA's `satfinite`; ONNX's `saturate`, but for infinities into fnuz, of which ONNX's
/// Cast makes NaN). NaN stays NaN. In e8m0 zero and negative values become 2^-127.
template <class To, class From, rounding_mode Rounding = round_to_nearest_even>
constexpr To saturate_cast(From x, Rounding rounding = {}) {
  return detail::cast<To, overflow::saturate>(x, rounding);
}

}  // namespace halfway

#endif  // HALFWAY_TYPES_CAST_H_
