// SPDX-License-Identifier: Apache-2.0
// What a user's file costs that multiplies in two types: compile_cost.cmake times the compiler on it.
#include "halfway/ops/gemm.h"

void multiply(const halfway::matrix<float>& a, const halfway::matrix<float>& b,
              halfway::matrix<float>& c) {
  halfway::gemm(a, b, c);
}

void multiply(const halfway::matrix<halfway::bfloat16>& a,
              const halfway::matrix<halfway::bfloat16>& b, halfway::matrix<float>& c) {
  halfway::gemm(a, b, c);
}
