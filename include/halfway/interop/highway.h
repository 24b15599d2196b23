// SPDX-License-Identifier: Apache-2.0
// Highway's 16-bit floats: hwy::float16_t and hwy::bfloat16_t as half and bfloat16, bit for bit, so
// that code written on Highway (gemma.cpp, for one) hands its memory to halfway without a copy.
//
//   hwy::AlignedFreeUniquePtr<hwy::bfloat16_t[]> weights = ...;
//   halfway::matrix_view<const hwy::bfloat16_t> w(weights.get(), rows, cols);
//   halfway::gemm(x, halfway::to_halfway(w), y);
//
// Highway is what halfway builds on, so this needs nothing else; it is a header of its own because
// hwy/base.h is more than the types' users want.
#ifndef HALFWAY_INTEROP_HIGHWAY_H_
#define HALFWAY_INTEROP_HIGHWAY_H_

#include "halfway/interop/same_bits.h"  // IWYU pragma: export
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "hwy/base.h"

namespace halfway {

/// IEEE's binary16.
template <>
struct same_bits<hwy::float16_t> {
  using type = half;  ///< of the same patterns
};

/// The upper half of a float.
template <>
struct same_bits<hwy::bfloat16_t> {
  using type = bfloat16;  ///< of the same patterns
};

}  // namespace halfway

#endif  // HALFWAY_INTEROP_HIGHWAY_H_
