// SPDX-License-Identifier: Apache-2.0
// What numbers are on their way between ranks: rounded to the wire's format, 8-bit ones with a
// scale in front.
//
//   halfway::detail::encode_for_wire<halfway::float8_e4m3fn>(gradients, bytes);
//   halfway::detail::decode_from_wire<halfway::float8_e4m3fn>(bytes, floats);
//
// The scale of an 8-bit message is the power of two, at least 2^-126, that brings its largest
// magnitude next below the format's largest finite value, so that scaling itself is exact. A
// message with an infinity or a NaN has scale 1, and what is past the format's range becomes its
// infinity, or NaN where it has none: non-finite stays non-finite.
#ifndef HALFWAY_INTEROP_MPI_WIRE_H_
#define HALFWAY_INTEROP_MPI_WIRE_H_

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>

#include "halfway/ops/convert.h"
#include "halfway/ops/scale.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/dtype.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"

namespace halfway::mpi {

/// Formats with a sign and a zero of 32, 16 and 8 bits.
template <class T>
concept wire_format = std::same_as<T, float> || std::same_as<T, half> ||
    std::same_as<T, bfloat16> || std::same_as<T, float8_e4m3fn> || std::same_as<T, float8_e5m2> ||
    std::same_as<T, float8_e4m3fnuz> || std::same_as<T, float8_e5m2fnuz>;

}  // namespace halfway::mpi

namespace halfway::detail {

template <class Wire>
inline constexpr bool has_wire_scale = sizeof(Wire) == 1;

inline constexpr std::size_t wire_block = 1024;  // floats on the stack

// Of a message of n elements. Nothing is sent of nothing.
template <class Wire>
constexpr std::size_t wire_bytes(std::size_t n) {
  return n == 0 ? 0 : n * sizeof(Wire) + (has_wire_scale<Wire> ? sizeof(float) : 0);
}

// The exponent of the scale.
template <class Wire>
int wire_exponent(float largest) {
  if (largest == 0 || !std::isfinite(largest)) return 0;
  const float most = static_cast<float>(std::numeric_limits<Wire>::max());
  int e = std::max(std::ilogb(largest) - std::ilogb(most), -126);
  if (std::ldexp(largest, -e) > most) ++e;
  return e;
}

// `to` has wire_bytes<Wire>(x.size()) bytes.
template <class Wire, class T>
void encode_for_wire(std::span<const T> x, std::byte* to) {
  if (x.empty()) return;
  if constexpr (!has_wire_scale<Wire>) {
    convert(x, std::span(reinterpret_cast<Wire*>(to), x.size()));
  } else {
    const int e = wire_exponent<Wire>(amax(x));
    const float scale = std::ldexp(1.0f, e);
    std::memcpy(to, &scale, sizeof(scale));
    auto* const codes = reinterpret_cast<Wire*>(to + sizeof(scale));
    float scaled[wire_block];
    for (std::size_t i = 0; i < x.size(); i += wire_block) {
      const std::size_t n = std::min(wire_block, x.size() - i);
      const std::span block(scaled, n);
      unscale(x.subspan(i, n), block, std::ldexp(1.0f, -e));
      convert(block, std::span(codes + i, n));
    }
  }
}

// Elements [begin, begin + to.size()) of a message, as floats or what they round to once.
template <class Wire, class T>
void decode_from_wire(const std::byte* message, std::size_t begin, std::span<T> to) {
  if (to.empty()) return;
  if constexpr (!has_wire_scale<Wire>) {
    convert(std::span(reinterpret_cast<const Wire*>(message) + begin, to.size()), to);
  } else {
    float scale = 0;
    std::memcpy(&scale, message, sizeof(scale));
    const auto* const codes = reinterpret_cast<const Wire*>(message + sizeof(scale)) + begin;
    if constexpr (std::same_as<T, float>) {
      unscale(std::span(codes, to.size()), to, scale);
    } else {
      float wide[wire_block];
      for (std::size_t i = 0; i < to.size(); i += wire_block) {
        const std::size_t n = std::min(wire_block, to.size() - i);
        unscale(std::span(codes + i, n), std::span(wide, n), scale);
        convert(std::span<const float>(wide, n), to.subspan(i, n));
      }
    }
  }
}

}  // namespace halfway::detail

#endif  // HALFWAY_INTEROP_MPI_WIRE_H_
