// SPDX-License-Identifier: Apache-2.0
// Reductions of contiguous elements of any float format, accumulated in FP32: the same bits on
// every CPU.
//
//   std::vector<halfway::half> x = ...;
//   float s = halfway::sum(x);
//   auto [mean, variance] = halfway::mean_variance(x);
//   std::size_t i = halfway::argmax(x);
//
// Elements are widened exactly; sums are kept in FP32 in the fixed order that simd/sum-inl.h
// describes, which no vector width, instruction set or thread count changes: ranges of more than
// 2^18 elements are cut into parts of that many, which run on the executor, and the results of the
// parts are reduced in the same way. So an element goes through at most
//
//   d(n) = e(n) if n <= 2^18, otherwise 132 + e(ceil(n / 2^18)),
//   e(n) = min(64, ceil(n / 64)) - 1 + floor((n - 1) / 4096) + ceil(log2(min(64, n)))
//
// additions. With u = 2^-24 the error of a sum of terms t is at most d u / (1 - d u) * sum |t|
// (Higham, Accuracy and Stability of Numerical Algorithms, 2002, equation 4.4): sum_error_bound and
// its like in fidelity/error_bound.h. Where that is not enough, see ops/accurate_sum.h. Sums whose
// partial results pass the range of float are infinite or NaN.
#ifndef HALFWAY_OPS_REDUCE_H_
#define HALFWAY_OPS_REDUCE_H_

#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/moments.h"
#include "halfway/ops/reduction_parts.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum_order.h"

namespace halfway {

namespace detail {

// kernel(x, n), or of the parts' results by `combine`.
template <class T>
float reduce(executor_ref on, std::span<const T> x, float (*kernel)(const T*, std::size_t),
             float (*combine)(const float*, std::size_t)) {
  if (x.size() <= reduction_part) return kernel(x.data(), x.size());
  const std::vector<float> results = reduce_parts(
      on, x.size(),
      [&](std::size_t begin, std::size_t count) { return kernel(x.data() + begin, count); });
  return combine(results.data(), results.size());
}

}  // namespace detail

/// The sum of the elements; 0 if there is none. |error| <= d(n) u / (1 - d(n) u) * sum |x|.
/// Error: null with a size.
template <float_storage_vector X>
float sum(const X& x, executor_ref on = {}) {
  const auto v = detail::input_span("halfway::sum", "x", x);
  return detail::reduce(on, v, HALFWAY_DISPATCH(SumKernel<detail::vector_element<X>>),
                        HALFWAY_DISPATCH(SumKernel<float>));
}

/// The sum of x[i] * y[i], each product added with one rounding (FMA); 0 if there is none. The
/// types may differ. |error| <= (d(n) + 1) u / (1 - (d(n) + 1) u) * sum |x| |y|, and 2^-150 for
/// each product that is subnormal. Errors: sizes that differ, null with a size.
template <float_storage_vector X, float_storage_vector Y>
float dot(const X& x, const Y& y, executor_ref on = {}) {
  const auto v = detail::check_pair("halfway::dot", x, y);
  using Config = detail::pair_config<detail::vector_element<X>, detail::vector_element<Y>>;
  const auto kernel = HALFWAY_DISPATCH(DotKernel<Config>);
  if (v.x.size() <= detail::reduction_part) return kernel(v.x.data(), v.y.data(), v.x.size());
  const std::vector<float> results =
      detail::reduce_parts(on, v.x.size(), [&](std::size_t begin, std::size_t count) {
        return kernel(v.x.data() + begin, v.y.data() + begin, count);
      });
  return HALFWAY_DISPATCH(SumKernel<float>)(results.data(), results.size());
}

/// The sum of x[i]^2, as dot(x, x) to the bit.
template <float_storage_vector X>
float sum_of_squares(const X& x, executor_ref on = {}) {
  const auto v = detail::input_span("halfway::sum_of_squares", "x", x);
  return detail::reduce(on, v, HALFWAY_DISPATCH(SumOfSquaresKernel<detail::vector_element<X>>),
                        HALFWAY_DISPATCH(SumKernel<float>));
}

namespace detail {

template <class T>
void check_not_empty(std::string_view where, std::span<const T> x) {
  if (x.empty()) [[unlikely]] {
    fail(concat(where, ": x is empty"));
  }
}

}  // namespace detail

/// The largest element. NaN if any element is NaN (the first one). Of +0 and -0 the one that comes
/// first. Errors: no elements, null with a size.
template <float_storage_vector X>
float max(const X& x, executor_ref on = {}) {
  const auto v = detail::input_span("halfway::max", "x", x);
  detail::check_not_empty("halfway::max", v);
  return detail::reduce(on, v, HALFWAY_DISPATCH(MaxKernel<detail::vector_element<X>>),
                        HALFWAY_DISPATCH(MaxKernel<float>));
}

/// The smallest element, as max.
template <float_storage_vector X>
float min(const X& x, executor_ref on = {}) {
  const auto v = detail::input_span("halfway::min", "x", x);
  detail::check_not_empty("halfway::min", v);
  return detail::reduce(on, v, HALFWAY_DISPATCH(MinKernel<detail::vector_element<X>>),
                        HALFWAY_DISPATCH(MinKernel<float>));
}

/// The index of the largest element, the first if there are several; the index of the first NaN if
/// there is one. Errors: no elements, null with a size.
template <float_storage_vector X>
std::size_t argmax(const X& x) {
  const auto v = detail::input_span("halfway::argmax", "x", x);
  detail::check_not_empty("halfway::argmax", v);
  return HALFWAY_DISPATCH(ArgmaxKernel<detail::vector_element<X>>)(v.data(), v.size());
}

/// The mean, and the mean of the squared deviations from it (for the estimate from a sample
/// multiply by n / (n - 1)).
///
/// Two passes, the second about a mean from the first (Chan, Golub and LeVeque 1983): the variance
/// does not suffer where the mean is large against the deviation. Of more than 2^18 elements, each
/// part's moments are merged in double, as by moments_accumulator (ops/moments.h). Equal elements
/// have a variance of exactly 0. An infinite element makes the mean what the sum of the elements
/// would be and the variance NaN. Errors: no elements, null with a size.
template <float_storage_vector X>
mean_and_variance mean_variance(const X& x, executor_ref on = {}) {
  const auto v = detail::input_span("halfway::mean_variance", "x", x);
  detail::check_not_empty("halfway::mean_variance", v);
  if (v.size() <= detail::reduction_part) {
    return HALFWAY_DISPATCH(MeanVarianceKernel<detail::vector_element<X>>)(v.data(), v.size());
  }
  moments_accumulator moments;
  moments.add(v, on);
  return moments.result();
}

/// out[j] = the sum of column j: the gradient of a bias. 0 for a matrix without rows.
///
/// An element goes through at most d = rows / 8 + 10 additions: |error| <= d u / (1 - d u) * sum
/// |x|. Errors: out.size() other than x.cols(), columns that don't lie side by side, null with a
/// size, memory that x and out share.
template <float_storage_matrix X>
void column_sums(const X& x, std::span<float> out, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::column_sums";
  using T = std::remove_const_t<element_of<const X>>;
  const matrix_view<const T> v = as_view(x);
  detail::check_equal(where, "out.size()", out.size(), "x.cols()", v.cols());
  detail::check_not_null(where, "out", out.data(), out.size());
  detail::check_row_major(where, "x", v);
  detail::check_apart(where, "out", out, "x", v);
  const auto kernel = HALFWAY_DISPATCH(ColumnSumsKernel<T>);
  detail::for_each_part(
      on, v.cols(), v.rows() * sizeof(T),
      [&](std::size_t begin, std::size_t count) {
        kernel(v.data() + begin, v.rows(), count, v.row_stride(), out.data() + begin);
      },
      detail::elements_per_line);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_REDUCE_H_
