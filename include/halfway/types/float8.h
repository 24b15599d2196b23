// SPDX-License-Identifier: Apache-2.0
// The 8-bit floats: OFP8's e4m3fn and e5m2, their fnuz variants, and the scale format e8m0 of the
// microscaling formats.
//
//   halfway::float8_e4m3fn x(0.1f);
//   auto y = halfway::saturate_cast<halfway::float8_e4m3fn>(1e6f);   // 448; see types/cast.h
//
//   format    largest    smallest normal    smallest    infinity    NaN
//   e4m3fn    448        2^-6               2^-9        no          0x7F, 0xFF
//   e5m2      57344      2^-14              2^-16       yes         0x7D-0x7F, 0xFD-0xFF
//   e4m3fnuz  240        2^-7               2^-10       no          0x80
//   e5m2fnuz  57344      2^-15              2^-17       no          0x80
//   e8m0fnu   2^127      2^-127             2^-127      no          0xFF           no zero, no sign

#ifndef HALFWAY_TYPES_FLOAT8_H_
#define HALFWAY_TYPES_FLOAT8_H_

#include "halfway/types/formats.h"
#include "halfway/types/minifloat.h"

namespace halfway {

using float8_e4m3fn = minifloat<formats::float8_e4m3fn>;  ///< OFP8's E4M3: to 448, without infinity
using float8_e5m2 = minifloat<formats::float8_e5m2>;      ///< OFP8's E5M2: to 57344, with infinity
/// To 240; one NaN and one zero, no infinity.
using float8_e4m3fnuz = minifloat<formats::float8_e4m3fnuz>;
/// To 57344; one NaN and one zero, no infinity.
using float8_e5m2fnuz = minifloat<formats::float8_e5m2fnuz>;
/// MX's E8M0: powers of two and NaN, no zero, no sign.
using float8_e8m0fnu = minifloat<formats::float8_e8m0fnu>;

}  // namespace halfway

#endif  // HALFWAY_TYPES_FLOAT8_H_
