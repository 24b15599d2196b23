// SPDX-License-Identifier: Apache-2.0
// half, also called float16: IEEE 754 binary16, 1 sign, 5 exponent and 10 mantissa bits; largest
// 65504, smallest 2^-24.
//
//   halfway::half x(0.1f);
//   float y = x * 2.0f;

#ifndef HALFWAY_TYPES_HALF_H_
#define HALFWAY_TYPES_HALF_H_

#include "halfway/types/formats.h"
#include "halfway/types/minifloat.h"

namespace halfway {

using float16 = minifloat<formats::float16>;  ///< IEEE 754 binary16: to 65504, 11 significant bits
using half = float16;                         ///< the same type

}  // namespace halfway

#endif  // HALFWAY_TYPES_HALF_H_
