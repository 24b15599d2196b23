// SPDX-License-Identifier: Apache-2.0
#include "halfway_single.h"

float product_in_another_file() {
  using halfway::bfloat16;
  halfway::matrix<bfloat16> x(2, 300), w(300, 3);
  for (bfloat16& v : x.elements()) v = bfloat16(1.0f);
  for (bfloat16& v : w.elements()) v = bfloat16(0.25f);
  halfway::matrix<float> y(2, 3);
  halfway::gemm(x, w, y);
  return y(1, 2);
}
