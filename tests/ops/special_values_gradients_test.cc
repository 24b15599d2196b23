// SPDX-License-Identifier: Apache-2.0
// What gradients, embeddings, dropout and windows over images do with NaN, infinities, signed zeros
// and empty input: one test for each line of docs/special_values.md, which names it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "halfway/core/heads_view.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/attention_backward.h"
#include "halfway/ops/dropout.h"
#include "halfway/ops/embedding.h"
#include "halfway/ops/gemm_backward.h"
#include "halfway/ops/im2col.h"
#include "halfway/ops/pooling.h"
#include "halfway/ops/softmax_backward.h"
#include "halfway/types/philox.h"
#include "support/for_each_target.h"
#include "support/heads_memory.h"

namespace {

using halfway::heads_view;
using halfway::image_shape;
using halfway::matrix;
using halfway::matrix_view;
using halfway::window_2d;
using halfway::testing::for_each_target;
using halfway::testing::heads_memory;

using floats = std::vector<float>;
constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

bool is_positive_zero(float x) { return x == 0.0f && !std::signbit(x); }

matrix<float> filled(std::size_t rows, std::size_t cols, float value) {
  matrix<float> m(rows, cols);
  for (float& x : m.elements()) x = value;
  return m;
}

TEST(SpecialValues, SoftmaxGradientWithNan) {
  for_each_target([] {
    for (const bool in_y : {true, false}) {
      matrix<float> y = filled(3, 37, 0.125f), dy = filled(3, 37, 2.0f), dx(3, 37);
      (in_y ? y : dy)(1, 20) = nan;
      halfway::softmax_backward(y, dy, dx);
      for (std::size_t j = 0; j < 37; ++j) {
        EXPECT_TRUE(std::isfinite(dx(0, j)));
        EXPECT_TRUE(std::isnan(dx(1, j)));
        EXPECT_TRUE(std::isfinite(dx(2, j)));
      }
    }
  });
}

TEST(SpecialValues, SoftmaxGradientOfMasked) {
  for_each_target([] {
    matrix<float> y = filled(1, 20, 0.0f), dy = filled(1, 20, 3.0f), dx = filled(1, 20, nan);
    y(0, 3) = 1.0f;
    halfway::softmax_backward(y, dy, dx);
    for (const float x : dx.elements()) EXPECT_EQ(x, 0.0f);
  });
}

TEST(SpecialValues, LogSoftmaxGradientOfMinusInfinity) {
  for_each_target([] {
    matrix<float> y = filled(1, 20, -3.0f), dy = filled(1, 20, 3.0f), dx(1, 20);
    y(0, 3) = -inf;
    halfway::log_softmax_backward(y, dy, dx);
    EXPECT_EQ(dx(0, 3), 3.0f);
  });
}

TEST(SpecialValues, GemmGradientOfNothing) {
  for_each_target([] {
    // No rows: nothing is added, and there is no gradient of a to write.
    matrix<float> db = filled(4, 5, 7.0f);
    floats dbias(5, 3.0f);
    halfway::gemm_backward(matrix<float>(0, 4), filled(4, 5, 1.0f), matrix<float>(0, 5),
                           matrix_view<float>(), db.view(), dbias);
    for (const float x : db.elements()) EXPECT_EQ(x, 7.0f);
    EXPECT_EQ(dbias, floats(5, 3.0f));
  });
}

TEST(SpecialValues, AttentionGradientAllMasked) {
  for_each_target([] {
    heads_memory<float> q(1, 2, 4), k(1, 3, 4), v(1, 3, 4), dout(1, 2, 4), dq(1, 2, 4), dk(1, 3, 4),
        dv(1, 3, 4);
    for (auto* x : {&q, &k, &v, &dout}) x->fill_normal(1.0, 1);
    const floats mask(6, -inf);
    halfway::attention_backward(q.view(), k.view(), v.view(), dout.view(), dq.view(), dk.view(),
                                dv.view(), {.mask = heads_view<const float>(mask.data(), 1, 2, 3)});
    for (std::size_t j = 0; j < 4; ++j) {
      EXPECT_EQ(dq.view()(0, 1, j), 0.0f);
      EXPECT_EQ(dk.view()(0, 2, j), 0.0f);
      EXPECT_EQ(dv.view()(0, 2, j), 0.0f);
    }
  });
}

TEST(SpecialValues, AttentionGradientOfNothing) {
  for_each_target([] {
    // No queries: keys and values have no gradient.
    heads_memory<float> k(1, 3, 4), dk(1, 3, 4), dv(1, 3, 4);
    k.fill_normal(1.0, 1);
    const heads_view<float> none(nullptr, 1, 0, 4);
    halfway::attention_backward(none, k.view(), k.view(), none, none, dk.view(), dv.view());
    for (std::size_t j = 0; j < 4; ++j) {
      EXPECT_TRUE(is_positive_zero(dk.view()(0, 2, j)));
      EXPECT_TRUE(is_positive_zero(dv.view()(0, 2, j)));
    }
  });
}

TEST(SpecialValues, EmbeddingGradientWithNan) {
  for_each_target([] {
    matrix<float> dy = filled(2, 5, 1.0f), dtable(3, 5);
    dy(0, 1) = nan;
    const std::vector<std::int32_t> indices = {2, 0};
    halfway::embedding_backward(indices, dy, dtable.view());
    for (std::size_t j = 0; j < 5; ++j) {
      EXPECT_EQ(dtable(0, j), 1.0f);
      EXPECT_EQ(dtable(1, j), 0.0f);
      EXPECT_EQ(std::isnan(dtable(2, j)), j == 1);
    }
  });
}

TEST(SpecialValues, DropoutOfNan) {
  for_each_target([] {
    const floats x(64, nan);
    floats y(64);
    halfway::dropout(x, y, {.probability = 0.5f, .seed = 1});
    for (std::size_t i = 0; i < 64; ++i) {
      const bool stays = halfway::random_word(1, i) >= 0x80000000u;
      EXPECT_TRUE(stays ? std::isnan(y[i]) : is_positive_zero(y[i])) << i;
    }
  });
}

TEST(SpecialValues, MaxPoolWithNan) {
  for_each_target([] {
    const floats x = {1.0f, nan, inf, nan};
    floats y(1), dx(4);
    const window_2d window{.kernel = {1, 4}};
    halfway::max_pool(x, image_shape{1, 1, 4, 1}, window, y);
    EXPECT_TRUE(std::isnan(y[0]));
    halfway::max_pool_backward(x, floats{5.0f}, image_shape{1, 1, 4, 1}, window, dx);
    EXPECT_EQ(dx, (floats{0, 5, 0, 0}));
  });
}

TEST(SpecialValues, MaxPoolOfEquals) {
  for_each_target([] {
    const floats x = {-1.0f, -0.0f, 0.0f, -0.0f};
    floats y(1), dx(4);
    const window_2d window{.kernel = {1, 4}};
    halfway::max_pool(x, image_shape{1, 1, 4, 1}, window, y);
    EXPECT_TRUE(y[0] == 0.0f && std::signbit(y[0]));
    halfway::max_pool_backward(x, floats{5.0f}, image_shape{1, 1, 4, 1}, window, dx);
    EXPECT_EQ(dx, (floats{0, 5, 0, 0}));
  });
}

TEST(SpecialValues, WindowsThatLeavePixelsOut) {
  for_each_target([] {
    // A window of 1 with a stride of 2 over 3 pixels.
    const image_shape shape{1, 1, 3, 1};
    const window_2d window{.stride = {1, 2}};
    floats dx(3, nan);
    halfway::col2im(filled(2, 1, 4.0f), shape, window, dx);
    EXPECT_EQ(dx, (floats{4, 0, 4}));
    EXPECT_TRUE(is_positive_zero(dx[1]));
    halfway::average_pool_backward(floats{4, 4}, shape, window, dx);
    EXPECT_EQ(dx, (floats{4, 0, 4}));
  });
}

}  // namespace
