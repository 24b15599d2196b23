// SPDX-License-Identifier: Apache-2.0
// int8 and uint8: quantized storage that rounds to nearest even and saturates, where std::int8_t
// would truncate and wrap.
//
//   halfway::int8 q(127.6f);   // 127
//   int sum = q + q;           // arithmetic is in int
//
// Layout is that of std::int8_t and std::uint8_t, one a byte.

#ifndef HALFWAY_TYPES_INT8_H_
#define HALFWAY_TYPES_INT8_H_

#include "halfway/types/small_int.h"

namespace halfway {

using int8 = small_int<8, true>;    ///< -128 ... 127
using uint8 = small_int<8, false>;  ///< 0 ... 255

}  // namespace halfway

#endif  // HALFWAY_TYPES_INT8_H_
