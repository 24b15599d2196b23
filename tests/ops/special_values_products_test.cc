// SPDX-License-Identifier: Apache-2.0
// What products, attention, rotary embeddings, conversions and quantization do with NaN,
// infinities, signed zeros, subnormals and empty input: one test for each line of
// docs/special_values.md, which names it.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/core/heads_view.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/attention.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/rotary_embedding.h"
#include "halfway/quantization/affine.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float4.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "halfway/types/int8.h"
#include "support/expect_error.h"
#include "support/floating_point_mode.h"
#include "support/for_each_target.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::heads_view;
using halfway::matrix;
using halfway::testing::expect_error;
using halfway::testing::floating_point_mode;
using halfway::testing::for_each_target;

using floats = std::vector<float>;
constexpr float inf = std::numeric_limits<float>::infinity();
constexpr float nan = std::numeric_limits<float>::quiet_NaN();

bool is_positive_zero(float x) { return x == 0.0f && !std::signbit(x); }

matrix<float> filled(std::size_t rows, std::size_t cols, float value) {
  matrix<float> m(rows, cols);
  for (float& x : m.elements()) x = value;
  return m;
}

// ------------------------------ GEMM

TEST(SpecialValues, GemmWithoutK) {
  for_each_target([] {
    matrix<float> a(3, 0), b(0, 5), c = filled(3, 5, nan);
    halfway::gemm(a, b, c);
    for (const float x : c.elements()) EXPECT_TRUE(is_positive_zero(x));
    const floats bias = {1, 2, 3, 4, 5};
    c = filled(3, 5, 7.0f);
    halfway::gemm(a, b, c, {.beta = 2.0f, .bias = bias});
    for (std::size_t j = 0; j < 5; ++j) EXPECT_EQ(c(2, j), 14.0f + bias[j]);
  });
}

TEST(SpecialValues, GemmOfNothing) {
  for_each_target([] {
    matrix<float> a(0, 4), b(4, 5), c(0, 5), no_columns(4, 0), rows(3, 4), d(3, 0);
    halfway::gemm(a, b, c);
    EXPECT_NO_THROW(halfway::gemm(rows, no_columns, d));
  });
}

TEST(SpecialValues, GemmBetaZero) {
  for_each_target([] {
    for (const float value : {nan, inf}) {
      matrix<float> c = filled(7, 33, value);
      halfway::gemm(filled(7, 4, 1.0f), filled(4, 33, 2.0f), c);
      for (const float x : c.elements()) EXPECT_EQ(x, 8.0f);
    }
  });
}

TEST(SpecialValues, GemmBetaWithNan) {
  for_each_target([] {
    matrix<float> c = filled(7, 33, 1.0f);
    c(2, 30) = nan;
    halfway::gemm(filled(7, 4, 1.0f), filled(4, 33, 2.0f), c, {.beta = 1.0f});
    for (std::size_t i = 0; i < 7; ++i) {
      for (std::size_t j = 0; j < 33; ++j) EXPECT_EQ(std::isnan(c(i, j)), i == 2 && j == 30);
    }
  });
}

TEST(SpecialValues, GemmAlphaZero) {
  for_each_target([] {
    matrix<float> a = filled(2, 4, 1.0f), c(2, 5);
    a(1, 0) = nan;
    halfway::gemm(a, filled(4, 5, 1.0f), c, {.alpha = 0.0f});
    for (std::size_t j = 0; j < 5; ++j) {
      EXPECT_EQ(c(0, j), 0.0f);
      EXPECT_TRUE(std::isnan(c(1, j)));
    }
  });
}

TEST(SpecialValues, GemmOperandWithNan) {
  for_each_target([] {
    matrix<float> a = filled(9, 5, 1.0f), b = filled(5, 40, 1.0f), c(9, 40);
    a(3, 4) = nan;
    b(0, 37) = inf;
    a(6, 0) = 0.0f;  // times the infinity
    halfway::gemm(a, b, c);
    for (std::size_t i = 0; i < 9; ++i) {
      for (std::size_t j = 0; j < 40; ++j) {
        const bool is_nan = i == 3 || (i == 6 && j == 37);
        EXPECT_EQ(std::isnan(c(i, j)), is_nan) << i << " " << j;
        if (!is_nan) {
          EXPECT_EQ(c(i, j), j == 37 ? inf : i == 6 ? 4.0f : 5.0f);
        }
      }
    }
  });
}

TEST(SpecialValues, GemmPastTheRange) {
  for_each_target([] {
    matrix<half> a(1, 2), b(2, 1), c(1, 1);
    a(0, 0) = a(0, 1) = half(300.0f);
    b(0, 0) = b(1, 0) = half(-200.0f);  // -120000 is a float but no half
    halfway::gemm(a, b, c);
    EXPECT_EQ(static_cast<float>(c(0, 0)), -inf);
    matrix<float> large = filled(1, 3, 3e38f), ones = filled(3, 1, 1.0f), sum(1, 1);
    halfway::gemm(large, ones, sum);
    EXPECT_EQ(sum(0, 0), inf);
  });
}

TEST(SpecialValues, GemmOfSubnormals) {
  for_each_target([] {
    matrix<float> c(1, 1);
    halfway::gemm(filled(1, 3, 0x1p-149f), filled(3, 1, 1.0f), c);
    EXPECT_EQ(c(0, 0), 3 * 0x1p-149f);
    matrix<half> a(1, 3), b(3, 1), h(1, 1);
    for (half& x : a.elements()) x = half(0x1p-24f);
    for (half& x : b.elements()) x = half(1.0f);
    halfway::gemm(a, b, h);
    EXPECT_EQ(static_cast<float>(h(0, 0)), 3 * 0x1p-24f);
  });
}

TEST(SpecialValues, GemmOfSubnormalBfloat16) {
  for_each_target([] {
    matrix<bfloat16> a(1, 3), b(3, 1);
    matrix<float> c(1, 1);
    for (bfloat16& x : a.elements()) x = bfloat16(0x1p-130f);
    for (bfloat16& x : b.elements()) x = bfloat16(1.0f);
    halfway::gemm(a, b, c, {.reproducible = true});
    EXPECT_EQ(c(0, 0), 3 * 0x1p-130f);
    halfway::gemm(a, b, c);
    EXPECT_TRUE(c(0, 0) == 3 * 0x1p-130f || c(0, 0) == 0.0f);
  });
}

TEST(SpecialValues, GemmOfZeros) {
  for_each_target([] {
    matrix<float> c(2, 3);
    halfway::gemm(filled(2, 4, -0.0f), filled(4, 3, 1.0f), c);
    for (const float x : c.elements()) EXPECT_TRUE(is_positive_zero(x));
  });
}

TEST(SpecialValues, GemmOfBytesWithoutK) {
  for_each_target([] {
    matrix<std::uint8_t> a(3, 0);
    matrix<std::int8_t> b(0, 5);
    matrix<std::int32_t> c(3, 5);
    for (auto& x : c.elements()) x = 7;
    halfway::gemm(a, b, c);
    for (const auto x : c.elements()) EXPECT_EQ(x, 0);
  });
}

// ------------------------------ Attention

// One head of `rows` queries of ones over 100 keys of noise, both ways of reading keys.
constexpr std::size_t keys = 100, size = 16;
struct attention_of {
  explicit attention_of(std::size_t n)
      : rows(n), q(n * size, 1.0f), k(keys * size), v(keys * size), out(n * size, 7.0f) {
    for (std::size_t i = 0; i < k.size(); ++i) {
      k[i] = static_cast<float>(i * 7 % 13) * 0.1f - 0.6f;
      v[i] = static_cast<float>(i * 5 % 11) - 5.0f;
    }
  }
  void run(const halfway::attention_options& options = {}) {
    const heads_view<const float> vq(q.data(), 1, rows, size), vk(k.data(), 1, keys, size),
        vv(v.data(), 1, keys, size);
    halfway::attention(vq, vk, vv, heads_view<float>(out.data(), 1, rows, size), options);
  }
  // Whether row i is NaN throughout, or free of it.
  bool is_nan(std::size_t i) const {
    std::size_t n = 0;
    for (std::size_t c = 0; c < size; ++c) n += std::isnan(out[i * size + c]);
    EXPECT_TRUE(n == 0 || n == size);
    return n != 0;
  }
  std::size_t rows;
  floats q, k, v, out;
};
const std::vector<std::size_t> query_counts = {3, 40};

TEST(SpecialValues, AttentionScoreOfNan) {
  for_each_target([] {
    for (const std::size_t rows : query_counts) {
      for (const float value : {nan, inf}) {
        attention_of all(rows);
        all.k[37 * size] = value;
        all.run();
        for (std::size_t i = 0; i < rows; ++i) EXPECT_TRUE(all.is_nan(i));
        attention_of one(rows);
        one.q[size] = value == inf ? nan : value;
        one.run();
        for (std::size_t i = 0; i < rows; ++i) EXPECT_EQ(one.is_nan(i), i == 1);
      }
    }
  });
}

TEST(SpecialValues, AttentionAllMasked) {
  for_each_target([] {
    for (const std::size_t rows : query_counts) {
      attention_of a(rows);
      floats mask(rows * keys, 0.0f);
      for (std::size_t j = 0; j < keys; ++j) mask[keys + j] = -inf;
      a.run({.mask = heads_view<const float>(mask.data(), 1, rows, keys)});
      for (std::size_t i = 0; i < rows; ++i) {
        bool zero = true;
        for (std::size_t c = 0; c < size; ++c) zero = zero && a.out[i * size + c] == 0.0f;
        EXPECT_EQ(zero, i == 1);
        EXPECT_FALSE(a.is_nan(i));
      }
    }
  });
}

TEST(SpecialValues, AttentionOfHiddenKeys) {
  for_each_target([] {
    for (const std::size_t rows : query_counts) {
      attention_of plain(rows), hidden(rows);
      for (std::size_t c = 0; c < size; ++c) hidden.k[(keys - 1) * size + c] = nan;
      plain.run({.causal = true});
      hidden.run({.causal = true});
      for (std::size_t i = 0; i < rows; ++i) {  // only the last query sees the last key
        EXPECT_EQ(hidden.is_nan(i), i == rows - 1);
        for (std::size_t c = 0; c < size && i < rows - 1; ++c) {
          EXPECT_EQ(hidden.out[i * size + c], plain.out[i * size + c]);
        }
      }
    }
  });
}

TEST(SpecialValues, AttentionScoreOfMinusInfinity) {
  for_each_target([] {
    for (const std::size_t rows : query_counts) {
      attention_of a(rows), b(rows);
      a.k[5 * size] = -inf;
      b.k[5 * size] = -1e30f;  // whose weight is 0 too
      a.run();
      b.run();
      EXPECT_EQ(a.out, b.out);
    }
  });
}

TEST(SpecialValues, AttentionWithoutKeys) {
  floats q(4 * size), out(4 * size);
  const heads_view<const float> vq(q.data(), 1, 4, size), no_keys(q.data(), 1, 0, size),
      two(q.data(), 1, 2, size);
  const heads_view<float> vout(out.data(), 1, 4, size);
  expect_error([&] { halfway::attention(vq, no_keys, no_keys, vout); },
               {"halfway::attention", "k has no rows"});
  expect_error([&] { halfway::attention(vq, two, two, vout, {.causal = true}); },
               {"halfway::attention", "q.rows() (4)", "k.rows() (2)"});
}

TEST(SpecialValues, AttentionOfNothing) {
  floats k(4 * size), out(1);
  const heads_view<const float> no_rows(k.data(), 1, 0, size), vk(k.data(), 1, 4, size);
  for_each_target([&] {
    EXPECT_NO_THROW(halfway::attention(no_rows, vk, vk, heads_view<float>(out.data(), 1, 0, size)));
  });
}

TEST(SpecialValues, RotaryEmbeddingWithNan) {
  for_each_target([] {
    floats x = {1, 2, 3, 4, 5, 6, 7, 8}, y(8);
    x[1] = nan;  // of the pair (1, 5)
    const std::vector<double> frequencies = {0.5, 0.25, 0.125, 0.0625};
    halfway::rotary_embedding(heads_view<const float>(x.data(), 1, 1, 8),
                              heads_view<float>(y.data(), 1, 1, 8), frequencies,
                              {.first_position = 3});
    for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(std::isnan(y[i]), i == 1 || i == 5);
  });
}

// ------------------------------ Conversions

// To T and back.
template <class T>
floats converted(const floats& x, bool saturating = false) {
  std::vector<T> narrow(x.size());
  floats y(x.size());
  if (saturating) {
    halfway::convert_saturating(x, narrow);
  } else {
    halfway::convert(x, narrow);
  }
  halfway::convert(narrow, y);
  return y;
}

// The same value, zeros with their sign; NaN is NaN.
void expect_same(const floats& y, const floats& expected, std::string_view of) {
  ASSERT_EQ(y.size(), expected.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (std::isnan(expected[i])) {
      EXPECT_TRUE(std::isnan(y[i])) << of << " " << i << ": " << y[i];
    } else {
      EXPECT_TRUE(y[i] == expected[i] && std::signbit(y[i]) == std::signbit(expected[i]))
          << of << " " << i << ": " << y[i] << ", expected " << expected[i];
    }
  }
}

TEST(SpecialValues, ConvertKeeps) {
  for_each_target([] {
    const floats x = {nan, inf, -inf, 0.0f, -0.0f};
    expect_same(converted<half>(x), x, "half");
    expect_same(converted<bfloat16>(x), x, "bfloat16");
    expect_same(converted<halfway::float8_e5m2>(x), x, "float8_e5m2");
    EXPECT_TRUE(std::signbit(converted<half>({-nan})[0]));
  });
}

TEST(SpecialValues, ConvertWithoutInfinity) {
  for_each_target([] {
    const floats x = {nan, inf, -inf, 1e6f, -0.0f};
    expect_same(converted<halfway::float8_e4m3fn>(x), {nan, nan, nan, nan, -0.0f}, "e4m3fn");
    expect_same(converted<halfway::float8_e4m3fnuz>(x), {nan, nan, nan, nan, 0.0f}, "e4m3fnuz");
  });
}

TEST(SpecialValues, ConvertWithoutNan) {
  for_each_target([] {
    const floats y = converted<halfway::float4_e2m1fn>({nan, -nan, inf, -inf, 100.0f});
    expect_same(y, {6.0f, 6.0f, 6.0f, -6.0f, 6.0f}, "float4_e2m1fn");
  });
}

TEST(SpecialValues, ConvertPastTheRange) {
  for_each_target([] {
    const floats x = {65519.0f, 65520.0f, -1e30f};  // the first still rounds down
    expect_same(converted<half>(x), {65504.0f, inf, -inf}, "half");
    expect_same(converted<half>(x, true), {65504.0f, 65504.0f, -65504.0f}, "saturating");
    expect_same(converted<half>({inf, nan}, true), {65504.0f, nan}, "saturating");
  });
}

TEST(SpecialValues, ConvertSubnormals) {
  for_each_target([] {
    expect_same(converted<half>({0x1p-24f, 0x1p-25f, 0x1.8p-25f, -0x1p-30f}),
                {0x1p-24f, 0.0f, 0x1p-24f, -0.0f}, "half");
    expect_same(converted<bfloat16>({0x1p-133f, 0x1p-149f}), {0x1p-133f, 0.0f}, "bfloat16");
  });
}

TEST(SpecialValues, ConvertToIntegers) {
  for_each_target([] {
    expect_same(converted<halfway::int8>({nan, inf, -inf, 300.0f, -0.4f, 2.5f}),
                {0.0f, 127.0f, -128.0f, 127.0f, 0.0f, 2.0f}, "int8");
  });
}

TEST(SpecialValues, ConvertOfNothing) {
  floats none;
  std::vector<half> out;
  for_each_target([&] { EXPECT_NO_THROW(halfway::convert(none, out)); });
}

// ------------------------------ Quantization

const halfway::affine_params params{0.5f, 3};

TEST(SpecialValues, QuantizeNan) {
  for_each_target([] {
    const floats x = {nan, -nan, 0.0f, -0.0f};
    std::vector<halfway::int8> q(x.size());
    halfway::quantize(x, q, params);
    for (const auto code : q) EXPECT_EQ(static_cast<int>(code), 3);
  });
}

TEST(SpecialValues, QuantizeInfinity) {
  for_each_target([] {
    const floats x = {inf, -inf, 3e38f};
    std::vector<halfway::int8> q(x.size());
    halfway::quantize(x, q, params);
    EXPECT_EQ(static_cast<int>(q[0]), 127);
    EXPECT_EQ(static_cast<int>(q[1]), -128);
    EXPECT_EQ(static_cast<int>(q[2]), 127);
  });
}

TEST(SpecialValues, QuantizeObservesNan) {
  for_each_target([] {
    const floats x = {1.0f, nan, -2.0f, inf};
    halfway::min_max_observer observer;
    observer.observe(x);
    EXPECT_EQ(observer.min(), -2.0f);
    EXPECT_EQ(observer.max(), 1.0f);
    EXPECT_EQ(observer.non_finite_count(), 2u);
  });
}

TEST(SpecialValues, QuantizeParamsOfNan) {
  expect_error([] { halfway::choose_affine_params(nan, 1.0f, halfway::dtype::int8); },
               {"halfway::choose_affine_params", "min (nan)"});
  expect_error([] { halfway::min_max_observer().params(halfway::dtype::int8); },
               {"no finite value was observed"});
}

// ------------------------------ The floating-point mode

void run_everything() {
  matrix<float> c(9, 40);
  halfway::gemm(filled(9, 5, 1.0f), filled(5, 40, 0x1p-140f), c);
  matrix<bfloat16> a(2, 4), b(4, 3);
  matrix<float> d(2, 3);
  halfway::gemm(a, b, d);
  for (const std::size_t rows : query_counts) attention_of(rows).run();
  converted<half>({1.0f, 0x1p-20f, 1e10f});
  converted<halfway::int8>({1.0f, 1e10f, nan});
  std::vector<halfway::int8> q(3);
  halfway::quantize(floats{1.0f, nan, 1e10f}, q, params);
}

TEST(SpecialValues, FlushToZeroStays) {
  if (!halfway::testing::has_floating_point_mode) GTEST_SKIP() << "no control register known";
  for_each_target([] {
    const auto before = floating_point_mode();
    run_everything();
    EXPECT_EQ(floating_point_mode(), before);
    const halfway::testing::scoped_flush_to_zero flush;
    const auto flushing = floating_point_mode();
    EXPECT_NE(flushing, before);
    run_everything();
    EXPECT_EQ(floating_point_mode(), flushing);
  });
}

TEST(SpecialValues, FlushToZeroSparesConversions) {
  for_each_target([] {
    const floats x = {0x1p-24f, 0x1.8p-25f, -0x1p-15f}, tiny = {0x1p-133f, -0x1p-130f};
    const halfway::testing::scoped_flush_to_zero flush;
    std::vector<half> h(x.size());
    std::vector<bfloat16> b(tiny.size());
    floats wide(x.size());
    halfway::convert(x, h);
    halfway::convert(h, wide);
    halfway::convert(tiny, b);
    EXPECT_EQ(h[0].bits(), 1u);
    EXPECT_EQ(h[1].bits(), 1u);
    EXPECT_EQ(h[2].bits(), 0x8200u);
    EXPECT_EQ(wide[0], 0x1p-24f);
    EXPECT_EQ(b[0].bits(), 1u);
    EXPECT_EQ(b[1].bits(), 0x8008u);
  });
}

}  // namespace
