// SPDX-License-Identifier: Apache-2.0
// Quantization against ONNX's definitions written out in double, on every SIMD target.
#include "halfway/quantization/affine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <tuple>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/types/dtype.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"

namespace {

using halfway::affine_params;
using halfway::affine_scheme;
using halfway::bfloat16;
using halfway::dtype;
using halfway::half;
using halfway::int4;
using halfway::int8;
using halfway::uint4;
using halfway::uint8;
using halfway::testing::for_each_target;
using halfway::testing::message_of;

constexpr float infinity = std::numeric_limits<float>::infinity();

template <class... Types, class Body>
void for_each_type(std::tuple<Types...>, Body&& body) {
  (body(Types()), ...);
}
using Codes = std::tuple<int8, uint8, int4, uint4>;

// ONNX, QuantizeLinear: y = saturate((x / y_scale) + y_zero_point), the quotient rounded to nearest
// even. The quotient is one of floats: rounding the double quotient to float gives that, because
// double has more than twice float's digits plus two.
template <class Code>
int quantize_by_definition(float x, const affine_params& params) {
  if (std::isnan(x)) return params.zero_point;
  const float quotient =
      static_cast<float>(static_cast<double>(x) / static_cast<double>(params.scale));
  const double code = std::nearbyint(static_cast<double>(quotient)) + params.zero_point;
  return static_cast<int>(std::clamp<double>(code, std::numeric_limits<Code>::lowest(),
                                             std::numeric_limits<Code>::max()));
}

// ONNX, DequantizeLinear: y = (x - x_zero_point) * x_scale. The double product is exact.
float dequantize_by_definition(int code, const affine_params& params) {
  return static_cast<float>(static_cast<double>(code - params.zero_point) *
                            static_cast<double>(params.scale));
}

template <class Code>
std::vector<Code> all_codes() {
  std::vector<Code> codes;
  for (int c = std::numeric_limits<Code>::lowest(); c <= std::numeric_limits<Code>::max(); ++c)
    codes.push_back(Code(c));
  return codes;
}

// Zero points at the ends and within; scales that are powers of two, whose ties are exact, and not;
// tiny and huge ones.
template <class Code>
std::vector<affine_params> some_params() {
  const int lowest = std::numeric_limits<Code>::lowest(),
            largest = std::numeric_limits<Code>::max();
  std::vector<affine_params> params;
  for (const float scale : {1.0f, 0.0078125f, 0.1f, 1.0f / 3.0f, FLT_MIN, 3e36f}) {
    for (const int zero_point : {lowest, lowest + 1, (lowest + largest + 1) / 2, largest})
      params.push_back({scale, zero_point});
  }
  return params;
}

// All ties between codes and a little past them, their neighbours, and the special values.
std::vector<float> hard_values(float scale) {
  std::vector<float> x = {0.0f,           -0.0f,   infinity, -infinity, std::nanf(""),
                          -std::nanf(""), FLT_MAX, -FLT_MAX, FLT_MIN,   FLT_TRUE_MIN};
  for (int halves = -540; halves <= 540; ++halves) {
    const float tie = static_cast<float>(halves) * 0.5f * scale;
    x.insert(x.end(), {tie, std::nextafter(tie, infinity), std::nextafter(tie, -infinity)});
  }
  return x;
}

TEST(Affine, QuantizesAsDefined) {
  std::mt19937 generator(1);
  for_each_type(Codes(), [&](auto tag) {
    using Code = decltype(tag);
    for (const affine_params& params : some_params<Code>()) {
      std::vector<float> x = hard_values(params.scale);
      std::normal_distribution<float> normal(0.0f, 60.0f);
      for (int i = 0; i < 5000; ++i) x.push_back(normal(generator) * params.scale);
      for_each_target([&] {
        std::vector<Code> q(x.size());
        halfway::quantize(x, q, params);
        for (std::size_t i = 0; i < x.size(); ++i) {
          ASSERT_EQ(q[i], quantize_by_definition<Code>(x[i], params))
              << x[i] << " / " << params.scale << " + " << params.zero_point << ", "
              << halfway::name(halfway::dtype_of<Code>);
        }
      });
    }
  });
}

TEST(Affine, QuantizesEveryHalfAndBfloat16) {
  for_each_type(std::tuple<half, bfloat16>(), [&](auto tag) {
    using T = decltype(tag);
    std::vector<T> x;
    for (unsigned bits = 0; bits < 65536; ++bits)
      x.push_back(T::from_bits(static_cast<std::uint16_t>(bits)));
    const affine_params params{0.3f, 17};
    for_each_target([&] {
      std::vector<uint8> q(x.size());
      halfway::quantize(x, q, params);
      for (std::size_t i = 0; i < x.size(); ++i)
        ASSERT_EQ(q[i], quantize_by_definition<uint8>(x[i], params)) << float(x[i]);
    });
  });
}

TEST(Affine, DequantizesAsDefined) {
  for_each_type(Codes(), [&](auto tag) {
    using Code = decltype(tag);
    const std::vector<Code> q = all_codes<Code>();
    for (const affine_params& params : some_params<Code>()) {
      for_each_target([&] {
        std::vector<float> y(q.size());
        halfway::dequantize(q, y, params);
        for (std::size_t i = 0; i < q.size(); ++i)
          ASSERT_EQ(y[i], dequantize_by_definition(q[i], params));
        std::vector<half> z(q.size());
        halfway::dequantize(q, z, params);
        for (std::size_t i = 0; i < q.size(); ++i) ASSERT_EQ(z[i].bits(), half(y[i]).bits());
      });
    }
  });
}

TEST(Affine, EveryCodeSurvivesTheRoundTrip) {
  for_each_type(Codes(), [&](auto tag) {
    using Code = decltype(tag);
    const std::vector<Code> q = all_codes<Code>();
    for (const affine_params& params : some_params<Code>()) {
      if (params.scale > 1e36f) continue;  // 255 * 3e36 is infinite
      std::vector<float> x(q.size());
      std::vector<Code> again(q.size());
      halfway::dequantize(q, x, params);
      halfway::quantize(x, again, params);
      EXPECT_EQ(again, q) << params.scale << " " << params.zero_point;
      EXPECT_EQ(x[static_cast<std::size_t>(params.zero_point - q.front())], 0.0f);
    }
  });
}

TEST(Affine, TakesTheByteTypesOfTheStandardLibrary) {
  const std::vector<float> x = {-3.0f, -0.5f, 0.5f, 1.5f, 500.0f};
  std::vector<std::int8_t> s(x.size());
  std::vector<std::uint8_t> u(x.size());
  halfway::quantize(x, s, {0.5f, -3});
  halfway::quantize(x, u, {0.5f, 3});
  EXPECT_EQ(s, (std::vector<std::int8_t>{-9, -4, -2, 0, 127}));
  EXPECT_EQ(u, (std::vector<std::uint8_t>{0, 2, 4, 6, 255}));
  std::vector<float> y(x.size());
  halfway::dequantize(u, y, {0.5f, 3});
  EXPECT_EQ(y, (std::vector<float>{-1.5f, -0.5f, 0.5f, 1.5f, 126.0f}));
}

TEST(Affine, AnySizeAndAlignment) {
  const affine_params params{0.25f, 3};
  for_each_target([&] {
    for (std::size_t n = 0; n <= 67; ++n) {
      for (std::size_t shift = 0; shift < 3; ++shift) {
        std::vector<float> x(n);  // of exactly n, so that an address sanitizer sees a read past it
        for (std::size_t i = 0; i < n; ++i) x[i] = static_cast<float>(i) - 20.0f;
        std::vector<int8> q(n + 70, int8(99));
        const std::span<int8> out = std::span(q).subspan(shift, n);
        halfway::quantize(x, out, params);
        for (std::size_t i = 0; i < q.size(); ++i) {
          const bool inside = i >= shift && i < shift + n;
          ASSERT_EQ(q[i], inside ? quantize_by_definition<int8>(x[i - shift], params) : 99)
              << i << ", n = " << n;
        }
        std::vector<float> y(n + 70, -1.0f);
        halfway::dequantize(std::vector<int8>(out.begin(), out.end()),
                            std::span(y).subspan(shift, n), params);
        for (std::size_t i = 0; i < y.size(); ++i) {
          const bool inside = i >= shift && i < shift + n;
          ASSERT_EQ(y[i], inside ? dequantize_by_definition(q[i], params) : -1.0f)
              << i << ", n = " << n;
        }
      }
    }
  });
}

TEST(Affine, ParamsCoverTheRangeAndHoldZero) {
  std::mt19937 generator(2);
  std::uniform_real_distribution<float> exponent(-100.0f, 100.0f), unit(-1.0f, 1.0f);
  for_each_type(Codes(), [&](auto tag) {
    using Code = decltype(tag);
    for (const affine_scheme scheme : {affine_scheme::asymmetric, affine_scheme::symmetric}) {
      for (int repeat = 0; repeat < 300; ++repeat) {
        const float size = std::exp2(exponent(generator));
        const float a = size * unit(generator), b = repeat % 5 == 0 ? a : size * unit(generator);
        const float min = std::min(a, b), max = std::max(a, b);
        const affine_params params = halfway::choose_affine_params<Code>(min, max, scheme);
        std::vector<float> x = {min, max, 0.0f};
        for (int i = 0; i < 50; ++i)
          x.push_back(std::clamp(min + (max - min) * std::abs(unit(generator)), min, max));
        std::vector<Code> q(x.size());
        std::vector<float> y(x.size());
        halfway::quantize(x, q, params);
        halfway::dequantize(q, y, params);
        // Half a step of rounding; the ends of the range may lie half a step outside of the codes',
        // because the zero point is rounded, but never both errors at once. Past that only the
        // roundings of scale, quotient and product: each at most 256 * 2^-24 steps.
        const double bound = (0.5 + 0x1p-15) * static_cast<double>(params.scale);
        for (std::size_t i = 0; i < x.size(); ++i) {
          ASSERT_LE(std::abs(static_cast<double>(x[i]) - static_cast<double>(y[i])), bound)
              << x[i] << " in " << min << " to " << max;
        }
        ASSERT_EQ(y[2], 0.0f);
        // And the codes are used: the range covers all steps but one.
        const double steps = (std::max(max, 0.0f) - static_cast<double>(std::min(min, 0.0f))) /
                             static_cast<double>(params.scale);
        if (scheme == affine_scheme::asymmetric) {
          ASSERT_NEAR(
              steps,
              halfway::max_finite(halfway::dtype_of<Code>) - std::numeric_limits<Code>::lowest(),
              1e-3);
        }
      }
    }
  });
}

TEST(Affine, ParamsByTheFormula) {
  // (3 - -1) / 255; 0 - -1 / scale = 63.75
  EXPECT_EQ(halfway::choose_affine_params(-1.0f, 3.0f, dtype::uint8),
            (affine_params{4.0f / 255.0f, 64}));
  EXPECT_EQ(halfway::choose_affine_params(-1.0f, 3.0f, dtype::int8),
            (affine_params{4.0f / 255.0f, -64}));
  EXPECT_EQ(halfway::choose_affine_params(-1.0f, 2.0f, dtype::uint4), (affine_params{0.2f, 5}));
  EXPECT_EQ(halfway::choose_affine_params(-1.0f, 3.0f, dtype::int8, affine_scheme::symmetric),
            (affine_params{3.0f / 127.0f, 0}));
  EXPECT_EQ(halfway::choose_affine_params(-1.0f, 3.0f, dtype::uint8, affine_scheme::symmetric),
            (affine_params{3.0f / 127.0f, 128}));
  EXPECT_EQ(halfway::choose_affine_params(-7.0f, 3.0f, dtype::int4, affine_scheme::symmetric),
            (affine_params{1.0f, 0}));
  EXPECT_EQ(halfway::choose_affine_params(-7.0f, 3.0f, dtype::uint4, affine_scheme::symmetric),
            (affine_params{1.0f, 8}));
}

TEST(Affine, HardRangesHaveDefinedParams) {
  // All positive, all negative: extended to zero.
  EXPECT_EQ(halfway::choose_affine_params(255.0f, 255.0f, dtype::uint8), (affine_params{1.0f, 0}));
  EXPECT_EQ(halfway::choose_affine_params(-255.0f, -100.0f, dtype::uint8),
            (affine_params{1.0f, 255}));
  // Nothing but zero.
  EXPECT_EQ(halfway::choose_affine_params(0.0f, 0.0f, dtype::int8), (affine_params{1.0f, 0}));
  EXPECT_EQ(halfway::choose_affine_params(-0.0f, 0.0f, dtype::uint8, affine_scheme::symmetric),
            (affine_params{1.0f, 128}));
  // Subnormal, and the whole of float, whose width is no float.
  EXPECT_EQ(halfway::choose_affine_params(0.0f, FLT_TRUE_MIN, dtype::uint8),
            (affine_params{FLT_MIN, 0}));
  const affine_params widest = halfway::choose_affine_params(-FLT_MAX, FLT_MAX, dtype::uint8);
  EXPECT_EQ(widest.scale, static_cast<float>(2.0 * static_cast<double>(FLT_MAX) / 255.0));
  EXPECT_EQ(widest.zero_point, 128);  // 127.5, to even

  constexpr auto choose = [](float min, float max, dtype type) {
    return [=] { halfway::choose_affine_params(min, max, type); };
  };
  EXPECT_EQ(message_of(choose(std::nanf(""), 1.0f, dtype::int8)),
            "halfway::choose_affine_params: min (nan) must be finite");
  EXPECT_EQ(message_of(choose(0.0f, infinity, dtype::int8)),
            "halfway::choose_affine_params: max (inf) must be finite");
  EXPECT_EQ(message_of(choose(2.0f, 1.0f, dtype::int8)),
            "halfway::choose_affine_params: min (2) must not be above max (1)");
  EXPECT_EQ(message_of(choose(0.0f, 1.0f, dtype::float16)),
            "halfway::choose_affine_params: type (float16) must be int8, uint8, int4 or uint4");
}

TEST(Affine, RowsHaveParamsOfTheirOwn) {
  constexpr std::size_t rows = 3, cols = 300;
  halfway::matrix<float> x(rows, cols);
  std::mt19937 generator(3);
  for (std::size_t i = 0; i < rows; ++i) {
    std::normal_distribution<float> normal(0.0f, std::pow(10.0f, static_cast<float>(i)));
    for (float& v : x.row(i)) v = normal(generator);
  }
  const auto params = halfway::choose_row_params(x, dtype::int8, affine_scheme::symmetric);
  ASSERT_EQ(params.size(), rows);
  for (std::size_t i = 0; i < rows; ++i) {
    const auto [min, max] = std::minmax_element(x.row(i).begin(), x.row(i).end());
    EXPECT_EQ(params[i],
              halfway::choose_affine_params(*min, *max, dtype::int8, affine_scheme::symmetric));
  }

  halfway::matrix<int8> q(rows, cols), t(cols, rows);
  halfway::quantize_rows(x, q, params);
  halfway::quantize_rows(x, t.view().transposed(), params);  // strided: the same codes
  halfway::matrix<float> y(rows, cols), z(cols, rows);
  halfway::dequantize_rows(q, y, params);
  halfway::dequantize_rows(t.view().transposed(), z.view().transposed(), params);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      ASSERT_EQ(q(i, j), quantize_by_definition<int8>(x(i, j), params[i]));
      ASSERT_EQ(t(j, i), q(i, j));
      ASSERT_EQ(y(i, j), dequantize_by_definition(q(i, j), params[i]));
      ASSERT_EQ(z(j, i), y(i, j));
    }
  }
  // Columns as channels: the transposed view has them as rows.
  EXPECT_EQ(halfway::choose_row_params(x.view().transposed(), dtype::int8).size(), cols);

  x(1, 7) = infinity;
  EXPECT_EQ(message_of([&] { halfway::choose_row_params(x, dtype::int8); }),
            "halfway::choose_row_params: row 1 of x has 1 infinite or NaN elements");
}

TEST(Affine, MatricesPerTensor) {
  halfway::matrix<float> x(4, 5);
  for (std::size_t i = 0; i < x.size(); ++i) x.elements()[i] = static_cast<float>(i);
  halfway::matrix<uint8> q(5, 4);
  halfway::quantize(x, q.view().transposed(), {2.0f, 10});
  halfway::matrix<float> y(4, 5);
  halfway::dequantize(q.view().transposed(), y, {2.0f, 10});
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 5; ++j) {
      EXPECT_EQ(q(j, i), quantize_by_definition<uint8>(x(i, j), {2.0f, 10}));
      EXPECT_EQ(y(i, j), 2.0f * static_cast<float>(q(j, i) - 10));
    }
  }
}

TEST(Affine, ObserverTakesFiniteValuesAndCountsTheOthers) {
  std::vector<float> x(101);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 1.0f + static_cast<float>(i);
  x[50] = infinity;
  x[51] = -infinity;
  x[100] = std::nanf("");
  for_each_target([&] {
    for (std::size_t n = 1; n <= 50; ++n) {  // zero, which pads the last vector, must not enter
      halfway::min_max_observer part;
      part.observe(std::span(x).first(n));
      ASSERT_EQ(part.min(), 1.0f);
      ASSERT_EQ(part.max(), static_cast<float>(n));
      ASSERT_EQ(part.finite_count(), n);
      ASSERT_EQ(part.non_finite_count(), 0u);
    }
    halfway::min_max_observer observer;
    observer.observe(x);
    EXPECT_EQ(observer.min(), 1.0f);
    EXPECT_EQ(observer.max(), 100.0f);
    EXPECT_EQ(observer.finite_count(), 98u);
    EXPECT_EQ(observer.non_finite_count(), 3u);

    halfway::min_max_observer other;
    halfway::matrix<bfloat16> m(3, 3);
    m(2, 1) = bfloat16(-4.0f);
    other.observe(m.view().transposed());
    EXPECT_EQ(other.min(), -4.0f);
    EXPECT_EQ(other.max(), 0.0f);
    observer.merge(other);
    EXPECT_EQ(observer.min(), -4.0f);
    EXPECT_EQ(observer.max(), 100.0f);
    EXPECT_EQ(observer.finite_count(), 107u);
    EXPECT_EQ(observer.params(dtype::uint8),
              halfway::choose_affine_params(-4.0f, 100.0f, dtype::uint8));
  });

  halfway::min_max_observer nothing;
  nothing.observe(std::vector<float>{infinity});
  EXPECT_EQ(
      message_of([&] { nothing.params(dtype::int8); }),
      "halfway::min_max_observer::params: no finite value was observed (1 were infinite or NaN)");
}

TEST(Affine, BadInputNamesArgumentsAndValues) {
  std::vector<float> x(4, 1.0f);
  std::vector<int8> q(4, int8(9)), short_q(3);
  const affine_params good{0.5f, 0};
  EXPECT_EQ(message_of([&] { halfway::quantize(x, short_q, good); }),
            "halfway::quantize: x.size() (4) must equal q.size() (3)");
  EXPECT_EQ(message_of([&] { halfway::dequantize(short_q, x, good); }),
            "halfway::dequantize: q.size() (3) must equal y.size() (4)");
  EXPECT_EQ(message_of([&] {
              halfway::quantize(x, std::span<int8>(static_cast<int8*>(nullptr), 4), good);
            }),
            "halfway::quantize: q is null but has 4 elements");
  EXPECT_EQ(message_of([&] {
              halfway::quantize(x, std::span<int8>(reinterpret_cast<int8*>(x.data()), 4), good);
            }),
            "halfway::quantize: x and q share memory");
  const auto scale = [&](float s) { return message_of([&] { halfway::quantize(x, q, {s, 0}); }); };
  EXPECT_EQ(scale(0.0f),
            "halfway::quantize: params.scale (0) must be positive, finite and not subnormal");
  EXPECT_EQ(scale(-1.0f),
            "halfway::quantize: params.scale (-1) must be positive, finite and not subnormal");
  EXPECT_EQ(scale(infinity),
            "halfway::quantize: params.scale (inf) must be positive, finite and not subnormal");
  EXPECT_EQ(scale(1e-40f),
            "halfway::quantize: params.scale (1e-40) must be positive, finite and not subnormal");
  EXPECT_NE(scale(std::nanf("")), "no error");
  EXPECT_EQ(message_of([&] {
              halfway::quantize(x, q, {1.0f, 128});
            }),
            "halfway::quantize: params.zero_point (128) must be from -128 to 127");
  EXPECT_EQ(q, std::vector<int8>(4, int8(9)));

  halfway::matrix<float> m(2, 3);
  halfway::matrix<int8> c(2, 3), tall(3, 2);
  const std::vector<affine_params> one(1), bad = {{}, {0.0f, 0}};
  EXPECT_EQ(message_of([&] { halfway::quantize(m, tall, good); }),
            "halfway::quantize: x.rows() (2) must equal q.rows() (3)");
  EXPECT_EQ(message_of([&] { halfway::quantize_rows(m, c, one); }),
            "halfway::quantize_rows: params.size() (1) must equal x.rows() (2)");
  EXPECT_EQ(
      message_of([&] { halfway::dequantize_rows(c, m, bad); }),
      "halfway::dequantize_rows: params[1].scale (0) must be positive, finite and not subnormal");
}

}  // namespace
