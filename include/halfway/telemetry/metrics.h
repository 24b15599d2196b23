// SPDX-License-Identifier: Apache-2.0
// Counters, gauges and histograms: numbers that any thread may change at any time, without a lock.
//
//   counter& steps = metrics.get_counter("app_steps_total", "Optimizer steps.");
//   steps.add();                               // one relaxed atomic addition
//
// A registry (telemetry/registry.h) makes them and gives them names. All operations are relaxed:
// each number is right, but a reader may see one number's change before another's.
#ifndef HALFWAY_TELEMETRY_METRICS_H_
#define HALFWAY_TELEMETRY_METRICS_H_

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"

/// Counters, gauges, histograms and traces, and the texts in which monitoring systems read them.
/// Nothing here opens a socket or a file.
namespace halfway::telemetry {

namespace detail {

// Not fetch_add, which libc++ lacks for double.
inline void add_relaxed(std::atomic<double>& sum, double value) {
  double seen = sum.load(std::memory_order_relaxed);
  while (!sum.compare_exchange_weak(seen, seen + value, std::memory_order_relaxed)) {
  }
}

// Each metric has cache lines of its own, or threads that change neighbours would wait for each
// other. (std::hardware_destructive_interference_size depends on compiler flags.)
inline constexpr std::size_t cache_line = 64;

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<double>::is_always_lock_free);

}  // namespace detail

/// What only grows. Wraps around past 2^64 - 1, which Prometheus takes for a restart.
class alignas(detail::cache_line) counter {
 public:
  /// One relaxed atomic addition.
  void add(std::uint64_t n = 1) { value_.fetch_add(n, std::memory_order_relaxed); }
  /// Since the counter was made.
  std::uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

/// What goes up and down. NaN and infinities are values like others; NaN says "not known yet".
class alignas(detail::cache_line) gauge {
 public:
  /// One relaxed atomic store.
  void set(double value) { value_.store(value, std::memory_order_relaxed); }
  /// Of several threads that add, none is lost.
  void add(double value) { detail::add_relaxed(value_, value); }
  /// 0 before the first set().
  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<double> value_{0};
};

/// A histogram's numbers at one moment.
struct histogram_values {
  std::vector<double> bounds;         ///< in increasing order
  std::vector<std::uint64_t> counts;  ///< of each bucket alone; the last is past the last bound
  double sum = 0;                     ///< of all observations

  /// All observations.
  std::uint64_t count() const {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
  }
  bool operator==(const histogram_values&) const = default;  ///< of bounds, counts and sum
};

/// How many observations fell into each bucket, and their sum. Bucket i counts values of at most
/// bounds[i] and above bounds[i - 1]; one more counts what is past the last bound, and NaN, which
/// also makes the sum NaN.
///
/// The sum is added up in double, in the order in which threads come: n observations of one sign
/// give a relative error of at most n 2^-53.
class alignas(detail::cache_line) histogram {
 public:
  /// Errors, with `where` and the values: no bounds, bounds that are not finite or don't increase.
  explicit histogram(std::vector<double> bounds,
                     std::string_view where = "halfway::telemetry::histogram")
      : bounds_(std::move(bounds)) {
    check_bounds(where, bounds_);
    counts_ = std::make_unique<std::atomic<std::uint64_t>[]>(bounds_.size() + 1);
  }

  /// Fails, with `where` and the values, if a histogram cannot have these bounds.
  static void check_bounds(std::string_view where, const std::vector<double>& bounds) {
    using halfway::detail::concat;
    if (bounds.empty()) fail(concat(where, ": bounds is empty"));
    for (std::size_t i = 0; i != bounds.size(); ++i) {
      if (!std::isfinite(bounds[i])) {
        fail(concat(where, ": bounds[", i, "] (", bounds[i], ") must be finite"));
      }
      if (i != 0 && !(bounds[i - 1] < bounds[i])) {
        fail(concat(where, ": bounds[", i, "] (", bounds[i], ") must be above bounds[", i - 1,
                    "] (", bounds[i - 1], ")"));
      }
    }
  }

  /// The same value `n` times. Two atomic additions and a binary search.
  void observe(double value, std::uint64_t n = 1) {
    const auto bucket =
        std::isnan(value) ? bounds_.end() : std::lower_bound(bounds_.begin(), bounds_.end(), value);
    counts_[static_cast<std::size_t>(bucket - bounds_.begin())].fetch_add(
        n, std::memory_order_relaxed);
    detail::add_relaxed(sum_, n == 1 ? value : value * static_cast<double>(n));
  }

  /// The last one excluded, which is infinity.
  const std::vector<double>& bounds() const { return bounds_; }

  /// While others observe, the sum may be of a few observations more or less than the counts.
  histogram_values values() const {
    histogram_values v{bounds_, std::vector<std::uint64_t>(bounds_.size() + 1),
                       sum_.load(std::memory_order_relaxed)};
    for (std::size_t i = 0; i != v.counts.size(); ++i) {
      v.counts[i] = counts_[i].load(std::memory_order_relaxed);
    }
    return v;
  }

 private:
  std::vector<double> bounds_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> counts_;
  std::atomic<double> sum_{0};
};

/// Observes the seconds from its construction to its destruction:
///   { scoped_timer timer(seconds); run(); }
class scoped_timer {
 public:
  explicit scoped_timer(histogram& seconds) : seconds_(&seconds) {}  ///< which must outlive this
  ~scoped_timer() {
    seconds_->observe(std::chrono::duration<double>(clock::now() - start_).count());
  }
  scoped_timer(const scoped_timer&) = delete;
  scoped_timer& operator=(const scoped_timer&) = delete;

 private:
  using clock = std::chrono::steady_clock;
  histogram* seconds_;
  clock::time_point start_ = clock::now();
};

/// Feeds a counter from a total that something else counts, by what it grew since the last time. A
/// total that became smaller began anew (as a scaler that is made again does).
class running_total {
 public:
  explicit running_total(counter& c) : counter_(&c) {}  ///< which must outlive this
  /// Adds what `total` grew by; all of it if it became smaller.
  void update(std::uint64_t total) {
    counter_->add(total >= last_ ? total - last_ : total);
    last_ = total;
  }

 private:
  counter* counter_;
  std::uint64_t last_ = 0;
};

}  // namespace halfway::telemetry

#endif  // HALFWAY_TELEMETRY_METRICS_H_
