// SPDX-License-Identifier: Apache-2.0
// NVFP4: blocks of 16 elements of 4 bits with a scale in float8_e4m3fn, and an FP32 scale for the
// tensor. 4.5 bits an element.
//
//   const halfway::nvfp4_matrix w = halfway::quantize_nvfp4(weights.view().transposed());
//   halfway::dequantize(w, y);
//
// Blocks lie along rows, as in quantization/microscaling.h.
//
// Sources: NVIDIA, "Introducing NVFP4 for efficient and accurate low-precision inference", 2025;
// the formulas are those of Transformer Engine and TensorRT Model Optimizer.
#ifndef HALFWAY_QUANTIZATION_NVFP4_H_
#define HALFWAY_QUANTIZATION_NVFP4_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/convert.h"
#include "halfway/quantization/microscaling.h"
#include "halfway/types/cast.h"
#include "halfway/types/float4.h"
#include "halfway/types/float8.h"

namespace halfway {

inline constexpr std::size_t nvfp4_block = 16;  ///< elements of a row that share a scale

/// Element (i, j) stands for codes(i, j) * scales(i, j / 16) * tensor_scale.
struct nvfp4_matrix {
  matrix<float4_e2m1fn> codes;   ///< of the shape of what was quantized
  matrix<float8_e4m3fn> scales;  ///< codes.rows() x ceil(codes.cols() / 16)
  float tensor_scale = 1.0f;     ///< positive, finite and normal
};

/// The scale with which the block that holds `amax`, the largest magnitude of the tensor, has the
/// largest scale there is: amax / (6 * 448), rounded to float; at least float's smallest normal
/// number, and 1 for amax = 0. Error: amax negative, infinite or NaN.
inline float nvfp4_tensor_scale(float amax) {
  if (!(amax >= 0.0f && std::isfinite(amax))) {
    fail(detail::concat("halfway::nvfp4_tensor_scale: amax (", amax,
                        ") must be finite and not negative"));
  }
  if (amax == 0.0f) return 1.0f;
  return std::max(static_cast<float>(static_cast<double>(amax) / (6.0 * 448.0)),
                  std::numeric_limits<float>::min());
}

/// x with a tensor scale of before, as from calibration. The scale of a block is
/// max |x| / 6 / tensor_scale, computed in double and rounded to float8_e4m3fn, to nearest even,
/// from 2^-9 (its smallest, so that small blocks and blocks of zeros need no special case) to 448;
/// the codes are x / (scale * tensor_scale), rounded to float and to the nearest of 0, 0.5, 1, 1.5,
/// 2, 3, 4, 6, ties to even, saturated.
///
/// A block with an infinity or NaN gets the scale NaN, so all of it decodes to NaN. Where the
/// block's scale is normal (2^-6 and above) and does not saturate, |x - decoded| <= max |x| / 6 *
/// (1 + 2^-4): half the widest step, or what saturates after the scale was rounded down.
///
/// Errors: a tensor scale that is not positive, finite and normal.
template <detail::observable_matrix X>
nvfp4_matrix quantize_nvfp4(const X& x, float tensor_scale) {
  if (!(std::isnormal(tensor_scale) && tensor_scale > 0.0f)) {
    fail(detail::concat("halfway::quantize_nvfp4: tensor_scale (", tensor_scale,
                        ") must be positive, finite and not subnormal"));
  }
  const auto v = detail::const_view(x);
  nvfp4_matrix q{matrix<float4_e2m1fn>(v.rows(), v.cols()),
                 matrix<float8_e4m3fn>(v.rows(), detail::blocks_along(v.cols(), nvfp4_block)),
                 tensor_scale};
  if (v.empty()) return q;
  matrix<float> row(1, v.cols());
  detail::for_each_float_row(v, row, [&](std::size_t i) {
    for (std::size_t b = 0; b < q.scales.cols(); ++b) {
      float* values = row.data() + b * nvfp4_block;
      const std::size_t n = std::min(nvfp4_block, v.cols() - b * nvfp4_block);
      const auto amax = static_cast<double>(detail::block_amax(values, n));
      auto scale = saturate_cast<float8_e4m3fn>(amax / 6.0 / static_cast<double>(tensor_scale));
      if (scale == 0.0f) scale = std::numeric_limits<float8_e4m3fn>::denorm_min();
      q.scales(i, b) = scale;
      const double step = static_cast<double>(static_cast<float>(scale)) * tensor_scale;
      if (isnan(scale)) {
        std::fill_n(values, n, 0.0f);
        continue;
      }
      for (std::size_t k = 0; k < n; ++k) {
        values[k] = static_cast<float>(static_cast<double>(values[k]) / step);
      }
    }
    convert_saturating(row, q.codes.view().block(i, 0, 1, v.cols()));
  });
  return q;
}

/// x with the tensor scale of its own largest finite magnitude.
template <detail::observable_matrix X>
nvfp4_matrix quantize_nvfp4(const X& x) {
  min_max_observer range;
  range.observe(detail::const_view(x));
  const float amax = range.finite_count() == 0 ? 0.0f : std::max(-range.min(), range.max());
  return quantize_nvfp4(x, nvfp4_tensor_scale(amax));
}

/// y = codes * scale * tensor_scale: the products in double, rounded to float and to y's type.
/// Errors: shapes that do not fit.
template <detail::observable_matrix Y>
requires detail::writable_matrix<Y>
void dequantize(const nvfp4_matrix& q, Y&& y) {
  constexpr std::string_view where = "halfway::dequantize";
  const matrix_view<element_of<Y>> v = as_view(y);
  detail::check_equal(where, "y.rows", v.rows(), "q.codes.rows", q.codes.rows());
  detail::check_equal(where, "y.cols", v.cols(), "q.codes.cols", q.codes.cols());
  detail::check_equal(where, "q.scales.rows", q.scales.rows(), "q.codes.rows", q.codes.rows());
  detail::check_equal(where, "q.scales.cols", q.scales.cols(), "ceil(q.codes.cols / 16)",
                      detail::blocks_along(q.codes.cols(), nvfp4_block));
  if (v.empty()) return;
  matrix<float> row(1, v.cols());
  detail::for_each_float_row(as_view(q.codes), row, [&](std::size_t i) {
    for (std::size_t j = 0; j < v.cols(); ++j) {
      const double step =
          static_cast<double>(static_cast<float>(q.scales(i, j / nvfp4_block))) * q.tensor_scale;
      row(0, j) = static_cast<float>(static_cast<double>(row(0, j)) * step);
    }
    convert(row, v.block(i, 0, 1, v.cols()));
  });
}

}  // namespace halfway

#endif  // HALFWAY_QUANTIZATION_NVFP4_H_
