// SPDX-License-Identifier: Apache-2.0
// The smallest program of a user: it reaches the formats and a kernel that is dispatched at run
// time.
#include <array>

#include "halfway/ops/reduce.h"
#include "halfway/types/bfloat16.h"

int main() {
  const std::array<halfway::bfloat16, 3> x{halfway::bfloat16(1), halfway::bfloat16(2),
                                           halfway::bfloat16(3)};
  return halfway::sum(x) == 6.0f ? 0 : 1;
}
