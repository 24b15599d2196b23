// SPDX-License-Identifier: Apache-2.0
// 64 bits that stand for the bits of results or the bytes of a file: whether a run repeats another.
//
//   halfway::bit_digest digest;
//   digest.add(y.elements());
//   const bool repeats = digest.value() == expected;
#ifndef HALFWAY_FIDELITY_DIGEST_H_
#define HALFWAY_FIDELITY_DIGEST_H_

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ranges>
#include <span>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/ops/row_arguments.h"

namespace halfway {

/// FNV-1a of 64 bits over the elements' bytes, lowest first, whatever the CPU's order is. Of floats
/// every NaN counts as one, since sign and payload differ between CPUs that are right; -0 and 0
/// differ. Two results of different bits have the same digest with a probability of about 2^-64,
/// but for who makes them so on purpose: it is no signature. A nanosecond a byte. A value type.
///
/// Source: Fowler, Noll, Vo, Eastlake, Hansen, "The FNV non-cryptographic hash algorithm".
class bit_digest {
 public:
  /// Takes in a contiguous range of any float format. Error: null with a size.
  template <float_storage_vector X>
  void add(const X& x) {
    using T = std::remove_cvref_t<decltype(*std::ranges::data(x))>;
    using storage =
        std::conditional_t<sizeof(T) == 1, std::uint8_t,
                           std::conditional_t<sizeof(T) == 2, std::uint16_t, std::uint32_t>>;
    static_assert(sizeof(T) == sizeof(storage));
    const auto v = detail::input_span("halfway::bit_digest::add", "x", x);
    for (const T& e : v) {
      const bool is_nan = std::isnan(static_cast<float>(e));
      const T one = is_nan ? std::numeric_limits<T>::quiet_NaN() : e;
      mix(std::bit_cast<storage>(one));
    }
  }
  /// Takes in bytes as they are: a file's, or integers'.
  void add(std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) mix(static_cast<std::uint8_t>(b));
  }

  /// Of all that was added, in its order; how it was cut into calls does not matter.
  std::uint64_t value() const { return hash_; }

  /// The same digest.
  bool operator==(const bit_digest&) const = default;

 private:
  template <class Bits>
  void mix(Bits bits) {
    for (std::size_t i = 0; i != sizeof(Bits); ++i) {
      hash_ = (hash_ ^ (static_cast<std::uint64_t>(bits) >> (8 * i) & 255)) * 0x100000001B3u;
    }
  }

  std::uint64_t hash_ = 0xCBF29CE484222325u;
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_DIGEST_H_
