// SPDX-License-Identifier: Apache-2.0
// Gradient clipping: by the norm of all tensors together, or by value.
//
// The order is unscale, clip, step. Only the norm needs a pass of its own, which reads the scaled
// gradients as they are, and finds whether all are finite; the optimizer's step does the rest:
//
//   halfway::gradient_norm norm;
//   for (const auto& g : gradients16) norm.add(g);
//   scaler.report(0, norm.non_finite());
//   if (scaler.should_step()) {
//     const float unscale = scaler.inverse_scale();
//     const float clip = halfway::clip_factor(norm.value() * unscale, max_norm);
//     optimizer.step(state, weights, gradient16, {.gradient_factor = unscale * clip});
//   }
//   scaler.update();
//
// or, on unscaled FP32 gradients, in place: halfway::clip_gradient_norm(gradients, max_norm).
#ifndef HALFWAY_TRAINING_GRADIENT_CLIPPING_H_
#define HALFWAY_TRAINING_GRADIENT_CLIPPING_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <ranges>
#include <span>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/ops/accurate_sum.h"
#include "halfway/ops/scale.h"
#include "halfway/simd/dispatch.h"

namespace halfway {

/// The Euclidean norm of several tensors as one vector, of any types that convert exactly to float.
/// Squares are summed in double, where they are exact and cannot overflow: the relative error of
/// value() is below (d + tensors) 2^-54 + 2^-53, d = 8197 + log2 of the largest tensor's parts of
/// 2^18 elements (sum_in_double; the terms are positive, the root halves it): 2^-40 for 8000
/// tensors of up to 2^28. The same bits on every CPU and for any number of threads.
class gradient_norm {
 public:
  /// Error: null with a size.
  template <float_storage_vector X>
  void add(const X& x, executor_ref on = {}) {
    static_cast<void>(detail::input_span("halfway::gradient_norm::add", "x", x));
    const double squares = dot_in_double(x, x, on);
    squares_ += squares;
    // Finite elements have a finite sum; only others are worth another look.
    if (!std::isfinite(squares)) non_finite_ += count_non_finite(x);
  }

  /// Another rank's part.
  void add(const gradient_norm& other) {
    squares_ += other.squares_;
    non_finite_ += other.non_finite_;
  }

  /// Infinite or NaN if an element is.
  double value() const { return std::sqrt(squares_); }
  /// How many elements are infinite or NaN: for loss_scaler::report.
  std::size_t non_finite() const { return non_finite_; }

 private:
  double squares_ = 0;
  std::size_t non_finite_ = 0;
};

/// What clipping does of norms that are not finite.
struct clip_options {
  bool error_if_nonfinite = false;  ///< clipping fails, as with torch's option of this name
};

/// What gradients of norm `norm` are multiplied by to have one of at most `max_norm`:
/// min(1, max_norm / (norm + 1e-6)), the formula of torch.nn.utils.clip_grad_norm_, in double and
/// rounded to float once. 0 for an infinite norm; NaN for NaN, which no optimizer takes.
/// Errors: max_norm negative, infinite or NaN; norm negative; with error_if_nonfinite, a norm that
/// is not finite.
inline float clip_factor(double norm, double max_norm, const clip_options& options = {}) {
  constexpr std::string_view where = "halfway::clip_factor";
  if (!(max_norm >= 0) || std::isinf(max_norm)) {
    fail(detail::concat(where, ": max_norm (", max_norm, ") must be finite and not negative"));
  }
  if (norm < 0) fail(detail::concat(where, ": norm (", norm, ") must not be negative"));
  if (options.error_if_nonfinite && !std::isfinite(norm)) {
    fail(detail::concat(where, ": norm (", norm, ") is not finite"));
  }
  if (std::isnan(norm)) return std::numeric_limits<float>::quiet_NaN();
  return static_cast<float>(std::min(1.0, max_norm / (norm + 1e-6)));
}

/// Multiplies all tensors by clip_factor of their norm, and returns the norm that they had:
/// torch.nn.utils.clip_grad_norm_, where a norm of NaN makes all gradients NaN and an infinite one
/// makes them zero, but for the infinite elements, which become NaN. `tensors` is a range of
/// std::span<float>, std::vector<float>...
/// Errors, before anything is written: as for clip_factor; null with a size.
template <std::ranges::forward_range Tensors>
requires float_output_vector<std::ranges::range_reference_t<Tensors>>
double clip_gradient_norm(Tensors&& tensors, double max_norm, const clip_options& options = {},
                          executor_ref on = {}) {
  gradient_norm norm;
  for (auto&& x : tensors) norm.add(x, on);
  const float factor = clip_factor(norm.value(), max_norm, options);
  if (factor == 1.0f) return norm.value();
  for (auto&& x : tensors) {
    if (std::isnan(factor)) {
      std::ranges::fill(x, factor);
    } else {
      unscale(x, factor);
    }
  }
  return norm.value();
}

/// x[i] limited to [-limit, limit], in place; infinities become the limit, NaN stays NaN
/// (torch.nn.utils.clip_grad_value_). Errors: limit negative or NaN; null with a size.
template <float_output_vector X>
void clip_gradient_value(X&& x, float limit) {
  constexpr std::string_view where = "halfway::clip_gradient_value";
  const auto v = detail::output_span(where, "x", x);
  if (!(limit >= 0)) fail(detail::concat(where, ": limit (", limit, ") must not be negative"));
  HALFWAY_DISPATCH(ClampKernel)(v.data(), v.size(), limit);
}

}  // namespace halfway

#endif  // HALFWAY_TRAINING_GRADIENT_CLIPPING_H_
