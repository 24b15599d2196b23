// SPDX-License-Identifier: Apache-2.0
// Element types as run-time values with names, for policies, files and messages.
//
//   static_assert(halfway::parse_dtype("bf16") == halfway::dtype::bfloat16);
//   static_assert(halfway::name(halfway::dtype_of<halfway::half>) == "float16");

#ifndef HALFWAY_TYPES_DTYPE_H_
#define HALFWAY_TYPES_DTYPE_H_

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "halfway/types/bfloat16.h"
#include "halfway/types/cast.h"
#include "halfway/types/float4.h"
#include "halfway/types/float6.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "halfway/types/int4.h"
#include "halfway/types/int8.h"

namespace halfway {

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"  // g++ warns of scoped enumerators named as types are
#endif
/// An element type at run time; `name` and `parse_dtype` turn it into text and back.
enum class dtype : std::uint8_t {
  float64,          ///< double
  float32,          ///< float
  float16,          ///< half: 1 + 5 + 10 bits (sign, exponent, mantissa)
  bfloat16,         ///< 1 + 8 + 7 bits
  float8_e4m3fn,    ///< 1 + 4 + 3 bits, no infinity
  float8_e5m2,      ///< 1 + 5 + 2 bits
  float8_e4m3fnuz,  ///< 1 + 4 + 3 bits, no infinity, no -0
  float8_e5m2fnuz,  ///< 1 + 5 + 2 bits, no infinity, no -0
  float8_e8m0fnu,   ///< 8 exponent bits: powers of two, for scales
  float6_e2m3fn,    ///< 1 + 2 + 3 bits, no infinity, no NaN
  float6_e3m2fn,    ///< 1 + 3 + 2 bits, no infinity, no NaN
  float4_e2m1fn,    ///< 1 + 2 + 1 bits, no infinity, no NaN
  int32,            ///< sums of products of int8
  int8,             ///< `halfway::int8` and `std::int8_t`
  uint8,            ///< `halfway::uint8` and `std::uint8_t`
  int4,             ///< `halfway::int4`
  uint4,            ///< `halfway::uint4`
};
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/// A type whose values are stored floating-point numbers that convert exactly to float: float and
/// every minifloat.
template <class T>
concept float_storage = std::same_as<T, float> || is_minifloat_v<T>;

/// int8, uint8, int4, uint4.
template <class T>
concept int_storage = is_small_int_v<T>;

namespace detail {

struct dtype_row {
  dtype type;
  std::string_view name;
  int bits;
  bool floating;
  double max_finite;
};

template <class T>
constexpr dtype_row float_row(dtype type) {
  return {type, T::format::name, layout<typename T::format>::bits, true,
          static_cast<double>(static_cast<float>(std::numeric_limits<T>::max()))};
}

template <class T>
constexpr dtype_row int_row(dtype type, std::string_view name) {
  return {type, name, std::numeric_limits<T>::digits + (std::numeric_limits<T>::is_signed ? 1 : 0),
          false, static_cast<double>(std::numeric_limits<T>::max())};
}

/// In the order of the enumeration, which a test holds it to.
inline constexpr std::array<dtype_row, 17> dtype_rows = {{
    {dtype::float64, "float64", 64, true, std::numeric_limits<double>::max()},
    {dtype::float32, "float32", 32, true, static_cast<double>(std::numeric_limits<float>::max())},
    float_row<float16>(dtype::float16),
    float_row<bfloat16>(dtype::bfloat16),
    float_row<float8_e4m3fn>(dtype::float8_e4m3fn),
    float_row<float8_e5m2>(dtype::float8_e5m2),
    float_row<float8_e4m3fnuz>(dtype::float8_e4m3fnuz),
    float_row<float8_e5m2fnuz>(dtype::float8_e5m2fnuz),
    float_row<float8_e8m0fnu>(dtype::float8_e8m0fnu),
    float_row<float6_e2m3fn>(dtype::float6_e2m3fn),
    float_row<float6_e3m2fn>(dtype::float6_e3m2fn),
    float_row<float4_e2m1fn>(dtype::float4_e2m1fn),
    int_row<std::int32_t>(dtype::int32, "int32"),
    int_row<int8>(dtype::int8, "int8"),
    int_row<uint8>(dtype::uint8, "uint8"),
    int_row<int4>(dtype::int4, "int4"),
    int_row<uint4>(dtype::uint4, "uint4"),
}};

inline constexpr std::array<std::pair<std::string_view, dtype>, 30> dtype_aliases = {{
    {"f64", dtype::float64},
    {"fp64", dtype::float64},
    {"double", dtype::float64},
    {"f32", dtype::float32},
    {"fp32", dtype::float32},
    {"float", dtype::float32},
    {"f16", dtype::float16},
    {"fp16", dtype::float16},
    {"half", dtype::float16},
    {"bf16", dtype::bfloat16},
    {"float8_e8m0", dtype::float8_e8m0fnu},
    {"e4m3fn", dtype::float8_e4m3fn},
    {"e5m2", dtype::float8_e5m2},
    {"e4m3fnuz", dtype::float8_e4m3fnuz},
    {"e5m2fnuz", dtype::float8_e5m2fnuz},
    {"e8m0fnu", dtype::float8_e8m0fnu},
    {"e8m0", dtype::float8_e8m0fnu},
    {"e2m3fn", dtype::float6_e2m3fn},
    {"e2m3", dtype::float6_e2m3fn},
    {"e3m2fn", dtype::float6_e3m2fn},
    {"e3m2", dtype::float6_e3m2fn},
    {"e2m1fn", dtype::float4_e2m1fn},
    {"e2m1", dtype::float4_e2m1fn},
    {"e4m3", dtype::float8_e4m3fn},
    {"i32", dtype::int32},
    {"i8", dtype::int8},
    {"u8", dtype::uint8},
    {"i4", dtype::int4},
    {"u4", dtype::uint4},
    {"float8_e4m3", dtype::float8_e4m3fn},
}};

constexpr const dtype_row& row(dtype type) { return dtype_rows[static_cast<std::size_t>(type)]; }

template <class T>
struct dtype_of_type;
template <class Format>
struct dtype_of_type<minifloat<Format>> {
  static constexpr std::size_t index = [] {
    std::size_t i = 0;
    while (i != dtype_rows.size() && dtype_rows[i].name != Format::name) ++i;
    return i;
  }();
  static_assert(index != dtype_rows.size(), "this format has no dtype");
  static constexpr dtype value = dtype_rows[index].type;
};
template <>
struct dtype_of_type<double> {
  static constexpr dtype value = dtype::float64;
};
template <>
struct dtype_of_type<float> {
  static constexpr dtype value = dtype::float32;
};
template <>
struct dtype_of_type<std::int32_t> {
  static constexpr dtype value = dtype::int32;
};
template <>
struct dtype_of_type<std::int8_t> {
  static constexpr dtype value = dtype::int8;
};
template <>
struct dtype_of_type<std::uint8_t> {
  static constexpr dtype value = dtype::uint8;
};
template <>
struct dtype_of_type<int8> {
  static constexpr dtype value = dtype::int8;
};
template <>
struct dtype_of_type<uint8> {
  static constexpr dtype value = dtype::uint8;
};
template <>
struct dtype_of_type<int4> {
  static constexpr dtype value = dtype::int4;
};
template <>
struct dtype_of_type<uint4> {
  static constexpr dtype value = dtype::uint4;
};

}  // namespace detail

/// Every dtype, in the order of the enumeration.
inline constexpr auto all_dtypes = [] {
  std::array<dtype, detail::dtype_rows.size()> all{};
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<dtype>(i);
  return all;
}();

/// The dtype of a C++ type.
template <class T>
inline constexpr dtype dtype_of = detail::dtype_of_type<std::remove_cv_t<T>>::value;

/// The canonical name: "float32", "bfloat16", "float8_e4m3fn", "int4", ...
constexpr std::string_view name(dtype type) { return detail::row(type).name; }

/// The dtype with this canonical name or alias (f32, fp32, float, half, f16, bf16, e4m3fn, i8, u8,
/// ...). Case matters; no blanks are skipped. Empty where there is none.
constexpr std::optional<dtype> parse_dtype(std::string_view text) {
  for (const detail::dtype_row& r : detail::dtype_rows) {
    if (r.name == text) return r.type;
  }
  for (const auto& [alias, type] : detail::dtype_aliases) {
    if (alias == text) return type;
  }
  return std::nullopt;
}

/// Bits an element takes where it is stored as densely as it can be: 4 for int4, 6 for float6.
constexpr int bits_of(dtype type) { return detail::row(type).bits; }

constexpr bool is_floating(dtype type) { return detail::row(type).floating; }  ///< not an integer

/// The largest finite value.
constexpr double max_finite(dtype type) { return detail::row(type).max_finite; }

}  // namespace halfway

#endif  // HALFWAY_TYPES_DTYPE_H_
