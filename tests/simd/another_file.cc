// SPDX-License-Identifier: Apache-2.0
#include "simd/another_file.h"

#include "halfway/ops/gemm.h"

void multiply_in_another_file(const halfway::matrix<halfway::bfloat16>& a,
                              const halfway::matrix<halfway::bfloat16>& b,
                              halfway::matrix<float>& c) {
  halfway::gemm(a, b, c);
}

const char* target_name_in_another_file() { return halfway::simd_target_name(); }
