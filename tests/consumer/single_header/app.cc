// SPDX-License-Identifier: Apache-2.0
// A program of two files that both include the one header, this one twice.
#include <array>

#include "halfway_single.h"
//
#include "halfway_single.h"

float product_in_another_file();

int main() {
  using halfway::bfloat16;
  const std::array<bfloat16, 3> x{bfloat16(1), bfloat16(2), bfloat16(3)};
  return halfway::sum(x) == 6.0f && product_in_another_file() == 75.0f ? 0 : 1;
}
