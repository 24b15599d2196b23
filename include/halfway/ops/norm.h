// SPDX-License-Identifier: Apache-2.0
// Layer normalization and RMS normalization of the rows of a matrix, computed in FP32 whatever the
// storage.
//
//   halfway::matrix<halfway::bfloat16> x(128, 768), y(128, 768);
//   std::vector<float> gamma(768, 1.0f), beta(768);
//   halfway::layernorm(x, gamma, beta, y);
//   halfway::rmsnorm(x, gamma, y, 1e-6f);
//   halfway::layernorm(x, halfway::no_parameters, halfway::no_parameters, y);    // gamma 1, beta 0
#ifndef HALFWAY_OPS_NORM_H_
#define HALFWAY_OPS_NORM_H_

#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
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

template <class TX, class TY>
void check_norm(std::string_view where, matrix_view<const TX> x, matrix_view<TY> y, float epsilon) {
  check_same_shape(where, "y", y, "x", x);
  check_row_major(where, "x", x);
  check_row_major(where, "y", y);
  check_epsilon(where, epsilon);
  check_apart_or_in_place(where, "x", x, "y", y);
}

template <class TX, class TG, class TB, class TY>
struct norm_config {
  using X = TX;
  using G = TG;
  using B = TB;
  using Y = TY;
};

}  // namespace detail

/// y(i, j) = (x(i, j) - mean_i) / sqrt(variance_i + epsilon) * gamma[j] + beta[j], the variance
/// being the mean of the squared deviations of row i.
///
/// x and y have one shape and rows of contiguous elements, any distance apart; y may be x. gamma
/// and beta have one value a column or none (then 1 and 0). Any float formats.
///
/// In FP32: the moments as in mean_variance (two passes, so that a mean that is large against the
/// deviation does no harm, and its own rounding is corrected), then two FMAs an element, rounded
/// once to y's type, to nearest even. The same bits on every CPU. With u = 2^-24, d = min(64,
/// ceil(n / 32)) + floor((n - 1) / 2048) + 5 and z the normalized value, the error before the
/// rounding to y's type is at most |gamma| ((2 d + 14) |z| + 2 d + 5) u + |y| u to first order, as
/// long as the mean, and the first element's distance from it, are below 2^21 / d deviations.
///
/// A row of equal elements gives beta exactly (with epsilon 0: NaN, 0 times infinity). A row that
/// holds NaN or an infinity becomes NaN.
///
/// Errors: shapes that differ, gamma or beta of another size, epsilon negative, infinite or NaN,
/// columns that do not lie side by side, null with a size, memory that is shared otherwise.
template <float_storage_matrix X, float_storage_vector G, float_storage_vector B,
          float_storage_output_matrix Y>
void layernorm(const X& x, const G& gamma, const B& beta, Y&& y, float epsilon = 1e-5f) {
  constexpr std::string_view where = "halfway::layernorm";
  using TX = std::remove_const_t<element_of<const X>>;
  using TY = element_of<Y>;
  const matrix_view<const TX> vx = as_view(x);
  const matrix_view<TY> vy = as_view(y);
  const auto vgamma = detail::input_span(where, "gamma", gamma);
  const auto vbeta = detail::input_span(where, "beta", beta);
  detail::check_norm(where, vx, vy, epsilon);
  detail::check_per_column(where, "gamma", vgamma, "x", vx);
  detail::check_per_column(where, "beta", vbeta, "x", vx);
  detail::check_apart(where, "gamma", vgamma, "y", vy);
  detail::check_apart(where, "beta", vbeta, "y", vy);
  if (vx.empty()) return;
  using Config = detail::norm_config<TX, detail::vector_element<G>, detail::vector_element<B>, TY>;
  HALFWAY_DISPATCH(LayerNormKernel<Config>)
  (detail::rows_of(vx), vgamma.empty() ? nullptr : vgamma.data(),
   vbeta.empty() ? nullptr : vbeta.data(), detail::rows_of(vy), vx.rows(), vx.cols(), epsilon);
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
void rmsnorm(const X& x, const G& gamma, Y&& y, float epsilon = 1e-5f) {
  constexpr std::string_view where = "halfway::rmsnorm";
  using TX = std::remove_const_t<element_of<const X>>;
  using TY = element_of<Y>;
  const matrix_view<const TX> vx = as_view(x);
  const matrix_view<TY> vy = as_view(y);
  const auto vgamma = detail::input_span(where, "gamma", gamma);
  detail::check_norm(where, vx, vy, epsilon);
  detail::check_per_column(where, "gamma", vgamma, "x", vx);
  detail::check_apart(where, "gamma", vgamma, "y", vy);
  if (vx.empty()) return;
  using Config = detail::norm_config<TX, detail::vector_element<G>, float, TY>;
  HALFWAY_DISPATCH(RmsNormKernel<Config>)
  (detail::rows_of(vx), vgamma.empty() ? nullptr : vgamma.data(), detail::rows_of(vy), vx.rows(),
   vx.cols(), epsilon);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_NORM_H_
