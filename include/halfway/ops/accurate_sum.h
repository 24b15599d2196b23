// SPDX-License-Identifier: Apache-2.0
// Sums of any float format where sum and dot in FP32 are not exact enough: the same bits on every
// CPU and for any number of threads.
//
//   float s = halfway::sum_pairwise(x);       // a third to a fifth of the error bound of sum
//   double t = halfway::sum_in_double(x);     // 53 digits instead of 24
//   double c = halfway::sum_compensated(x);   // FP32 only, as if with twice the digits
//
// Which one: the error of sum and dot is at most d u times the sum of magnitudes, u = 2^-24, d from
// 6 (64 elements) to 132 (2^18) and little more beyond. If the sum is as large as its terms, that
// is all one needs. Where terms cancel, the relative error is larger by the condition number, sum
// |t| /
// |sum t|: with one of 10^8 nothing is left of a sum in FP32. In double six digits are.
// Compensated sums come to a thousandth or better; they are for hardware that has no double, or to
// see what such hardware would give.
//
// Measured on Zen 5, in cache, against sum and dot of float:
//
//                  sum          dot
//   pairwise       0.9 to 1.1   1.0
//   in double      2.1          1.45
//   compensated    4            2
#ifndef HALFWAY_OPS_ACCURATE_SUM_H_
#define HALFWAY_OPS_ACCURATE_SUM_H_

#include <cstddef>
#include <span>
#include <vector>

#include "halfway/core/executor.h"
#include "halfway/ops/reduction_parts.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum_order.h"

namespace halfway {

namespace detail {

// results[0], after neighbours, then neighbours of neighbours and so on have been combined by
// f(a, b).
template <class Result, class F>
Result combine_as_tree(std::vector<Result>& results, const F& f) {
  for (std::size_t step = 1; step < results.size(); step *= 2) {
    for (std::size_t i = 0; i + step < results.size(); i += 2 * step) {
      results[i] = f(results[i], results[i + step]);
    }
  }
  return results[0];
}

// What the kernel gives for each part, combined as a tree.
template <class Result, class T, class F>
Result reduce_as_tree(executor_ref on, std::span<const T> x,
                      Result (*kernel)(const T*, std::size_t), const F& combine) {
  if (x.size() <= reduction_part) return kernel(x.data(), x.size());
  auto results = reduce_parts<Result>(on, x.size(), [&](std::size_t begin, std::size_t count) {
    return kernel(x.data() + begin, count);
  });
  return combine_as_tree(results, combine);
}
template <class Result, class X, class Y, class F>
Result reduce_as_tree(executor_ref on, const pair_of_spans<X, Y>& v,
                      Result (*kernel)(const X*, const Y*, std::size_t), const F& combine) {
  if (v.x.size() <= reduction_part) return kernel(v.x.data(), v.y.data(), v.x.size());
  auto results = reduce_parts<Result>(on, v.x.size(), [&](std::size_t begin, std::size_t count) {
    return kernel(v.x.data() + begin, v.y.data() + begin, count);
  });
  return combine_as_tree(results, combine);
}

inline constexpr auto add_two = [](auto a, auto b) { return a + b; };

// The sum of both, with what it is rounded by (Knuth's TwoSum).
inline sum_and_error add_compensated(sum_and_error a, sum_and_error b) {
  const float sum = a.sum + b.sum;
  const float part = sum - a.sum;
  const float rounding = (a.sum - (sum - part)) + (b.sum - part);
  return {sum, a.error + (rounding + b.error)};
}

// Where sums pass the range, errors are NaN.
inline double finished(sum_and_error s) {
  const double sum = static_cast<double>(s.sum);
  return s.error - s.error == 0.0f ? sum + static_cast<double>(s.error) : sum;
}

}  // namespace detail

/// The sum of the elements as a tree: runs of 16 for each of 64 partial sums, and pairs from there
/// on. |error| <= d u / (1 - d u) * sum |x|, d = min(16, ceil(n / 64)) + log2(n / 1024) + 6 rounded
/// up: 23 for 4096 elements, 29 for 2^18 (sum_pairwise_error_bound in fidelity/error_bound.h).
/// 0 if there is none. Error: null with a size.
template <float_storage_vector X>
float sum_pairwise(const X& x, executor_ref on = {}) {
  const auto v = detail::input_span("halfway::sum_pairwise", "x", x);
  const auto kernel = HALFWAY_DISPATCH(SumPairwiseKernel<detail::vector_element<X>>);
  return detail::reduce_as_tree(on, v, kernel, detail::add_two);
}

/// The sum of x[i] * y[i] as a tree, with one rounding more, and 2^-150 for each product that is
/// subnormal. Errors: sizes that differ, null with a size.
template <float_storage_vector X, float_storage_vector Y>
float dot_pairwise(const X& x, const Y& y, executor_ref on = {}) {
  const auto v = detail::check_pair("halfway::dot_pairwise", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  const auto kernel = HALFWAY_DISPATCH(DotPairwiseKernel<Config>);
  return detail::reduce_as_tree(on, v, kernel, detail::add_two);
}

/// The sum of the elements in double: |error| <= d v / (1 - d v) * sum |x|, v = 2^-53, d =
/// min(8192, ceil(n / 32)) + 5 + log2 of the number of parts of 2^18 (sum_in_double_error_bound).
/// Nothing overflows. 0 if there is none. Error: null with a size.
template <float_storage_vector X>
double sum_in_double(const X& x, executor_ref on = {}) {
  const auto v = detail::input_span("halfway::sum_in_double", "x", x);
  const auto kernel = HALFWAY_DISPATCH(SumInDoubleKernel<detail::vector_element<X>>);
  return detail::reduce_as_tree(on, v, kernel, detail::add_two);
}

/// The sum of x[i] * y[i] in double, where the products are exact: the same bound. Errors: sizes
/// that differ, null with a size.
template <float_storage_vector X, float_storage_vector Y>
double dot_in_double(const X& x, const Y& y, executor_ref on = {}) {
  const auto v = detail::check_pair("halfway::dot_in_double", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  const auto kernel = HALFWAY_DISPATCH(DotInDoubleKernel<Config>);
  return detail::reduce_as_tree(on, v, kernel, detail::add_two);
}

/// The sum of the elements, compensated: every addition's rounding error is computed exactly, and
/// the errors are summed beside (Sum2 of Ogita, Rump and Oishi, "Accurate sum and dot product",
/// SIAM J. Sci. Comput. 26, 2005). Sum and errors are added in double.
///
/// |error| <= 2^-53 |sum| + gamma(d) gamma(2 d + 2) * sum |x|, gamma(d) = d u / (1 - d u), d = 69
/// for 4096 elements and 195 for 2^18 (sum_compensated_error_bound in fidelity/error_bound.h).
/// Where partial sums pass the range of float the result is infinite or NaN, as in sum. 0 if there
/// is none. Error: null with a size.
template <float_storage_vector X>
double sum_compensated(const X& x, executor_ref on = {}) {
  const auto v = detail::input_span("halfway::sum_compensated", "x", x);
  const auto kernel = HALFWAY_DISPATCH(SumCompensatedKernel<detail::vector_element<X>>);
  return detail::finished(detail::reduce_as_tree(on, v, kernel, detail::add_compensated));
}

/// The sum of x[i] * y[i], compensated: the products' errors are exact too (Dot2 of the same
/// paper). The bound is that of sum_compensated with one rounding more and the products for the
/// elements, and 2^-149 for each product that is subnormal. Errors: sizes that differ, null with a
/// size.
template <float_storage_vector X, float_storage_vector Y>
double dot_compensated(const X& x, const Y& y, executor_ref on = {}) {
  const auto v = detail::check_pair("halfway::dot_compensated", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  const auto kernel = HALFWAY_DISPATCH(DotCompensatedKernel<Config>);
  return detail::finished(detail::reduce_as_tree(on, v, kernel, detail::add_compensated));
}

}  // namespace halfway

#endif  // HALFWAY_OPS_ACCURATE_SUM_H_
