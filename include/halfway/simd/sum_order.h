// SPDX-License-Identifier: Apache-2.0
// The fixed order that reductions sum in, as numbers: how many rounded additions an element goes
// through, from which every error bound follows.
//
//   halfway::detail::additions(4096);  // 69
#ifndef HALFWAY_SIMD_SUM_ORDER_H_
#define HALFWAY_SIMD_SUM_ORDER_H_

#include <algorithm>
#include <bit>
#include <cstddef>

namespace halfway::detail {

// Partial sums of one sum: enough chains of additions to hide their latency with 16-lane vectors.
inline constexpr std::size_t sum_lanes = 64;
// Of each of two sums over the same elements.
inline constexpr std::size_t pair_lanes = 32;
// Elements that a partial sum takes in before it is added to a total of its own.
inline constexpr std::size_t sum_run = 64;
// The same of pairwise sums, and partial sums of others (simd/accurate_sum-inl.h).
inline constexpr std::size_t pairwise_run = 16;
inline constexpr std::size_t compensated_lanes = 32;
inline constexpr std::size_t wide_lanes = 32;

// Longer ranges are cut into parts of so many elements, whatever runs them, so that no result
// depends on it.
inline constexpr std::size_t reduction_part = std::size_t{1} << 18;

constexpr std::size_t ceil_div(std::size_t n, std::size_t by) { return (n + by - 1) / by; }

// The least k with 2^k >= n, for n >= 1.
constexpr std::size_t ceil_log2(std::size_t n) {
  return static_cast<std::size_t>(std::bit_width(n - 1));
}

// Additions, each of them rounded, that one of n elements goes through at most in a part, in the
// order of simd/sum-inl.h. What is first added to zero is exact; lanes that no element reached too.
constexpr std::size_t additions_in_part(std::size_t n, std::size_t lanes = sum_lanes) {
  if (n == 0) return 0;
  return std::min(sum_run, ceil_div(n, lanes)) - 1 + (n - 1) / (sum_run * lanes) +
         ceil_log2(std::min(n, lanes));
}

// The same in all parts, whose sums are summed in that order again.
constexpr std::size_t additions(std::size_t n, std::size_t lanes = sum_lanes) {
  if (n <= reduction_part) return additions_in_part(n, lanes);
  return additions_in_part(reduction_part, lanes) +
         additions_in_part(ceil_div(n, reduction_part), lanes);
}

// Of pairwise sums: runs, then a binary tree of them, of lanes and of parts.
constexpr std::size_t pairwise_additions(std::size_t n) {
  if (n == 0) return 0;
  const std::size_t in_part = std::min(n, reduction_part);
  return std::min(pairwise_run, ceil_div(in_part, sum_lanes)) - 1 +
         ceil_log2(ceil_div(in_part, pairwise_run * sum_lanes)) +
         ceil_log2(std::min(n, sum_lanes)) + ceil_log2(ceil_div(n, reduction_part));
}

// Of compensated sums: as in sum with fewer lanes, but for the parts' tree.
constexpr std::size_t compensated_additions(std::size_t n) {
  if (n == 0) return 0;
  return additions_in_part(std::min(n, reduction_part), compensated_lanes) +
         ceil_log2(ceil_div(n, reduction_part));
}

// Of sums in double.
constexpr std::size_t wide_additions(std::size_t n) {
  if (n == 0) return 0;
  return ceil_div(std::min(n, reduction_part), wide_lanes) - 1 +
         ceil_log2(std::min(n, wide_lanes)) + ceil_log2(ceil_div(n, reduction_part));
}

}  // namespace halfway::detail

#endif  // HALFWAY_SIMD_SUM_ORDER_H_
