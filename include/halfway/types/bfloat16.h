// SPDX-License-Identifier: Apache-2.0
// bfloat16: the upper half of a float, 1 sign, 8 exponent and 7 mantissa bits; the range of float
// with 2 to 3 decimal digits.
//
//   halfway::bfloat16 x(0.1f);
//   float y = x * 2.0f;

#ifndef HALFWAY_TYPES_BFLOAT16_H_
#define HALFWAY_TYPES_BFLOAT16_H_

#include "halfway/types/formats.h"
#include "halfway/types/minifloat.h"

namespace halfway {

using bfloat16 = minifloat<formats::bfloat16>;  ///< the range of float, 8 significant bits

}  // namespace halfway

#endif  // HALFWAY_TYPES_BFLOAT16_H_
