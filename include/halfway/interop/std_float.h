// SPDX-License-Identifier: Apache-2.0
// The compiler's own 16-bit floats, where it has them: std::float16_t and std::bfloat16_t of C++23,
// which are _Float16 and __bf16 under their older names.
//
//   std::vector<_Float16> x(300 * 512);
//   halfway::matrix_view<const _Float16> a(x.data(), 300, 512);
//   halfway::gemm(halfway::to_halfway(a), w, c);             // sums in float, nothing is copied
//   _Float16 y = halfway::from_halfway<_Float16>(halfway::half(0.1f));
//
// A product of the compiler's types rounds after every addition; halfway's sums are in float.
//
// HALFWAY_HAS_FLOAT16 and HALFWAY_HAS_BFLOAT16 say what there is: _Float16 on x86-64 from g++ 12
// and clang 15 on, on 64-bit Arm from g++ 13; __bf16 that converts and computes from g++ 13 and
// clang 17 on. The standard's names are the same types (P1467, and checked here), so one
// specialization serves both.
#ifndef HALFWAY_INTEROP_STD_FLOAT_H_
#define HALFWAY_INTEROP_STD_FLOAT_H_

#include <type_traits>
#include <version>

#if __has_include(<stdfloat>) && __cplusplus > 202002L
#include <stdfloat>
#endif

#include "halfway/interop/same_bits.h"  // IWYU pragma: export
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"

/// 1 where the compiler has a float16 (bfloat16) type, else 0.
/// @{
#if defined(__FLT16_MANT_DIG__) && (defined(__clang__) || __GNUC__ >= 13 || defined(__SSE2__))
#define HALFWAY_HAS_FLOAT16 1
#else
#define HALFWAY_HAS_FLOAT16 0
#endif
#if defined(__BFLT16_MANT_DIG__) || \
    (defined(__clang__) && __clang_major__ >= 17 && (defined(__SSE2__) || defined(__aarch64__)))
#define HALFWAY_HAS_BFLOAT16 1
#else
#define HALFWAY_HAS_BFLOAT16 0
#endif
/// @}

namespace halfway {

#if HALFWAY_HAS_FLOAT16
/// _Float16 is IEEE's binary16.
template <>
struct same_bits<_Float16> {
  using type = half;  ///< of the same patterns
};
#endif

#if HALFWAY_HAS_BFLOAT16
/// __bf16 is the upper half of a float.
template <>
struct same_bits<__bf16> {
  using type = bfloat16;  ///< of the same patterns
};
#endif

#if defined(__STDCPP_FLOAT16_T__)
static_assert(std::is_same_v<same_bits_t<std::float16_t>, half>);
#endif
#if defined(__STDCPP_BFLOAT16_T__)
static_assert(std::is_same_v<same_bits_t<std::bfloat16_t>, bfloat16>);
#endif

}  // namespace halfway

#endif  // HALFWAY_INTEROP_STD_FLOAT_H_
