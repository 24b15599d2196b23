// SPDX-License-Identifier: Apache-2.0
// How this library computes with each of its formats on the SIMD target that was chosen.
#ifndef HALFWAY_EXAMPLES_HALFWAY_INFO_FORMATS_H_
#define HALFWAY_EXAMPLES_HALFWAY_INFO_FORMATS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "halfway/types/dtype.h"

namespace info {

// What the kernels of a SIMD target are made of, as their own macros and types say it.
struct target_facts {
  std::int64_t target = 0;       // HWY_AVX2...
  bool fma = false;              // multiply-add with one rounding
  bool half_conversion = false;  // float16 to and from float32
  bool bfloat16_rounding = false;
  bool bfloat16_dot = false;  // of pairs, summed in float32; whether or not gemm uses it
  bool int8_dot = false;      // of quads, summed in int32
  bool amx = false;           // products of bfloat16 and int8 by tiles
  // Formats as bits, 1 << dtype: decoded through float16's conversion; by looking up tables.
  std::uint32_t through_half = 0, by_table = 0;
  bool int4_lookup = false;  // 16 floats in a register
  int vector_bits = 0;
};
target_facts target_facts_now();

enum class support {
  native,    // there is an instruction for the format itself
  widened,   // a shift or two make of it a wider format, for which there is one
  emulated,  // integer arithmetic, or table look-ups, do what no instruction does
  scalar,    // element by element: there is no kernel
  none,      // not offered
};
std::string_view name(support s);

struct format_support {
  halfway::dtype type;
  support to_float32 = support::none;    // convert
  support from_float32 = support::none;  // convert, to nearest even
  support gemm = support::none;          // as the weights of a product
  std::string how = {};                  // what the product is made of
};

// Of every dtype, in their order.
std::vector<format_support> format_supports(const target_facts& t);

// Every SIMD target that this program has kernels for, best first, and the one that runs.
std::vector<std::string> compiled_targets();
std::string chosen_target();

}  // namespace info

#endif  // HALFWAY_EXAMPLES_HALFWAY_INFO_FORMATS_H_
