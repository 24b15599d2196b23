// SPDX-License-Identifier: Apache-2.0
// Layer normalization and RMS normalization of the rows of a matrix, computed in FP32 whatever the
// storage.
//
//   halfway::matrix<halfway::bfloat16> x(128, 768), y(128, 768);
//   std::vector<float> gamma(768, 1.0f), beta(768);
//   halfway::layernorm(x, gamma, beta, y);
//   halfway::rmsnorm(x, gamma, y, 1e-6f);
//   halfway::layernorm(x, halfway::no_parameters, halfway::no_parameters, y);  // gamma 1, beta 0
//   halfway::add_rmsnorm(x, residual, gamma, residual, y);  // the residual in place
#ifndef HALFWAY_OPS_NORM_H_
#define HALFWAY_OPS_NORM_H_

#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

/// Stands for a gamma of ones, or a beta of zeros.
inline constexpr std::span<const float> no_parameters{};

namespace detail {

inline void check_epsilon(std::string_view where, float epsilon) {
  if (!(epsilon >= 0.0f) || std::isinf(epsilon)) [[unlikely]] {
    fail(concat(where, ": epsilon (", epsilon, ") must be finite and not negative"));
  }
}

template <class Config>
constexpr std::size_t bytes_per_row(const norm_rows<Config>& rows) {
  return rows.cols * (sizeof(typename Config::X) + sizeof(typename Config::Y));
}

template <class Config>
void run_layernorm(const norm_rows<Config>& rows, executor_ref on) {
  const auto kernel = HALFWAY_DISPATCH(LayerNormKernel<Config>);
  for_each_part(on, rows.rows, bytes_per_row(rows),
                [&](std::size_t begin, std::size_t count) { kernel(rows.block(begin, count)); });
}
template <class Config>
void run_rmsnorm(const norm_rows<Config>& rows, executor_ref on) {
  const auto kernel = HALFWAY_DISPATCH(RmsNormKernel<Config>);
  for_each_part(on, rows.rows, bytes_per_row(rows),
                [&](std::size_t begin, std::size_t count) { kernel(rows.block(begin, count)); });
}

// Null where there is none.
template <class T>
const T* data_or_null(std::span<const T> v) {
  return v.empty() ? nullptr : v.data();
}

}  // namespace detail

/// y(i, j) = (x(i, j) - mean_i) / sqrt(variance_i + epsilon) * gamma[j] + beta[j], the variance
/// being the mean of the squared deviations of row i.
///
/// x and y have one shape and rows of contiguous elements, any distance apart; y may be x. gamma
/// and beta have one value a column or none (then 1 and 0). Any float formats.
///
/// In FP32: the moments about the mean of a row's first 64 elements, so that a mean that is large
/// against the deviation does no harm, or, if that is further than a deviation from the mean, as in
/// mean_variance; then two FMAs an element, rounded once to y's type, to nearest even. The same
/// bits on every CPU. With u = 2^-24, d = min(64, ceil(n / 32)) + floor((n - 1) / 2048) + 5 and z
/// the normalized value, the error before the rounding to y's type is at most |gamma| ((5/2 d + 16)
/// |z| + 2 d + 6) u + |y| u to first order, as long as the mean, and the first element's distance
/// from it, are below 2^21 / d deviations.
///
/// A row of equal elements gives beta exactly (with epsilon 0: NaN, 0 times infinity). A row that
/// holds NaN or an infinity becomes NaN.
///
/// Errors: shapes that differ, gamma or beta of another size, epsilon negative, infinite or NaN,
/// columns that do not lie side by side, null with a size, memory that is shared otherwise.
template <float_storage_matrix X, float_storage_vector G, float_storage_vector B,
          float_storage_output_matrix Y>
void layernorm(const X& x, const G& gamma, const B& beta, Y&& y, float epsilon = 1e-5f,
               executor_ref on = {}) {
  constexpr std::string_view where = "halfway::layernorm";
  using TX = std::remove_const_t<element_of<const X>>;
  using TY = element_of<Y>;
  const matrix_view<const TX> vx = as_view(x);
  const matrix_view<TY> vy = as_view(y);
  const auto vgamma = detail::input_span(where, "gamma", gamma);
  const auto vbeta = detail::input_span(where, "beta", beta);
  detail::check_row_map(where, "x", vx, "y", vy);
  detail::check_epsilon(where, epsilon);
  detail::check_parameter(where, "gamma", vgamma, "x", vx, "y", vy);
  detail::check_parameter(where, "beta", vbeta, "x", vx, "y", vy);
  if (vx.empty()) return;
  using Config = detail::norm_config<TX, detail::vector_element<G>, detail::vector_element<B>, TY>;
  const bool stream = detail::streams(vy.size() * sizeof(TY), vx.data(), vy.data());
  detail::run_layernorm(detail::norm_rows<Config>{detail::rows_of(vx), detail::data_or_null(vgamma),
                                                  detail::data_or_null(vbeta), detail::rows_of(vy),
                                                  vx.rows(), vx.cols(), epsilon, stream},
                        on);
}

/// y(i, j) = x(i, j) / sqrt(mean over k of x(i, k)^2 + epsilon) * gamma[j].
///
/// Shapes, types, order and errors as for layernorm. With d = min(64, ceil(n / 64)) + floor((n - 1)
/// / 4096) + 6, the relative error before the rounding to y's type is at most (d / 2 + 6) u to
/// first order. The mean of the squares overflows where elements pass 2^63 or so, and y is then 0.
///
/// A row of zeros gives 0 (with epsilon 0: NaN). A row that holds NaN becomes NaN; one that holds
/// an infinity becomes 0, but for the infinities, which become NaN.
template <float_storage_matrix X, float_storage_vector G, float_storage_output_matrix Y>
void rmsnorm(const X& x, const G& gamma, Y&& y, float epsilon = 1e-5f, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::rmsnorm";
  using TX = std::remove_const_t<element_of<const X>>;
  using TY = element_of<Y>;
  const matrix_view<const TX> vx = as_view(x);
  const matrix_view<TY> vy = as_view(y);
  const auto vgamma = detail::input_span(where, "gamma", gamma);
  detail::check_row_map(where, "x", vx, "y", vy);
  detail::check_epsilon(where, epsilon);
  detail::check_parameter(where, "gamma", vgamma, "x", vx, "y", vy);
  if (vx.empty()) return;
  using Config = detail::norm_config<TX, detail::vector_element<G>, float, TY>;
  const bool stream = detail::streams(vy.size() * sizeof(TY), vx.data(), vy.data());
  detail::run_rmsnorm(
      detail::norm_rows<Config>{detail::rows_of(vx), detail::data_or_null(vgamma), nullptr,
                                detail::rows_of(vy), vx.rows(), vx.cols(), epsilon, stream},
      on);
}

namespace detail {

// What the forms that add have in common: what rows they work on.
template <class Config, class TA, class TR, class TX, class TG, class TB, class TY>
norm_rows<Config> add_norm_rows(std::string_view where, matrix_view<const TA> x,
                                matrix_view<const TR> residual, std::span<const TG> gamma,
                                std::span<const TB> beta, matrix_view<TX> sum, matrix_view<TY> y,
                                float epsilon) {
  check_row_map(where, "x", x, "y", y);
  check_row_map(where, "x", x, "sum", sum);
  check_same_shape(where, "residual", residual, "x", x);
  check_row_map(where, "residual", residual, "sum", sum);
  check_apart_or_in_place(where, "residual", residual, "y", y);
  check_no_overlap(where, "sum", "y", overlap(matrix_view<const TX>(sum), y));
  check_epsilon(where, epsilon);
  check_parameter(where, "gamma", gamma, "x", x, "y", y);
  check_parameter(where, "gamma", gamma, "x", x, "sum", sum);
  check_parameter(where, "beta", beta, "x", x, "y", y);
  check_parameter(where, "beta", beta, "x", x, "sum", sum);
  const bool stream = streams(y.size() * sizeof(TY), x.data(), y.data());
  return {rows_of(matrix_view<const TX>(sum)),
          data_or_null(gamma),
          data_or_null(beta),
          rows_of(y),
          x.rows(),
          x.cols(),
          epsilon,
          stream,
          rows_of(x),
          rows_of(residual),
          rows_of(sum)};
}

}  // namespace detail

/// sum = x + residual, rounded to sum's type, and y = rmsnorm(sum, gamma): a block of a transformer
/// between two products, its residual stream read and written once. The bits are those of the two
/// operations.
///
/// All matrices have one shape and rows of contiguous elements, any float formats; sum may be x or
/// residual, and y may be either that sum is not. Errors as for rmsnorm, and memory that sum and y
/// share.
template <float_storage_matrix X, float_storage_matrix R, float_storage_vector G,
          float_storage_output_matrix S, float_storage_output_matrix Y>
void add_rmsnorm(const X& x, const R& residual, const G& gamma, S&& sum, Y&& y,
                 float epsilon = 1e-5f, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::add_rmsnorm";
  using TA = std::remove_const_t<element_of<const X>>;
  using TR = std::remove_const_t<element_of<const R>>;
  using TX = element_of<S>;
  using TG = detail::vector_element<G>;
  using TY = element_of<Y>;
  using Config = detail::add_norm_config<TA, TR, TX, TG, float, TY>;
  const auto rows = detail::add_norm_rows<Config, TA, TR, TX, TG, float, TY>(
      where, as_view(x), as_view(residual), detail::input_span(where, "gamma", gamma),
      no_parameters, as_view(sum), as_view(y), epsilon);
  if (rows.rows != 0 && rows.cols != 0) detail::run_rmsnorm(rows, on);
}

/// The same with layernorm(sum, gamma, beta).
template <float_storage_matrix X, float_storage_matrix R, float_storage_vector G,
          float_storage_vector B, float_storage_output_matrix S, float_storage_output_matrix Y>
void add_layernorm(const X& x, const R& residual, const G& gamma, const B& beta, S&& sum, Y&& y,
                   float epsilon = 1e-5f, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::add_layernorm";
  using TA = std::remove_const_t<element_of<const X>>;
  using TR = std::remove_const_t<element_of<const R>>;
  using TX = element_of<S>;
  using TG = detail::vector_element<G>;
  using TB = detail::vector_element<B>;
  using TY = element_of<Y>;
  using Config = detail::add_norm_config<TA, TR, TX, TG, TB, TY>;
  const auto rows = detail::add_norm_rows<Config, TA, TR, TX, TG, TB, TY>(
      where, as_view(x), as_view(residual), detail::input_span(where, "gamma", gamma),
      detail::input_span(where, "beta", beta), as_view(sum), as_view(y), epsilon);
  if (rows.rows != 0 && rows.cols != 0) detail::run_layernorm(rows, on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_NORM_H_
