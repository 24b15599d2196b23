// SPDX-License-Identifier: Apache-2.0
#include "halfway/ops/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "halfway/core/heads_view.h"
#include "halfway/core/thread_pool.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "halfway/types/int8.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/heads_memory.h"
#include "support/numerics.h"

namespace {

using halfway::attention;
using halfway::attention_options;
using halfway::bfloat16;
using halfway::half;
using halfway::heads_view;
using halfway::matrix;
using halfway::matrix_view;
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

// Row i of head h against the definition in double. `exact_scores`: every partial sum of a score is
// an integer that FP32 holds.
template <class TQ, class TKV, class TOut>
void expect_row(heads_view<TQ> q, heads_view<TKV> k, heads_view<TKV> v, heads_view<TOut> out,
                const attention_options& options, std::size_t h, std::size_t i,
                bool exact_scores = false) {
  const std::size_t g = h / (q.heads() / k.heads());
  const std::size_t position = k.rows() - q.rows() + i;
  const std::size_t seen = options.causal ? position + 1 : k.rows();
  const std::size_t first = seen > options.window ? seen - options.window : 0;
  const double scale = options.scale ? static_cast<double>(*options.scale)
                                     : 1.0 / std::sqrt(static_cast<double>(q.size()));
  const auto scale_of = [&](matrix_view<const float> s, std::size_t j) {
    return s.empty() ? 1.0 : static_cast<double>(s(g, s.cols() == 1 ? 0 : j));
  };
  const double size = static_cast<double>(q.size());
  std::vector<double> s(seen), error(seen);
  double most = -HUGE_VAL;
  for (std::size_t j = 0; j < seen; ++j) {
    double sum = 0, magnitudes = 0;
    for (std::size_t c = 0; c < q.size(); ++c) {
      const double product = static_cast<double>(q(h, i, c)) * static_cast<double>(k(g, j, c));
      sum += product;
      magnitudes += std::abs(product);
    }
    const double factor = scale * scale_of(options.k_scale, j);
    s[j] = factor * sum;
    // The products and additions, a key's scale, and the scale.
    error[j] = exact_scores ? 0.0 : (size + 2) * u32 * std::abs(factor) * magnitudes;
    // A slope's product, its sum with the scaled score, and the mask's sum with both.
    const double before = std::abs(s[j]);
    double added = 0;
    if (!options.slopes.empty()) {
      const double distance = static_cast<double>(j) - static_cast<double>(position);
      s[j] += static_cast<double>(options.slopes[h]) * distance;
      added += std::abs(static_cast<double>(options.slopes[h]) * distance);
    }
    if (!options.mask.empty()) {
      const std::size_t m = h / (q.heads() / options.mask.heads());
      const auto mask = static_cast<double>(options.mask(m, options.mask.rows() == 1 ? 0 : i, j));
      s[j] += mask;
      if (std::isfinite(mask)) added += std::abs(mask);
    }
    if (!options.slopes.empty() || !options.mask.empty()) error[j] += 3 * u32 * (before + added);
    if (j < first) s[j] = -HUGE_VAL;  // outside the window
    most = std::max(most, s[j]);
  }
  if (most == -HUGE_VAL) {  // sees nothing
    for (std::size_t c = 0; c < v.size(); ++c) ASSERT_EQ(static_cast<float>(out(h, i, c)), 0.0f);
    return;
  }
  // The exponents: the distance from the maximum (which may lie 8 ln 2 below the largest), the factor
  // of the scores and their product are rounded, and so are they again when the maximum changes; then
  // 2^x, to 2^-22.4: of the score, where the maximum changes (twice at most, or what it multiplies is
  // below 2^-16), and where ranges of keys are put together.
  // With bfloat16, w is rounded to 8 bits, from a polynomial good to 2^-13.2.
  const bool rounds_w = std::is_same_v<TQ, bfloat16> && std::is_same_v<TKV, bfloat16> &&
                        q.rows() * (q.heads() / k.heads()) > 8;
  double total = 0, mean_error = 0;
  for (std::size_t j = 0; j < seen; ++j) {
    const double t = most - s[j];
    if (std::isinf(t)) {  // has no weight
      s[j] = error[j] = 0;
      continue;
    }
    error[j] =
        std::expm1(error[j] + 5 * u32 * (t + 6)) + 0x1p-20 + (rounds_w ? 0x1p-9 + 0x1p-13 : 0.0);
    s[j] = std::exp(-t);
    total += s[j];
    mean_error += s[j] * error[j];
  }
  mean_error /= total;
  ASSERT_LT(mean_error, 0.5);
  for (std::size_t c = 0; c < v.size(); ++c) {
    double exact = 0, bound = 0;
    for (std::size_t j = 0; j < seen; ++j) {
      const double term =
          s[j] / total * static_cast<double>(v(g, j, c)) * scale_of(options.v_scale, j);
      exact += term;
      bound += std::abs(term) *
                   ((1 + error[j]) / (1 - mean_error) - 1 + (static_cast<double>(seen) + 8) * u32) +
               0x1p-110;  // what is below 2^-126 counts as zero
    }
    ASSERT_LE(std::abs(static_cast<double>(out(h, i, c)) - exact),
              bound + rounding_of<TOut>(std::abs(exact) + bound))
        << "head " << h << " row " << i << " column " << c << ": " << exact;
  }
}

template <class TQ, class TKV, class TOut>
void expect_all(heads_view<TQ> q, heads_view<TKV> k, heads_view<TKV> v, heads_view<TOut> out,
                const attention_options& options, bool exact_scores = false) {
  for (std::size_t h = 0; h < q.heads(); ++h) {
    for (std::size_t i = 0; i < q.rows(); ++i) {
      expect_row(q, k, v, out, options, h, i, exact_scores);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

std::string name(const shape& s) {
  return halfway::detail::concat(s.heads, "/", s.kv_heads, " heads, ", s.q_rows, " x ", s.kv_rows,
                                 ", size ", s.size, ", ", s.v_size);
}

template <class TQ, class TKV, class TOut>
struct types {
  using Q = TQ;
  using KV = TKV;
  using Out = TOut;
};

template <class Types>
class Attention : public ::testing::Test {};
using AllTypes = ::testing::Types<types<float, float, float>, types<bfloat16, bfloat16, bfloat16>,
                                  types<half, half, half>, types<float, std::int8_t, float>,
                                  types<bfloat16, halfway::float8_e4m3fn, float>>;
TYPED_TEST_SUITE(Attention, AllTypes);

const std::vector<shape> shapes = {
    {1, 1, 1, 1, 1, 1},       {2, 2, 1, 1, 64, 64},     {1, 1, 7, 5, 3, 2},
    {4, 2, 6, 64, 64, 64},    {2, 1, 13, 65, 40, 72},   {6, 2, 50, 129, 80, 96},
    {2, 2, 61, 300, 64, 64},  {1, 1, 97, 97, 128, 128}, {3, 1, 33, 600, 17, 33},
    {4, 4, 1, 300, 64, 64},   {8, 2, 1, 130, 128, 128}, {2, 1, 2, 66, 40, 72},
    {3, 1, 1, 1000, 96, 200}, {8, 1, 1, 77, 48, 16},    {5, 5, 3, 19, 5, 67},
};

TYPED_TEST(Attention, StaysWithinItsBound) {
  using TKV = typename TypeParam::KV;
  for_each_target([] {
    unsigned seed = 0;
    for (const shape& s : shapes) {
      SCOPED_TRACE(name(s));
      const layout l = static_cast<layout>(seed % 3);
      heads_memory<typename TypeParam::Q> q(s.heads, s.q_rows, s.size, l);
      heads_memory<TKV> k(s.kv_heads, s.kv_rows, s.size, l);
      heads_memory<TKV> v(s.kv_heads, s.kv_rows, s.v_size, layout::padded);
      heads_memory<typename TypeParam::Out> out(s.heads, s.q_rows, s.v_size, l);
      attention_options options;
      matrix<float> per_token(s.kv_heads, s.kv_rows), per_head(s.kv_heads, 1);
      ++seed;
      q.fill_normal(seed % 2 == 0 ? 1.0 : 3.0, seed);
      if constexpr (sizeof(TKV) == 1) {
        k.fill_normal(40.0, ++seed);
        v.fill_normal(40.0, ++seed);
        for (std::size_t j = 0; j < per_token.size(); ++j) {
          per_token.elements()[j] = 0.02f + 0.001f * static_cast<float>(j % 11);
        }
        for (float& x : per_head.elements()) x = 0.03f;
        options.k_scale = seed % 3 == 0 ? per_head.view() : per_token.view();
        options.v_scale = seed % 3 == 1 ? per_head.view() : per_token.view();
        options.scale = 0.2f;
      } else {
        k.fill_normal(1.0, ++seed);
        v.fill_normal(1.0, ++seed);
        if (seed % 2 == 0) options.scale = 0.5f;
      }
      for (const bool causal : {false, true}) {
        if (causal && s.q_rows > s.kv_rows) continue;
        options.causal = causal;
        attention(q.view(), k.view(), v.view(), out.view(), options);
        expect_all(q.view(), k.view(), v.view(), out.view(), options);
        if (::testing::Test::HasFatalFailure()) return;
        EXPECT_TRUE(out.surroundings_are_whole());
      }
    }
  });
}

// Scores up to +-10^4, integers that FP32 holds exactly: only the softmax can err.
template <class T>
void expect_large_scores(std::size_t q_rows) {
  heads_memory<T> q(1, q_rows, 64), k(1, 700, 64), v(1, 700, 64), out(1, q_rows, 64);
  for (int at_last = 0; at_last < 2; ++at_last) {
    q.fill([](auto, auto i, auto c) { return c == 0 ? 100.0 : double((i + c) % 3) - 1.0; });
    // Small scores, then large ones, or the other way round.
    k.fill([=](auto, auto j, auto c) {
      return c != 0 ? double((j * 7 + c) % 5) - 2.0 : (j >= 350) == (at_last == 1) ? 100.0 : -100.0;
    });
    v.fill_normal(1.0, 3);
    const attention_options options{.scale = 1.0f};
    attention(q.view(), k.view(), v.view(), out.view(), options);
    expect_all(q.view(), k.view(), v.view(), out.view(), options, true);
  }
}
TEST(Attention, IsExactForLargeScores) {
  for_each_target([] {
    for (const std::size_t q_rows : {2u, 20u}) {
      expect_large_scores<float>(q_rows);
      expect_large_scores<bfloat16>(q_rows);
      expect_large_scores<half>(q_rows);
    }
  });
}

// Scores that rise from key to key: the maximum must follow.
TEST(Attention, FollowsARisingMaximum) {
  for_each_target([] {
    for (const double step : {0.01, 1.0, 50.0}) {
      for (const std::size_t q_rows : {1u, 9u}) {
        heads_memory<float> q(1, q_rows, 8), k(1, 500, 8), v(1, 500, 8), out(1, q_rows, 8);
        q.fill([](auto, auto i, auto c) { return c == 0 ? 1.0 + double(i) : 0.0; });
        k.fill([&](auto, auto j, auto c) { return c == 0 ? step * double(j) : 0.0; });
        v.fill_normal(1.0, 5);
        const attention_options options{.scale = 1.0f};
        attention(q.view(), k.view(), v.view(), out.view(), options);
        expect_all(q.view(), k.view(), v.view(), out.view(), options);
      }
    }
  });
}

TEST(Attention, OfOneKeyOrOneWinnerIsItsValue) {
  for_each_target([] {
    for (const std::size_t q_rows : {1u, 12u}) {
      heads_memory<float> q(1, q_rows, 64), k(1, 300, 64), v(1, 300, 64), out(1, q_rows, 64);
      q.fill([](auto...) { return 1.0; });
      for (const std::size_t winner : {0u, 150u, 299u}) {
        k.fill([&](auto, auto j, auto) { return j == winner ? 5.0 : 0.0; });
        v.fill_normal(1.0, 6);
        attention(q.view(), k.view(), v.view(), out.view(), {.scale = 1.0f});
        for (std::size_t i = 0; i < q_rows; ++i) {
          for (std::size_t c = 0; c < 64; ++c)
            EXPECT_EQ(out.view()(0, i, c), v.view()(0, winner, c));
        }
      }
    }
  });
}

// w adds up to 1 also where it is rounded to bfloat16.
TEST(Attention, OfEqualValuesIsThatValue) {
  for_each_target([] {
    heads_memory<bfloat16> q(1, 50, 64), k(1, 500, 64), v(1, 500, 64), out(1, 50, 64);
    q.fill_normal(1.0, 7);
    k.fill_normal(1.0, 8);
    v.fill([](auto, auto, auto c) { return 1.0 + double(c) / 64; });
    attention(q.view(), k.view(), v.view(), out.view());
    for (std::size_t i = 0; i < 50; ++i) {
      for (std::size_t c = 0; c < 64; ++c) EXPECT_EQ(out.view()(0, i, c), v.view()(0, 0, c));
    }
  });
}

TEST(Attention, SpecialValues) {
  for_each_target([] {
    for (const std::size_t q_rows : {3u, 40u}) {
      heads_memory<float> q(1, q_rows, 16), k(1, 100, 16), v(1, 100, 16), out(1, q_rows, 16);
      q.fill([](auto, auto, auto c) { return c == 0 ? 1.0 : 0.5; });
      v.fill_normal(1.0, 9);
      const auto run = [&](float at, std::size_t key, bool all, bool causal) {
        k.fill_normal(1.0, 10);
        for (std::size_t j = 0; j < 100; ++j) {
          if (all || j == key) k.view()(0, j, 0) = at;
        }
        attention(q.view(), k.view(), v.view(), out.view(), {.causal = causal});
      };
      const auto rows_with_nan = [&] {
        std::size_t n = 0;
        for (std::size_t i = 0; i < q_rows; ++i) {
          std::size_t in_row = 0;
          for (std::size_t c = 0; c < 16; ++c) in_row += std::isnan(out.view()(0, i, c));
          EXPECT_TRUE(in_row == 0 || in_row == 16);
          n += in_row != 0;
        }
        return n;
      };
      for (const std::size_t key : {std::size_t{0}, std::size_t{37}, 100 - q_rows}) {
        run(nan, key, false, false);
        EXPECT_EQ(rows_with_nan(), q_rows);
        run(inf, key, false, false);
        EXPECT_EQ(rows_with_nan(), q_rows);
      }
      run(nan, 98, false, true);  // only the last two queries see it
      EXPECT_EQ(rows_with_nan(), 2u);
      run(-inf, 5, true, false);
      for (std::size_t i = 0; i < q_rows; ++i) {
        for (std::size_t c = 0; c < 16; ++c) EXPECT_EQ(out.view()(0, i, c), 0.0f);
      }
      // A key of -infinity has no weight.
      run(-inf, 0, false, false);
      EXPECT_EQ(rows_with_nan(), 0u);
      const attention_options options;
      const heads_view<float> others_k(k.view().row(0, 1), 1, 99, 16);
      const heads_view<float> others_v(v.view().row(0, 1), 1, 99, 16);
      expect_all(q.view(), others_k, others_v, out.view(), options);
    }
  });
}

// Masks, slopes and windows, alone and together, with few queries and many.
template <class T>
void expect_masked(const shape& s) {
  SCOPED_TRACE(name(s));
  heads_memory<T> q(s.heads, s.q_rows, s.size), k(s.kv_heads, s.kv_rows, s.size),
      v(s.kv_heads, s.kv_rows, s.v_size), out(s.heads, s.q_rows, s.v_size);
  q.fill_normal(1.0, 20);
  k.fill_normal(1.0, 21);
  v.fill_normal(1.0, 22);
  heads_memory<float> of_head(s.heads, s.q_rows, s.kv_rows, layout::padded),
      of_keys(1, 1, s.kv_rows);
  of_head.fill_normal(2.0, 23);
  of_keys.fill([](auto, auto, auto j) { return j % 7 == 3 || j < 5 ? -inf : 0.0f; });
  for (std::size_t i = 0; i < s.q_rows; ++i) of_head.view()(s.heads - 1, i, i % s.kv_rows) = -inf;
  std::vector<float> slopes(s.heads);
  for (std::size_t h = 0; h < s.heads; ++h) slopes[h] = 0.5f / static_cast<float>(1 + h);
  std::vector<attention_options> all(6);
  all[0].mask = of_head.view();
  all[1].mask = of_keys.view();
  all[2].slopes = slopes;
  all[3].window = 1;
  all[4].window = 150;
  all[5] = {.window = 37, .mask = of_head.view(), .slopes = slopes};
  for (attention_options& options : all) {
    options.causal = options.window != halfway::no_window || &options == &all[2];
    attention(q.view(), k.view(), v.view(), out.view(), options);
    expect_all(q.view(), k.view(), v.view(), out.view(), options);
    if (::testing::Test::HasFatalFailure()) return;
  }
}
TEST(Attention, TakesMasksSlopesAndWindows) {
  for_each_target([] {
    for (const shape& s : {shape{4, 2, 1, 1100, 16, 16}, shape{2, 2, 3, 70, 16, 24},
                           shape{4, 2, 90, 400, 16, 16}, shape{1, 1, 300, 300, 8, 8}}) {
      expect_masked<float>(s);
      expect_masked<bfloat16>(s);
      if (::testing::Test::HasFatalFailure()) return;
    }
  });
}

// As in a batch with padding before its sequences: a row of padding sees nothing.
TEST(Attention, IsZeroWhereAMaskHidesAllKeys) {
  for_each_target([] {
    for (const std::size_t q_rows : {1u, 20u}) {
      heads_memory<float> q(4, q_rows, 16), k(4, 600, 16), v(4, 600, 16), out(4, q_rows, 16),
          mask(2, q_rows, 600);
      q.fill_normal(1.0, 24);
      k.fill_normal(1.0, 25);
      v.fill_normal(1.0, 26);
      mask.fill([&](auto m, auto i, auto) { return m == 1 && i + 1 == q_rows ? -inf : 0.0f; });
      attention(q.view(), k.view(), v.view(), out.view(), {.mask = mask.view()});
      for (std::size_t h = 0; h < 4; ++h) {
        if (h < 2) expect_row(q.view(), k.view(), v.view(), out.view(), {}, h, q_rows - 1);
        for (std::size_t c = 0; c < 16; ++c) {
          EXPECT_EQ(out.view()(h, q_rows - 1, c) == 0.0f, h >= 2) << h << " " << c;
        }
      }
    }
  });
}

TEST(Attention, MayOverwriteQ) {
  for_each_target([] {
    for (const std::size_t q_rows : {1u, 100u}) {
      heads_memory<bfloat16> q(4, q_rows, 32, layout::token_major), k(2, 150, 32), v(2, 150, 32),
          out(4, q_rows, 32, layout::token_major);
      q.fill_normal(1.0, 11);
      k.fill_normal(1.0, 12);
      v.fill_normal(1.0, 13);
      attention(q.view(), k.view(), v.view(), out.view());
      attention(q.view(), k.view(), v.view(), q.view());
      EXPECT_EQ(q.bits(), out.bits());
    }
  });
}

TEST(Attention, TakesBothTypesOfInt8) {
  heads_memory<std::int8_t> k(1, 30, 8);
  k.fill_normal(40.0, 18);
  heads_memory<float> q(2, 10, 8), one(2, 10, 8), other(2, 10, 8);
  q.fill_normal(0.1, 19);
  attention(q.view(), k.view(), k.view(), one.view());
  const heads_view<const halfway::int8> same(
      reinterpret_cast<const halfway::int8*>(k.view().data()), 1, 30, 8);
  attention(q.view(), same, same, other.view());
  EXPECT_EQ(one.bits(), other.bits());
}

// One projection of tokens: [tokens, 3, heads, size].
TEST(Attention, ReadsAProjectionInPlace) {
  const std::size_t tokens = 70, heads = 3, size = 16;
  const std::vector<float> qkv =
      halfway::testing::normal_values<float>(tokens * 3 * heads * size, 0, 1, 14);
  std::vector<float> result = qkv;
  const auto part = [&](std::size_t i) {
    return heads_view<float>(result.data() + i * heads * size, heads, tokens, size, size,
                             3 * heads * size);
  };
  heads_memory<float> out(heads, tokens, size);
  attention(part(0), part(1), part(2), out.view(), {.causal = true});
  expect_all(part(0), part(1), part(2), out.view(), {.causal = true});
  attention(part(0), part(1), part(2), part(0), {.causal = true});
  for (std::size_t h = 0; h < heads; ++h) {
    for (std::size_t i = 0; i < tokens; ++i) {
      for (std::size_t c = 0; c < size; ++c) EXPECT_EQ(part(0)(h, i, c), out.view()(h, i, c));
    }
  }
  for (std::size_t i = 0; i < result.size(); ++i) {
    if (i % (3 * heads * size) >= heads * size) {
      ASSERT_EQ(result[i], qkv[i]);
    }
  }
}

template <class T>
void expect_same_bits_on_any_executor(const shape& s, bool causal, layout l = layout::dense) {
  heads_memory<T> q(s.heads, s.q_rows, s.size), k(s.kv_heads, s.kv_rows, s.size, l),
      v(s.kv_heads, s.kv_rows, s.v_size, l), one(s.heads, s.q_rows, s.v_size),
      other(s.heads, s.q_rows, s.v_size);
  q.fill_normal(1.0, 15);
  k.fill_normal(1.0, 16);
  v.fill_normal(1.0, 17);
  const attention_options options{.causal = causal};
  attention(q.view(), k.view(), v.view(), one.view(), options);
  for (const std::size_t threads : {2u, 5u}) {
    halfway::thread_pool pool(threads);
    attention(q.view(), k.view(), v.view(), other.view(), options, pool);
    ASSERT_EQ(other.bits(), one.bits()) << name(s);
  }
}

TEST(Attention, GivesTheSameBitsOnAnyExecutor) {
  for_each_target([] {
    for (const shape& s : {shape{2, 1, 333, 400, 24, 24}, shape{8, 8, 1, 100, 64, 64},
                           shape{1, 1, 700, 700, 16, 16}}) {
      for (const bool causal : {false, true}) {
        expect_same_bits_on_any_executor<float>(s, causal);
        expect_same_bits_on_any_executor<bfloat16>(s, causal);
      }
    }
    // Several ranges of keys, of one head and of heads side by side.
    expect_same_bits_on_any_executor<bfloat16>({3, 1, 2, 1700, 24, 24}, true);
    expect_same_bits_on_any_executor<float>({20, 20, 1, 1100, 16, 16}, false, layout::token_major);
  });
}

TEST(Attention, OfNothing) {
  heads_memory<float> q(2, 0, 8), k(2, 4, 8), none(2, 4, 0), out(2, 0, 8), no_values(2, 0, 0);
  attention(q.view(), k.view(), k.view(), out.view());
  attention(q.view(), k.view(), none.view(), no_values.view());
}

TEST(Attention, RefusesBadInput) {
  std::vector<float> memory(4096, 7.0f);
  const auto at = [&](std::size_t from, std::size_t heads, std::size_t rows, std::size_t size) {
    return heads_view<float>(memory.data() + from, heads, rows, size);
  };
  const auto q = at(0, 4, 3, 8), k = at(512, 2, 5, 8), v = at(1024, 2, 5, 6),
             out = at(1536, 4, 3, 6);
  const auto refuses = [](auto a, auto b, auto c, auto d, const attention_options& options,
                          std::initializer_list<std::string_view> parts) {
    expect_error([&] { attention(a, b, c, d, options); }, parts);
  };
  refuses(q, at(512, 2, 5, 7), v, out, {}, {"halfway::attention", "k.size() (7)", "q.size() (8)"});
  refuses(q, k, at(1024, 1, 5, 6), out, {}, {"v.heads() (1)", "k.heads() (2)"});
  refuses(q, k, at(1024, 2, 4, 6), out, {}, {"v.rows() (4)", "k.rows() (5)"});
  refuses(q, k, v, at(1536, 3, 3, 6), {}, {"out.heads() (3)", "q.heads() (4)"});
  refuses(q, k, v, at(1536, 4, 2, 6), {}, {"out.rows() (2)", "q.rows() (3)"});
  refuses(q, k, v, at(1536, 4, 3, 8), {}, {"out.size() (8)", "v.size() (6)"});
  refuses(q, at(512, 3, 5, 8), at(1024, 3, 5, 6), out, {},
          {"q.heads() (4) must be a multiple of k.heads() (3)"});
  refuses(q, at(512, 0, 5, 8), at(1024, 0, 5, 6), out, {}, {"multiple of k.heads() (0)"});
  refuses(q, at(512, 2, 0, 8), at(1024, 2, 0, 6), out, {}, {"k has no rows but q has 3"});
  refuses(at(0, 4, 3, 0), at(512, 2, 5, 0), v, out, {}, {"q.size() is 0"});
  refuses(q, at(512, 2, 2, 8), at(1024, 2, 2, 6), out, {.causal = true},
          {"q.rows() (3)", "k.rows() (2)", "causal"});
  refuses(q, k, v, out, {.window = 3}, {"window (3)", "causal"});
  refuses(q, k, v, out, {.causal = true, .window = 0}, {"window is 0"});
  refuses(q, k, v, out, {.mask = at(2048, 4, 2, 5)}, {"mask.rows() (2)", "q.rows() (3)"});
  refuses(q, k, v, out, {.mask = at(2048, 4, 3, 4)}, {"mask.size() (4)", "k.rows() (5)"});
  refuses(q, k, v, out, {.mask = at(2048, 3, 3, 5)}, {"q.heads() (4)", "mask.heads() (3)"});
  refuses(q, k, v, out, {.mask = at(1550, 4, 3, 5)}, {"out and mask share memory"});
  refuses(q, k, v, out, {.slopes = std::span<const float>(memory.data(), 2)},
          {"slopes.size() (2)", "q.heads() (4)"});
  refuses(q, k, v, out, {.scale = 0.0f}, {"scale (0)", "positive"});
  refuses(q, k, v, out, {.scale = -1.0f}, {"scale (-1)", "positive"});
  refuses(q, k, v, out, {.scale = inf}, {"scale (inf)", "finite"});
  refuses(q, k, v, out, {.scale = nan}, {"scale (nan)", "finite"});
  refuses(q, k, v, at(520, 4, 3, 6), {}, {"out and k share memory"});
  refuses(q, k, v, at(1030, 4, 3, 6), {}, {"out and v share memory"});
  refuses(q, k, v, at(8, 4, 3, 6), {}, {"out and q share memory"});
  matrix<float> scales(2, 5), wrong_rows(3, 5), wrong_cols(2, 4);
  refuses(q, k, v, out, {.k_scale = scales.view()}, {"k_scale", "8 bits, not of 32"});
  std::vector<std::int8_t> bytes(512);
  const heads_view<std::int8_t> k8(bytes.data(), 2, 5, 8), v8(bytes.data() + 100, 2, 5, 6);
  refuses(q, k8, v8, out, {.k_scale = wrong_rows.view()}, {"k_scale.rows() (3)", "k.heads() (2)"});
  refuses(q, k8, v8, out, {.v_scale = wrong_cols.view()}, {"v_scale.cols() (4)", "k.rows() (5)"});
  EXPECT_EQ(memory, std::vector<float>(4096, 7.0f));
}

TEST(HeadsView, RefusesBadInput) {
  std::vector<float> memory(64);
  const auto refuses = [&](std::initializer_list<std::string_view> parts, auto... arguments) {
    expect_error([&] { heads_view<float>(memory.data(), arguments...); }, parts);
  };
  using n = std::size_t;
  expect_error([&] { heads_view<float>(nullptr, 2, 3, 4); }, {"data is null", "2 x 3 x 4"});
  refuses({"strides 12 and 3", "one place"}, n{2}, n{3}, n{4}, n{12}, n{3});
  refuses({"strides 5 and 4", "one place"}, n{2}, n{3}, n{4}, n{5}, n{4});
  refuses({"strides 0 and 4", "one place"}, n{2}, n{3}, n{4}, n{0}, n{4});
  refuses({"does not fit"}, n{2}, n{3}, n{4}, ~n{0} / 8, n{4});
  refuses({"does not fit"}, ~n{0} / 2, ~n{0} / 2, n{4});
  expect_error([&] { heads_view<float>(memory.data(), 2, 3, 4).head(2); },
               {"2 must be less than 2"});
  const heads_view<float> view(memory.data(), 2, 3, 4, 4, 8);
  EXPECT_EQ(view.head(1).data(), memory.data() + 4);
  EXPECT_EQ(view.head(1).row_stride(), 8u);
  EXPECT_EQ(view.extent(), 24u);
}

}  // namespace
