// SPDX-License-Identifier: Apache-2.0
// Which range of the observed values to quantize: all of it, or less, where clipping a few costs
// less than coarser steps for all.
//
//   const auto params = halfway::calibrate(observer, halfway::dtype::int8,
//                                          halfway::affine_scheme::symmetric,
//                                          {.method = halfway::calibration::mse});
#ifndef HALFWAY_QUANTIZATION_CALIBRATION_H_
#define HALFWAY_QUANTIZATION_CALIBRATION_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/quantization/affine_params.h"
#include "halfway/quantization/histogram_observer.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// How the range to quantize is chosen; calibrate_range() has the formulas.
enum class calibration {
  min_max,     ///< the whole range
  percentile,  ///< all but the largest magnitudes (symmetric), or all but as many at each end
  mse,         ///< the range with the least mean squared error of quantization
  entropy,     ///< the threshold with the least loss of information (Migacz 2017, TensorRT)
};

/// What calibrate_range() has to know besides the values and the type.
struct calibration_options {
  /// `mse` by default: it needs no threshold from the user, and an outlier does not set the range.
  calibration method = calibration::mse;
  /// For `percentile`: how much of the values lies within the range, in percent.
  double percentile = 99.99;
};

/// A range of values.
struct value_interval {
  float min = 0.0f;  ///< not above max
  float max = 0.0f;  ///< not below min

  friend bool operator==(const value_interval&, const value_interval&) = default;  ///< of both ends
};

namespace detail {

// The integral from 0 to x of (t - nearest multiple of 1 to t)^2.
inline double integrated_square(double x) {
  const double n = std::nearbyint(x);
  const double d = x - n;
  return n / 12.0 + d * d * d / 3.0;
}

// Mean of (x - quantized x)^2 for x spread evenly over the bin; codes stand for the multiples of
// `scale` from `low` to `high`.
inline double mean_squared_error(const histogram_bin& bin, double scale, double low, double high) {
  const auto point = [&](double x) {
    const double d = x - std::clamp(std::nearbyint(x / scale) * scale, low, high);
    return d * d;
  };
  const double width = bin.high - bin.low;
  // An integral's difference would cancel where a bin is that narrow.
  if (width <= scale * 0x1p-16) return point(bin.low + width / 2);
  const auto clipped = [&](double from, double to, double end) {  // integral of (x - end)^2
    const double a = from - end, b = to - end;
    return from < to ? (b * b * b - a * a * a) / 3.0 : 0.0;
  };
  const double a = std::clamp(bin.low, low, high), b = std::clamp(bin.high, low, high);
  const double inside =
      (integrated_square(b / scale) - integrated_square(a / scale)) * scale * scale * scale;
  return (inside + clipped(bin.low, std::min(bin.high, low), low) +
          clipped(std::max(bin.low, high), bin.high, high)) /
         width;
}

// Expected squared error of all values, times their number.
inline double squared_error(std::span<const histogram_bin> bins, value_interval range, dtype type,
                            affine_scheme scheme) {
  const affine_params p = choose_affine_params(range.min, range.max, type, scheme);
  const code_limits codes = limits_of_codes("halfway::calibrate", type);
  const auto scale = static_cast<double>(p.scale);
  const double low = (codes.lowest - p.zero_point) * scale;
  const double high = (codes.largest - p.zero_point) * scale;
  double total = 0.0;
  for (const histogram_bin& b : bins) {
    total += static_cast<double>(b.count) * mean_squared_error(b, scale, low, high);
  }
  return total;
}

// Fractions of the range to try, from 1 down by eighths of a power of two, and those about the
// best, 16 times as fine. Returns the best for `cost`; of equals the largest.
template <class Cost>
double best_fraction(double smallest, Cost&& cost) {
  double best = 1.0, least = cost(1.0);
  const auto try_one = [&](double fraction) {
    if (fraction < smallest || fraction >= 1.0) return;
    const double now = cost(fraction);
    if (now < least) {
      least = now;
      best = fraction;
    }
  };
  for (int i = 1; std::exp2(-i / 8.0) >= smallest; ++i) try_one(std::exp2(-i / 8.0));
  const double middle = best;
  for (int i = -15; i <= 15; ++i) try_one(middle * std::exp2(i / 128.0));
  return best;
}

// The median of the magnitudes, zeros left out, as a fraction of the largest.
inline double median_fraction(const histogram_observer& h) {
  const std::vector<histogram_bin> bins = h.magnitude_bins();
  double total = 0.0, below = 0.0;
  for (const histogram_bin& b : bins) total += b.low > 0.0 ? static_cast<double>(b.count) : 0.0;
  for (const histogram_bin& b : bins) {
    below += b.low > 0.0 ? static_cast<double>(b.count) : 0.0;
    if (b.low > 0.0 && below >= total / 2) return b.low / static_cast<double>(h.amax());
  }
  return 1.0;  // all in the bin of zero: below 2^-139
}

inline value_interval least_squares_range(const histogram_observer& h, dtype type,
                                          affine_scheme scheme) {
  const std::vector<histogram_bin> bins = h.bins();
  // Where more than half of what is not zero is clipped, a wider range is better.
  const double amax = static_cast<double>(h.amax());
  const double smallest = median_fraction(h) / 2;
  value_interval r{std::min(h.min(), 0.0f), std::max(h.max(), 0.0f)};
  const double low = static_cast<double>(r.min), high = static_cast<double>(r.max);
  if (scheme == affine_scheme::symmetric) {
    const double f = best_fraction(smallest, [&](double fraction) {
      const auto t = static_cast<float>(amax * fraction);
      return squared_error(bins, {-t, t}, type, scheme);
    });
    return {static_cast<float>(std::max(low, -amax * f)),
            static_cast<float>(std::min(high, amax * f))};
  }
  for (int round = 0; round < 2; ++round) {  // one end, the other, and again
    const double up = best_fraction(smallest, [&](double fraction) {
      return squared_error(bins, {r.min, static_cast<float>(high * fraction)}, type, scheme);
    });
    r.max = static_cast<float>(high * up);
    const double down = best_fraction(smallest, [&](double fraction) {
      return squared_error(bins, {static_cast<float>(low * fraction), r.max}, type, scheme);
    });
    r.min = static_cast<float>(low * down);
  }
  return r;
}

// The values' distribution in bins of one width: pairs of a bin's number and the count in it.
struct even_histogram {
  double width = 1.0;
  std::vector<std::pair<double, double>> bins;

  void add(double bin, double count) {
    if (!bins.empty() && bins.back().first == bin) {
      bins.back().second += count;
    } else {
      bins.emplace_back(bin, count);
    }
  }
};

// Up to `knee` a bin's values are spread evenly over it; the few beyond are in its middle, so that
// one far away does not fill bins without number. Zeros, which any scale is exact for, are left
// out.
inline even_histogram make_even(std::span<const histogram_bin> magnitudes, double knee,
                                std::size_t bins_to_knee) {
  even_histogram h{knee / static_cast<double>(bins_to_knee), {}};
  for (const histogram_bin& b : magnitudes) {
    const auto count = static_cast<double>(b.count);
    if (b.low == 0.0) continue;
    if (b.low >= knee || b.high <= b.low) {
      h.add(std::floor((b.low + b.high) / 2 / h.width), count);
      continue;
    }
    for (double i = std::floor(b.low / h.width); i * h.width < b.high; ++i) {
      const double from = std::max(b.low, i * h.width);
      const double to = std::min(b.high, (i + 1) * h.width);
      if (to > from) h.add(i, count * ((to - from) / (b.high - b.low)));
    }
  }
  return h;
}

// KL(P || Q) of the first `kept` bins, of which `levels` levels are made.
inline double relative_entropy(const even_histogram& h, double kept, std::size_t levels) {
  double total = 0.0, within = 0.0;
  for (const auto& [bin, count] : h.bins) {
    total += count;
    within += bin < kept ? count : 0.0;
  }
  constexpr double smoothing = 1e-4;  // of Q, which must not be zero where P is not
  const auto term = [&](double p, double q) {
    const double share = (within == 0.0 ? 0.0 : q / within) * (1 - smoothing) + smoothing / kept;
    return p == 0.0 ? 0.0 : p / total * std::log(p / total / share);
  };
  const auto level_of = [&](double bin) {
    return std::floor(bin * static_cast<double>(levels) / kept);
  };
  double divergence = 0.0, beyond = total - within;
  std::size_t i = 0;
  while (i < h.bins.size() && h.bins[i].first < kept) {
    const double level = level_of(h.bins[i].first);
    std::size_t end = i;
    double sum = 0.0;
    for (; end < h.bins.size() && h.bins[end].first < kept && level_of(h.bins[end].first) == level;
         ++end) {
      sum += h.bins[end].second;
    }
    const double q = sum / static_cast<double>(end - i);
    for (; i < end; ++i) {
      double p = h.bins[i].second;
      if (h.bins[i].first == kept - 1) {
        p += beyond;
        beyond = 0.0;
      }
      divergence += term(p, q);
    }
  }
  return divergence + term(beyond, 0.0);  // where the last bin held nothing of its own
}

inline value_interval least_entropy_range(const histogram_observer& h, dtype type,
                                          affine_scheme scheme) {
  const code_limits codes = limits_of_codes("halfway::calibrate", type);
  const auto all = static_cast<std::size_t>(codes.largest - codes.lowest + 1);
  const bool one_sided = h.min() >= 0.0f || h.max() <= 0.0f;
  const std::size_t levels = scheme == affine_scheme::asymmetric && one_sided ? all : all / 2;
  constexpr std::size_t bins_a_level = 16;
  const std::vector<histogram_bin> magnitudes = h.magnitude_bins();
  const double amax = static_cast<double>(h.amax());
  const double knee = static_cast<double>(h.magnitude_quantile(0.9999));
  double t = amax;
  if (knee > 0.0) {
    const even_histogram even = make_even(magnitudes, knee, levels * bins_a_level);
    const double fewest = static_cast<double>(levels) * even.width / amax;
    t *= best_fraction(std::min(1.0, fewest), [&](double fraction) {
      return relative_entropy(even, std::floor(amax * fraction / even.width) + 1, levels);
    });
  }
  return {std::max(static_cast<float>(-t), std::min(h.min(), 0.0f)),
          std::min(static_cast<float>(t), std::max(h.max(), 0.0f))};
}

}  // namespace detail

/// The range to quantize values to codes of `type` in, from those observed:
///
/// - min_max: from the smallest to the largest.
/// - percentile: with p percent, symmetric: from -t to t, cut to the observed range, where t is the
///   p percent quantile of the magnitudes; asymmetric: from the (100 - p) / 2 to the 100 - (100 -
///   p) / 2 percent quantile.
/// - mse: the range that minimizes sum (x - dequantized(quantized(x)))^2 with choose_affine_params,
///   values taken as spread evenly over their bins; for a bin [a, b] the mean of the squared error
///   is an integral with a closed form, whose inner part is s^3 (F(b / s) - F(a / s)), F(x) = n /
///   12 + (x - n)^3 / 3, n = round(x). The ends are searched for as fractions of the observed ones,
///   by eighths of powers of two, then by 1/128s. (Asymmetric: one end after the other, twice,
///   which finds a minimum in each end, not always that in both.)
/// - entropy: t that minimizes KL(P || Q), as TensorRT chooses: P is the histogram of magnitudes in
///   bins of one width up to t, with all that lies beyond added to the last bin; Q is what remains
///   of it, without what lies beyond, after the bins of each level (128 levels for int8; all codes
///   where values have one sign and the scheme is asymmetric) that hold something were made equal.
///   TensorRT's bins are 1/2048 of the largest magnitude, which one outlier can make useless; here
///   they are 1/16 of a level for t at the 99.99 percent quantile. Zeros are left out, and Q is
///   mixed with 1e-4 of an even distribution, so that KL is finite. Source: Migacz, "8-bit
///   inference with TensorRT", 2017.
///
/// Hard inputs: of values that are all zero the range is 0 to 0, of one constant from it to it
/// (choose_affine_params extends both to hold zero); infinities and NaNs were left out
/// (observer.non_finite_count() says how many); a single outlier is kept by min_max and by mse
/// where that costs less, and left out by percentile and entropy where it is few enough. Errors:
/// nothing finite was observed; a percentile that is not above 0 and at most 100; a type that is
/// not int8, uint8, int4 or uint4.
inline value_interval calibrate_range(const histogram_observer& observer, dtype type,
                                      affine_scheme scheme = affine_scheme::asymmetric,
                                      const calibration_options& options = {}) {
  constexpr std::string_view where = "halfway::calibrate";
  detail::limits_of_codes(where, type);
  if (!(options.percentile > 0.0 && options.percentile <= 100.0)) {
    fail(detail::concat(where, ": options.percentile (", options.percentile,
                        ") must be above 0 and at most 100"));
  }
  if (observer.finite_count() == 0) {
    fail(detail::concat(where, ": no finite value was observed (", observer.non_finite_count(),
                        " were infinite or NaN)"));
  }
  const value_interval whole{observer.min(), observer.max()};
  if (observer.amax() == 0.0f || options.method == calibration::min_max) return whole;
  switch (options.method) {
    case calibration::percentile: {
      const double p = options.percentile / 100.0;
      if (scheme == affine_scheme::symmetric) {
        const float t = observer.magnitude_quantile(p);
        return {std::max(whole.min, -t), std::min(whole.max, t)};
      }
      return {observer.quantile((1 - p) / 2), observer.quantile(1 - (1 - p) / 2)};
    }
    case calibration::mse:
      return detail::least_squares_range(observer, type, scheme);
    default:
      return detail::least_entropy_range(observer, type, scheme);
  }
}

/// choose_affine_params for calibrate_range.
inline affine_params calibrate(const histogram_observer& observer, dtype type,
                               affine_scheme scheme = affine_scheme::asymmetric,
                               const calibration_options& options = {}) {
  const value_interval r = calibrate_range(observer, type, scheme, options);
  return choose_affine_params(r.min, r.max, type, scheme);
}

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_CALIBRATION_H_
