// SPDX-License-Identifier: Apache-2.0
// Whether a candidate orders things as a baseline does, whatever the values are: Spearman's rho and
// Kendall's tau, ties included.
//
//   halfway::sample_mean of_rows;
//   for (std::size_t i = 0; i < scores.rows(); ++i) {
//     of_rows.add(halfway::spearman(scores.row(i), candidate.row(i)));
//   }
#ifndef HALFWAY_FIDELITY_RANK_CORRELATION_H_
#define HALFWAY_FIDELITY_RANK_CORRELATION_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/ops/row_arguments.h"

namespace halfway {

namespace detail {

template <class T>
std::vector<float> in_float(std::span<const T> x) {
  std::vector<float> values(x.size());
  std::ranges::transform(x, values.begin(), [](T v) { return static_cast<float>(v); });
  return values;
}

inline bool has_nan(const std::vector<float>& x) {
  return std::ranges::any_of(x, [](float v) { return std::isnan(v); });
}

inline std::vector<std::size_t> ascending(const std::vector<float>& x) {
  std::vector<std::size_t> order(x.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t i, std::size_t j) { return x[i] < x[j]; });
  return order;
}

// Calls run(begin, end) for each run of neighbours that are equal, runs of one included.
template <class Equal, class Run>
void for_each_tie(std::size_t n, const Equal& equal, const Run& run) {
  for (std::size_t begin = 0, end = 0; begin != n; begin = end) {
    for (end = begin + 1; end != n && equal(begin, end);) ++end;
    run(begin, end);
  }
}

// Twice the rank of each value, less the mean: integers, as ties share the mean of their ranks.
inline std::vector<double> doubled_ranks(const std::vector<float>& x) {
  const std::vector<std::size_t> order = ascending(x);
  std::vector<double> ranks(x.size());
  const auto equal = [&](std::size_t i, std::size_t j) { return x[order[i]] == x[order[j]]; };
  for_each_tie(x.size(), equal, [&](std::size_t begin, std::size_t end) {
    const double rank = static_cast<double>(begin + end) - static_cast<double>(x.size());
    for (std::size_t i = begin; i != end; ++i) ranks[order[i]] = rank;
  });
  return ranks;
}

// Sorts x ascending by merging; returns how many pairs stood in descending order.
inline std::uint64_t sort_counting_inversions(std::span<float> x, std::span<float> scratch) {
  if (x.size() < 2) return 0;
  const std::size_t half = x.size() / 2;
  std::uint64_t count = sort_counting_inversions(x.first(half), scratch.first(half)) +
                        sort_counting_inversions(x.subspan(half), scratch.subspan(half));
  std::size_t i = 0, j = half, to = 0;
  while (i != half && j != x.size()) {
    if (x[j] < x[i]) {
      count += half - i;
      scratch[to++] = x[j++];
    } else {
      scratch[to++] = x[i++];
    }
  }
  while (i != half) scratch[to++] = x[i++];
  while (j != x.size()) scratch[to++] = x[j++];
  std::ranges::copy(scratch, x.begin());
  return count;
}

}  // namespace detail

/// Spearman's rank correlation (1904): Pearson's of the ranks, of which equal values share the
/// mean. From -1, the opposite order, to 1, the same. Infinities are values as others. NaN if a
/// value is NaN, and where a side has no order: fewer than 2 values, or all equal. Time n log n;
/// the sums are of integers, exact in double below n = 2^16, with a relative error of at most n
/// 2^-52 from there. Errors: sizes that differ, null with a size.
template <float_storage_vector Baseline, float_storage_vector Candidate>
double spearman(const Baseline& baseline, const Candidate& candidate) {
  constexpr std::string_view where = "halfway::spearman";
  const auto b = detail::input_span(where, "baseline", baseline);
  const auto c = detail::input_span(where, "candidate", candidate);
  detail::check_same_size(where, "candidate", c, "baseline", b);
  const std::vector<float> x = detail::in_float(b), y = detail::in_float(c);
  if (detail::has_nan(x) || detail::has_nan(y)) return std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> rx = detail::doubled_ranks(x), ry = detail::doubled_ranks(y);
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t i = 0; i != rx.size(); ++i) {
    xy += rx[i] * ry[i];
    xx += rx[i] * rx[i];
    yy += ry[i] * ry[i];
  }
  if (xx == 0 || yy == 0) return std::numeric_limits<double>::quiet_NaN();
  return std::clamp(xy / std::sqrt(xx * yy), -1.0, 1.0);
}

/// Kendall's tau-b (1945): (pairs in the same order - pairs in opposite order) / sqrt(pairs that
/// the baseline orders * pairs that the candidate orders). As spearman in range, NaN and errors;
/// tau counts swaps, rho weighs them by how far they went. Time n log n, by the algorithm of
/// Knight, "A computer method for calculating Kendall's tau with ungrouped data", 1966; pairs are
/// counted exactly below n = 2^32.
template <float_storage_vector Baseline, float_storage_vector Candidate>
double kendall_tau(const Baseline& baseline, const Candidate& candidate) {
  constexpr std::string_view where = "halfway::kendall_tau";
  const auto b = detail::input_span(where, "baseline", baseline);
  const auto c = detail::input_span(where, "candidate", candidate);
  detail::check_same_size(where, "candidate", c, "baseline", b);
  const std::vector<float> x = detail::in_float(b), y = detail::in_float(c);
  if (detail::has_nan(x) || detail::has_nan(y)) return std::numeric_limits<double>::quiet_NaN();

  const std::size_t n = x.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t i, std::size_t j) {
    return x[i] != x[j] ? x[i] < x[j] : y[i] < y[j];
  });
  std::uint64_t tied_x = 0, tied_y = 0, tied_both = 0;
  const auto count_in = [](std::uint64_t& pairs) {
    return [&pairs](std::size_t begin, std::size_t end) {
      pairs += std::uint64_t{end - begin} * (end - begin - 1) / 2;
    };
  };
  const auto same_x = [&](std::size_t i, std::size_t j) { return x[order[i]] == x[order[j]]; };
  detail::for_each_tie(n, same_x, count_in(tied_x));
  detail::for_each_tie(
      n, [&](std::size_t i, std::size_t j) { return same_x(i, j) && y[order[i]] == y[order[j]]; },
      count_in(tied_both));
  std::vector<float> sorted(n), scratch(n);
  for (std::size_t i = 0; i != n; ++i) sorted[i] = y[order[i]];
  const std::uint64_t opposite = detail::sort_counting_inversions(sorted, scratch);
  detail::for_each_tie(
      n, [&](std::size_t i, std::size_t j) { return sorted[i] == sorted[j]; }, count_in(tied_y));

  const std::uint64_t pairs = n == 0 ? 0 : std::uint64_t{n} * (n - 1) / 2;
  if (tied_x == pairs || tied_y == pairs) return std::numeric_limits<double>::quiet_NaN();
  // Pairs are in one order, the other, or tied; those tied in both are in both counts of ties.
  const std::uint64_t same = pairs - tied_x - tied_y + tied_both - opposite;
  const double tau =
      (static_cast<double>(same) - static_cast<double>(opposite)) /
      std::sqrt(static_cast<double>(pairs - tied_x) * static_cast<double>(pairs - tied_y));
  return std::clamp(tau, -1.0, 1.0);
}

}  // namespace halfway

#endif  // HALFWAY_FIDELITY_RANK_CORRELATION_H_
