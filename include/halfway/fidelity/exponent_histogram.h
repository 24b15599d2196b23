// SPDX-License-Identifier: Apache-2.0
// Where the magnitudes of values lie: how many there are in each binade.
//
//   halfway::exponent_histogram h;
//   h.add(gradients);                           // of any float format
//   h.count(-14);                               // values with 2^-14 <= |x| < 2^-13
//   const auto lost = h.count_below(-24);       // what float16 would make zeros of, ties apart
#ifndef HALFWAY_FIDELITY_EXPONENT_HISTOGRAM_H_
#define HALFWAY_FIDELITY_EXPONENT_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/ops/row_arguments.h"

namespace halfway {

/// Counts values by their binary exponent floor(log2 |x|), exactly, for every float format: from
/// the bits as they are stored, so that nothing is converted. Subnormal numbers have the exponent
/// of their value, not of their format. Zeros, infinities and NaN are counted apart. A nanosecond a
/// value.
///
/// A value type; not for several threads at once (give each its own, then merge).
class exponent_histogram {
 public:
  /// Of float: 2^-149 is its smallest number. No format of the library has more.
  /// @{
  static constexpr int min_exponent = -149, max_exponent = 127;
  /// @}

  /// Takes in a contiguous range of any float format. Error: null with a size.
  template <float_storage_vector X>
  void add(const X& x) {
    auto v = detail::input_span("halfway::exponent_histogram::add", "x", x);
    constexpr std::size_t most = std::size_t{1} << 30;  // four counters of 32 bits bear it
    while (!v.empty()) {
      const auto block = v.first(std::min(most, v.size()));
      if constexpr (sizeof(block[0]) == 1) {
        add_codes(block);
      } else {
        add_fields(block);
      }
      v = v.subspan(block.size());
    }
  }

  /// As if this had seen all that the other has.
  void merge(const exponent_histogram& other) {
    for (std::size_t i = 0; i != binades_.size(); ++i) binades_[i] += other.binades_[i];
    zeros_ += other.zeros_;
    infinite_ += other.infinite_;
    nan_ += other.nan_;
  }

  /// Forgets what was seen.
  void clear() { *this = exponent_histogram(); }

  /// Values with 2^exponent <= |x| < 2^(exponent + 1). Error: an exponent outside [min_exponent,
  /// max_exponent].
  std::uint64_t count(int exponent) const {
    if (exponent < min_exponent || exponent > max_exponent) [[unlikely]] {
      fail(detail::concat("halfway::exponent_histogram::count: exponent (", exponent,
                          ") must be within [", min_exponent, ", ", max_exponent, "]"));
    }
    return binades_[place(exponent)];
  }
  /// Values with 0 < |x| < 2^exponent.
  std::uint64_t count_below(int exponent) const {
    std::uint64_t sum = 0;
    for (int e = min_exponent; e < std::min(exponent, max_exponent + 1); ++e) {
      sum += binades_[place(e)];
    }
    return sum;
  }
  /// All that have an exponent: finite, and not 0.
  std::uint64_t count() const { return count_below(max_exponent + 1); }
  /// Of either sign.
  std::uint64_t zeros() const { return zeros_; }
  /// Of either sign.
  std::uint64_t infinite() const { return infinite_; }
  /// NaN of any kind.
  std::uint64_t nan() const { return nan_; }

  /// The same counts.
  bool operator==(const exponent_histogram&) const = default;

 private:
  // Neighbours in the data mostly have one exponent: counters that take turns don't wait for one
  // another's stores.
  static constexpr std::size_t ways = 4;
  using table = std::array<std::array<std::uint32_t, 256>, ways>;

  static constexpr std::size_t place(int exponent) {
    return static_cast<std::size_t>(exponent - min_exponent);
  }

  static std::uint64_t total(const table& t, std::size_t i) {
    std::uint64_t sum = 0;
    for (const auto& way : t) sum += way[i];
    return sum;
  }

  // 8 bits and fewer: by the code, of which there are few enough to decode each once.
  template <class T>
  void add_codes(std::span<const T> x) {
    table codes{};
    for (std::size_t i = 0; i != x.size(); ++i)
      ++codes[i % ways][std::bit_cast<std::uint8_t>(x[i])];
    for (std::size_t code = 0; code != 256; ++code) {
      const std::uint64_t n = total(codes, code);
      if (n == 0) continue;
      const float value = static_cast<float>(std::bit_cast<T>(static_cast<std::uint8_t>(code)));
      if (std::isnan(value)) {
        nan_ += n;
      } else if (std::isinf(value)) {
        infinite_ += n;
      } else if (value == 0) {
        zeros_ += n;
      } else {
        binades_[place(std::ilogb(value))] += n;
      }
    }
  }

  // float, and 16 bits: IEEE's encoding. By the field of the exponent; its ends, where mantissas
  // count, are looked at one by one.
  template <class T>
  void add_fields(std::span<const T> x) {
    using limits = std::numeric_limits<T>;
    using storage = std::conditional_t<sizeof(T) == 2, std::uint16_t, std::uint32_t>;
    static_assert(limits::is_iec559 || limits::has_infinity);
    constexpr int mantissa_bits = limits::digits - 1, least = limits::min_exponent - 1;
    constexpr unsigned top = (1u << (8 * sizeof(T) - 1 - mantissa_bits)) - 1;
    constexpr std::uint32_t mantissas = (1u << mantissa_bits) - 1;
    static_assert(top < 256);
    table fields{};
    std::uint64_t subnormal = 0, nans = 0;
    for (std::size_t i = 0; i != x.size(); ++i) {
      const std::uint32_t bits = std::bit_cast<storage>(x[i]);
      const std::uint32_t field = bits >> mantissa_bits & top, mantissa = bits & mantissas;
      ++fields[i % ways][field];
      if ((((field + 1) & top) <= 1) & (mantissa != 0)) [[unlikely]] {
        if (field == 0) {
          ++subnormal;
          ++binades_[place(least - mantissa_bits + std::bit_width(mantissa) - 1)];
        } else {
          ++nans;
        }
      }
    }
    zeros_ += total(fields, 0) - subnormal;
    nan_ += nans;
    infinite_ += total(fields, top) - nans;
    for (unsigned field = 1; field != top; ++field) {
      binades_[place(static_cast<int>(field) - 1 + least)] += total(fields, field);
    }
  }

  std::array<std::uint64_t, max_exponent - min_exponent + 1> binades_{};
  std::uint64_t zeros_ = 0, infinite_ = 0, nan_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_EXPONENT_HISTOGRAM_H_
