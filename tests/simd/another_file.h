// SPDX-License-Identifier: Apache-2.0
// What the other files of this program offer to dispatch_test.cc.
#ifndef HALFWAY_TESTS_SIMD_ANOTHER_FILE_H_
#define HALFWAY_TESTS_SIMD_ANOTHER_FILE_H_

#include "halfway/core/matrix.h"
#include "halfway/types/bfloat16.h"

// A product in another translation unit that includes the operations too.
void multiply_in_another_file(const halfway::matrix<halfway::bfloat16>& a,
                              const halfway::matrix<halfway::bfloat16>& b,
                              halfway::matrix<float>& c);
const char* target_name_in_another_file();

// A file with a foreach_target loop of its own that calls LoadF32 and StoreF32 in it: y = 2 x.
void twice_in_own_loop(const halfway::bfloat16* x, halfway::bfloat16* y, std::size_t n);
// The same file calls an operation of ops/ after its loop.
void multiply_after_own_loop(const halfway::matrix<halfway::bfloat16>& a,
                             const halfway::matrix<halfway::bfloat16>& b,
                             halfway::matrix<float>& c);

#endif  // HALFWAY_TESTS_SIMD_ANOTHER_FILE_H_
