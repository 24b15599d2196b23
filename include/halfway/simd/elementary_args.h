// SPDX-License-Identifier: Apache-2.0
// Names of elementary functions, for the operations of ops/elementary.h and their kernel.
#ifndef HALFWAY_SIMD_ELEMENTARY_ARGS_H_
#define HALFWAY_SIMD_ELEMENTARY_ARGS_H_

#include <array>

namespace halfway::detail {

enum class elementary { exp, exp2, log, log2, erf, softplus, rsqrt, reciprocal, sqrt, sin, cos };

template <elementary F, class TX, class TY>
struct elementary_config {
  static constexpr elementary function = F;
  using X = TX;
  using Y = TY;
};

// Where the function of a half x, computed in f32, is next to half-way between two values of half,
// on the wrong side, and a y on the right one. These are all; x stands for -x too where the function
// is odd or even. In bfloat16 there are none. (tests/ops/elementary_test.cc tries every x.)
struct correction {
  float x;
  float y;
};
template <elementary F>
constexpr auto corrections_for_half() {
  using enum elementary;
  if constexpr (F == exp) {
    return std::array<correction, 2>{{{0x1.de4p-8f, 0x1.01cp+0f}, {0x1.73cp-6f, 0x1.05cp+0f}}};
  } else if constexpr (F == exp2) {
    return std::array<correction, 1>{{{0x1.714p-11f, 0x1.004p+0f}}};
  } else if constexpr (F == log) {
    return std::array<correction, 1>{{{0x1.5ep-8f, -0x1.4ecp+2f}}};
  } else if constexpr (F == erf) {
    return std::array<correction, 1>{{{0x1.848p-10f, 0x1.b64p-10f}}};
  } else if constexpr (F == softplus) {
    return std::array<correction, 1>{{{-0x1.0cp-14f, 0x1.62cp-1f}}};
  } else if constexpr (F == sin) {
    return std::array<correction, 2>{{{0x1.accp-3f, 0x1.a9cp-3f}, {0x1.2cp+8f, -0x1.ffcp-1f}}};
  } else if constexpr (F == cos) {
    return std::array<correction, 1>{{{0x1.dfp-5f, 0x1.ff4p-1f}}};
  } else {
    return std::array<correction, 0>{};
  }
}

}  // namespace halfway::detail

#endif  // HALFWAY_SIMD_ELEMENTARY_ARGS_H_
