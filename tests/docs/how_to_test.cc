// SPDX-License-Identifier: Apache-2.0
// docs/how-to, page after page.
#include <gtest/gtest.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/fidelity/health.h"
#include "halfway/fidelity/logit_comparison.h"
#include "halfway/fidelity/nan_trace.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/softmax.h"
#include "halfway/precision/op_registry.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "support/guide.h"

// The guides' assertions are tests.
#undef assert
#define assert(condition) EXPECT_TRUE(condition)

namespace {

template <class T>
halfway::matrix<float> through(const halfway::matrix<float>& x) {
  halfway::matrix<T> narrow(x.rows(), x.cols());
  halfway::convert(x, narrow);
  halfway::matrix<float> wide(x.rows(), x.cols());
  halfway::convert(narrow, wide);
  return wide;
}

TEST(HowTo, ChooseTheFormatByItsRange) {
  std::mt19937 random(2);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  std::vector<float> gradients(10000);
  for (float& g : gradients) g = std::ldexp(normal(random), -24);  // half's smallest is 2^-24

  // Flushed is |normal| <= 1/2: 0.383 of all, of 10,000 with a standard deviation of 0.005.
  halfway::numeric_health as_half(halfway::dtype::float16);
  halfway::numeric_health as_bfloat16(halfway::dtype::bfloat16);
  as_half.add(gradients);
  as_bfloat16.add(gradients);
  assert(as_half.underflow_share() > 0.35);      // float16 flushes more than a third to 0
  assert(as_bfloat16.underflow_share() == 0.0);  // bfloat16 none

  halfway::numeric_health scaled(halfway::dtype::float16);
  for (float& g : gradients) g *= 65536.0f;  // what loss_scaler starts with
  scaled.add(gradients);
  assert(scaled.underflow_share() < 0.01 && scaled.overflow() == 0);
}

TEST(HowTo, ChooseTheFormatByItsDigits) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  halfway::matrix<float> logits32(200, 10);
  for (float& v : logits32.elements()) v = normal(random);
  const halfway::matrix<float> logits_of_half = through<halfway::half>(logits32);
  const halfway::matrix<float> logits_of_bfloat16 = through<halfway::bfloat16>(logits32);

  halfway::logit_comparison in_half, in_bfloat16;
  in_half.add(logits32, logits_of_half);
  in_bfloat16.add(logits32, logits_of_bfloat16);
  assert(in_half.mean_kl() < in_bfloat16.mean_kl());  // no value left the range of float16
}

TEST(HowTo, DebugANaN) {
  halfway::matrix<halfway::half> x(2, 8), w(8, 3), scores(2, 3), shares(2, 3);
  for (halfway::half& v : x.elements()) v = halfway::half(1.0f);
  for (std::size_t k = 0; k < 8; ++k) w(k, 2) = halfway::half(k == 0 ? 60000.0f : 1000.0f);
  for (std::size_t k = 0; k < 8; ++k) x(1, k) = halfway::half(0.5f);

  halfway::nan_trace trace;
  trace.add("input", x.elements());
  halfway::gemm(x, w, scores);
  trace.add("scores", scores.elements());
  halfway::softmax(scores, shares);
  trace.add("softmax", shares.elements());

  const auto& origin = trace.origin();
  assert(origin && origin->operation == "scores" && origin->index == 2);
  assert(std::isinf(origin->value));  // not a NaN yet: softmax made one of it
  EXPECT_TRUE(isnan(shares(0, 2)));

  halfway::numeric_health health(halfway::dtype::float16);
  health.add(scores.elements());
  assert(health.infinite() + health.overflow() == 1);
}

TEST(HowTo, WriteAnOperation) {
  halfway::op_registry registry;
  registry.add("squared_relu", [](auto inputs, halfway::matrix_view<float> y) {
    for (std::size_t i = 0; i < y.rows(); ++i) {
      for (std::size_t j = 0; j < y.cols(); ++j) {
        const float v = std::max(inputs[0](i, j), 0.0f);
        y(i, j) = v * v;
      }
    }
  });
  halfway::matrix<halfway::bfloat16> x(4, 100), y(4, 100);
  x(1, 7) = halfway::bfloat16(3.0f);
  registry.run("squared_relu", y, x);
  assert(y(1, 7) == halfway::bfloat16(9.0f));
  assert(registry.counters("squared_relu").fallbacks == 1);
}

TEST(HowTo, FuseAnOperation) {
  halfway::matrix<float> a(2, 2), b(2, 2), c(2, 2);
  a(0, 0) = 2, a(1, 1) = -3, b(0, 0) = 2, b(1, 1) = 2;
  const halfway::fused_activation squared_relu = {[](const float* in, float* out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      const float v = std::max(in[i], 0.0f);
      out[i] = v * v;
    }
  }};
  halfway::gemm(a, b, c, {.activation = squared_relu});
  EXPECT_EQ(c(0, 0), 16.0f);
  EXPECT_EQ(c(1, 1), 0.0f);
}

TEST(HowTo, ShowsWhatIsTestedHere) {
  using halfway::testing::expect_blocks_in;
  EXPECT_EQ(expect_blocks_in(HALFWAY_DOCS "/how-to/choose-fp16-or-bf16.md", {__FILE__}), 3u);
  EXPECT_EQ(expect_blocks_in(HALFWAY_DOCS "/how-to/debug-a-nan.md", {__FILE__}), 2u);
  EXPECT_EQ(expect_blocks_in(HALFWAY_DOCS "/how-to/write-a-custom-op.md",
                             {__FILE__, HALFWAY_ROOT "/tests/simd/own_loop.cc"}),
            4u);
}

}  // namespace
