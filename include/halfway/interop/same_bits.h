// SPDX-License-Identifier: Apache-2.0
// Other libraries' 16-bit and smaller floats: values, spans and matrices of them as halfway's types
// and back, bit for bit, without a copy.
//
//   std::vector<std::float16_t> x = ...;                      // with interop/std_float.h
//   std::span<halfway::half> h = halfway::to_halfway(x);      // the same memory
//   std::float16_t y = halfway::from_halfway<std::float16_t>(h[0]);
//
// interop/std_float.h, highway.h and eigen.h say which of their types are which of halfway's.
// Another library's type takes one line:
//
//   template <>
//   struct halfway::same_bits<other::fp16> { using type = halfway::half; };
//
// Reading an object's memory under another type is undefined in C++ in general, and compilers do
// reorder such accesses. Here it is sound: a minifloat is declared to alias anything, as std::byte
// may (types/minifloat.h), so an access through one is never moved across an access through the
// other; and that the two have one size, alignment and plain bits is checked when it compiles.
#ifndef HALFWAY_INTEROP_SAME_BITS_H_
#define HALFWAY_INTEROP_SAME_BITS_H_

#include <bit>
#include <concepts>
#include <ranges>
#include <span>
#include <type_traits>

#include "halfway/core/matrix.h"
#include "halfway/types/minifloat.h"

namespace halfway {

/// Specialized for a foreign type: `type` is the minifloat whose patterns mean what its own do.
template <class T>
struct same_bits {};

/// The minifloat of a foreign type.
template <class T>
using same_bits_t = typename same_bits<std::remove_const_t<T>>::type;

/// A type that `same_bits` knows.
template <class T>
concept foreign_float = requires {
  typename same_bits_t<T>;
};

namespace detail {

template <class From, class To>
using with_const_of = std::conditional_t<std::is_const_v<From>, const To, To>;

// Either may be the minifloat. To without const: the result has From's.
template <class To, class From>
with_const_of<From, To>* reread(From* p) {
  static_assert(is_minifloat_v<To> || is_minifloat_v<std::remove_const_t<From>>);
  static_assert(sizeof(To) == sizeof(From) && alignof(To) == alignof(From));
  static_assert(std::is_trivially_copyable_v<To> && std::is_trivially_copyable_v<From>);
  static_assert(std::is_standard_layout_v<To> && std::is_standard_layout_v<From>);
  return reinterpret_cast<with_const_of<From, To>*>(p);
}

template <class To, class From>
matrix_view<with_const_of<From, To>> reread(matrix_view<From> m) {
  return {reread<To>(m.data()), m.rows(), m.cols(), m.row_stride(), m.col_stride()};
}

// A view of a foreign type's elements as one of minifloats; any other as it is.
template <class T>
auto in_own_types(matrix_view<T> m) {
  if constexpr (foreign_float<T>) {
    return reread<same_bits_t<T>>(m);
  } else {
    return m;
  }
}

// Elements that lie side by side in memory that outlives the expression, and no matrix.
template <class R>
concept memory_range = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
    std::ranges::borrowed_range<R> && !matrix_like<std::remove_reference_t<R>>;

template <class R>
using range_element = std::remove_reference_t<std::ranges::range_reference_t<R>>;

}  // namespace detail

/// The same number as a minifloat. NaNs keep their patterns.
template <foreign_float T>
constexpr same_bits_t<T> to_halfway(T x) {
  using To = same_bits_t<T>;
  static_assert(sizeof(To) == sizeof(T));
  return To::from_bits(std::bit_cast<typename To::storage>(x));
}

/// The same memory as minifloats, const if the elements are; valid as long as the memory.
template <detail::memory_range R>
requires foreign_float<detail::range_element<R>>
auto to_halfway(R&& range) {
  return std::span(detail::reread<same_bits_t<detail::range_element<R>>>(std::ranges::data(range)),
                   std::ranges::size(range));
}

/// The same memory as a matrix of minifloats: an operand of halfway's operations.
template <class M>
requires(matrix_like<std::remove_reference_t<M>>&&
             foreign_float<element_of<std::remove_reference_t<M>>>) auto to_halfway(M&& m) {
  return detail::reread<same_bits_t<element_of<std::remove_reference_t<M>>>>(as_view(m));
}

/// The same number in the foreign type To.
template <foreign_float To>
constexpr To from_halfway(same_bits_t<To> x) {
  return std::bit_cast<To>(x.bits());
}

/// The same memory as elements To.
template <foreign_float To, detail::memory_range R>
requires std::same_as<std::remove_const_t<detail::range_element<R>>, same_bits_t<To>>
auto from_halfway(R&& range) {
  return std::span(detail::reread<To>(std::ranges::data(range)), std::ranges::size(range));
}

/// The same memory as a matrix of elements To.
template <foreign_float To, class M>
requires(matrix_like<std::remove_reference_t<M>>&&
             std::same_as<std::remove_const_t<element_of<std::remove_reference_t<M>>>,
                          same_bits_t<To>>) auto from_halfway(M&& m) {
  return detail::reread<To>(as_view(m));
}

}  // namespace halfway

#endif  // HALFWAY_INTEROP_SAME_BITS_H_
