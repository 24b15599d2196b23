// SPDX-License-Identifier: Apache-2.0
// Optimizer steps: weights, gradient and state are read once and written once, and the model's copy
// of the weights leaves in the same pass. The formulas and their sources stand in training/sgd.h,
// adam.h and lion.h.

#if defined(HALFWAY_SIMD_OPTIMIZER_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HALFWAY_SIMD_OPTIMIZER_INL_H_
#undef HALFWAY_SIMD_OPTIMIZER_INL_H_
#else
#define HALFWAY_SIMD_OPTIMIZER_INL_H_
#endif

#include <cstddef>

#include "halfway/simd/fma-inl.h"
#include "halfway/simd/optimizer_args.h"
#include "halfway/simd/optimizer_moments-inl.h"
#include "halfway/simd/optimizer_weights-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace halfway {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Each sum is a fused multiply-add, so every target gives the same bits. A product that stands
// alone is an operand of one, where no compiler can contract it.

// update(df, part, i, w, g): the new value of weights w, and new state in memory.
template <class Rule>
class RuleBlock;

template <>
class RuleBlock<SgdRule> {
 public:
  static constexpr bool kComputesBetween = false;
  explicit HWY_INLINE RuleBlock(SgdRule rule) : a_(rule) {}
  HWY_INLINE void Prefetch(size_t i, size_t n) const {
    if (a_.momentum != nullptr) PrefetchElements(a_.momentum, i, n);
  }
  HWY_INLINE void Begin(size_t /*i*/, size_t /*n*/) {}
  HWY_INLINE void End(size_t /*i*/, size_t /*n*/) {}

  template <class DF, class Part, class V = hn::VFromD<DF>>
  HWY_INLINE V Update(DF df, Part part, size_t i, V w, V gradient) {
    const auto g = Fma(hn::Set(df, a_.weight_decay), w, gradient);
    auto direction = g;
    if (a_.momentum != nullptr) {
      const auto decayed = hn::Mul(hn::Set(df, a_.gradient_share), g);
      const auto b = Fma(hn::Set(df, a_.momentum_share), part.Load(df, a_.momentum + i), decayed);
      part.Store(b, df, a_.momentum + i);
      direction = a_.nesterov ? Fma(hn::Set(df, a_.nesterov_share), b, g) : b;
    }
    return NegFma(hn::Set(df, a_.learning_rate), direction, w);
  }

 private:
  SgdRule a_;
};

template <class Moments>
class RuleBlock<AdamRule<Moments>> {
 public:
  static constexpr bool kComputesBetween = MomentBlock<Moments>::kComputesBetween;
  explicit HWY_INLINE RuleBlock(AdamRule<Moments> rule) : a_(rule), moments_(rule.moments) {}
  HWY_INLINE void Prefetch(size_t i, size_t n) const { moments_.Prefetch(i, n); }
  HWY_INLINE void Begin(size_t i, size_t n) { moments_.Begin(i, n); }
  HWY_INLINE void End(size_t i, size_t n) { moments_.End(i, n); }

  template <class DF, class Part, class V = hn::VFromD<DF>>
  HWY_INLINE V Update(DF df, Part part, size_t i, V w, V gradient) {
    const auto g = Fma(hn::Set(df, a_.l2), w, gradient);
    const auto m = Fma(hn::Set(df, a_.beta1), moments_.LoadFirst(df, part, i),
                       hn::Mul(hn::Set(df, a_.one_minus_beta1), g));
    const auto scaled_g = hn::Mul(hn::Set(df, a_.one_minus_beta2), g);
    const auto v =
        Fma(scaled_g, g, hn::Mul(hn::Set(df, a_.beta2), moments_.LoadSecond(df, part, i)));
    moments_.Store(m, v, df, part, i);
    const auto denominator =
        Fma(hn::Sqrt(v), hn::Set(df, a_.inverse_root_correction), hn::Set(df, a_.epsilon));
    const auto ratio = hn::Div(m, denominator);
    const auto shrunk = NegFma(hn::Set(df, a_.decoupled_decay), w, w);
    return NegFma(hn::Set(df, a_.step_size), ratio, shrunk);
  }

 private:
  AdamRule<Moments> a_;
  MomentBlock<Moments> moments_;
};

template <>
class RuleBlock<LionRule> {
 public:
  static constexpr bool kComputesBetween = false;
  explicit HWY_INLINE RuleBlock(LionRule rule) : a_(rule) {}
  HWY_INLINE void Prefetch(size_t i, size_t n) const { PrefetchElements(a_.momentum, i, n); }
  HWY_INLINE void Begin(size_t /*i*/, size_t /*n*/) {}
  HWY_INLINE void End(size_t /*i*/, size_t /*n*/) {}

  template <class DF, class Part, class V = hn::VFromD<DF>>
  HWY_INLINE V Update(DF df, Part part, size_t i, V w, V g) {
    const auto m = part.Load(df, a_.momentum + i);
    const auto c = Fma(hn::Set(df, a_.beta1), m, hn::Mul(hn::Set(df, a_.one_minus_beta1), g));
    part.Store(Fma(hn::Set(df, a_.beta2), m, hn::Mul(hn::Set(df, a_.one_minus_beta2), g)), df,
               a_.momentum + i);
    // Zero and NaN are their own sign.
    const auto has_sign = hn::Gt(hn::Abs(c), hn::Zero(df));
    const auto sign = hn::IfThenElse(has_sign, hn::CopySign(hn::Set(df, 1.0f), c), c);
    const auto shrunk = NegFma(hn::Set(df, a_.decoupled_decay), w, w);
    return NegFma(hn::Set(df, a_.learning_rate), sign, shrunk);
  }

 private:
  LionRule a_;
};

template <class Weights, class Rule, class Gradient>
struct StepBlock {
  static constexpr bool kPrefetches = Weights::kComputesBetween || Rule::kComputesBetween;
  // Random numbers of few elements are computed while the steps of those before wait for memory.
  static constexpr size_t kElements =
      Weights::kComputesBetween && !Rule::kComputesBetween ? 64 : optimizer_block;

  Weights& weights;
  Rule& rule;
  const Gradient* gradient;

  HWY_INLINE void Begin(size_t i, size_t n) {
    if constexpr (kPrefetches) {
      const size_t later = i + optimizer_block;
      weights.Prefetch(later, kElements);
      rule.Prefetch(later, kElements);
      PrefetchElements(gradient, later, kElements);
    }
    weights.Begin(i, n);
    rule.Begin(i, n);
  }
  HWY_INLINE void End(size_t i, size_t n) { rule.End(i, n); }
};

// Elements [begin, end); begin is a multiple of optimizer_block. The arguments are taken by value:
// stores through their pointers could otherwise change them, and each constant would be loaded anew
// in every turn.
template <class Args>
void OptimizerStepKernel(Args a, size_t begin, size_t end) {
  using Weights = WeightBlock<typename Args::Weights>;
  using Rule = RuleBlock<typename Args::Rule>;
  const OptimizerTag df;
  Weights weights(a.weights);
  Rule rule(a.rule);
  using Gradient = typename Args::Gradient;
  ForEachVector(begin, end, StepBlock<Weights, Rule, Gradient>{weights, rule, a.gradient},
                [&](auto part, size_t i) HWY_ATTR {
                  const auto w = weights.Load(df, part, i);
                  const auto g =
                      hn::Mul(part.Load(df, a.gradient + i), hn::Set(df, a.gradient_factor));
                  weights.Store(rule.Update(df, part, i, w, g), df, part, i);
                });
}

}  // namespace HWY_NAMESPACE
}  // namespace halfway
HWY_AFTER_NAMESPACE();

#endif  // HALFWAY_SIMD_OPTIMIZER_INL_H_
