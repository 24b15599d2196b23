// SPDX-License-Identifier: Apache-2.0
// Layer normalization and RMS normalization of rows, in f32.
//
//   LayerNormKernel(detail::norm_rows<detail::norm_config<half, float, float, half>>{x, ...});

#if defined(HALFWAY_SIMD_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_NORM_INL_H_
#undef HALFWAY_SIMD_NORM_INL_H_
#else
#define HALFWAY_SIMD_NORM_INL_H_
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "halfway/simd/elementwise-inl.h"
#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/reduce-inl.h"
#include "halfway/simd/row_args.h"
#include "halfway/simd/sum-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Elements p[i...], or `absent` if p is null.
template <class DF, class T>
HWY_INLINE hn::VFromD<DF> LoadOr(DF df, const T* p, size_t i, float absent) {
  return p == nullptr ? hn::Set(df, absent) : LoadF32(df, p + i);
}
template <class DF, class T>
HWY_INLINE hn::VFromD<DF> LoadNOr(DF df, const T* p, size_t i, float absent, size_t count) {
  return p == nullptr ? hn::Set(df, absent) : LoadNF32(df, p + i, count);
}

// How a row is normalized: (x - pivot) * scale + offset.
struct Normalizer {
  float pivot;
  float scale;
  float offset;

  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return Fma(hn::Sub(x, hn::Set(df, pivot)), hn::Set(df, scale), hn::Set(df, offset));
  }
};

template <class T>
HWY_INLINE Normalizer LayerNormalizer(const T* x, size_t cols, float epsilon) {
  const Moments m = ComputeMomentsFast(x, cols);
  const float scale = 1.0f / std::sqrt(m.variance + epsilon);
  return {m.pivot, scale, -m.correction * scale};
}

template <class T>
HWY_INLINE Normalizer RmsNormalizer(const T* x, size_t cols, float epsilon) {
  const float mean_of_squares =
      Sum<kSumLanes>(SumOfSquaresOp<T>{x}, cols) / static_cast<float>(cols);
  return {0.0f, 1.0f / std::sqrt(mean_of_squares + epsilon), -0.0f};
}

struct AddOp {
  template <class DF, class V>
  HWY_INLINE V operator()(DF /*df*/, V x, V y) const {
    return hn::Add(x, y);
  }
};

// Where there is a residual, x is the sum, which is first written: addend + residual.
template <class Config>
HWY_INLINE void AddResidual(const detail::norm_rows<Config>& a, size_t r) {
  if constexpr (Config::kAdds) {
    MapPairs(AddOp(), a.addend.row(r), a.residual.row(r), a.sum.row(r), a.cols);
  }
}

// How a row is normalized by its root mean square: as RmsNormalizer's, to the bit.
struct Scaler {
  float scale;

  template <class DF, class V>
  HWY_INLINE V operator()(DF df, V x) const {
    return hn::Mul(x, hn::Set(df, scale));
  }
};

// y = normalized x * gamma + beta, where kGamma and kBeta say that they are there.
template <bool kGamma, bool kBeta, class Normalize, class X, class G, class B, class Y>
HWY_INLINE void NormalizeElements(const Normalize& normalize, const X* x, const G* gamma,
                                  const B* beta, Y* y, size_t cols, const X* next, bool stream) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  using V = hn::VFromD<decltype(df)>;
  const auto finish = [&](V x_j, size_t j) HWY_ATTR {
    auto v = normalize(df, x_j);
    if constexpr (kGamma && kBeta) {
      v = Fma(v, LoadF32(df, gamma + j), LoadF32(df, beta + j));
    } else if constexpr (kGamma) {
      v = hn::Mul(v, LoadF32(df, gamma + j));
    } else if constexpr (kBeta) {
      v = hn::Add(v, LoadF32(df, beta + j));
    }
    return v;
  };
  size_t j = 0;
  for (; j + 4 * lanes <= cols; j += 4 * lanes) {
    if (stream) PrefetchLines(next + j, 4 * lanes);
    V v0, v1, v2, v3;
    Load4F32(df, x + j, v0, v1, v2, v3);
    Store4F32(finish(v0, j), finish(v1, j + lanes), finish(v2, j + 2 * lanes),
              finish(v3, j + 3 * lanes), df, y + j, stream);
  }
  for (; j < cols; j += lanes) {
    const size_t n = HWY_MIN(lanes, cols - j);
    auto v = normalize(df, LoadNF32(df, x + j, n));
    if constexpr (kGamma && kBeta) {
      v = Fma(v, LoadNF32(df, gamma + j, n), LoadNF32(df, beta + j, n));
    } else if constexpr (kGamma) {
      v = hn::Mul(v, LoadNF32(df, gamma + j, n));
    } else if constexpr (kBeta) {
      v = hn::Add(v, LoadNF32(df, beta + j, n));
    }
    StoreNF32(v, df, y + j, n);
  }
}

// `next`: the row that will be read after this one's turn, to fetch meanwhile. gamma may be null;
// beta too, and is always where kMayHaveBeta is false.
template <bool kMayHaveBeta, class Normalize, class X, class G, class B, class Y>
HWY_INLINE void NormalizeRow(const Normalize& normalize, const X* x, const G* gamma, const B* beta,
                             Y* y, size_t cols, const X* next, bool stream) {
  stream = stream && reinterpret_cast<uintptr_t>(y) % HWY_MAX_BYTES == 0;
  if constexpr (kMayHaveBeta) {
    if (beta != nullptr) {
      if (gamma != nullptr) {
        NormalizeElements<true, true>(normalize, x, gamma, beta, y, cols, next, stream);
      } else {
        NormalizeElements<false, true>(normalize, x, gamma, beta, y, cols, next, stream);
      }
      return;
    }
  }
  if (gamma != nullptr) {
    NormalizeElements<true, false>(normalize, x, gamma, beta, y, cols, next, stream);
  } else {
    NormalizeElements<false, false>(normalize, x, gamma, beta, y, cols, next, stream);
  }
}

// Several rows at a time: first what each is normalized by, whose last steps, a chain of folds, a
// division and a root, then overlap with the next row's first ones.
template <class Config>
void LayerNormKernel(const detail::norm_rows<Config>& a) {
  Normalizer normalize[detail::max_rows_together];
  const size_t together = detail::rows_together(a.cols, sizeof(typename Config::X));
  for (size_t begin = 0; begin < a.rows; begin += together) {
    const size_t n = HWY_MIN(together, a.rows - begin);
    for (size_t k = 0; k < n; ++k) {
      AddResidual(a, begin + k);
      normalize[k] = LayerNormalizer(a.x.row(begin + k), a.cols, a.epsilon);
    }
    for (size_t k = 0; k < n; ++k) {
      NormalizeRow<true>(normalize[k], a.x.row(begin + k), a.gamma, a.beta, a.y.row(begin + k),
                         a.cols, a.x.row(begin + k + together), a.stream);
    }
  }
  if (a.stream) hwy::FlushStream();
}

// sums[k] = 1 / sqrt(sums[k] / cols + epsilon), for all rows at once.
HWY_INLINE void InverseRoots(float* HWY_RESTRICT sums, size_t cols, float epsilon) {
  const hn::CappedTag<float, detail::max_rows_together> df;
  for (size_t k = 0; k < detail::max_rows_together; k += hn::Lanes(df)) {
    const auto mean = hn::Div(hn::Load(df, sums + k), hn::Set(df, static_cast<float>(cols)));
    const auto root = hn::Sqrt(hn::Add(mean, hn::Set(df, epsilon)));
    hn::Store(hn::Div(hn::Set(df, 1.0f), root), df, sums + k);
  }
}

template <class Config>
void RmsNormKernel(const detail::norm_rows<Config>& a) {
  using X = typename Config::X;
  HWY_ALIGN float scale[detail::max_rows_together] = {};
  const size_t together = detail::rows_together(a.cols, sizeof(X));
  for (size_t begin = 0; begin < a.rows; begin += together) {
    const size_t n = HWY_MIN(together, a.rows - begin);
    for (size_t k = 0; k < n; ++k) {
      AddResidual(a, begin + k);
      scale[k] = Sum<kSumLanes>(SumOfSquaresOp<X>{a.x.row(begin + k)}, a.cols);
    }
    InverseRoots(scale, a.cols, a.epsilon);
    for (size_t k = 0; k < n; ++k) {
      NormalizeRow<false>(Scaler{scale[k]}, a.x.row(begin + k), a.gamma, a.beta, a.y.row(begin + k),
                          a.cols, a.x.row(begin + k + together), a.stream);
    }
  }
  if (a.stream) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_NORM_INL_H_
