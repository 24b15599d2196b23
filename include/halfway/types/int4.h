// SPDX-License-Identifier: Apache-2.0
// int4 and uint4, one a byte, and the packed form with two a byte, low nibble first.
//
//   std::vector<std::uint8_t> bytes(halfway::packed_int4_bytes(5));
//   halfway::packed_int4_span<halfway::int4> q(bytes.data(), 5);
//   q.set(3, halfway::int4(-2.4f));
//   int v = q[3];   // -2
//
// Element i of a packed row is in byte i / 2: bits 0-3 where i is even, bits 4-7 where i is odd
// (ONNX's and ml_dtypes' order). With an odd length the last high nibble is not an element;
// `pack_int4` writes it as 0, `set` leaves it alone.

#ifndef HALFWAY_TYPES_INT4_H_
#define HALFWAY_TYPES_INT4_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "halfway/types/small_int.h"

namespace halfway {

using int4 = small_int<4, true>;    ///< -8 ... 7, one a byte
using uint4 = small_int<4, false>;  ///< 0 ... 15, one a byte

/// Two int4 or uint4 in one byte.
template <class T>
constexpr std::uint8_t pack_int4(T low, T high) {
  return static_cast<std::uint8_t>(low.bits() | high.bits() << 4);
}
/// The element of even index in a packed byte: bits 0-3.
template <class T>
constexpr T low_int4(std::uint8_t byte) {
  return T::from_bits(static_cast<std::uint8_t>(byte & 15));
}
/// The element of odd index in a packed byte: bits 4-7.
template <class T>
constexpr T high_int4(std::uint8_t byte) {
  return T::from_bits(static_cast<std::uint8_t>(byte >> 4));
}

/// Bytes that `count` packed elements take.
constexpr std::size_t packed_int4_bytes(std::size_t count) { return count / 2 + count % 2; }

/// Packs `count` elements from `from` into `packed_int4_bytes(count)` bytes at `to`.
template <class T>
constexpr void pack_int4(const T* from, std::size_t count, std::uint8_t* to) {
  for (std::size_t i = 0; i + 1 < count; i += 2) to[i / 2] = pack_int4(from[i], from[i + 1]);
  if (count % 2 != 0) to[count / 2] = pack_int4(from[count - 1], T());
}

/// Unpacks `count` elements from `packed_int4_bytes(count)` bytes at `from`.
template <class T>
constexpr void unpack_int4(const std::uint8_t* from, std::size_t count, T* to) {
  for (std::size_t i = 0; i < count; ++i)
    to[i] = i % 2 == 0 ? low_int4<T>(from[i / 2]) : high_int4<T>(from[i / 2]);
}

/// A view of `size()` packed int4 or uint4 over bytes that it does not own. `Byte` is std::uint8_t,
/// or const for reading only.
template <class T, class Byte = std::uint8_t>
class packed_int4_span {
  static_assert(std::is_same_v<std::remove_const_t<Byte>, std::uint8_t>);

 public:
  using value_type = T;  ///< int4 or uint4

  constexpr packed_int4_span() = default;
  /// `bytes` holds at least `packed_int4_bytes(size)` bytes.
  constexpr packed_int4_span(Byte* bytes, std::size_t size) : bytes_(bytes), size_(size) {}
  /// A view that can be written is one that can be read.
  constexpr operator packed_int4_span<T, const std::uint8_t>() const {
    return {bytes_, size_};
  }  // NOLINT: as span

  constexpr std::size_t size() const { return size_; }  ///< elements, not bytes
  constexpr bool empty() const { return size_ == 0; }   ///< without elements
  constexpr Byte* data() const { return bytes_; }       ///< where the packed bytes start
  /// Of the packed bytes: half of size(), rounded up.
  constexpr std::size_t size_bytes() const { return packed_int4_bytes(size_); }

  /// Element i < size().
  constexpr T operator[](std::size_t i) const {
    return i % 2 == 0 ? low_int4<T>(bytes_[i / 2]) : high_int4<T>(bytes_[i / 2]);
  }
  /// Element i < size().
  constexpr T get(std::size_t i) const { return (*this)[i]; }

  /// Writes element i < size(); its neighbour in the byte is kept.
  constexpr void set(std::size_t i, T value) const requires(!std::is_const_v<Byte>) {
    const T low = i % 2 == 0 ? value : low_int4<T>(bytes_[i / 2]);
    const T high = i % 2 == 0 ? high_int4<T>(bytes_[i / 2]) : value;
    bytes_[i / 2] = pack_int4(low, high);
  }

 private:
  Byte* bytes_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_TYPES_INT4_H_
