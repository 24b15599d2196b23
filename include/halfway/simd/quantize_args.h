// SPDX-License-Identifier: Apache-2.0
// What the range kernel accumulates.
//
//   halfway::detail::value_range range;   // empty: from infinity to minus infinity
#ifndef HALFWAY_SIMD_QUANTIZE_ARGS_H_
#define HALFWAY_SIMD_QUANTIZE_ARGS_H_

#include <cstddef>
#include <limits>

namespace halfway::detail {

struct value_range {
  float min = std::numeric_limits<float>::infinity();
  float max = -std::numeric_limits<float>::infinity();
  std::size_t finite = 0;
  std::size_t non_finite = 0;
};

}  // namespace halfway::detail

#endif  // HALFWAY_SIMD_QUANTIZE_ARGS_H_
