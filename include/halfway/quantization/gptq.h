// SPDX-License-Identifier: Apache-2.0
// GPTQ: weights in int4 or int8 by groups, each rounding error made up for by the weights not yet
// rounded, so that the layer's outputs on calibration data change least.
//
//   halfway::gptq_hessian hessian(w.rows());
//   for (const auto& x : batches) hessian.observe(x);           // x: m x k, the layer's inputs
//   const auto codes = halfway::gptq<halfway::int4>(w, hessian, 32);
//   halfway::gemm(x, codes.packed(), y);
//
// Source: Frantar, Ashkboos, Hoefler and Alistarh, "GPTQ: accurate post-training quantization for
// generative pre-trained transformers", 2022, which builds on Hassibi and Stork, "Optimal brain
// surgeon", 1993.
#ifndef HALFWAY_QUANTIZATION_GPTQ_H_
#define HALFWAY_QUANTIZATION_GPTQ_H_

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/quantized_matrix.h"
#include "halfway/quantization/affine.h"
#include "halfway/quantization/groups.h"

namespace halfway {

/// Sum of x^T x over the inputs of a layer, k x k in double: half the Hessian of the squared error
/// of its outputs. A value type, not for use by several threads at once; merges across threads and
/// ranks (up to the rounding of its sums).
class gptq_hessian {
 public:
  /// For a layer with k inputs.
  explicit gptq_hessian(std::size_t k) : sums_(k, k) {}

  std::size_t size() const { return sums_.rows(); }                ///< k, the layer's inputs
  std::size_t rows_observed() const { return rows_; }              ///< examples, in all batches
  matrix_view<const double> sums() const { return sums_.view(); }  ///< k x k, symmetric

  /// Takes in m x k inputs, of any float format and strides; m k^2 multiplications. Errors: another
  /// k; an element that is infinite or NaN, before anything is added.
  template <detail::observable_matrix X>
  void observe(const X& x) {
    constexpr std::string_view where = "halfway::gptq_hessian::observe";
    const auto v = detail::const_view(x);
    detail::check_equal(where, "x.cols", v.cols(), "size", size());
    min_max_observer range;
    range.observe(v);
    if (range.non_finite_count() != 0) {
      fail(
          detail::concat(where, ": x has ", range.non_finite_count(), " infinite or NaN elements"));
    }
    std::vector<double> row(size());
    for (std::size_t i = 0; i < v.rows(); ++i) {
      for (std::size_t p = 0; p < size(); ++p) {
        row[p] = static_cast<double>(static_cast<float>(v(i, p)));
      }
      for (std::size_t p = 0; p < size(); ++p) {
        if (row[p] == 0.0) continue;
        for (std::size_t q = 0; q < size(); ++q) sums_(p, q) += row[p] * row[q];
      }
    }
    rows_ += v.rows();
  }

  /// As if this had observed all that the other did. Error: another k.
  void merge(const gptq_hessian& other) {
    detail::check_equal("halfway::gptq_hessian::merge", "other.size", other.size(), "size", size());
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_.elements()[i] += other.sums_.elements()[i];
    rows_ += other.rows_;
  }

 private:
  matrix<double> sums_;
  std::size_t rows_ = 0;
};

/// How far the calibration data is trusted.
struct gptq_options {
  /// Added to the Hessian's diagonal, as a part of its mean: the less, the more the calibration
  /// data is trusted.
  double damping = 0.01;
};

namespace detail {

// a = l l^T, in place in the lower half; false where a is not positive definite.
inline bool cholesky(matrix<double>& a) {
  const std::size_t n = a.rows();
  for (std::size_t j = 0; j < n; ++j) {
    double d = a(j, j);
    for (std::size_t p = 0; p < j; ++p) d -= a(j, p) * a(j, p);
    if (!(d > 0.0 && std::isfinite(d))) return false;
    a(j, j) = std::sqrt(d);
    for (std::size_t i = j + 1; i < n; ++i) {
      double sum = a(i, j);
      for (std::size_t p = 0; p < j; ++p) sum -= a(i, p) * a(j, p);
      a(i, j) = sum / a(j, j);
    }
  }
  return true;
}

// The inverse of l l^T, from its Cholesky factor in the lower half.
inline matrix<double> inverse_of_cholesky(const matrix<double>& l) {
  const std::size_t n = l.rows();
  matrix<double> m(n, n);  // the rows of m are the columns of l^-1
  for (std::size_t j = 0; j < n; ++j) {
    m(j, j) = 1.0 / l(j, j);
    for (std::size_t i = j + 1; i < n; ++i) {
      double sum = 0.0;
      for (std::size_t p = j; p < i; ++p) sum -= l(i, p) * m(j, p);
      m(j, i) = sum / l(i, i);
    }
  }
  matrix<double> inverse(n, n);  // l^-T l^-1
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      double sum = 0.0;
      for (std::size_t p = i; p < n; ++p) sum += m(i, p) * m(j, p);
      inverse(i, j) = inverse(j, i) = sum;
    }
  }
  return inverse;
}

// The upper factor u of (hessian + damping)^-1 = u^T u, transposed: lower. Inputs that were always
// zero say nothing of their weights, and get the mean of the diagonal.
inline matrix<double> gptq_factor(std::string_view where, const gptq_hessian& hessian,
                                  double damping) {
  const std::size_t k = hessian.size();
  matrix<double> h(k, k);
  double mean = 0.0;
  for (std::size_t i = 0; i < k; ++i) mean += hessian.sums()(i, i) / static_cast<double>(k);
  if (mean == 0.0) mean = 1.0;
  for (std::size_t i = 0; i < k; ++i) {
    for (std::size_t j = 0; j < k; ++j) h(i, j) = hessian.sums()(i, j);
    h(i, i) = (h(i, i) == 0.0 ? mean : h(i, i)) + damping * mean;
  }
  bool fine = cholesky(h);
  if (fine) {
    h = inverse_of_cholesky(h);
    fine = cholesky(h);
  }
  if (!fine) {
    fail(concat(where, ": the Hessian is not positive definite with options.damping (", damping,
                "): observe more rows, or damp more"));
  }
  return h;
}

}  // namespace detail

/// w (k x n, any float format and strides) as codes and scales by groups of `group` rows (0: one
/// scale a column), symmetric as quantize_groups. Row after row is rounded to codes; with the
/// factor U of the inverse Hessian (H + damping * mean(diag H))^-1 = U^T U, a rounding error e of
/// row i changes the rows r below by -e U(i, r) / U(i, i), which minimizes sum (x w - x w')^2 over
/// them. The scale of a group is max |w| / 7 (127) of its rows as they are when the first of them
/// is rounded.
///
/// All in double, 2 k^3 / 3 + k^2 n multiplications: 1.3 s for k = n = 1024. Errors: hessian of
/// another size, or of no rows; a weight that is infinite or NaN; a group that is not a multiple of
/// 8; damping that is negative or NaN, or too small for a Hessian that is not positive definite.
template <weight_code T, detail::observable_matrix W>
group_codes<T> gptq(const W& w, const gptq_hessian& hessian, std::size_t group,
                    const gptq_options& options = {}) {
  constexpr std::string_view where = "halfway::gptq";
  constexpr double largest_code = std::same_as<T, int4> ? 7.0 : 127.0;
  const auto v = detail::const_view(w);
  const std::size_t k = v.rows(), n = v.cols();
  detail::check_equal(where, "hessian.size", hessian.size(), "w.rows", k);
  if (hessian.rows_observed() == 0) {
    fail(detail::concat(where, ": hessian has observed no rows"));
  }
  if (!(options.damping >= 0.0 && std::isfinite(options.damping))) {
    fail(detail::concat(where, ": options.damping (", options.damping,
                        ") must be finite and not negative"));
  }
  detail::check_group(where, group);
  min_max_observer range;
  range.observe(v);
  if (range.non_finite_count() != 0) {
    fail(detail::concat(where, ": w has ", range.non_finite_count(), " infinite or NaN elements"));
  }
  const matrix<double> factor = detail::gptq_factor(where, hessian, options.damping);

  matrix<double> rest(k, n);
  for (std::size_t i = 0; i < k; ++i) {
    for (std::size_t j = 0; j < n; ++j)
      rest(i, j) = static_cast<double>(static_cast<float>(v(i, j)));
  }
  group_codes<T> q(k, n, group);
  std::vector<double> error(n);
  for (std::size_t i = 0; i < k; ++i) {
    const std::size_t g = i / q.rows_in_group();
    if (i % q.rows_in_group() == 0) {
      const std::size_t end = std::min(k, i + q.rows_in_group());
      for (std::size_t j = 0; j < n; ++j) {
        double amax = 0.0;
        for (std::size_t r = i; r < end; ++r) amax = std::max(amax, std::abs(rest(r, j)));
        const auto scale = static_cast<float>(amax / largest_code);
        q.scales(g, j) = std::isnormal(scale) ? scale : 0.0f;
      }
    }
    for (std::size_t j = 0; j < n; ++j) {
      const auto scale = static_cast<double>(q.scales(g, j));
      const double code = scale == 0.0 ? 0.0
                                       : std::clamp(std::nearbyint(rest(i, j) / scale),
                                                    -largest_code, largest_code);
      q.codes(i, j) = static_cast<T>(static_cast<int>(code));
      error[j] = (rest(i, j) - code * scale) / factor(i, i);
    }
    for (std::size_t r = i + 1; r < k; ++r) {
      const double u = factor(r, i);
      for (std::size_t j = 0; j < n; ++j) rest(r, j) -= error[j] * u;
    }
  }
  return q;
}

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_GPTQ_H_
