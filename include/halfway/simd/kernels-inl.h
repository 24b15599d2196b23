// SPDX-License-Identifier: Apache-2.0
// Every kernel, for the target of this pass. dispatch.h repeats this file for each target.

// Says to dispatch.h that the kernels took part in a loop over the targets.
#if defined(HIGHWAY_HWY_FOREACH_TARGET_H_) && !defined(HALFWAY_SIMD_KERNELS_IN_LOOP)
#define HALFWAY_SIMD_KERNELS_IN_LOOP
#endif

#if defined(HALFWAY_SIMD_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_KERNELS_INL_H_
#undef HALFWAY_SIMD_KERNELS_INL_H_
#else
#define HALFWAY_SIMD_KERNELS_INL_H_
#endif

#include <cstdint>

#include "halfway/simd/accurate_sum-inl.h"
#include "halfway/simd/activation-inl.h"
#include "halfway/simd/activation_backward-inl.h"
#include "halfway/simd/attention-inl.h"
#include "halfway/simd/attention_backward-inl.h"
#include "halfway/simd/attention_decode-inl.h"
#include "halfway/simd/convert-inl.h"
#include "halfway/simd/cross_entropy-inl.h"
#include "halfway/simd/dropout-inl.h"
#include "halfway/simd/elementary-inl.h"
#include "halfway/simd/gemm-inl.h"
#include "halfway/simd/gradient-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/norm-inl.h"
#include "halfway/simd/norm_backward-inl.h"
#include "halfway/simd/optimizer-inl.h"
#include "halfway/simd/quantize-inl.h"
#include "halfway/simd/reduce-inl.h"
#include "halfway/simd/rotary-inl.h"
#include "halfway/simd/scale-inl.h"
#include "halfway/simd/softmax-inl.h"
#include "halfway/simd/softmax_backward-inl.h"
#include "halfway/simd/window-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {

// The target (a HWY_ constant) that this namespace is compiled for.
inline std::int64_t ThisTarget() { return HWY_TARGET; }
inline bool HasNativeBFloat16() { return HWY_NATIVE_DOT_BF16; }

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_KERNELS_INL_H_
