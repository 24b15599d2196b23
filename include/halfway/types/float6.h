// SPDX-License-Identifier: Apache-2.0
// The 6-bit floats of the microscaling formats, one a byte in the low bits: e2m3fn (largest 7.5)
// and e3m2fn (largest 28).
//
//   halfway::float6_e3m2fn x(0.1f);
//
// Neither has infinity or NaN: conversions saturate.

#ifndef HALFWAY_TYPES_FLOAT6_H_
#define HALFWAY_TYPES_FLOAT6_H_

#include "halfway/types/formats.h"
#include "halfway/types/minifloat.h"

namespace halfway {

/// MX's E2M3: to 7.5 in steps of at most 0.5
using float6_e2m3fn = minifloat<formats::float6_e2m3fn>;
/// MX's E3M2: to 28 in steps of at most 4
using float6_e3m2fn = minifloat<formats::float6_e3m2fn>;

}  // namespace halfway

#endif  // HALFWAY_TYPES_FLOAT6_H_
