// SPDX-License-Identifier: Apache-2.0
// Ends with 0 only from the handler: after a right product, a wrong one.
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/ops/gemm.h"
#include "halfway/types/bfloat16.h"

#if defined(__cpp_exceptions) || defined(__cpp_rtti)
#error "This program is about compiling without them"
#endif

int main() {
  using halfway::bfloat16;
  halfway::set_error_handler([](const char* message) {
    const bool right =
        std::string_view(message) == "halfway::gemm: b.rows (4) must equal a.cols (3)";
    if (!right) std::puts(message);
    std::exit(right ? 0 : 1);
  });
  halfway::matrix<bfloat16> x(2, 3), w(3, 2);
  for (bfloat16& v : x.elements()) v = bfloat16(0.5f);
  for (bfloat16& v : w.elements()) v = bfloat16(2.0f);
  halfway::matrix<float> y(2, 2);
  halfway::gemm(x, w, y);
  if (y(1, 1) != 3.0f) return 2;
  halfway::gemm(x, halfway::matrix<bfloat16>(4, 2), y);
  return 3;  // the handler did not end the program
}
