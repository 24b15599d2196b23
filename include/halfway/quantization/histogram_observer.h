// SPDX-License-Identifier: Apache-2.0
// The distribution of values, batch after batch, in bounded memory: what percentiles, MSE and
// entropy calibration look at (quantization/calibration.h).
//
//   halfway::histogram_observer observer;
//   for (const auto& batch : batches) observer.observe(batch);
//   const float most = observer.magnitude_quantile(0.9999);
//
// Bins are as floats are: 2^digits of one width between a power of two and the next, so that a bin
// is 2^-digits of its values wide wherever they lie. Unlike bins of one width (PyTorch's
// HistogramObserver, TensorRT) they need no range, so nothing is ever binned again, an outlier does
// not coarsen the rest, and the counts, and all that follows from them, are the same whatever the
// order of values and merges: over threads and ranks, too.
#ifndef HALFWAY_QUANTIZATION_HISTOGRAM_OBSERVER_H_
#define HALFWAY_QUANTIZATION_HISTOGRAM_OBSERVER_H_

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <ranges>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/core/runs.h"
#include "halfway/quantization/min_max_observer.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/quantize_args.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// The counts of one sign: counts[i] values have magnitudes of bin first + i.
struct histogram_side {
  std::size_t first = 0;              ///< the bin of counts[0]
  std::vector<std::uint64_t> counts;  ///< empty: no value of this sign

  friend bool operator==(const histogram_side&, const histogram_side&) = default;  ///< bin by bin
};

/// All that a histogram_observer knows, to send to another rank. Bin b holds the magnitudes from
/// edge(b) to below edge(b + 1), which are the floats with bits b << (23 - digits).
struct histogram_state {
  int digits = 10;             ///< bins are 2^-digits of their values wide; from 1 to 12
  std::size_t finite = 0;      ///< finite values observed
  std::size_t non_finite = 0;  ///< infinities and NaNs observed
  /// Of the finite values; infinity without any.
  float min = std::numeric_limits<float>::infinity();
  /// Of the finite values; -infinity without any.
  float max = -std::numeric_limits<float>::infinity();
  histogram_side negative;  ///< values below zero, by magnitude
  histogram_side positive;  ///< zeros of either sign, too

  /// Count by count.
  friend bool operator==(const histogram_state&, const histogram_state&) = default;
};

/// One bin: `count` values from low to high, at least one of which is not an end of another bin.
struct histogram_bin {
  double low;           ///< not above high
  double high;          ///< not below low
  std::uint64_t count;  ///< at least 1
};

/// Counts finite values by magnitude and sign; infinities and NaNs are counted apart and otherwise
/// ignored. A value type, not for use by several threads at once: give each its own, then merge.
///
/// Memory: 8 bytes * 2^digits for each power of two between the smallest and the largest magnitude
/// of each sign; for a normal distribution about 0.4 MB with 10 digits, 50 KB with 7, and never
/// more than 2 * 255 powers of two. Element by element: about 3 ns each.
class histogram_observer {
 public:
  /// Bins are 2^-digits of their values wide. Error: digits not from 1 to 12.
  explicit histogram_observer(int digits = 10) : histogram_observer(empty_state(digits)) {}

  /// What another observer's state() was. Error: digits not from 1 to 12.
  explicit histogram_observer(histogram_state state) : state_(std::move(state)) {
    if (state_.digits < 1 || state_.digits > 12) {
      fail(detail::concat("halfway::histogram_observer: digits (", state_.digits,
                          ") must be from 1 to 12"));
    }
  }

  /// Takes in a contiguous range of any float storage type. Error: null with a size.
  template <detail::observable_range X>
  void observe(const X& x) {
    using T = std::ranges::range_value_t<X>;
    detail::check_not_null("halfway::histogram_observer::observe", "x", std::ranges::data(x),
                           std::ranges::size(x));
    observe_unchecked<T>(std::ranges::data(x), std::ranges::size(x));
  }

  /// Takes in a matrix of any strides.
  template <detail::observable_matrix_only X>
  void observe(const X& x) {
    using T = std::remove_const_t<element_of<const X>>;
    detail::for_each_run(matrix_view<const T>(as_view(x)),
                         [&](const T* run, std::size_t n) { observe_unchecked(run, n); });
  }

  /// As if this had observed all that the other did. Error: other digits.
  void merge(const histogram_observer& other) {
    if (state_.digits != other.state_.digits) {
      fail(detail::concat("halfway::histogram_observer::merge: other.digits (", other.state_.digits,
                          ") must equal digits (", state_.digits, ")"));
    }
    const histogram_state& from = other.state_;
    state_.finite += from.finite;
    state_.non_finite += from.non_finite;
    state_.min = std::min(state_.min, from.min);
    state_.max = std::max(state_.max, from.max);
    merge(state_.negative, from.negative);
    merge(state_.positive, from.positive);
  }

  /// Infinity and minus infinity while nothing finite was observed.
  float min() const { return state_.min; }
  /// @copydoc min()
  float max() const { return state_.max; }
  /// The largest magnitude; 0 while nothing finite was observed.
  float amax() const { return state_.finite == 0 ? 0.0f : std::max(-state_.min, state_.max); }
  std::size_t finite_count() const { return state_.finite; }  ///< values in the bins
  /// Infinities and NaNs, which are in no bin.
  std::size_t non_finite_count() const { return state_.non_finite; }
  /// All that this knows, to send or to save.
  const histogram_state& state() const { return state_; }

  /// choose_affine_params for the observed range. Error: nothing finite was observed.
  affine_params params(dtype type, affine_scheme scheme = affine_scheme::asymmetric) const {
    check_not_empty("halfway::histogram_observer::params");
    return choose_affine_params(state_.min, state_.max, type, scheme);
  }

  /// The bins that hold something, from the lowest values on. Those at the ends are cut to min()
  /// and max().
  std::vector<histogram_bin> bins() const {
    std::vector<histogram_bin> all;
    const histogram_side &n = state_.negative, &p = state_.positive;
    for (std::size_t i = n.counts.size(); i-- > 0;) {
      if (n.counts[i] != 0) {
        all.push_back({-edge(n.first + i + 1), -edge(n.first + i), n.counts[i]});
      }
    }
    for (std::size_t i = 0; i < p.counts.size(); ++i) {
      if (p.counts[i] != 0) {
        all.push_back({edge(p.first + i), edge(p.first + i + 1), p.counts[i]});
      }
    }
    for (histogram_bin& b : all) {
      b.low = std::max(b.low, static_cast<double>(state_.min));
      b.high = std::min(b.high, static_cast<double>(state_.max));
    }
    return all;
  }

  /// The same for magnitudes: both signs together.
  std::vector<histogram_bin> magnitude_bins() const {
    histogram_side both = state_.positive;
    merge(both, state_.negative);
    std::vector<histogram_bin> all;
    const double largest = static_cast<double>(amax());
    for (std::size_t i = 0; i < both.counts.size(); ++i) {
      if (both.counts[i] != 0) {
        all.push_back(
            {edge(both.first + i), std::min(largest, edge(both.first + i + 1)), both.counts[i]});
      }
    }
    return all;
  }

  /// The value that the fraction p of all finite values does not exceed: within a bin of the p *
  /// n-th smallest (values are taken as spread evenly over their bin), so |error| <= 2^-digits of
  /// it (above the subnormals). quantile(0) is min(), quantile(1) max(). Errors: p not from 0 to 1;
  /// nothing finite was observed.
  float quantile(double p) const {
    return quantile("halfway::histogram_observer::quantile", bins(), p);
  }

  /// The same for magnitudes.
  float magnitude_quantile(double p) const {
    return quantile("halfway::histogram_observer::magnitude_quantile", magnitude_bins(), p);
  }

 private:
  static histogram_state empty_state(int digits) {
    histogram_state state;
    state.digits = digits;
    return state;
  }

  // The last edge is 2^128, which is no float.
  double edge(std::size_t bin) const {
    const auto bits = static_cast<std::uint32_t>(bin << (23 - state_.digits));
    if (bits >= 0x7F800000u) return 0x1p128;
    return static_cast<double>(std::bit_cast<float>(bits));
  }

  void check_not_empty(std::string_view where) const {
    if (state_.finite == 0) {
      fail(detail::concat(where, ": no finite value was observed (", state_.non_finite,
                          " were infinite or NaN)"));
    }
  }

  float quantile(std::string_view where, const std::vector<histogram_bin>& bins, double p) const {
    if (!(p >= 0.0 && p <= 1.0)) {
      fail(detail::concat(where, ": p (", p, ") must be from 0 to 1"));
    }
    check_not_empty(where);
    double rest = p * static_cast<double>(state_.finite);
    for (const histogram_bin& b : bins) {
      const auto count = static_cast<double>(b.count);
      if (rest <= count) return static_cast<float>(b.low + (b.high - b.low) * (rest / count));
      rest -= count;
    }
    return static_cast<float>(bins.back().high);
  }

  // Makes room for bins [low, high), by whole powers of two.
  void reserve(histogram_side& side, std::size_t low, std::size_t high) const {
    const std::size_t step = std::size_t{1} << state_.digits;
    low = low / step * step;
    high = (high + step - 1) / step * step;
    if (side.counts.empty()) side.first = low;
    if (low < side.first) {
      side.counts.insert(side.counts.begin(), side.first - low, 0);
      side.first = low;
    }
    if (high > side.first + side.counts.size()) side.counts.resize(high - side.first);
  }

  void merge(histogram_side& to, const histogram_side& from) const {
    if (from.counts.empty()) return;
    reserve(to, from.first, from.first + from.counts.size());
    for (std::size_t i = 0; i < from.counts.size(); ++i) {
      to.counts[from.first - to.first + i] += from.counts[i];
    }
  }

  template <class T>
  void observe_unchecked(const T* x, std::size_t n) {
    detail::value_range range{state_.min, state_.max, state_.finite, state_.non_finite};
    HALFWAY_DISPATCH(RangeKernel<T>)(x, n, range);
    state_.min = range.min;
    state_.max = range.max;
    state_.finite = range.finite;
    state_.non_finite = range.non_finite;
    const int shift = 23 - state_.digits;
    histogram_side* const sides[] = {&state_.positive, &state_.negative};
    for (std::size_t i = 0; i < n; ++i) {
      const auto v = static_cast<float>(x[i]);
      const std::uint32_t magnitude = std::bit_cast<std::uint32_t>(v) & 0x7FFFFFFFu;
      if (magnitude >= 0x7F800000u) [[unlikely]]
        continue;
      const std::size_t bin = magnitude >> shift;
      histogram_side& side = *sides[v < 0.0f ? 1 : 0];
      if (bin - side.first >= side.counts.size()) [[unlikely]]
        reserve(side, bin, bin + 1);
      ++side.counts[bin - side.first];
    }
  }

  histogram_state state_;
};

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_HISTOGRAM_OBSERVER_H_
