// SPDX-License-Identifier: Apache-2.0
// Elementary functions of contiguous elements of any float format, computed in FP32: the same bits
// on every CPU. (gelu, silu, tanh and sigmoid: ops/activation.h; single small floats:
// types/math.h.)
//
//   std::vector<halfway::half> x = ..., y(x.size());
//   halfway::exp(x, y);                     // or in place: exp(x, x)
#ifndef HALFWAY_OPS_ELEMENTARY_H_
#define HALFWAY_OPS_ELEMENTARY_H_

#include <string_view>

#include "halfway/core/executor.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/elementary_args.h"

namespace halfway {

namespace detail {

template <elementary F, float_storage_vector X, float_storage_output_vector Y>
void map_elementary(std::string_view where, const X& x, Y& y, executor_ref on) {
  const auto a = check_map(where, x, y);
  using Config = elementary_config<F, vector_element<X>, vector_element<Y>>;
  run_map(HALFWAY_DISPATCH(ElementaryKernel<Config>), a, on);
}

}  // namespace detail

// For all of them: x and y are contiguous ranges of one size, of any float formats; y may be x.
//
// Where both hold half, or both bfloat16, each result is correctly rounded, to nearest even: the
// bits of the function of types/math.h. Otherwise x is widened exactly, the function computed in
// FP32 and rounded once to y's type; the number of units in the last place (ULP) of the FP32 result
// is the largest error of all 2^32 floats (tests/ops/elementary_test.cc), subnormal arguments and
// results included. The same bits on every CPU, and whatever executes it.
//
// NaN gives NaN, and so does what lies outside the domain. Errors: sizes that differ, null with a
// size, memory that x and y share in part or with elements of different sizes.

/// y[i] = e^x[i]. 0.991 ULP. Subnormal results are gradual.
template <float_storage_vector X, float_storage_output_vector Y>
void exp(const X& x, Y&& y, executor_ref on = {}) {
  detail::map_elementary<detail::elementary::exp>("halfway::exp", x, y, on);
}

/// y[i] = 2^x[i]. 0.85 ULP; exact for integers. Subnormal results are gradual.
template <float_storage_vector X, float_storage_output_vector Y>
void exp2(const X& x, Y&& y, executor_ref on = {}) {
  detail::map_elementary<detail::elementary::exp2>("halfway::exp2", x, y, on);
}

/// y[i] = the natural logarithm of x[i]: -inf at 0, NaN below. 0.93 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void log(const X& x, Y&& y, executor_ref on = {}) {
  detail::map_elementary<detail::elementary::log>("halfway::log", x, y, on);
}

/// y[i] = the logarithm of x[i] to base 2: -inf at 0, NaN below. 1.25 ULP; exact for powers of 2.
template <float_storage_vector X, float_storage_output_vector Y>
void log2(const X& x, Y&& y, executor_ref on = {}) {
  detail::map_elementary<detail::elementary::log2>("halfway::log2", x, y, on);
}

/// y[i] = 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x[i]. 0.81 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void erf(const X& x, Y&& y, executor_ref on = {}) {
  detail::map_elementary<detail::elementary::erf>("halfway::erf", x, y, on);
}

/// y[i] = log(1 + e^x[i]), also where e^x[i] or 1 + e^x[i] would not be a float. 0.98 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void softplus(const X& x, Y&& y, executor_ref on = {}) {
  detail::map_elementary<detail::elementary::softplus>("halfway::softplus", x, y, on);
}

/// y[i] = 1 / sqrt(x[i]): an infinity with the sign of a zero, NaN below. 0.5001 ULP.
template <float_storage_vector X, float_storage_output_vector Y>
void rsqrt(const X& x, Y&& y, executor_ref on = {}) {
  detail::map_elementary<detail::elementary::rsqrt>("halfway::rsqrt", x, y, on);
}

/// y[i] = 1 / x[i]. Correctly rounded.
template <float_storage_vector X, float_storage_output_vector Y>
void reciprocal(const X& x, Y&& y, executor_ref on = {}) {
  detail::map_elementary<detail::elementary::reciprocal>("halfway::reciprocal", x, y, on);
}

/// y[i] = the square root of x[i]: NaN below 0, -0 at -0. Correctly rounded.
template <float_storage_vector X, float_storage_output_vector Y>
void sqrt(const X& x, Y&& y, executor_ref on = {}) {
  detail::map_elementary<detail::elementary::sqrt>("halfway::sqrt", x, y, on);
}

/// y[i] = the sine of x[i] (radians), of any size: NaN at the infinities. 0.73 ULP. Beyond 2^16
/// slower.
template <float_storage_vector X, float_storage_output_vector Y>
void sin(const X& x, Y&& y, executor_ref on = {}) {
  detail::map_elementary<detail::elementary::sin>("halfway::sin", x, y, on);
}

/// y[i] = the cosine of x[i] (radians), of any size: NaN at the infinities. 0.73 ULP. Beyond 2^16
/// slower.
template <float_storage_vector X, float_storage_output_vector Y>
void cos(const X& x, Y&& y, executor_ref on = {}) {
  detail::map_elementary<detail::elementary::cos>("halfway::cos", x, y, on);
}

}  // namespace halfway

#endif  // HALFWAY_OPS_ELEMENTARY_H_
