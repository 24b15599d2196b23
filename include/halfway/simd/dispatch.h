// SPDX-License-Identifier: Apache-2.0
// The one place that knows about SIMD targets: compiles every kernel once per target and calls the
// best one at run time.
//
//   template <class T>
//   float sum(std::span<const T> x) {                              // within namespace halfway
//     return HALFWAY_DISPATCH(SumKernel<T>)(x.data(), x.size());   // SumKernel: of a simd/*-inl.h
//   }
//
// The argument of HALFWAY_DISPATCH must not contain a comma outside parentheses: where a kernel has
// several template parameters, pass one configuration type (`using Config = ...;` first).
//
// Two modes, both header-only:
//  - dynamic (default): the including file may be compiled with plain flags; the CPU decides at the
//    first call.
//  - HALFWAY_STATIC_DISPATCH: only the target that the compiler flags allow (-march=...). Compiles
//    fastest.
//
// A file that has a foreach_target.h loop of its own includes "halfway/simd/kernels-inl.h" (or
// single -inl.h files) in the part that the loop repeats. If it includes kernels-inl.h there, it
// may also use ops/ in the part under HWY_ONCE.
#ifndef HALFWAY_SIMD_DISPATCH_H_
#define HALFWAY_SIMD_DISPATCH_H_

#include "halfway/simd/targets.h"

#if defined(HIGHWAY_HWY_FOREACH_TARGET_H_) && !defined(HALFWAY_STATIC_DISPATCH)
// A file includes foreach_target.h only once, so this loop cannot run again: the kernels must have
// been part of it.
#if !defined(HALFWAY_SIMD_KERNELS_IN_LOOP)
#error \
    "This file has its own foreach_target.h loop: include halfway/simd/kernels-inl.h in the part that it repeats"
#endif
#elif !defined(HALFWAY_STATIC_DISPATCH)
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "halfway/simd/kernels-inl.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep
#undef HWY_TARGET_INCLUDE
#endif

#include "halfway/simd/kernels-inl.h"
#include "hwy/highway.h"

#if defined(HALFWAY_STATIC_DISPATCH)
#define HALFWAY_DISPATCH(...) (&HWY_STATIC_DISPATCH(__VA_ARGS__))
#else
/// A pointer to a kernel's function for the SIMD target that operations run on. Kernels are function
/// templates of halfway::detail within HWY_NAMESPACE.
// The table is a static of the lambda, so one exists for each template instantiation, and for each
// set of targets: a file compiled with -march=native has fewer targets than others of the same
// program, and the linker merges what has one name.
#define HALFWAY_DISPATCH(...)            \
  ([]<long long kTargets>() {            \
    HWY_EXPORT_T(Table, __VA_ARGS__);    \
    return HWY_DYNAMIC_POINTER_T(Table); \
  }.template operator()<(HWY_TARGETS)>())
#endif

namespace halfway {

/// The SIMD target that operations run on: "AVX3_ZEN4", "AVX2", "NEON"...
inline const char* simd_target_name() { return hwy::TargetName(HALFWAY_DISPATCH(ThisTarget)()); }

}  // namespace halfway

#endif  // HALFWAY_SIMD_DISPATCH_H_
