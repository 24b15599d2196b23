// SPDX-License-Identifier: Apache-2.0
// This library as one more peer of a side-by-side bench whose problems and results look like this:
//
//   enum class Type { f32, bf16, f16, u8s8 };
//   struct Problem { Type type; int m, n, k; std::vector<float> a, b; ... };   // row-major
//   struct Result { std::vector<float> c; std::function<void()> run; };
//
// The kernels stand in halfway_gemm.cc, so that they are compiled with a user's flags and compiler
// whatever the peers are compiled with.
#ifndef HALFWAY_BENCH_PEERS_HALFWAY_ADAPTER_H_
#define HALFWAY_BENCH_PEERS_HALFWAY_ADAPTER_H_

#include <cstddef>
#include <functional>

#include "halfway_gemm.h"

struct Problem;
struct Result;

// A template, because the bench may include this file before it defines the two.
template <class R = Result, class P = Problem>
static R Halfway(const P& p) {
  using Type = decltype(p.type);
  const char* type = p.type == Type::f32    ? "f32"
                     : p.type == Type::bf16 ? "bf16"
                     : p.type == Type::f16  ? "f16"
                                            : "u8s8";
  R result;
  result.c.resize(static_cast<std::size_t>(p.m) * static_cast<std::size_t>(p.n));
  result.run = halfway_gemm(type, static_cast<std::size_t>(p.m), static_cast<std::size_t>(p.n),
                            static_cast<std::size_t>(p.k), p.a.data(), p.b.data(), result.c.data());
  return result;
}

#endif  // HALFWAY_BENCH_PEERS_HALFWAY_ADAPTER_H_
