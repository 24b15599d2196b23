// SPDX-License-Identifier: Apache-2.0
// One of two shared objects: its products, sums and errors. NAME differs.
#include <span>

#include "halfway/ops/gemm.h"
#include "halfway/ops/reduce.h"
#include "halfway/simd/dispatch.h"
#include "halfway/types/bfloat16.h"

#define CONCATENATE(a, b) a##b
#define FUNCTION(prefix, name) CONCATENATE(prefix, name)

extern "C" __attribute__((visibility("default"))) float FUNCTION(product_, NAME)(float v) {
  using halfway::bfloat16;
  halfway::matrix<bfloat16> x(20, 300), w(300, 30);
  for (bfloat16& e : x.elements()) e = bfloat16(v);
  for (bfloat16& e : w.elements()) e = bfloat16(0.25f);
  halfway::matrix<float> y(20, 30);
  halfway::gemm(x, w, y);
  return y(19, 29);
}

extern "C" __attribute__((visibility("default"))) float FUNCTION(sum_, NAME)(const float* x,
                                                                             unsigned n) {
  return halfway::sum(std::span(x, n));
}

// So small that the compiler puts it here, while its table of kernels is one for the whole program.
extern "C" __attribute__((visibility("default"))) const char* FUNCTION(target_, NAME)() {
  return halfway::simd_target_name();
}

// A shape that does not fit: whether the error arrived as one.
extern "C" __attribute__((visibility("default"))) bool FUNCTION(refuses_, NAME)() {
  try {
    halfway::matrix<halfway::bfloat16> a(2, 3), b(4, 2);
    halfway::matrix<float> c(2, 2);
    halfway::gemm(a, b, c);
  } catch (const halfway::error&) {
    return true;
  }
  return false;
}

// For the program to catch.
extern "C" __attribute__((visibility("default"))) void FUNCTION(throw_, NAME)() {
  halfway::fail("of a shared object");
}
