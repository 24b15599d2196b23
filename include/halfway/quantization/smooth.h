// SPDX-License-Identifier: Apache-2.0
// Scales moved between what is multiplied, so that both are easier to quantize: from activations
// with outlying channels to weights (SmoothQuant), and from a layer to the next (cross-layer
// equalization); and the mean error of a layer's outputs taken off its bias.
//
//   const auto s = halfway::smoothing_factors(channel_amax, w, 0.5f);   // k of each
//   halfway::divide_columns(x, s);     // or the norm's weights before x
//   halfway::multiply_rows(w, s);      // x * w is what it was
//
// Sources: Xiao et al., "SmoothQuant: accurate and efficient post-training quantization for large
// language models", 2022, equation 4; Nagel, van Baalen, Blankevoort and Welling, "Data-free
// quantization through weight equalization and bias correction", 2019, equations 11 and 17.
#ifndef HALFWAY_QUANTIZATION_SMOOTH_H_
#define HALFWAY_QUANTIZATION_SMOOTH_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/quantization/affine.h"

namespace halfway {

namespace detail {

// The largest magnitude of each row; an error names the row that has something else.
template <class T>
std::vector<float> row_amax(std::string_view where, std::string_view name, matrix_view<const T> m) {
  std::vector<float> amax(m.rows());
  for (std::size_t i = 0; i < m.rows(); ++i) {
    min_max_observer range;
    range.observe(m.block(i, 0, 1, m.cols()));
    if (range.non_finite_count() != 0) [[unlikely]] {
      fail(concat(where, ": ", name, " ", i, " has ", range.non_finite_count(),
                  " infinite or NaN elements"));
    }
    amax[i] = range.finite_count() == 0 ? 0.0f : std::max(-range.min(), range.max());
  }
  return amax;
}

inline void check_factors(std::string_view where, std::span<const float> factors, std::size_t count,
                          std::string_view extent) {
  check_equal(where, "factors.size", factors.size(), extent, count);
  for (std::size_t i = 0; i < factors.size(); ++i) {
    if (!(std::isnormal(factors[i]) && factors[i] > 0.0f)) [[unlikely]] {
      fail(concat(where, ": factors[", i, "] (", factors[i],
                  ") must be positive, finite and not subnormal"));
    }
  }
}

// A factor as a power of two near it, which scales floats without rounding. 1 for what has none.
inline float nearest_power_of_two(double x) {
  if (!(x > 0.0 && std::isfinite(x))) return 1.0f;
  return static_cast<float>(std::exp2(std::clamp(std::nearbyint(std::log2(x)), -60.0, 60.0)));
}

}  // namespace detail

/// SmoothQuant's factors for y = x * w: s[p] = amax_x[p]^alpha / amax_w[p]^(1 - alpha), with amax_w
/// the largest magnitude in row p of w, rounded to a power of two from 2^-60 to 2^60, so that
/// moving them changes no bit of the product's factors. 1 for channels where one of both is zero.
/// The higher alpha, the more goes from the activations to the weights; 0.5 balances them.
///
/// amax_x: for each of the k input channels the largest magnitude seen (row_observers). w: k x n.
/// Errors: another size; a magnitude that is negative, infinite or NaN; a weight that is infinite
/// or NaN; alpha not from 0 to 1.
template <detail::observable_matrix W>
std::vector<float> smoothing_factors(std::span<const float> amax_x, const W& w,
                                     double alpha = 0.5) {
  constexpr std::string_view where = "halfway::smoothing_factors";
  const auto v = detail::const_view(w);
  detail::check_equal(where, "amax_x.size", amax_x.size(), "w.rows", v.rows());
  if (!(alpha >= 0.0 && alpha <= 1.0)) {
    fail(detail::concat(where, ": alpha (", alpha, ") must be from 0 to 1"));
  }
  std::vector<float> factors = detail::row_amax(where, "row", v);
  for (std::size_t p = 0; p < factors.size(); ++p) {
    if (!(amax_x[p] >= 0.0f && std::isfinite(amax_x[p]))) [[unlikely]] {
      fail(detail::concat(where, ": amax_x[", p, "] (", amax_x[p],
                          ") must be finite and not negative"));
    }
    const auto of_w = static_cast<double>(factors[p]);
    const auto of_x = static_cast<double>(amax_x[p]);
    factors[p] =
        of_w == 0.0 || of_x == 0.0
            ? 1.0f
            : detail::nearest_power_of_two(std::pow(of_x, alpha) / std::pow(of_w, 1 - alpha));
  }
  return factors;
}

/// Factors for two layers with h = activation(x * first + b), y = h * second, where the activation
/// scales along (ReLU, identity): s[c] = sqrt(amax of first's column c / amax of second's row c),
/// rounded to a power of two as above. After divide_columns(first, s), multiply_rows(second, s)
/// (and b / s) both have the same range in each channel, within a factor of 2. 1 where one of both
/// is zero. Errors: first.cols is not second.rows; an element that is infinite or NaN.
template <detail::observable_matrix First, detail::observable_matrix Second>
std::vector<float> equalizing_factors(const First& first, const Second& second) {
  constexpr std::string_view where = "halfway::equalizing_factors";
  const auto a = detail::const_view(first);
  const auto b = detail::const_view(second);
  detail::check_equal(where, "first.cols", a.cols(), "second.rows", b.rows());
  std::vector<float> factors = detail::row_amax(where, "first's column", a.transposed());
  const std::vector<float> after = detail::row_amax(where, "second's row", b);
  for (std::size_t c = 0; c < factors.size(); ++c) {
    factors[c] = factors[c] == 0.0f || after[c] == 0.0f
                     ? 1.0f
                     : detail::nearest_power_of_two(std::sqrt(static_cast<double>(factors[c]) /
                                                              static_cast<double>(after[c])));
  }
  return factors;
}

/// m(p, j) *= factors[p], in FP32. Errors: another number of factors; one that is not positive,
/// finite and normal.
template <detail::observable_matrix M>
requires detail::writable_matrix<M>
void multiply_rows(M&& m, std::span<const float> factors) {
  const auto v = as_view(m);
  detail::check_factors("halfway::multiply_rows", factors, v.rows(), "m.rows");
  using T = element_of<M>;
  for (std::size_t i = 0; i < v.rows(); ++i) {
    for (std::size_t j = 0; j < v.cols(); ++j) {
      v(i, j) = static_cast<T>(static_cast<float>(v(i, j)) * factors[i]);
    }
  }
}

/// m(i, p) /= factors[p], in FP32. Errors as above.
template <detail::observable_matrix M>
requires detail::writable_matrix<M>
void divide_columns(M&& m, std::span<const float> factors) {
  const auto v = as_view(m);
  detail::check_factors("halfway::divide_columns", factors, v.cols(), "m.cols");
  using T = element_of<M>;
  for (std::size_t i = 0; i < v.rows(); ++i) {
    for (std::size_t j = 0; j < v.cols(); ++j) {
      v(i, j) = static_cast<T>(static_cast<float>(v(i, j)) / factors[j]);
    }
  }
}

/// What quantized weights shift a layer's outputs by, on average: shift[j] = sum over p of
/// mean_x[p] * (decoded(p, j) - w(p, j)), in double, rounded to float. Subtract it from the bias
/// (Nagel et al., equation 17). mean_x: the mean of each input channel on calibration data; w,
/// decoded: k x n. Errors: sizes that do not fit.
template <detail::observable_matrix W, detail::observable_matrix Q>
std::vector<float> bias_shift(std::span<const float> mean_x, const W& w, const Q& decoded) {
  constexpr std::string_view where = "halfway::bias_shift";
  const auto a = detail::const_view(w);
  const auto b = detail::const_view(decoded);
  detail::check_equal(where, "mean_x.size", mean_x.size(), "w.rows", a.rows());
  detail::check_equal(where, "decoded.rows", b.rows(), "w.rows", a.rows());
  detail::check_equal(where, "decoded.cols", b.cols(), "w.cols", a.cols());
  std::vector<float> shift(a.cols());
  for (std::size_t j = 0; j < a.cols(); ++j) {
    double sum = 0.0;
    for (std::size_t p = 0; p < a.rows(); ++p) {
      sum += static_cast<double>(mean_x[p]) * (static_cast<double>(static_cast<float>(b(p, j))) -
                                               static_cast<double>(static_cast<float>(a(p, j))));
    }
    shift[j] = static_cast<float>(sum);
  }
  return shift;
}

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_SMOOTH_H_
