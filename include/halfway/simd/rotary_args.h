// SPDX-License-Identifier: Apache-2.0
// What the kernel of the rotary embedding is told. Plain data, no SIMD.
#ifndef HALFWAY_SIMD_ROTARY_ARGS_H_
#define HALFWAY_SIMD_ROTARY_ARGS_H_

#include <cstddef>
#include <cstdint>

#include "halfway/simd/attention_args.h"

namespace halfway::detail {

template <class TX, class TY>
struct rotary_args {
  head_rows<const TX> x;
  head_rows<TY> y;
  std::size_t heads, size, pairs;
  const double* turns_high;  // of each pair and position, in two parts
  const double* turns_low;
  const std::int32_t* positions;  // of each row; null: first_position, and one more for each row
  std::size_t first_position;
  bool interleaved;
  bool inverse;
  void* (*scratch)(std::size_t bytes);
};

template <class TX, class TY>
struct rotary_config {
  using X = TX;
  using Y = TY;
  using Args = rotary_args<TX, TY>;
};

}  // namespace halfway::detail

#endif  // HALFWAY_SIMD_ROTARY_ARGS_H_
