// SPDX-License-Identifier: Apache-2.0
// The files of cases; each registers its own.
#ifndef HALFWAY_BENCH_BENCHES_H_
#define HALFWAY_BENCH_BENCHES_H_

namespace halfway_bench {

void register_gemm();
void register_decode();
void register_rows();
void register_casts();
void register_attention();

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_BENCHES_H_
