// SPDX-License-Identifier: Apache-2.0
// Optimizer steps: weights, gradient and state are read once and written once, and the model's copy
// of the weights leaves in the same pass. The formulas and their sources stand in
// training/optimizer.h.

#if defined(HALFWAY_SIMD_OPTIMIZER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_OPTIMIZER_INL_H_
#undef HALFWAY_SIMD_OPTIMIZER_INL_H_
#else
#define HALFWAY_SIMD_OPTIMIZER_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/load_store-inl.h"
#include "halfway/simd/optimizer_args.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// One vector of memory, whole or cut off by the end of the arrays.
struct WholeVector {
  template <class DF, class T>
  HWY_INLINE hn::VFromD<DF> Load(DF df, const T* p) const {
    return LoadF32(df, p);
  }
  template <class DF, class T>
  HWY_INLINE void Store(hn::VFromD<DF> v, DF df, T* p) const {
    StoreF32(v, df, p);
  }
};

struct FirstLanes {
  size_t count;

  template <class DF, class T>
  HWY_INLINE hn::VFromD<DF> Load(DF df, const T* p) const {
    return LoadNF32(df, p, count);
  }
  template <class DF, class T>
  HWY_INLINE void Store(hn::VFromD<DF> v, DF df, T* p) const {
    StoreNF32(v, df, p, count);
  }
};

// Each sum is a fused multiply-add, so every target gives the same bits. A product that stands
// alone is an operand of one, where no compiler can contract it.

template <class Model, class DF, class Part>
HWY_INLINE void SgdStep(DF df, Part part, const SgdArgs<Model>& a, size_t i) {
  const auto w = part.Load(df, a.weights + i);
  const auto g = Fma(hn::Set(df, a.weight_decay), w, part.Load(df, a.gradient + i));
  auto direction = g;
  if (a.momentum != nullptr) {
    const auto decayed = hn::Mul(hn::Set(df, a.gradient_share), g);
    const auto b = Fma(hn::Set(df, a.momentum_share), part.Load(df, a.momentum + i), decayed);
    part.Store(b, df, a.momentum + i);
    direction = a.nesterov ? Fma(hn::Set(df, a.nesterov_share), b, g) : b;
  }
  const auto updated = NegFma(hn::Set(df, a.learning_rate), direction, w);
  part.Store(updated, df, a.weights + i);
  if (a.model != nullptr) part.Store(updated, df, a.model + i);
}

template <class Model, class DF, class Part>
HWY_INLINE void AdamStep(DF df, Part part, const AdamArgs<Model>& a, size_t i) {
  const auto w = part.Load(df, a.weights + i);
  const auto g = Fma(hn::Set(df, a.l2), w, part.Load(df, a.gradient + i));
  const auto m = Fma(hn::Set(df, a.beta1), part.Load(df, a.first + i),
                     hn::Mul(hn::Set(df, a.one_minus_beta1), g));
  const auto scaled_g = hn::Mul(hn::Set(df, a.one_minus_beta2), g);
  const auto v = Fma(scaled_g, g, hn::Mul(hn::Set(df, a.beta2), part.Load(df, a.second + i)));
  part.Store(m, df, a.first + i);
  part.Store(v, df, a.second + i);
  const auto denominator =
      Fma(hn::Sqrt(v), hn::Set(df, a.inverse_root_correction), hn::Set(df, a.epsilon));
  const auto ratio = hn::Div(m, denominator);
  const auto shrunk = NegFma(hn::Set(df, a.decoupled_decay), w, w);
  const auto updated = NegFma(hn::Set(df, a.step_size), ratio, shrunk);
  part.Store(updated, df, a.weights + i);
  if (a.model != nullptr) part.Store(updated, df, a.model + i);
}

// The arguments are taken by value: stores through their pointers could otherwise change them, and
// each constant would be loaded anew in every turn.
template <class Model>
void SgdKernel(SgdArgs<Model> a) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= a.size; i += lanes) SgdStep(df, WholeVector(), a, i);
  if (i != a.size) SgdStep(df, FirstLanes{a.size - i}, a, i);
}

template <class Model>
void AdamKernel(AdamArgs<Model> a) {
  const hn::ScalableTag<float> df;
  const size_t lanes = hn::Lanes(df);
  size_t i = 0;
  for (; i + lanes <= a.size; i += lanes) AdamStep(df, WholeVector(), a, i);
  if (i != a.size) AdamStep(df, FirstLanes{a.size - i}, a, i);
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_OPTIMIZER_INL_H_
