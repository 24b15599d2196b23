// SPDX-License-Identifier: Apache-2.0
// Windows over images: im2col and col2im, pooling and its gradients.
#include "halfway/ops/pooling.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/im2col.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/numerics.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::image_shape;
using halfway::matrix;
using halfway::pool_count;
using halfway::window_2d;
using halfway::window_output;
using halfway::testing::append_bits;
using halfway::testing::expect_error;
using halfway::testing::expect_same_bits_on_every_target;
using halfway::testing::for_each_target;
using halfway::testing::gamma;
using halfway::testing::normal_values;
using halfway::testing::rounding_of;
using halfway::testing::u32;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();

struct geometry {
  image_shape shape;
  window_2d window;
};
const std::vector<geometry> geometries = {
    {{2, 4, 4, 1}, {.kernel = {2, 2}, .stride = {2, 2}}},
    {{1, 5, 7, 3}, {.kernel = {3, 3}, .padding = {1, 1}}},
    {{3, 6, 5, 17}, {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 0}}},
    {{1, 9, 8, 5}, {.kernel = {3, 3}, .stride = {1, 2}, .padding = {2, 2}, .dilation = {2, 3}}},
    {{2, 3, 3, 33}, {.kernel = {3, 3}}},
    {{2, 1, 1, 4}, {}},
    {{1, 3, 4, 2}, {.kernel = {2, 3}, .padding = {3, 5}}},  // windows in the padding
};

bool lies_within(const image_shape& s, std::ptrdiff_t h, std::ptrdiff_t w) {
  return h >= 0 && w >= 0 && h < static_cast<std::ptrdiff_t>(s.height) &&
         w < static_cast<std::ptrdiff_t>(s.width);
}

std::size_t index_of(const image_shape& s, std::size_t n, std::ptrdiff_t h, std::ptrdiff_t w,
                     std::size_t c) {
  const auto row = static_cast<std::size_t>(h), col = static_cast<std::size_t>(w);
  return ((n * s.height + row) * s.width + col) * s.channels + c;
}

// Element (n, h, w, c), or nothing where it lies in the padding.
template <class T>
std::optional<double> pixel(std::span<const T> x, const image_shape& s, std::size_t n,
                            std::ptrdiff_t h, std::ptrdiff_t w, std::size_t c) {
  if (!lies_within(s, h, w)) return {};
  return static_cast<double>(x[index_of(s, n, h, w, c)]);
}

// Calls f(window's row, tap, h, w, c) for everything that a window may see.
template <class F>
void for_each_tap(const geometry& g, const F& f) {
  const image_shape out = window_output(g.shape, g.window);
  for (std::size_t n = 0; n < out.images; ++n) {
    for (std::size_t oh = 0; oh < out.height; ++oh) {
      for (std::size_t ow = 0; ow < out.width; ++ow) {
        for (std::size_t t = 0; t < g.window.taps(); ++t) {
          const std::size_t i = t / g.window.kernel[1], j = t % g.window.kernel[1];
          const auto place = [&](std::size_t at, std::size_t k, std::size_t axis) {
            return static_cast<std::ptrdiff_t>(at * g.window.stride[axis] +
                                               k * g.window.dilation[axis]) -
                   static_cast<std::ptrdiff_t>(g.window.padding[axis]);
          };
          for (std::size_t c = 0; c < out.channels; ++c) {
            f((n * out.height + oh) * out.width + ow, t, n, place(oh, i, 0), place(ow, j, 1), c);
          }
        }
      }
    }
  }
}

matrix<half> cols_for(const geometry& g) {
  const image_shape out = window_output(g.shape, g.window);
  return {out.images * out.pixels(), g.window.taps() * g.shape.channels};
}

TEST(Im2col, CopiesEachTap) {
  for (const geometry& g : geometries) {
    const auto x = normal_values<half>(g.shape.size(), 0.0, 1.0, 1);
    matrix<half> cols = cols_for(g);
    halfway::im2col(x, g.shape, g.window, cols);
    std::size_t seen = 0;
    for_each_tap(g, [&](std::size_t row, std::size_t t, std::size_t n, std::ptrdiff_t h,
                        std::ptrdiff_t w, std::size_t c) {
      ASSERT_EQ(static_cast<double>(cols(row, t * g.shape.channels + c)),
                pixel<half>(x, g.shape, n, h, w, c).value_or(0.0));
      ++seen;
    });
    EXPECT_EQ(seen, cols.size());
  }
}

TEST(Im2col, MakesAProductAConvolution) {
  // Exact: small integers.
  const geometry g{{2, 6, 5, 3}, {.kernel = {3, 2}, .stride = {2, 1}, .padding = {1, 1}}};
  std::vector<half> x(g.shape.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = half(static_cast<float>(i * 7 % 11) - 5.0f);
  matrix<half> cols = cols_for(g), weights(cols.cols(), 4);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights.data()[i] = half(static_cast<float>(i * 5 % 7) - 3.0f);
  }
  matrix<float> y(cols.rows(), 4);
  halfway::im2col(x, g.shape, g.window, cols);
  halfway::gemm(cols, weights, y);
  matrix<double> expected(y.rows(), y.cols());
  for_each_tap(g, [&](std::size_t row, std::size_t t, std::size_t n, std::ptrdiff_t h,
                      std::ptrdiff_t w, std::size_t c) {
    for (std::size_t o = 0; o < 4; ++o) {
      expected(row, o) += pixel<half>(x, g.shape, n, h, w, c).value_or(0.0) *
                          static_cast<double>(weights(t * g.shape.channels + c, o));
    }
  });
  for (std::size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y.data()[i], expected.data()[i]);
}

template <class T>
class Windows : public ::testing::Test {};
using Types = ::testing::Types<float, half, bfloat16>;
TYPED_TEST_SUITE(Windows, Types);

TYPED_TEST(Windows, Col2imAddsEachTapWithinItsBound) {
  using T = TypeParam;
  for_each_target([] {
    for (const geometry& g : geometries) {
      matrix<half> cols = cols_for(g);
      const auto values = normal_values<half>(cols.size(), 0.0, 1.0, 2);
      std::copy(values.begin(), values.end(), cols.data());
      std::vector<double> exact(g.shape.size()), magnitude(g.shape.size());
      for_each_tap(g, [&](std::size_t row, std::size_t t, std::size_t n, std::ptrdiff_t h,
                          std::ptrdiff_t w, std::size_t c) {
        if (!lies_within(g.shape, h, w)) return;
        const std::size_t at = index_of(g.shape, n, h, w, c);
        const auto term = static_cast<double>(cols(row, t * g.shape.channels + c));
        exact[at] += term;
        magnitude[at] += std::abs(term);
      });
      std::vector<T> dx(g.shape.size(), T(nan));
      halfway::col2im(cols, g.shape, g.window, dx);
      for (std::size_t i = 0; i < dx.size(); ++i) {
        const double error = gamma(static_cast<double>(g.window.taps()) - 1) * magnitude[i];
        ASSERT_LE(
            std::abs(static_cast<double>(dx[i]) - exact[i]),
            error + (std::is_same_v<T, float> ? 0.0 : rounding_of<T>(std::abs(exact[i]) + error)))
            << i;
      }
    }
  });
}

// The maximum (first of equals) or the sum of each window, and which tap's pixel it was.
struct pooled {
  std::vector<double> max, sum, magnitude, inside;
  std::vector<std::size_t> chosen;  // index in x
};
template <class T>
pooled pool(const geometry& g, std::span<const T> x) {
  const std::size_t n_out = window_output(g.shape, g.window).size();
  pooled p{std::vector<double>(n_out), std::vector<double>(n_out), std::vector<double>(n_out),
           std::vector<double>(n_out), std::vector<std::size_t>(n_out)};
  for_each_tap(g, [&](std::size_t row, std::size_t, std::size_t n, std::ptrdiff_t h,
                      std::ptrdiff_t w, std::size_t c) {
    const auto v = pixel(x, g.shape, n, h, w, c);
    if (!v) return;
    const std::size_t at = row * g.shape.channels + c;
    if (p.inside[at] == 0 || *v > p.max[at]) {
      p.max[at] = *v;
      p.chosen[at] = index_of(g.shape, n, h, w, c);
    }
    p.sum[at] += *v;
    p.magnitude[at] += std::abs(*v);
    ++p.inside[at];
  });
  return p;
}

const std::vector<geometry>& pool_geometries() {
  static const std::vector<geometry> all = [] {
    std::vector<geometry> g = geometries;
    g.pop_back();                   // windows in the padding have no maximum
    g[3].window.dilation = {1, 1};  // or some would
    return g;
  }();
  return all;
}

TYPED_TEST(Windows, PoolsWithinTheirBounds) {
  using T = TypeParam;
  for_each_target([] {
    for (const geometry& g : pool_geometries()) {
      const auto x = normal_values<T>(g.shape.size(), 0.0, 1.0, 3);
      const pooled p = pool<T>(g, x);
      std::vector<T> y(p.max.size());
      halfway::max_pool(x, g.shape, g.window, y);
      for (std::size_t i = 0; i < y.size(); ++i) {
        ASSERT_EQ(static_cast<double>(y[i]), p.max[i]) << i;
      }
      for (const pool_count count : {pool_count::all_taps, pool_count::inside}) {
        halfway::average_pool(x, g.shape, g.window, y, count);
        for (std::size_t i = 0; i < y.size(); ++i) {
          const auto taps = static_cast<double>(g.window.taps());
          const double divisor = count == pool_count::inside ? p.inside[i] : taps;
          const double exact = p.sum[i] / divisor;
          const double error = gamma(taps) * p.magnitude[i] / divisor;
          ASSERT_LE(
              std::abs(static_cast<double>(y[i]) - exact),
              error + (std::is_same_v<T, float> ? 0.0 : rounding_of<T>(std::abs(exact) + error)))
              << i;
        }
      }
    }
  });
}

TYPED_TEST(Windows, PoolGradientsStayWithinTheirBounds) {
  using T = TypeParam;
  for_each_target([] {
    for (const geometry& g : pool_geometries()) {
      const auto x = normal_values<T>(g.shape.size(), 0.0, 1.0, 4);
      const pooled p = pool<T>(g, x);
      const auto dy = normal_values<half>(p.max.size(), 0.0, 1.0, 5);
      std::vector<T> dx(x.size(), T(nan));
      const auto expect = [&](const std::vector<double>& exact, const std::vector<double>& error) {
        for (std::size_t i = 0; i < dx.size(); ++i) {
          ASSERT_LE(
              std::abs(static_cast<double>(dx[i]) - exact[i]),
              error[i] +
                  (std::is_same_v<T, float> ? 0.0 : rounding_of<T>(std::abs(exact[i]) + error[i])))
              << i;
        }
      };
      const double r = static_cast<double>(g.window.taps());  // windows over a pixel, at most
      std::vector<double> exact(x.size()), error(x.size());
      for (std::size_t i = 0; i < dy.size(); ++i) {
        exact[p.chosen[i]] += static_cast<double>(dy[i]);
        error[p.chosen[i]] += gamma(r - 1) * std::abs(static_cast<double>(dy[i]));
      }
      halfway::max_pool_backward(x, dy, g.shape, g.window, dx);
      expect(exact, error);
      for (const pool_count count : {pool_count::all_taps, pool_count::inside}) {
        std::fill(exact.begin(), exact.end(), 0.0);
        std::fill(error.begin(), error.end(), 0.0);
        for_each_tap(g, [&](std::size_t row, std::size_t, std::size_t n, std::ptrdiff_t h,
                            std::ptrdiff_t w, std::size_t c) {
          if (!pixel<T>(x, g.shape, n, h, w, c)) return;
          const std::size_t from = row * g.shape.channels + c;
          const std::size_t to = index_of(g.shape, n, h, w, c);
          const double share =
              static_cast<double>(dy[from]) / (count == pool_count::inside ? p.inside[from] : r);
          exact[to] += share;
          error[to] += gamma(r) * std::abs(share);
        });
        halfway::average_pool_backward(dy, g.shape, g.window, dx, count);
        expect(exact, error);
      }
    }
  });
}

TEST(Pooling, TakesTheFirstOfEqualsAndTheFirstNan) {
  for_each_target([] {
    const image_shape shape{1, 1, 4, 1};
    const window_2d window{.kernel = {1, 4}};
    const std::vector<float> equals = {1.0f, 2.0f, 2.0f, 0.0f}, dy = {5.0f};
    std::vector<float> dx(4), y(1);
    halfway::max_pool_backward(equals, dy, shape, window, dx);
    EXPECT_EQ(dx, (std::vector<float>{0, 5, 0, 0}));
    const std::vector<float> nans = {1.0f, nan, 3.0f, nan};
    halfway::max_pool(nans, shape, window, y);
    EXPECT_TRUE(std::isnan(y[0]));
    halfway::max_pool_backward(nans, dy, shape, window, dx);
    EXPECT_EQ(dx, (std::vector<float>{0, 5, 0, 0}));
    const std::vector<float> zeros = {-0.0f, 0.0f, -0.0f, -1.0f};
    halfway::max_pool(zeros, shape, window, y);
    EXPECT_TRUE(std::signbit(y[0]));
  });
}

TEST(Pooling, GivesTheSameBitsEverywhere) {
  const geometry g{{40, 12, 11, 19}, {.kernel = {3, 3}, .stride = {2, 1}, .padding = {1, 1}}};
  const auto x = normal_values<bfloat16>(g.shape.size(), 0.0, 1.0, 6);
  const std::size_t n_out = window_output(g.shape, g.window).size();
  const auto dy = normal_values<bfloat16>(n_out, 0.0, 1.0, 7);
  matrix<bfloat16> cols(n_out / 19, 9 * 19);
  halfway::im2col(x, g.shape, g.window, cols);
  const auto all = [&](halfway::executor_ref on) {
    std::vector<bfloat16> y(n_out), dx(x.size()), results;
    const auto keep = [&](const auto& v) { results.insert(results.end(), v.begin(), v.end()); };
    halfway::average_pool(x, g.shape, g.window, y, pool_count::inside, on);
    keep(y);
    halfway::max_pool_backward(x, dy, g.shape, g.window, dx, on);
    keep(dx);
    halfway::average_pool_backward(dy, g.shape, g.window, dx, pool_count::inside, on);
    keep(dx);
    halfway::col2im(cols, g.shape, g.window, dx, on);
    keep(dx);
    return results;
  };
  expect_same_bits_on_every_target(
      [&](std::vector<std::uint32_t>& bits) { append_bits<bfloat16>(bits, all({})); });
  std::vector<bfloat16> results;
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    results = all(on);
    return std::as_bytes(std::span<const bfloat16>(results));
  });
}

TEST(Pooling, NamesBadArguments) {
  const image_shape shape{1, 4, 4, 2};
  std::vector<float> x(shape.size()), y(8), wrong(9);
  const window_2d window{.kernel = {2, 2}, .stride = {2, 2}};
  expect_error([&] { halfway::max_pool(x, shape, window, wrong); },
               {"halfway::max_pool", "y.size() (9)", "(8)"});
  expect_error([&] { halfway::max_pool(wrong, shape, window, y); },
               {"x.size() (9)", "shape.size() (32)"});
  expect_error([&] { halfway::max_pool(x, shape, {.kernel = {0, 2}}, y); }, {"kernel[0] (0)"});
  expect_error(
      [&] {
        halfway::average_pool(x, shape, {.kernel = {2, 2}, .stride = {1, 0}}, y);
      },
      {"halfway::average_pool", "stride[1] (0)"});
  expect_error(
      [&] {
        halfway::max_pool(x, shape, {.kernel = {5, 1}}, y);
      },
      {"height (4)", "reaches over (5)"});
  expect_error(
      [&] {
        halfway::max_pool(std::vector<float>(1), {1, 1, 1, 1}, {.padding = {1, 0}},
                          std::vector<float>(3));
      },
      {"window at 0 of the height (1)", "padding (1)"});
  expect_error([&] { halfway::max_pool(x, shape, window, std::span(x).first(8)); },
               {"x and y share memory"});
  expect_error([&] { halfway::max_pool_backward(wrong, y, shape, window, x); },
               {"halfway::max_pool_backward", "x.size() (9)"});
  matrix<float> cols(4, 8), narrow(4, 7);
  expect_error([&] { halfway::im2col(x, shape, window, narrow); },
               {"halfway::im2col", "cols.cols() (7)", "taps * channels (8)"});
  expect_error([&] { halfway::col2im(matrix<float>(3, 8), shape, window, x); },
               {"halfway::col2im", "cols.rows() (3)", "(4)"});
  expect_error([&] { halfway::im2col(x, shape, window, cols.view().transposed()); },
               {"cols.rows() (8)"});
  expect_error(
      [&] {
        (void)window_output({1, 1, 1, 1}, {.kernel = {1, 3}});
      },
      {"halfway::window_output", "width (1)"});
}

}  // namespace
