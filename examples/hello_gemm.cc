// SPDX-License-Identifier: Apache-2.0
#include <halfway/ops/gemm.h>
#include <halfway/types/bfloat16.h>

#include <iostream>

int main() {
  using halfway::bfloat16;
  halfway::matrix<bfloat16> x(2, 300), w(300, 3);
  for (bfloat16& v : x.elements()) v = bfloat16(1.0f);
  for (bfloat16& v : w.elements()) v = bfloat16(0.25f);
  halfway::matrix<float> y(2, 3);
  halfway::gemm(x, w, y);        // sums in FP32, on the best SIMD target of this CPU
  std::cout << y(1, 2) << '\n';  // 75: bfloat16 sums would have stopped at 64
}
