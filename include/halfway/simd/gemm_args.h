// SPDX-License-Identifier: Apache-2.0
// What the GEMM kernel is told: the operands, and what becomes of each finished sum (the epilogue).
// Plain data, no SIMD.
#ifndef HALFWAY_SIMD_GEMM_ARGS_H_
#define HALFWAY_SIMD_GEMM_ARGS_H_

#include <cstddef>
#include <cstdint>

namespace halfway::detail {

// a: m x k, b: k x n; element (i, j) at data[i * row_stride + j * col_stride], or b as panels
// (gemm_layout.h).
template <class TA, class TB>
struct gemm_operands {
  const TA* a;
  std::size_t a_row_stride, a_col_stride;
  const TB* b;
  std::size_t b_row_stride, b_col_stride;
  std::size_t m, n, k;
  const std::int32_t* b_column_sums;  // with packed int8: the sums of b's columns
  const float* b_scales;              // with codes: panels of (number of groups) x n
  std::size_t b_group;                // rows of b that share a scale, a multiple of 8
  void* (*scratch)(
      std::size_t bytes);  // gives 64-byte aligned memory, valid until the kernel returns
};

// Where c lies: m x n.
template <class TC>
struct gemm_output {
  TC* c;
  std::size_t row_stride, col_stride;
};

// c = alpha * sum + beta * c + bias
template <class TC>
struct linear_epilogue {
  gemm_output<TC> out;
  float alpha, beta;
  const float* bias;  // null: none
  bool bias_per_row;  // one for each row of c, else one for each column
};

// c = sum
struct exact_epilogue {
  gemm_output<std::int32_t> out;
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
