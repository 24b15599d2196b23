// SPDX-License-Identifier: Apache-2.0
// A user's file with a Highway loop of its own: kernels-inl.h in the repeated part, ops/ under
// HWY_ONCE.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "simd/own_loop.cc"
#include "halfway/simd/targets.h"
#include "hwy/foreach_target.h"  // IWYU pragma: keep

#include "halfway/simd/kernels-inl.h"
#include "hwy/highway.h"
#include "simd/another_file.h"

HWY_BEFORE_NAMESPACE();
namespace user {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void Twice(const halfway::bfloat16* x, halfway::bfloat16* y, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  for (size_t i = 0; i < n; i += lanes) {
    const size_t here = HWY_MIN(lanes, n - i);
    const auto v = halfway::HWY_NAMESPACE::LoadNF32(df, x + i, here);
    halfway::HWY_NAMESPACE::StoreNF32(hn::Add(v, v), df, y + i, here);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace user
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

#include "halfway/ops/gemm.h"

namespace user {
HWY_EXPORT(Twice);
void twice(const halfway::bfloat16* x, halfway::bfloat16* y, size_t n) {
  HWY_DYNAMIC_DISPATCH(Twice)(x, y, n);
}
}  // namespace user

void twice_in_own_loop(const halfway::bfloat16* x, halfway::bfloat16* y, std::size_t n) {
  user::twice(x, y, n);
}

void multiply_after_own_loop(const halfway::matrix<halfway::bfloat16>& a,
                             const halfway::matrix<halfway::bfloat16>& b,
                             halfway::matrix<float>& c) {
  halfway::gemm(a, b, c);
}

#endif  // HWY_ONCE
