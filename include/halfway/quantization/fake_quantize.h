// SPDX-License-Identifier: Apache-2.0
// Quantization-aware training: values rounded to what codes can say, in float, with gradients that
// pass through the rounding, and step sizes that are learned.
//
//   halfway::fake_quantize(x, y, params, halfway::dtype::int8);               // forward
//   halfway::fake_quantize_backward(x, dy, dx, params, halfway::dtype::int8);  // straight-through
//   const double ds = halfway::learned_step_backward(x, dy, dx, params, halfway::dtype::int8);
//
// Afterwards the same parameters give the same codes: fake_quantize(x) is dequantize(quantize(x)),
// bit for bit. Weights with a step for each column become a layer of integers by
//
//   halfway::quantize_rows(w.view().transposed(), codes.view().transposed(), params);
//   const halfway::quantized_linear layer(codes, scales, bias);
//
// Sources: Jacob et al. 2018, section 3; Bengio, Leonard and Courville, "Estimating or propagating
// gradients through stochastic neurons", 2013 (straight-through); Esser et al., "Learned step size
// quantization", 2020.
#ifndef HALFWAY_QUANTIZATION_FAKE_QUANTIZE_H_
#define HALFWAY_QUANTIZATION_FAKE_QUANTIZE_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/quantization/affine.h"
#include "halfway/quantization/affine_params.h"
#include "halfway/types/dtype.h"

namespace halfway {

namespace detail {

// Steps from zero to the ends of the codes, as floats.
struct step_limits {
  float lowest;
  float largest;

  step_limits(const code_limits& codes, std::int32_t zero_point)
      : lowest(static_cast<float>(codes.lowest - zero_point)),
        largest(static_cast<float>(codes.largest - zero_point)) {}
};

// Which parameters are those of row i.
class params_of_rows {
 public:
  params_of_rows(std::string_view where, std::span<const affine_params> params, std::size_t rows,
                 dtype type)
      : params_(params), codes_(limits_of_codes(where, type)) {
    check_equal(where, "params.size()", params.size(), "x.rows()", rows);
    for (std::size_t i = 0; i < params.size(); ++i) check_params(where, params[i], codes_, i);
  }
  params_of_rows(std::string_view where, const affine_params& params, dtype type)
      : params_(&params, 1), all_(true), codes_(limits_of_codes(where, type)) {
    check_params(where, params, codes_);
  }

  const affine_params& operator[](std::size_t i) const { return params_[all_ ? 0 : i]; }
  step_limits limits(std::size_t i) const { return {codes_, (*this)[i].zero_point}; }

 private:
  std::span<const affine_params> params_;
  bool all_ = false;
  code_limits codes_;
};

template <class T, class TY>
void fake_quantize(const affine_names& names, matrix_view<const T> x, matrix_view<TY> y,
                   const params_of_rows& params) {
  check_affine_matrices(names, x, y);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const float scale = params[i].scale;
    const step_limits limits = params.limits(i);
    for (std::size_t j = 0; j < x.cols(); ++j) {
      // Clamped before it is rounded, which is the same, and keeps NaN.
      const float ratio =
          std::clamp(static_cast<float>(x(i, j)) / scale, limits.lowest, limits.largest);
      // The sum takes the sign from a zero, as the integer has none.
      y(i, j) = static_cast<TY>((std::nearbyint(ratio) + 0.0f) * scale);
    }
  }
}

// Writes dx, and adds what row i says of its scale to steps[i] (or to steps[0]).
template <class T, class TG, class TX>
void fake_quantize_backward(std::string_view where, matrix_view<const T> x,
                            matrix_view<const TG> dy, matrix_view<TX> dx,
                            const params_of_rows& params, std::span<double> steps) {
  check_equal(where, "dy.rows()", dy.rows(), "x.rows()", x.rows());
  check_equal(where, "dy.cols()", dy.cols(), "x.cols()", x.cols());
  check_affine_matrices({where, "x", "dx"}, x, dx);
  check_no_overlap(where, "dy", "dx", !same_places(dy, dx) && overlap(dy, dx));
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const float scale = params[i].scale;
    const step_limits limits = params.limits(i);
    double step = 0.0;
    for (std::size_t j = 0; j < x.cols(); ++j) {
      const float ratio = static_cast<float>(x(i, j)) / scale;
      const float code = std::nearbyint(ratio);
      const auto g = static_cast<float>(dy(i, j));
      const bool below = code<limits.lowest, above = code> limits.largest;
      const float change = below ? limits.lowest : above ? limits.largest : code - ratio;
      step += static_cast<double>(g) * static_cast<double>(change);
      dx(i, j) = static_cast<TX>(below || above ? 0.0f : g);
    }
    if (!steps.empty()) steps[steps.size() == 1 ? 0 : i] += step;
  }
}

// 1 / sqrt(count * largest step), Esser et al.
inline double step_gradient_factor(std::size_t count, float largest) {
  const double n = static_cast<double>(count) * std::max(1.0, static_cast<double>(largest));
  return n == 0.0 ? 0.0 : 1.0 / std::sqrt(n);
}

}  // namespace detail

/// y = (clamp(round_half_to_even(x / scale), lowest - zero_point, largest - zero_point)) * scale,
/// with the ends of `type`'s codes: bit for bit what dequantize gives for quantize's codes, but
/// that NaN stays NaN, so that training notices it. Scalar code, some nanoseconds an element.
///
/// x, y: matrices of one shape, any float formats and strides; y may be x. type: int8, uint8, int4
/// or uint4. Errors: shapes that differ, memory shared in part, a scale that is not positive,
/// finite and normal, a zero point that is no code.
template <detail::observable_matrix X, detail::observable_matrix Y>
requires detail::writable_matrix<Y>
void fake_quantize(const X& x, Y&& y, const affine_params& params, dtype type) {
  constexpr std::string_view where = "halfway::fake_quantize";
  detail::fake_quantize({where, "x", "y"}, detail::const_view(x), as_view(y),
                        detail::params_of_rows(where, params, type));
}

/// The same with params[i] for row i. Error besides: params.size() is not the number of rows.
template <detail::observable_matrix X, detail::observable_matrix Y>
requires detail::writable_matrix<Y>
void fake_quantize_rows(const X& x, Y&& y, std::span<const affine_params> params, dtype type) {
  constexpr std::string_view where = "halfway::fake_quantize_rows";
  const auto v = detail::const_view(x);
  detail::fake_quantize({where, "x", "y"}, v, as_view(y),
                        detail::params_of_rows(where, params, v.rows(), type));
}

/// The straight-through gradient: dx = dy where the code of x is not clipped, that is where
/// round(x / scale) + zero_point is one of the type's codes, and 0 elsewhere. dx may be dy or x.
/// Errors as above.
template <detail::observable_matrix X, detail::observable_matrix DY, detail::observable_matrix DX>
requires detail::writable_matrix<DX>
void fake_quantize_backward(const X& x, const DY& dy, DX&& dx, const affine_params& params,
                            dtype type) {
  constexpr std::string_view where = "halfway::fake_quantize_backward";
  detail::fake_quantize_backward(where, detail::const_view(x), detail::const_view(dy), as_view(dx),
                                 detail::params_of_rows(where, params, type), {});
}

/// The same with params[i] for row i.
template <detail::observable_matrix X, detail::observable_matrix DY, detail::observable_matrix DX>
requires detail::writable_matrix<DX>
void fake_quantize_rows_backward(const X& x, const DY& dy, DX&& dx,
                                 std::span<const affine_params> params, dtype type) {
  constexpr std::string_view where = "halfway::fake_quantize_rows_backward";
  const auto v = detail::const_view(x);
  detail::fake_quantize_backward(where, v, detail::const_view(dy), as_view(dx),
                                 detail::params_of_rows(where, params, v.rows(), type), {});
}

/// fake_quantize_backward, and the gradient of the scale: g * sum dy * d, where
///
///   d = round(x / scale) - x / scale             where the code is not clipped
///   d = lowest - zero_point, largest - zero_point  where it is
///   g = 1 / sqrt(number of elements * (largest - zero_point)), the last factor at least 1
///
/// summed in double in the order of rows and columns. g, which keeps the step's updates in
/// proportion to its weights', is that of Esser et al., section 2.2. The scale must stay positive:
/// an update that it does not survive is for the caller to limit, and is an error in the next call.
template <detail::observable_matrix X, detail::observable_matrix DY, detail::observable_matrix DX>
requires detail::writable_matrix<DX>
double learned_step_backward(const X& x, const DY& dy, DX&& dx, const affine_params& params,
                             dtype type) {
  constexpr std::string_view where = "halfway::learned_step_backward";
  const auto v = detail::const_view(x);
  const detail::params_of_rows all(where, params, type);
  double step = 0.0;
  detail::fake_quantize_backward(where, v, detail::const_view(dy), as_view(dx), all, {&step, 1});
  return step * detail::step_gradient_factor(v.size(), all.limits(0).largest);
}

/// The same for each row: step i from params[i], with the elements of a row for their number.
template <detail::observable_matrix X, detail::observable_matrix DY, detail::observable_matrix DX>
requires detail::writable_matrix<DX> std::vector<double> learned_step_rows_backward(
    const X& x, const DY& dy, DX&& dx, std::span<const affine_params> params, dtype type) {
  constexpr std::string_view where = "halfway::learned_step_rows_backward";
  const auto v = detail::const_view(x);
  const detail::params_of_rows all(where, params, v.rows(), type);
  std::vector<double> steps(v.rows());
  // A single row is row 0 as well as all of them.
  detail::fake_quantize_backward(where, v, detail::const_view(dy), as_view(dx), all, steps);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    steps[i] *= detail::step_gradient_factor(v.cols(), all.limits(i).largest);
  }
  return steps;
}

/// Where a learned step starts: 2 * mean |x| / sqrt(largest - zero_point), Esser et al., section
/// 2.1; 1 for x of zeros. Errors: x empty; an element that is infinite or NaN.
template <detail::observable_matrix X>
float initial_step(const X& x, dtype type, std::int32_t zero_point = 0) {
  constexpr std::string_view where = "halfway::initial_step";
  const detail::code_limits codes = detail::limits_of_codes(where, type);
  const auto v = detail::const_view(x);
  if (v.empty()) fail(detail::concat(where, ": x (", v.rows(), " x ", v.cols(), ") is empty"));
  double sum = 0.0;
  for (std::size_t i = 0; i < v.rows(); ++i) {
    for (std::size_t j = 0; j < v.cols(); ++j)
      sum += std::abs(static_cast<double>(static_cast<float>(v(i, j))));
  }
  if (!std::isfinite(sum)) fail(detail::concat(where, ": x has infinite or NaN elements"));
  const double largest = std::max(1, codes.largest - zero_point);
  const auto step =
      static_cast<float>(2 * sum / static_cast<double>(v.size()) / std::sqrt(largest));
  return sum == 0.0 ? 1.0f : std::max(step, std::numeric_limits<float>::min());
}

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_FAKE_QUANTIZE_H_
