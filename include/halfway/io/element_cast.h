// SPDX-License-Identifier: Apache-2.0
// The C++ types behind the names that files give element types, and the casts from them. Names are
// safetensors' ("F32", "BF16", "F8_E4M3", ...), also for files of other formats.
//
//   halfway::detail::visit_castable_type("BF16", [&]<class From>() { ... });  // From = bfloat16
#ifndef HALFWAY_IO_ELEMENT_CAST_H_
#define HALFWAY_IO_ELEMENT_CAST_H_

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "halfway/io/safetensors_header.h"
#include "halfway/ops/convert.h"
#include "halfway/types/dtype.h"

namespace halfway {
namespace detail {

// How the format spells a C++ type; empty if it can't.
template <class T>
constexpr std::string_view safetensors_name_of() {
  if constexpr (std::same_as<T, bool>) {
    return "BOOL";
  } else if constexpr (std::same_as<T, std::int64_t>) {
    return "I64";
  } else if constexpr (std::same_as<T, std::uint64_t>) {
    return "U64";
  } else if constexpr (std::same_as<T, std::uint32_t>) {
    return "U32";
  } else if constexpr (std::same_as<T, std::int16_t>) {
    return "I16";
  } else if constexpr (std::same_as<T, std::uint16_t>) {
    return "U16";
  } else if constexpr (requires { dtype_of_type<T>::value; }) {
    for (const safetensors_type& t : safetensors_types) {
      if (t.type == dtype_of_type<T>::value) return t.name;
    }
  }
  return {};
}

// visit.operator()<From>() for the C++ type of a name; false if there is none with casts.
template <class Visit>
bool visit_castable_type(std::string_view type, const Visit& visit) {
  const auto one = [&]<class From>() {
    if (type != safetensors_name_of<From>()) return false;
    visit.template operator()<From>();
    return true;
  };
  const auto any = [&]<class... From>() { return (one.template operator()<From>() || ...); };
  return any.template
  operator()<float, double, half, bfloat16, float8_e4m3fn, float8_e5m2, float8_e4m3fnuz,
             float8_e5m2fnuz, float8_e8m0fnu, std::int32_t, std::int8_t, std::uint8_t>();
}

// convert() from a buffer, block by block: fetch(first, buffer) fills it with elements from `first`
// on.
template <class From, class To, class Fetch>
void cast_by_blocks(std::span<To> to, const Fetch& fetch) {
  constexpr std::size_t block = 1024;
  From buffer[block];
  for (std::size_t i = 0; i < to.size(); i += block) {
    const std::size_t n = std::min(block, to.size() - i);
    fetch(i, std::span<From>(buffer, n));
    convert(std::span<const From>(buffer, n), to.subspan(i, n));
  }
}

}  // namespace detail

/// Element types that a safetensors file can hold as they are in memory: float, double, half,
/// bfloat16, float8_*, int8, uint8 and the integers of `<cstdint>`. Not bool, since a file's byte
/// need not be one: read it as std::uint8_t with bytes().
template <class T>
concept safetensors_element =
    !std::same_as<T, bool> && !detail::safetensors_name_of<std::remove_cv_t<T>>().empty();

}  // namespace halfway

#endif  // HALFWAY_IO_ELEMENT_CAST_H_
