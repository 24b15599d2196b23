// SPDX-License-Identifier: Apache-2.0
// Gradients of attention.
#include "halfway/ops/attention_backward.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "halfway/core/heads_view.h"
#include "halfway/core/matrix.h"
#include "halfway/simd/sum_order.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/heads_memory.h"
#include "support/numerics.h"

namespace {

using halfway::attention_backward;
using halfway::attention_options;
using halfway::bfloat16;
using halfway::half;
using halfway::heads_view;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;
using halfway::testing::heads_memory;
using halfway::testing::layout;
using halfway::testing::rounding_of;
using halfway::testing::u32;

constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

struct shape {
  std::size_t heads, kv_heads, q_rows, kv_rows, size, v_size;
};

// Attention and its gradients in double, one query after the other.
struct reference {
  struct tensor {
    tensor(std::size_t heads, std::size_t n_rows, std::size_t n)
        : rows(n_rows), size(n), values(heads * n_rows * n) {}
    double& operator()(std::size_t h, std::size_t i, std::size_t j) {
      return values[(h * rows + i) * size + j];
    }
    double operator()(std::size_t h, std::size_t i, std::size_t j) const {
      return values[(h * rows + i) * size + j];
    }
    std::size_t rows, size;
    std::vector<double> values;
  };
  template <class T>
  static tensor widened(heads_view<T> x) {
    tensor t(x.heads(), x.rows(), x.size());
    for (std::size_t h = 0; h < x.heads(); ++h) {
      for (std::size_t i = 0; i < x.rows(); ++i) {
        for (std::size_t j = 0; j < x.size(); ++j) t(h, i, j) = static_cast<double>(x(h, i, j));
      }
    }
    return t;
  }

  reference(const shape& s, const attention_options& o, tensor queries, tensor keys, tensor values)
      : shape_(s), options(o), q(std::move(queries)), k(std::move(keys)), v(std::move(values)) {
    scale = o.scale ? static_cast<double>(*o.scale) : 1 / std::sqrt(static_cast<double>(s.size));
  }

  bool sees(std::size_t i, std::size_t j) const {
    const std::size_t at = shape_.kv_rows - shape_.q_rows + i;
    return !options.causal || (j <= at && (options.window > at || j > at - options.window));
  }

  // The weights of query i of head h; what bounds of their errors are made of.
  struct row {
    std::vector<double> weights;
    double a = 0, b = 0;  // the largest scale * sum |q||k|, and the largest bias
    double spread = 0;    // of softmax's bound: the largest distance from the largest score
  };
  row weights_of(std::size_t h, std::size_t i) const {
    const std::size_t g = h / (shape_.heads / shape_.kv_heads);
    row r{std::vector<double>(shape_.kv_rows, -HUGE_VAL)};
    double largest = -HUGE_VAL;
    for (std::size_t j = 0; j < shape_.kv_rows; ++j) {
      if (!sees(i, j)) continue;
      double score = 0, magnitude = 0;
      for (std::size_t e = 0; e < shape_.size; ++e) {
        score += scale * q(h, i, e) * k(g, j, e);
        magnitude += std::abs(scale * q(h, i, e) * k(g, j, e));
      }
      double bias = 0, bias_magnitude = 0;
      if (!options.mask.empty()) {
        bias += options.mask(h / (shape_.heads / options.mask.heads()),
                             options.mask.rows() == 1 ? 0 : i, j);
        if (std::isfinite(bias)) bias_magnitude += std::abs(bias);
      }
      if (!options.slopes.empty()) {
        const double distance =
            static_cast<double>(j) - static_cast<double>(i + shape_.kv_rows - shape_.q_rows);
        bias += options.slopes[h] * distance;
        bias_magnitude += std::abs(options.slopes[h] * distance);
      }
      r.weights[j] = score + bias;
      r.a = std::max(r.a, magnitude);
      r.b = std::max(r.b, bias_magnitude);
      largest = std::max(largest, r.weights[j]);
    }
    double sum = 0;
    for (double& w : r.weights) {
      if (std::isfinite(w)) r.spread = std::max(r.spread, largest - w);
      w = largest == -HUGE_VAL ? 0 : std::exp(w - largest);
      sum += w;
    }
    if (sum != 0) {
      for (double& w : r.weights) w /= sum;
    }
    return r;
  }

  double loss(const tensor& dout) const {
    double total = 0;
    for (std::size_t h = 0; h < shape_.heads; ++h) {
      const std::size_t g = h / (shape_.heads / shape_.kv_heads);
      for (std::size_t i = 0; i < shape_.q_rows; ++i) {
        const row r = weights_of(h, i);
        for (std::size_t j = 0; j < shape_.kv_rows; ++j) {
          for (std::size_t e = 0; e < shape_.v_size; ++e) {
            total += r.weights[j] * v(g, j, e) * dout(h, i, e);
          }
        }
      }
    }
    return total;
  }

  // The gradients, and bounds of their errors as ops/attention_backward.h derives them.
  struct gradients {
    tensor dq, dk, dv, dq_error, dk_error, dv_error;
  };
  gradients of(const tensor& dout) const {
    const auto& s = shape_;
    const tensor like_q(s.heads, s.q_rows, s.size), like_k(s.kv_heads, s.kv_rows, s.size),
        like_v(s.kv_heads, s.kv_rows, s.v_size);
    gradients r{like_q, like_k, like_v, like_q, like_k, like_v};
    const auto n = static_cast<double>(s.kv_rows);
    const auto sharing = static_cast<double>(s.heads / s.kv_heads * s.q_rows);
    const double rows = sharing + sharing / 16;
    const auto d = static_cast<double>(halfway::detail::additions_in_part(s.kv_rows)) + 1;
    for (std::size_t h = 0; h < s.heads; ++h) {
      const std::size_t g = h / (s.heads / s.kv_heads);
      for (std::size_t i = 0; i < s.q_rows; ++i) {
        const row w = weights_of(h, i);
        const double c = 2 * 1.23 * w.spread + std::min(64.0, std::ceil(n / 64)) +
                         std::floor((n - 1) / 4096) + 13;
        const double e = (2 * ((static_cast<double>(s.size) + 6) * w.a + 3 * w.b) + c) * u32 * 1.01;
        const auto bound = [&](double terms) {
          return 1.01 * (2 * e + (2 * static_cast<double>(s.v_size) + d + terms + 16) * u32);
        };
        std::vector<double> dw(s.kv_rows), G(s.kv_rows);
        double mean = 0, H = 0;
        for (std::size_t j = 0; j < s.kv_rows; ++j) {
          for (std::size_t x = 0; x < s.v_size; ++x) {
            dw[j] += dout(h, i, x) * v(g, j, x);
            G[j] += std::abs(dout(h, i, x) * v(g, j, x));
          }
          mean += w.weights[j] * dw[j];
          H += w.weights[j] * G[j];
        }
        for (std::size_t j = 0; j < s.kv_rows; ++j) {
          const double ds = scale * w.weights[j] * (dw[j] - mean);
          const double size_of_ds = scale * w.weights[j] * (G[j] + H);
          for (std::size_t x = 0; x < s.size; ++x) {
            r.dq(h, i, x) += ds * k(g, j, x);
            r.dk(g, j, x) += ds * q(h, i, x);
            r.dq_error(h, i, x) += bound(n) * size_of_ds * std::abs(k(g, j, x)) + 0x1p-140;
            r.dk_error(g, j, x) += bound(rows) * size_of_ds * std::abs(q(h, i, x)) + 0x1p-140;
          }
          for (std::size_t x = 0; x < s.v_size; ++x) {
            r.dv(g, j, x) += w.weights[j] * dout(h, i, x);
            r.dv_error(g, j, x) +=
                1.01 * (e + (rows + 4) * u32) * w.weights[j] * std::abs(dout(h, i, x)) + 0x1p-140;
          }
        }
      }
    }
    return r;
  }

  shape shape_;
  attention_options options;
  double scale;
  tensor q, k, v;
};

template <class T>
void expect_within(const reference::tensor& exact, const reference::tensor& error,
                   heads_view<T> is) {
  for (std::size_t h = 0; h < is.heads(); ++h) {
    for (std::size_t i = 0; i < is.rows(); ++i) {
      for (std::size_t j = 0; j < is.size(); ++j) {
        ASSERT_LE(std::abs(static_cast<double>(is(h, i, j)) - exact(h, i, j)),
                  error(h, i, j) + rounding_of<T>(std::abs(exact(h, i, j)) + error(h, i, j)))
            << h << " " << i << " " << j;
      }
    }
  }
}

// Whether the scores are products of bfloat16, whose dot product instructions flush subnormals,
// does not matter to values of this size.
template <class T>
void expect_gradients(const shape& s, const attention_options& options, layout l) {
  SCOPED_TRACE(::testing::Message()
               << s.heads << "/" << s.kv_heads << " heads, " << s.q_rows << " of " << s.kv_rows
               << " rows, " << s.size << ", " << s.v_size);
  heads_memory<T> q(s.heads, s.q_rows, s.size, l), k(s.kv_heads, s.kv_rows, s.size, l),
      v(s.kv_heads, s.kv_rows, s.v_size, l), dout(s.heads, s.q_rows, s.v_size, l),
      dq(s.heads, s.q_rows, s.size, l), dk(s.kv_heads, s.kv_rows, s.size, l),
      dv(s.kv_heads, s.kv_rows, s.v_size, l);
  q.fill_normal(1.0, 1);
  k.fill_normal(1.0, 2);
  v.fill_normal(1.0, 3);
  dout.fill_normal(1.0, 4);
  const reference exact(s, options, reference::widened(q.view()), reference::widened(k.view()),
                        reference::widened(v.view()));
  const auto gradients = exact.of(reference::widened(dout.view()));
  attention_backward(q.view(), k.view(), v.view(), dout.view(), dq.view(), dk.view(), dv.view(),
                     options);
  expect_within(gradients.dq, gradients.dq_error, dq.view());
  expect_within(gradients.dk, gradients.dk_error, dk.view());
  expect_within(gradients.dv, gradients.dv_error, dv.view());
  EXPECT_TRUE(dq.surroundings_are_whole());
  EXPECT_TRUE(dk.surroundings_are_whole());
  EXPECT_TRUE(dv.surroundings_are_whole());
}

template <class T>
class AttentionBackward : public ::testing::Test {};
using Types = ::testing::Types<float, half, bfloat16>;
TYPED_TEST_SUITE(AttentionBackward, Types);

TYPED_TEST(AttentionBackward, StaysWithinItsBounds) {
  for_each_target([] {
    expect_gradients<TypeParam>({1, 1, 1, 1, 1, 1}, {}, layout::dense);
    expect_gradients<TypeParam>({2, 1, 5, 7, 3, 4}, {}, layout::padded);
    expect_gradients<TypeParam>({4, 2, 17, 33, 16, 8}, {.causal = true}, layout::token_major);
    expect_gradients<TypeParam>({1, 1, 150, 150, 20, 17}, {.causal = true}, layout::dense);
    expect_gradients<TypeParam>({2, 2, 40, 60, 8, 8}, {.causal = true, .scale = 0.7f, .window = 9},
                                layout::padded);
    // A mask with a key that nobody sees, and slopes.
    std::vector<float> mask(2 * 6 * 9);
    for (std::size_t i = 0; i < mask.size(); ++i) {
      mask[i] = i % 9 == 4 ? -inf : 0.25f * static_cast<float>(i % 5);
    }
    const std::vector<float> slopes = {0.5f, 0.25f, 0.125f, 0.0625f};
    expect_gradients<TypeParam>(
        {4, 2, 6, 9, 5, 6},
        {.mask = heads_view<const float>(mask.data(), 2, 6, 9), .slopes = slopes}, layout::dense);
  });
}

TEST(AttentionBackwardOf, AreThoseOfTheForwardFunction) {
  // Central differences of sum(dout * out) in double, whose error is of the order of h^2 and 1e-16
  // / h; and that of the gradients of the order of 100 u.
  const shape s{2, 1, 4, 5, 3, 2};
  const attention_options options{.causal = true, .scale = 0.9f};
  heads_memory<float> q(2, 4, 3), k(1, 5, 3), v(1, 5, 2), dout(2, 4, 2), dq(2, 4, 3), dk(1, 5, 3),
      dv(1, 5, 2);
  q.fill_normal(1.0, 1);
  k.fill_normal(1.0, 2);
  v.fill_normal(1.0, 3);
  dout.fill_normal(1.0, 4);
  attention_backward(q.view(), k.view(), v.view(), dout.view(), dq.view(), dk.view(), dv.view(),
                     options);
  const auto g = reference::widened(dout.view());
  reference at(s, options, reference::widened(q.view()), reference::widened(k.view()),
               reference::widened(v.view()));
  const auto expect = [&](reference::tensor& x, heads_view<float> gradient) {
    for (std::size_t i = 0; i < x.values.size(); ++i) {
      const double h = 1e-5, here = x.values[i];
      x.values[i] = here + h;
      const double above = at.loss(g);
      x.values[i] = here - h;
      const double below = at.loss(g);
      x.values[i] = here;
      EXPECT_NEAR(gradient.data()[i], (above - below) / (2 * h), 1e-5) << i;
    }
  };
  expect(at.q, dq.view());
  expect(at.k, dk.view());
  expect(at.v, dv.view());
}

TEST(AttentionBackwardOf, RowsThatSeeNothingGiveNothing) {
  for_each_target([] {
    heads_memory<float> q(1, 2, 4), k(1, 3, 4), v(1, 3, 4), dout(1, 2, 4), dq(1, 2, 4), dk(1, 3, 4),
        dv(1, 3, 4);
    q.fill_normal(1.0, 1);
    k.fill_normal(1.0, 2);
    v.fill_normal(1.0, 3);
    dout.fill_normal(1.0, 4);
    const std::vector<float> mask = {-inf, -inf, -inf, 0, 0, 0};
    const attention_options options{.mask = heads_view<const float>(mask.data(), 1, 2, 3)};
    const auto run = [&] {
      attention_backward(q.view(), k.view(), v.view(), dout.view(), dq.view(), dk.view(), dv.view(),
                         options);
    };
    run();
    for (std::size_t j = 0; j < 4; ++j) {
      EXPECT_EQ(dq.view()(0, 0, j), 0.0f);
      EXPECT_NE(dq.view()(0, 1, j), 0.0f);
      EXPECT_TRUE(std::isfinite(dk.view()(0, 0, j)));
    }
    q.view()(0, 1, 2) = nan;
    run();
    for (std::size_t j = 0; j < 4; ++j) {
      EXPECT_EQ(dq.view()(0, 0, j), 0.0f);
      EXPECT_TRUE(std::isnan(dq.view()(0, 1, j)));
      EXPECT_TRUE(std::isnan(dk.view()(0, 0, j)));
      EXPECT_TRUE(std::isnan(dv.view()(0, 0, j)));
    }
  });
}

TEST(AttentionBackwardOf, GivesTheSameBitsOnAnyExecutor) {
  heads_memory<half> q(6, 40, 16), k(3, 40, 16), v(3, 40, 16), dout(6, 40, 16);
  q.fill_normal(1.0, 1);
  k.fill_normal(1.0, 2);
  v.fill_normal(1.0, 3);
  dout.fill_normal(1.0, 4);
  std::vector<half> gradients(12 * 40 * 16);
  const heads_view<half> dq(gradients.data(), 6, 40, 16), dk(gradients.data() + 3840, 3, 40, 16),
      dv(gradients.data() + 5760, 3, 40, 16);
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    attention_backward(q.view(), k.view(), v.view(), dout.view(), dq, dk, dv, {.causal = true}, on);
    return std::as_bytes(std::span<const half>(gradients));
  });
}

TEST(AttentionBackwardOf, TakesPartsOfOneProjection) {
  // [tokens, 3, heads, size], as a projection to queries, keys and values leaves them.
  const std::size_t tokens = 9, heads = 2, size = 4, width = 3 * heads * size;
  std::vector<float> qkv = halfway::testing::normal_values<float>(tokens * width, 0.0, 1.0, 1);
  std::vector<float> dqkv(qkv.size(), nan);
  const auto part = [&](std::vector<float>& x, std::size_t p) {
    return heads_view<float>(x.data() + p * heads * size, heads, tokens, size, size, width);
  };
  heads_memory<float> dout(heads, tokens, size), dq(heads, tokens, size), dk(heads, tokens, size),
      dv(heads, tokens, size);
  dout.fill_normal(1.0, 2);
  attention_backward(part(qkv, 0), part(qkv, 1), part(qkv, 2), dout.view(), part(dqkv, 0),
                     part(dqkv, 1), part(dqkv, 2), {.causal = true});
  attention_backward(part(qkv, 0), part(qkv, 1), part(qkv, 2), dout.view(), dq.view(), dk.view(),
                     dv.view(), {.causal = true});
  for (std::size_t h = 0; h < heads; ++h) {
    for (std::size_t i = 0; i < tokens; ++i) {
      for (std::size_t j = 0; j < size; ++j) {
        EXPECT_EQ(part(dqkv, 0)(h, i, j), dq.view()(h, i, j));
        EXPECT_EQ(part(dqkv, 1)(h, i, j), dk.view()(h, i, j));
        EXPECT_EQ(part(dqkv, 2)(h, i, j), dv.view()(h, i, j));
      }
    }
  }
}

TEST(AttentionBackwardOf, NamesBadArguments) {
  heads_memory<float> q(2, 3, 4), k(1, 5, 4), v(1, 5, 2), dout(2, 3, 2), dq(2, 3, 4), dk(1, 5, 4),
      dv(1, 5, 2), other(2, 3, 3);
  const auto run = [&](heads_view<float> dout_view, heads_view<float> dq_view,
                       heads_view<float> dv_view, const attention_options& options = {}) {
    attention_backward(q.view(), k.view(), v.view(), dout_view, dq_view, dk.view(), dv_view,
                       options);
  };
  expect_error([&] { run(other.view(), dq.view(), dv.view()); },
               {"halfway::attention_backward", "dout.size() (3)", "v.size() (2)"});
  expect_error([&] { run(dout.view(), other.view(), dv.view()); },
               {"dq.size() (3)", "q.size() (4)"});
  expect_error([&] { run(dout.view(), dq.view(), v.view()); }, {"dv and v share memory"});
  expect_error([&] { run(dout.view(), q.view(), dv.view()); }, {"dq and q share memory"});
  expect_error([&] { run(dout.view(), dq.view(), dv.view(), {.scale = -1.0f}); }, {"scale (-1)"});
  expect_error([&] { run(dout.view(), dq.view(), dv.view(), {.window = 3}); },
               {"window (3)", "causal"});
  const halfway::matrix<float> scales(1, 5);
  expect_error([&] { run(dout.view(), dq.view(), dv.view(), {.k_scale = scales.view()}); },
               {"k_scale"});
  EXPECT_EQ(dv.view()(0, 0, 0), 96.0f);  // what heads_memory holds at first
}

}  // namespace
