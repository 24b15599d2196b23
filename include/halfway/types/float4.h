// SPDX-License-Identifier: Apache-2.0
// float4_e2m1fn, the 4-bit float of MXFP4 and NVFP4: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their
// negatives, one a byte in the low bits.
//
//   halfway::float4_e2m1fn x(2.4f);   // 2
//
// It has neither infinity nor NaN: conversions saturate.

#ifndef HALFWAY_TYPES_FLOAT4_H_
#define HALFWAY_TYPES_FLOAT4_H_

#include "halfway/types/formats.h"
#include "halfway/types/minifloat.h"

namespace halfway {

/// MX's E2M1: 0, 0.5, 1, 1.5, 2, 3, 4, 6 and their negatives.
using float4_e2m1fn = minifloat<formats::float4_e2m1fn>;

}  // namespace halfway

#endif  // HALFWAY_TYPES_FLOAT4_H_
