// SPDX-License-Identifier: Apache-2.0
// docs/tutorial.md, block after block.
#include <gtest/gtest.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "halfway/halfway.h"
#include "support/guide.h"

// The guide's assertions are tests.
#undef assert
#define assert(condition) EXPECT_TRUE(condition)

namespace {

TEST(Tutorial, EveryBlockHoldsInOneProgram) {
  const halfway::half h(0.1f);
  const halfway::bfloat16 b(0.1f);
  assert(static_cast<float>(h) == 0.0999755859375f);  // 11 significant bits
  assert(static_cast<float>(b) == 0.10009765625f);    // 8, but the range of float
  assert(static_cast<float>(halfway::half(70000.0f)) == std::numeric_limits<float>::infinity());
  assert(static_cast<float>(halfway::bfloat16(70000.0f)) == 70144.0f);
  assert(halfway::saturate_cast<halfway::half>(70000.0f) == halfway::half(65504.0f));

  const std::size_t batch = 64, inputs = 512, outputs = 256;
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 1.0f);
  halfway::matrix<float> x32(batch, inputs), w32(inputs, outputs);
  for (float& v : x32.elements()) v = normal(random);
  for (float& v : w32.elements()) v = normal(random) * 0.05f;

  halfway::matrix<halfway::bfloat16> x(batch, inputs), w(inputs, outputs);
  halfway::convert(x32, x);
  halfway::convert(w32, w);

  halfway::matrix<float> y(batch, outputs);
  halfway::gemm(x, w, y);

  double exact = 0, magnitudes = 0;
  for (std::size_t k = 0; k < inputs; ++k) {
    const double term = static_cast<double>(x(3, k)) * static_cast<double>(w(k, 5));
    exact += term;  // of 16-bit numbers: exact to 53 bits
    magnitudes += std::abs(term);
  }
  assert(std::abs(static_cast<double>(y(3, 5)) - exact) <=
         halfway::gemm_error_bound(inputs, magnitudes));

  const halfway::packed_matrix packed(w);
  const std::vector<float> bias(outputs, 0.1f);
  halfway::matrix<halfway::bfloat16> hidden(batch, outputs);
  halfway::gemm(x, packed, hidden,
                {.bias = bias, .activation = halfway::fused<halfway::activation::gelu>()});

  halfway::matrix<float> reference(batch, outputs);
  halfway::gemm(x32, w32, reference,
                {.bias = bias, .activation = halfway::fused<halfway::activation::gelu>()});
  halfway::comparison quality(halfway::dtype::bfloat16);
  quality.add(reference.elements(), hidden.elements());
  assert(quality.broken() == 0);  // no NaN, no infinity that FP32 had not
  assert(quality.sqnr_db() > 40);

  const auto w8 = halfway::quantize_groups<halfway::int8>(w32, 32);
  const auto w4 = halfway::quantize_groups<halfway::int4>(w32, 32);
  halfway::matrix<float> y8(batch, outputs), y4(batch, outputs);
  halfway::gemm(x, w8, y8);
  halfway::gemm(x, w4, y4);
  assert(w4.bytes() < w32.bytes() / 6);

  halfway::matrix<float> y32(batch, outputs);
  halfway::gemm(x32, w32, y32);
  halfway::comparison of8, of4;
  of8.add(y32.elements(), y8.elements());
  of4.add(y32.elements(), y4.elements());
  assert(of8.sqnr_db() > 40 && of4.sqnr_db() > 15 && of4.sqnr_db() < 30);

  halfway::thread_pool pool(2);
  halfway::matrix<float> y_parallel(batch, outputs);
  halfway::gemm(x, w, y_parallel, {}, pool);
  assert(std::ranges::equal(y.elements(), y_parallel.elements()));

  std::string message;
  try {
    halfway::gemm(x, w, hidden.view().block(0, 0, batch, 100));
  } catch (const halfway::error& e) {
    message = e.what();
  }
  assert(message == "halfway::gemm: c.cols (100) must equal b.cols (256)");
}

TEST(Tutorial, ShowsWhatIsTestedHere) {
  EXPECT_EQ(halfway::testing::expect_blocks_in(HALFWAY_DOCS "/tutorial.md", {__FILE__}), 9u);
}

}  // namespace
