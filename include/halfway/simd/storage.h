// SPDX-License-Identifier: Apache-2.0
// What a vector loads and stores for an element: a small float's pattern, a small integer's byte.
//
//   static_assert(std::is_same_v<halfway::detail::raw_of<halfway::half>, std::uint16_t>);
#ifndef HALFWAY_SIMD_STORAGE_H_
#define HALFWAY_SIMD_STORAGE_H_

#include <concepts>
#include <cstdint>
#include <limits>

#include "halfway/types/cast.h"
#include "halfway/types/minifloat.h"
#include "halfway/types/small_int.h"

namespace halfway::detail {

template <class T>
struct raw_type {
  using type = T;
};
template <class Format>
struct raw_type<minifloat<Format>> {
  using type = typename Format::storage;
};
template <int Bits, bool Signed>
struct raw_type<small_int<Bits, Signed>> {
  using type = typename small_int<Bits, Signed>::storage;
};

// The arithmetic type with the layout of T, which Highway has vectors of.
template <class T>
using raw_of = typename raw_type<T>::type;

static_assert(sizeof(minifloat<formats::float16>) == sizeof(std::uint16_t));
static_assert(sizeof(small_int<8, true>) == sizeof(std::int8_t));

template <class T>
concept int8_storage =
    std::same_as<T, std::int8_t> || std::same_as<T, std::uint8_t> || is_small_int_v<T>;

// Types that vectors of f32 are narrowed to and widened from.
template <class T>
concept narrow_storage = is_minifloat_v<T> || int8_storage<T>;

}  // namespace halfway::detail

#endif  // HALFWAY_SIMD_STORAGE_H_
