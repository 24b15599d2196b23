// SPDX-License-Identifier: Apache-2.0
// The type in which values of several types can meet.
//
//   using halfway::dtype;
//   static_assert(halfway::promote(dtype::bfloat16, dtype::float32) == dtype::float32);
//   static_assert(halfway::promote(dtype::bfloat16, dtype::float16) == dtype::float32);
#ifndef HALFWAY_PRECISION_PROMOTE_H_
#define HALFWAY_PRECISION_PROMOTE_H_

#include <array>
#include <cstdint>
#include <limits>
#include <span>

#include "halfway/types/dtype.h"

namespace halfway {

namespace detail {

// The finite values of a type, but that e8m0 has no zero (nor a sign, so it holds no other float):
// k * 2^exponent with |k| < 2^digits, exponent >= min_exponent, magnitude <= max.
struct value_set {
  int digits;
  int min_exponent;
  double max;
  bool is_signed;
  bool has_infinity;
};

template <class T>
constexpr value_set values_of() {
  using limits = std::numeric_limits<T>;
  const int min_exponent = limits::is_integer ? 0 : limits::min_exponent - limits::digits;
  return {limits::digits, min_exponent, max_finite(dtype_of<T>), limits::is_signed,
          limits::has_infinity};
}

constexpr value_set values_of(dtype type) {
  switch (type) {
    case dtype::float64:
      return values_of<double>();
    case dtype::float32:
      return values_of<float>();
    case dtype::float16:
      return values_of<float16>();
    case dtype::bfloat16:
      return values_of<bfloat16>();
    case dtype::float8_e4m3fn:
      return values_of<float8_e4m3fn>();
    case dtype::float8_e5m2:
      return values_of<float8_e5m2>();
    case dtype::float8_e4m3fnuz:
      return values_of<float8_e4m3fnuz>();
    case dtype::float8_e5m2fnuz:
      return values_of<float8_e5m2fnuz>();
    case dtype::float8_e8m0fnu:
      return values_of<float8_e8m0fnu>();
    case dtype::float6_e2m3fn:
      return values_of<float6_e2m3fn>();
    case dtype::float6_e3m2fn:
      return values_of<float6_e3m2fn>();
    case dtype::float4_e2m1fn:
      return values_of<float4_e2m1fn>();
    case dtype::int32:
      return values_of<std::int32_t>();
    case dtype::int8:
      return values_of<int8>();
    case dtype::uint8:
      return values_of<uint8>();
    case dtype::int4:
      return values_of<int4>();
    case dtype::uint4:
      return values_of<uint4>();
  }
  return {};
}

constexpr bool holds(const value_set& w, const value_set& n) {
  return w.digits >= n.digits && w.min_exponent <= n.min_exponent && w.max >= n.max &&
         (w.is_signed || !n.is_signed) && (w.has_infinity || !n.has_infinity);
}

}  // namespace detail

/// Whether every number of type `narrow`, infinity included, is also one of type `wide`. Both
/// floating or both integer; otherwise false.
constexpr bool holds(dtype wide, dtype narrow) {
  if (wide == narrow) return true;
  if (is_floating(wide) != is_floating(narrow)) return false;
  return detail::holds(detail::values_of(wide), detail::values_of(narrow));
}

/// The type among `types` that holds the values of all others; where there is none, float32 (or
/// int32): for float16 with bfloat16, int8 with uint8. Integers give way to floating types,
/// whatever their size. The order of the types does not matter; there must be at least one.
constexpr dtype promote(std::span<const dtype> types) {
  bool floating = false;
  for (const dtype type : types) floating = floating || is_floating(type);
  for (const dtype wide : types) {
    bool holds_all = is_floating(wide) == floating;
    for (const dtype type : types) {
      if (is_floating(type) == floating) holds_all = holds_all && holds(wide, type);
    }
    if (holds_all) return wide;
  }
  return floating ? dtype::float32 : dtype::int32;
}

/// The same for two.
constexpr dtype promote(dtype a, dtype b) {
  const std::array<dtype, 2> types = {a, b};
  return promote(types);
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_PROMOTE_H_
