// SPDX-License-Identifier: Apache-2.0
// Gradients of layer normalization and RMS normalization, accumulated in FP32 whatever the storage.
//
//   halfway::layernorm_backward(x, gamma, dy, dx, dgamma, dbeta);    // dgamma, dbeta:
//   std::vector<float>, overwritten
#ifndef HALFWAY_OPS_NORM_BACKWARD_H_
#define HALFWAY_OPS_NORM_BACKWARD_H_

#include <algorithm>
#include <span>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

namespace detail {

template <class TX, class TG, class TDY, class TDX>
struct norm_backward_config {
  using X = TX;
  using G = TG;
  using DY = TDY;
  using DX = TDX;
};

template <class TX, class TG, class TDY, class TDX>
void check_norm_backward(std::string_view where, matrix_view<const TX> x, std::span<const TG> gamma,
                         matrix_view<const TDY> dy, matrix_view<TDX> dx, float epsilon) {
  check_same_shape(where, "dy", dy, "x", x);
  check_row_map(where, "x", x, "dx", dx);
  check_row_map(where, "dy", dy, "dx", dx);
  check_epsilon(where, epsilon);
  check_parameter(where, "gamma", gamma, "x", x, "dx", dx);
}

// A gradient of parameters: FP32, one value a column or none, apart from everything else.
template <class TX, class TG, class TDY, class TDX>
void check_parameter_gradient(std::string_view where, std::string_view name,
                              std::span<float> gradient, matrix_view<const TX> x,
                              std::span<const TG> gamma, matrix_view<const TDY> dy,
                              matrix_view<TDX> dx) {
  check_per_column(where, name, gradient, "x", x);
  check_not_null(where, name, gradient.data(), gradient.size());
  check_apart(where, name, gradient, "x", x);
  check_apart(where, name, gradient, "dy", dy);
  check_apart(where, name, gradient, "dx", dx);
  check_no_overlap(
      where, name, "gamma",
      ranges_overlap(gradient.data(), gradient.size_bytes(), gamma.data(), gamma.size_bytes()));
}

}  // namespace detail

/// The gradients of layernorm(x, gamma, beta, y, epsilon), dy being the gradient of y. With z the
/// normalized x and g = dy * gamma:
///
///   dx(i, j) = (g(i, j) - mean over k of g(i, k) - z(i, j) * mean over k of g(i, k) z(i, k))
///              / sqrt(variance_i + epsilon)
///   dgamma[j] = sum over i of dy(i, j) z(i, j),   dbeta[j] = sum over i of dy(i, j)
///
/// x, dy and dx have one shape and rows of contiguous elements; dx may be x or dy. gamma, dgamma
/// and dbeta have one value a column or none: an empty dgamma or dbeta is not computed, others are
/// overwritten (zeros where there are no rows). Any float formats; dgamma and dbeta are FP32.
///
/// In FP32, the statistics computed again as in layernorm; sums over rows go row by row. The same
/// bits on every CPU. tests/ops/norm_test.cc derives and checks bounds for all three.
///
/// A row of equal elements has z = 0. A NaN in a row of x or dy makes that row of dx NaN.
///
/// Errors: those of layernorm, and a gradient of parameters of another size or that shares memory
/// with anything else.
template <float_storage_matrix X, float_storage_vector G, float_storage_matrix DY,
          float_storage_output_matrix DX>
void layernorm_backward(const X& x, const G& gamma, const DY& dy, DX&& dx, std::span<float> dgamma,
                        std::span<float> dbeta, float epsilon = 1e-5f) {
  constexpr std::string_view where = "halfway::layernorm_backward";
  using TX = std::remove_const_t<element_of<const X>>;
  using TDY = std::remove_const_t<element_of<const DY>>;
  using TDX = element_of<DX>;
  const matrix_view<const TX> vx = as_view(x);
  const matrix_view<const TDY> vdy = as_view(dy);
  const matrix_view<TDX> vdx = as_view(dx);
  const auto vgamma = detail::input_span(where, "gamma", gamma);
  detail::check_norm_backward(where, vx, vgamma, vdy, vdx, epsilon);
  detail::check_parameter_gradient(where, "dgamma", dgamma, vx, vgamma, vdy, vdx);
  detail::check_parameter_gradient(where, "dbeta", dbeta, vx, vgamma, vdy, vdx);
  detail::check_no_overlap(
      where, "dgamma", "dbeta",
      detail::ranges_overlap(dgamma.data(), dgamma.size_bytes(), dbeta.data(), dbeta.size_bytes()));
  std::fill(dgamma.begin(), dgamma.end(), 0.0f);
  std::fill(dbeta.begin(), dbeta.end(), 0.0f);
  if (vx.empty()) return;
  using Config = detail::norm_backward_config<TX, detail::vector_element<G>, TDY, TDX>;
  HALFWAY_DISPATCH(LayerNormBackwardKernel<Config>)
  (detail::rows_of(vx), vgamma.empty() ? nullptr : vgamma.data(), detail::rows_of(vdy),
   detail::rows_of(vdx), dgamma.empty() ? nullptr : dgamma.data(),
   dbeta.empty() ? nullptr : dbeta.data(), vx.rows(), vx.cols(), epsilon);
}

/// The gradients of rmsnorm(x, gamma, y, epsilon): as above without the mean of g, and with z = x /
/// sqrt(mean of x^2 + epsilon).
template <float_storage_matrix X, float_storage_vector G, float_storage_matrix DY,
          float_storage_output_matrix DX>
void rmsnorm_backward(const X& x, const G& gamma, const DY& dy, DX&& dx, std::span<float> dgamma,
                      float epsilon = 1e-5f) {
  constexpr std::string_view where = "halfway::rmsnorm_backward";
  using TX = std::remove_const_t<element_of<const X>>;
  using TDY = std::remove_const_t<element_of<const DY>>;
  using TDX = element_of<DX>;
  const matrix_view<const TX> vx = as_view(x);
  const matrix_view<const TDY> vdy = as_view(dy);
  const matrix_view<TDX> vdx = as_view(dx);
  const auto vgamma = detail::input_span(where, "gamma", gamma);
  detail::check_norm_backward(where, vx, vgamma, vdy, vdx, epsilon);
  detail::check_parameter_gradient(where, "dgamma", dgamma, vx, vgamma, vdy, vdx);
  std::fill(dgamma.begin(), dgamma.end(), 0.0f);
  if (vx.empty()) return;
  using Config = detail::norm_backward_config<TX, detail::vector_element<G>, TDY, TDX>;
  HALFWAY_DISPATCH(RmsNormBackwardKernel<Config>)
  (detail::rows_of(vx), vgamma.empty() ? nullptr : vgamma.data(), detail::rows_of(vdy),
   detail::rows_of(vdx), dgamma.empty() ? nullptr : dgamma.data(), vx.rows(), vx.cols(), epsilon);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_NORM_BACKWARD_H_
