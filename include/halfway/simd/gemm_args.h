// SPDX-License-Identifier: Apache-2.0
// What the GEMM kernel is told: the operands, and what becomes of each finished sum (the epilogue).
// Plain data, no SIMD.
#ifndef HALFWAY_SIMD_GEMM_ARGS_H_
#define HALFWAY_SIMD_GEMM_ARGS_H_

#include <cstddef>
#include <cstdint>

#include "halfway/simd/gemm_layout.h"

namespace halfway {

/// What a product tells of its output, as it is stored: the largest magnitude that is finite, and how
/// many elements are infinite or NaN.
struct gemm_health {
  float amax = 0.0f;
  std::size_t non_finite = 0;
};

}  // namespace halfway

namespace halfway::detail {

// A block of c, which is a product of its own.
struct gemm_block {
  std::size_t row, rows, column, columns;
};

// a: m x k, b: k x n; element (i, j) at data[i * row_stride + j * col_stride], or b as panels
// (gemm_layout.h).
template <class TA, class TB>
struct gemm_operands {
  const TA* a = nullptr;
  std::size_t a_row_stride = 0, a_col_stride = 0;
  const TB* b = nullptr;
  std::size_t b_row_stride = 0, b_col_stride = 0;
  std::size_t m = 0, n = 0, k = 0;
  const std::int32_t* b_column_sums = nullptr;  // with packed int8: the sums of b's columns
  const float* b_scales = nullptr;              // with codes: panels of (number of groups) x n
  std::size_t b_group = 0;                      // rows of b that share a scale, a multiple of 8
  bool b_streams = false;                       // packed b is so large that it comes from memory
  bool reproducible = false;                    // the same bits on every target
  // Gives 64-byte aligned memory, valid until the kernel returns.
  void* (*scratch)(std::size_t bytes) = nullptr;

  // Columns from a whole panel on.
  template <bool kPackedB>
  gemm_operands part(const gemm_block& block) const {
    gemm_operands p = *this;
    p.a += block.row * a_row_stride;
    p.m = block.rows;
    p.n = block.columns;
    if constexpr (kPackedB) {
      p.b += block.column * padded_depth<TB>(k) / panel_item<TB>;
      if (b_column_sums != nullptr) p.b_column_sums += block.column;
      if (b_scales != nullptr) p.b_scales += block.column * ((k + b_group - 1) / b_group);
    } else {
      p.b += block.column * b_col_stride;
    }
    return p;
  }
};

// Where c lies: m x n.
template <class TC>
struct gemm_output {
  TC* c;
  std::size_t row_stride, col_stride;

  gemm_output part(const gemm_block& block) const {
    return {c + block.row * row_stride + block.column * col_stride, row_stride, col_stride};
  }
};

template <class T>
T* offset(T* p, std::size_t n) {
  return p == nullptr ? nullptr : p + n;
}

// c = activate(alpha * row_scale * column_scale * sum + beta * c + row_bias + column_bias); what is
// null is left out.
template <class TC>
struct linear_epilogue {
  gemm_output<TC> out;
  float alpha, beta;
  const float *row_scale, *column_scale, *row_bias, *column_bias;
  void (*activate)(const float* x, float* y, std::size_t n);
  gemm_health* health;

  linear_epilogue part(const gemm_block& block) const {
    return {out.part(block),
            alpha,
            beta,
            offset(row_scale, block.row),
            offset(column_scale, block.column),
            offset(row_bias, block.row),
            offset(column_bias, block.column),
            activate,
            health};
  }
};

// c = sum
struct exact_epilogue {
  gemm_output<std::int32_t> out;

  exact_epilogue part(const gemm_block& block) const { return {out.part(block)}; }
};

// c = saturate(round(scale * (sum - a_zero_point * column_sum(b) + bias)) + c_zero_point)
template <class TC>
struct requantize_epilogue {
  gemm_output<TC> out;
  std::int32_t a_zero_point;
  const std::int32_t* bias;  // n values, or null: none
  const float* scale;
  bool scale_per_column;  // n scales, else one
  std::int32_t c_zero_point;

  requantize_epilogue part(const gemm_block& block) const {
    return {out.part(block),
            a_zero_point,
            offset(bias, block.column),
            scale_per_column ? scale + block.column : scale,
            scale_per_column,
            c_zero_point};
  }
};

// The kernel's one template argument.
template <class TA, class TB, class TEpilogue, bool kPackedB = false>
struct gemm_config {
  static constexpr bool b_is_packed = kPackedB;
  using A = TA;
  using B = TB;
  using Epilogue = TEpilogue;
};

}  // namespace halfway::detail

#endif  // HALFWAY_SIMD_GEMM_ARGS_H_
