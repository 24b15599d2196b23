// SPDX-License-Identifier: Apache-2.0
// The OCP microscaling formats: blocks of 32 small elements with a power of two for scale.
//
//   const auto w = halfway::quantize_mx<halfway::float4_e2m1fn>(weights.view().transposed());
//   halfway::matrix<halfway::bfloat16> y(w.codes.rows(), w.codes.cols());
//   halfway::dequantize(w, y);   // exact: every MX element fits bfloat16's 8 digits
//
// Blocks lie along rows. A product sums along them, so weights (k x n) are taken transposed and
// activations (m x k) as they are.
//
//   format       element          largest   emax    bits an element, with the scale
//   mxfp8_e4m3   float8_e4m3fn    448       8       8.25
//   mxfp8_e5m2   float8_e5m2      57344     15      8.25
//   mxfp6_e2m3   float6_e2m3fn    7.5       2       6.25
//   mxfp6_e3m2   float6_e3m2fn    28        4       6.25
//   mxfp4        float4_e2m1fn    6         2       4.25
//   mxint8       int8 / 64        127/64    0       8.25
//
// Source: OCP Microscaling Formats (MX) Specification, version 1.0, sections 5 and 6.3.
#ifndef HALFWAY_QUANTIZATION_MICROSCALING_H_
#define HALFWAY_QUANTIZATION_MICROSCALING_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/convert.h"
#include "halfway/quantization/affine.h"
#include "halfway/types/float4.h"
#include "halfway/types/float6.h"
#include "halfway/types/float8.h"
#include "halfway/types/int8.h"

namespace halfway {

/// What a block holds. An int8 stands for its value / 64.
template <class T>
concept mx_element = std::same_as<T, float8_e4m3fn> || std::same_as<T, float8_e5m2> ||
    std::same_as<T, float6_e2m3fn> || std::same_as<T, float6_e3m2fn> ||
    std::same_as<T, float4_e2m1fn> || std::same_as<T, int8>;

inline constexpr std::size_t mx_block = 32;  ///< elements of a row that share a scale

/// Element (i, j) stands for codes(i, j) * scales(i, j / 32). One code a byte; `pack_int4` puts two
/// of 4 bits in one.
template <mx_element Element>
struct mx_matrix {
  matrix<Element> codes;          ///< of the shape of what was quantized
  matrix<float8_e8m0fnu> scales;  ///< codes.rows() x ceil(codes.cols() / 32)
};

using mxfp8_e4m3 = mx_matrix<float8_e4m3fn>;  ///< 8.25 bits an element, to 448 times the scale
using mxfp8_e5m2 = mx_matrix<float8_e5m2>;    ///< 8.25 bits an element, to 57344 times the scale
using mxfp6_e2m3 = mx_matrix<float6_e2m3fn>;  ///< 6.25 bits an element, to 7.5 times the scale
using mxfp6_e3m2 = mx_matrix<float6_e3m2fn>;  ///< 6.25 bits an element, to 28 times the scale
using mxfp4 = mx_matrix<float4_e2m1fn>;       ///< 4.25 bits an element, to 6 times the scale
using mxint8 = mx_matrix<int8>;               ///< 8.25 bits an element, to 127 / 64 times the scale

namespace detail {

// Blocks along a row.
inline std::size_t blocks_along(std::size_t cols, std::size_t block) {
  return cols / block + (cols % block != 0 ? 1 : 0);
}

// The largest magnitude, or NaN where one is infinite or NaN. As integers, magnitudes have the same
// order, and what is not finite is above the others.
inline float block_amax(const float* x, std::size_t n) {
  std::uint32_t most = 0;
  for (std::size_t i = 0; i < n; ++i) {
    most = std::max(most, std::bit_cast<std::uint32_t>(x[i]) & 0x7FFFFFFFu);
  }
  return most < 0x7F800000u ? std::bit_cast<float>(most) : std::numeric_limits<float>::quiet_NaN();
}

template <mx_element Element>
int mx_emax() {
  if constexpr (std::same_as<Element, int8>) {
    return 0;
  } else {
    return std::ilogb(static_cast<float>(std::numeric_limits<Element>::max()));
  }
}

// A block's scale: 2^(floor(log2(amax)) - emax), within what e8m0 can say.
template <mx_element Element>
float8_e8m0fnu mx_scale(float amax) {
  if (std::isnan(amax)) return std::numeric_limits<float8_e8m0fnu>::quiet_NaN();
  const int exponent = amax == 0.0f ? -127 : std::ilogb(amax) - mx_emax<Element>();
  return float8_e8m0fnu::from_bits(static_cast<std::uint8_t>(std::max(exponent, -127) + 127));
}

// A row of `from` at a time as floats, in `row`.
template <class From, class Body>
void for_each_float_row(matrix_view<const From> from, matrix<float>& row, Body&& body) {
  for (std::size_t i = 0; i < from.rows(); ++i) {
    convert(from.block(i, 0, 1, from.cols()), row.view());
    body(i);
  }
}

}  // namespace detail

/// x in blocks of 32 along each row, as the specification converts: the scale is the largest power
/// of two not above max |x|, divided by that of the element format, and each x / scale is rounded
/// to the element format once, to nearest even, and saturated.
///
/// Then |x - decoded| is at most half a step of the format at x / scale, and at most max |x| / 8
/// (e4m3: 1/8 of what saturates, between 448 and 512 times the scale; fp4: 1/4).
///
/// Where the specification leaves the choice: a block with an infinity or NaN gets the scale NaN,
/// so all of it decodes to NaN, in every format (most have neither); the scale's exponent is kept
/// from -127 to 127, so that what is below 2^-127 times the element's smallest is rounded to zero;
/// a block of zeros has the scale 2^-127, and zeros keep their sign (mxint8 has one zero); mxint8
/// does not use -128.
///
/// x: any float format, any strides; a last block of less than 32 is what it would be if padded
/// with zeros. Rows are converted by SIMD kernels. Relies on the default rounding mode and on
/// subnormals.
template <mx_element Element, detail::observable_matrix X>
mx_matrix<Element> quantize_mx(const X& x) {
  const auto v = detail::const_view(x);
  mx_matrix<Element> q{matrix<Element>(v.rows(), v.cols()),
                       matrix<float8_e8m0fnu>(v.rows(), detail::blocks_along(v.cols(), mx_block))};
  if (v.empty()) return q;
  matrix<float> row(1, v.cols());
  detail::for_each_float_row(v, row, [&](std::size_t i) {
    for (std::size_t b = 0; b < q.scales.cols(); ++b) {
      float* values = row.data() + b * mx_block;
      const std::size_t n = std::min(mx_block, v.cols() - b * mx_block);
      const float8_e8m0fnu scale = detail::mx_scale<Element>(detail::block_amax(values, n));
      q.scales(i, b) = scale;
      // Exact but for what is below 2^-126, which every element format rounds to zero.
      if (isnan(scale)) {
        std::fill_n(values, n, 0.0f);
        continue;
      }
      const double factor = 1.0 / static_cast<double>(static_cast<float>(scale));
      for (std::size_t k = 0; k < n; ++k) {
        values[k] = static_cast<float>(static_cast<double>(values[k]) * factor);
      }
      if constexpr (std::same_as<Element, int8>) {
        for (std::size_t k = 0; k < n; ++k) {
          values[k] = std::clamp(values[k] * 64.0f, -127.0f, 127.0f);
        }
      }
    }
    convert_saturating(row, q.codes.view().block(i, 0, 1, v.cols()));
  });
  return q;
}

/// y = the values that q stands for, each exact in double, rounded to float and to y's type: exact
/// in float and bfloat16 unless the value leaves their range, which needs a scale below 2^-110 or
/// above 2^112. Errors: shapes that do not fit.
template <mx_element Element, detail::observable_matrix Y>
requires detail::writable_matrix<Y>
void dequantize(const mx_matrix<Element>& q, Y&& y) {
  constexpr std::string_view where = "halfway::dequantize";
  using T = element_of<Y>;
  const matrix_view<T> v = as_view(y);
  detail::check_equal(where, "y.rows", v.rows(), "q.codes.rows", q.codes.rows());
  detail::check_equal(where, "y.cols", v.cols(), "q.codes.cols", q.codes.cols());
  detail::check_equal(where, "q.scales.rows", q.scales.rows(), "q.codes.rows", q.codes.rows());
  detail::check_equal(where, "q.scales.cols", q.scales.cols(), "ceil(q.codes.cols / 32)",
                      detail::blocks_along(q.codes.cols(), mx_block));
  if (v.empty()) return;
  matrix<float> row(1, v.cols());
  detail::for_each_float_row(as_view(q.codes), row, [&](std::size_t i) {
    for (std::size_t j = 0; j < v.cols(); ++j) {
      const double unit = std::same_as<Element, int8> ? 0x1p-6 : 1.0;
      row(0, j) =
          static_cast<float>(static_cast<double>(row(0, j)) * unit *
                             static_cast<double>(static_cast<float>(q.scales(i, j / mx_block))));
    }
    convert(row, v.block(i, 0, 1, v.cols()));
  });
}

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_MICROSCALING_H_
