// SPDX-License-Identifier: Apache-2.0
// Loops over ranges for operations that treat each element by itself.
//
//   struct SquareOp {                      // within HWY_NAMESPACE
//     template <class DF, class V>
//     HWY_INLINE V operator()(DF df, V x) const {
//       return hn::Mul(x, x);
//     }
//   };
//   MapElements(SquareOp(), x, y, n);      // y[i] = x[i]^2 in f32; any storage types
//
// y may be x. Elements past n are neither read nor written.

#if defined(HALFWAY_SIMD_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_ELEMENTWISE_INL_H_
#undef HALFWAY_SIMD_ELEMENTWISE_INL_H_
#else
#define HALFWAY_SIMD_ELEMENTWISE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "halfway/simd/load_store-inl.h"
#include "halfway/types/rounding.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// How many elements to write one by one until vectors of stores lie on multiples of their size:
// stores that cross a cache line take twice the time. 0 if that would not pay.
template <class DF, class Y>
HWY_INLINE size_t ElementsToAlignment(DF df, const Y* y, size_t n) {
  const size_t lanes = hn::Lanes(df);
  const size_t vector = lanes * sizeof(float);
  const size_t past = reinterpret_cast<uintptr_t>(y) % vector;
  return past == 0 || past % sizeof(Y) != 0 || n < 16 * lanes ? 0 : (vector - past) / sizeof(Y);
}

// Asks for the memory of n elements, which need not exist.
template <class T>
HWY_INLINE void PrefetchLines(const T* p, size_t n) {
  for (size_t j = 0; j < n; j += 64 / sizeof(T)) hwy::Prefetch(p + j);
}

// An op that is not worth several copies of its code, as its member kLong says.
template <class Op>
inline constexpr bool kIsLong = requires {
  Op::kLong;
};

// op on two vectors; an op that does better on both at once has a function for that.
template <class Op, class DF, class V>
HWY_INLINE void Apply2(const Op& op, DF df, V& v0, V& v1) {
  if constexpr (HWY_NATIVE_FMA && requires { op.Two(df, v0, v1); }) {
    op.Two(df, v0, v1);
  } else if constexpr (kIsLong<Op>) {
    V v[2] = {v0, v1};
    HWY_UNROLL(1)
    for (size_t k = 0; k < 2; ++k) v[k] = op(df, v[k]);
    v0 = v[0];
    v1 = v[1];
  } else {
    v0 = op(df, v0);
    v1 = op(df, v1);
  }
}

// y[i] = op(x[i]). `stream`: y is so large that it is written past the caches (then it is not x).
template <overflow kOverflow = overflow::ieee, class Op, class X, class Y>
HWY_INLINE void MapElements(const Op& op, const X* x, Y* y, size_t n, bool stream = false) {
  const hn::ScalableTag<float> df;
  using V = hn::VFromD<decltype(df)>;
  const size_t lanes = hn::Lanes(df);
  const size_t head = ElementsToAlignment(df, y, n);
  stream = stream && reinterpret_cast<uintptr_t>(y + head) % (lanes * sizeof(float)) == 0;
  size_t i = 0;
  // What comes before the aligned vectors, then they, then what is left.
  for (size_t end = head;;) {
    for (; i < end; i += lanes) {
      const size_t here = HWY_MIN(lanes, end - i);
      StoreNF32<kOverflow>(op(df, LoadNF32(df, x + i, here)), df, y + i, here);
    }
    if (end == n) break;
    i = end;
    if constexpr (kMapsEvenOdd<X, Y> && kOverflow == overflow::ieee) {
      for (; i + 4 * lanes <= n; i += 4 * lanes) {
        V v0, v1, v2, v3;
        Load2EvenOdd(df, x + i, v0, v1);
        Load2EvenOdd(df, x + i + 2 * lanes, v2, v3);
        Apply2(op, df, v0, v1);
        Apply2(op, df, v2, v3);
        Store4EvenOdd(v0, v1, v2, v3, df, y + i, stream);
      }
    } else if constexpr (sizeof(X) == 1 || kPrefersStore4<Y>) {
      for (; i + 4 * lanes <= n; i += 4 * lanes) {
        V v0, v1, v2, v3;
        Load4F32(df, x + i, v0, v1, v2, v3);
        Apply2(op, df, v0, v1);
        Apply2(op, df, v2, v3);
        Store4F32<kOverflow>(v0, v1, v2, v3, df, y + i, stream);
      }
    } else {
      for (; i + 2 * lanes <= n; i += 2 * lanes) {
        auto v0 = LoadF32(df, x + i);
        auto v1 = LoadF32(df, x + i + lanes);
        Apply2(op, df, v0, v1);
        Store2F32<kOverflow>(v0, v1, df, y + i, stream);
      }
    }
    end = n;
  }
  if (stream) hwy::FlushStream();
}

// z[i] = op(x[i], y[i])
template <class Op, class X, class Y, class Z>
HWY_INLINE void MapPairs(const Op& op, const X* x, const Y* y, Z* z, size_t n) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    StoreF32(op(df, LoadF32(df, x + i), LoadF32(df, y + i)), df, z + i);
  }
  if (i != n) {
    StoreNF32(op(df, LoadNF32(df, x + i, n - i), LoadNF32(df, y + i, n - i)), df, z + i, n - i);
  }
}

struct AddOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF /*df*/, V x, V y) const {
    return hn::Add(x, y);
  }
};

// y[i] += x[i]
template <class Config>
void AccumulateKernel(const typename Config::X* x, typename Config::Y* y, size_t n) {
  MapPairs(AddOp(), x, y, y, n);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_ELEMENTWISE_INL_H_
