// SPDX-License-Identifier: Apache-2.0
// What a format would do to values: how many are NaN, overflow, flush to zero or become subnormal.
//
//   halfway::numeric_health h(halfway::dtype::float16, 16);  // of every 16th run of 16 elements
//   h.add(activations);
//   const bool ok = h.non_finite() == 0 && h.overflow() == 0 && h.underflow_share() < 0.01;
#ifndef HALFWAY_FIDELITY_HEALTH_H_
#define HALFWAY_FIDELITY_HEALTH_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/fidelity/rounding_error.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/types/dtype.h"

namespace halfway {

namespace detail {

// The magnitudes, as bits of floats, from which on rounding to a format gives something else. In
// this order they never decrease.
struct format_thresholds {
  std::int32_t survives;   // not 0
  std::int32_t normal;     // not subnormal
  std::int32_t saturates;  // the largest finite value
  std::int32_t overflows;  // past it
};

inline format_thresholds thresholds_of(std::string_view where, dtype type) {
  const rounding_limits limits = limits_of_rounding(where, type);
  if (limits.digits > 24) [[unlikely]] {
    fail(concat(where, ": target (", name(type), ") must be float32 or narrower"));
  }
  // The bits of the smallest float that reaches the tie at `at`, or, where ties round down, passes
  // it. Every tie is a double.
  const auto from = [](double at, bool tie_counts) {
    float f = static_cast<float>(at);
    if (static_cast<double>(f) < at || (static_cast<double>(f) == at && !tie_counts)) {
      f = std::nextafter(f, std::numeric_limits<float>::infinity());
    }
    return std::bit_cast<std::int32_t>(f);
  };
  const double normal = std::ldexp(1.0, limits.min_exponent - 1);
  const double half_step = std::ldexp(normal, -limits.digits);  // of subnormal numbers
  const double largest = max_finite(type);
  const double half_last = std::ldexp(1.0, std::ilogb(largest) - limits.digits);
  const bool largest_is_odd = std::fmod(largest / (2 * half_last), 2.0) == 1.0;
  return {from(half_step, false), from(normal - half_step, true),
          from(largest - half_last, !largest_is_odd), from(largest + half_last, largest_is_odd)};
}

}  // namespace detail

/// Counts what rounding to `target`, to nearest even, would do to each value, exactly: in values of
/// the target type themselves, what is left of it. Classes exclude one another:
///
///   nan(), infinite()   the values already are; together non_finite()
///   overflow()          finite, but past the largest finite value
///   saturated()         the largest finite value: what a saturating store makes of overflow
///   subnormal()         fewer digits than the format has
///   underflow()         not 0, but flushed to it
/// and zeros and normal numbers, which are fine.
///
/// `stride` n looks at one run of 16 elements among n: of each n runs another one, so that no
/// column of a matrix is passed over for ever, and goes on from call to call. Which ones depends on
/// nothing but the sizes of what was added. Shares are of what was looked at. A stride of 0 is off:
/// add() then costs a branch.
///
/// A value type; not for several threads at once (give each its own, then merge).
class numeric_health {
 public:
  /// Error: no float format with a sign and at most 24 digits.
  explicit numeric_health(dtype target, std::size_t stride = 1)
      : target_(target),
        stride_(stride),
        thresholds_(detail::thresholds_of("halfway::numeric_health", target)) {}

  /// Takes in a contiguous range of any float format. Error: null with a size.
  template <float_storage_vector X>
  void add(const X& x) {
    if (stride_ == 0) return;
    const auto v = detail::input_span("halfway::numeric_health::add", "x", x);
    const std::size_t window = run * stride_;
    for (std::size_t begin = 0; begin < v.size(); begin += window) {
      const std::size_t at = begin + run * next_run();
      if (at < v.size()) count_run(v.subspan(at, std::min(run, v.size() - at)));
    }
  }

  /// As if this had seen all that the other has. Error: another target.
  void merge(const numeric_health& other) {
    if (target_ != other.target_) [[unlikely]] {
      fail(detail::concat("halfway::numeric_health::merge: other.target (", name(other.target_),
                          ") must equal target (", name(target_), ")"));
    }
    count_ += other.count_;
    for (std::size_t i = 0; i != reaching_.size(); ++i) reaching_[i] += other.reaching_[i];
    largest_ = std::max(largest_, other.largest_);
  }

  /// Forgets what was seen, but not which runs come next.
  void clear() {
    count_ = 0;
    reaching_ = {};
    largest_ = 0;
  }

  dtype target() const { return target_; }  ///< whose range and digits are asked of the values
  /// Of so many runs of 16 elements one is looked at; 0: none.
  std::size_t stride() const { return stride_; }
  /// Elements looked at.
  std::size_t count() const { return count_; }

  /// Elements of this class, of those looked at; a value is in one class at most, but for
  /// non_finite(), which is nan() and infinite() together.
  /// @{
  std::size_t nan() const { return reaching_[6]; }
  std::size_t infinite() const { return reaching_[5] - reaching_[6]; }
  std::size_t non_finite() const { return reaching_[5]; }
  std::size_t overflow() const { return reaching_[4] - reaching_[5]; }
  std::size_t saturated() const { return reaching_[3] - reaching_[4]; }
  std::size_t subnormal() const { return reaching_[1] - reaching_[2]; }
  std::size_t underflow() const { return reaching_[0] - reaching_[1]; }
  /// @}

  /// Of the values that are not 0; 0 where all are.
  double underflow_share() const { return share(underflow()); }
  /// @copydoc underflow_share()
  double subnormal_share() const { return share(subnormal()); }
  /// Of overflow and of what saturated, of the same.
  double overflow_share() const { return share(overflow() + saturated()); }

  /// The largest magnitude, infinity included, NaN not.
  float amax() const {
    constexpr auto infinity = std::bit_cast<std::int32_t>(std::numeric_limits<float>::infinity());
    return infinite() != 0 ? std::numeric_limits<float>::infinity()
                           : std::bit_cast<float>(std::min(largest_, infinity));
  }

 private:
  static constexpr std::size_t run = 16;  // a cache line of floats

  double share(std::size_t of_values) const {
    return reaching_[0] == 0 ? 0
                             : static_cast<double>(of_values) / static_cast<double>(reaching_[0]);
  }

  // Weyl's sequence of the golden ratio: evenly spread, in step with no period of the data.
  std::size_t next_run() {
    if (stride_ == 1) return 0;
    position_ += 0x9E3779B9u;
    return static_cast<std::size_t>(std::uint64_t{position_} * stride_ >> 32);
  }

  template <class T>
  void count_run(std::span<const T> x) {
    std::array<std::int32_t, run> magnitudes{};  // what is missing counts as 0: as nothing
    for (std::size_t i = 0; i != x.size(); ++i) {
      magnitudes[i] = std::bit_cast<std::int32_t>(static_cast<float>(x[i])) & 0x7FFFFFFF;
    }
    constexpr std::int32_t infinity = 0x7F800000;
    const std::array<std::int32_t, 7> from = {1,
                                              thresholds_.survives,
                                              thresholds_.normal,
                                              thresholds_.saturates,
                                              thresholds_.overflows,
                                              infinity,
                                              infinity + 1};
    for (std::size_t c = 0; c != from.size(); ++c) {
      std::int32_t reach = 0;
      for (const std::int32_t m : magnitudes) reach += m >= from[c];
      reaching_[c] += static_cast<std::size_t>(reach);
    }
    for (const std::int32_t m : magnitudes) {
      if (m < infinity) largest_ = std::max(largest_, m);
    }
    count_ += x.size();
  }

  dtype target_;
  std::size_t stride_;
  detail::format_thresholds thresholds_;
  std::uint32_t position_ = 0;
  std::size_t count_ = 0;
  // How many values reach: more than 0, survives, normal, saturates, overflows, infinity, NaN.
  std::array<std::size_t, 7> reaching_{};
  std::int32_t largest_ = 0;
};

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_HEALTH_H_
