// SPDX-License-Identifier: Apache-2.0
#include "halfway/ops/rotary_embedding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "halfway/core/heads_view.h"
#include "halfway/core/thread_pool.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/half.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/numerics.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::heads_view;
using halfway::rotary_embedding;
using halfway::rotary_frequencies;
using halfway::rotary_options;
using halfway::testing::append_bits;
using halfway::testing::expect_error;
using halfway::testing::for_each_target;
using halfway::testing::normal_values;
using halfway::testing::rounding_of;
using halfway::testing::u32;

template <class X, class Y>
void expect_rotated(heads_view<X> x, heads_view<Y> y, std::span<const double> frequencies,
                    const rotary_options& options) {
  const std::size_t pairs = frequencies.size();
  for (std::size_t h = 0; h < x.heads(); ++h) {
    for (std::size_t i = 0; i < x.rows(); ++i) {
      const double t = options.positions.empty() ? static_cast<double>(options.first_position + i)
                                                 : static_cast<double>(options.positions[i]);
      for (std::size_t p = 0; p < pairs; ++p) {
        const std::size_t first = options.interleaved ? 2 * p : p;
        const std::size_t second = options.interleaved ? 2 * p + 1 : pairs + p;
        // The product in long double, 64 bits: what it loses is far below the bound.
        const long double angle = static_cast<long double>(t) * frequencies[p];
        const double c = static_cast<double>(std::cos(angle));
        const double s = static_cast<double>(std::sin(angle)) * (options.inverse ? -1.0 : 1.0);
        const double a = static_cast<double>(x(h, i, first));
        const double b = static_cast<double>(x(h, i, second));
        // Sine and cosine, and the rounding of a product and of the sum.
        const double of_angle = 0x1p-22 / std::sqrt(2.0) + 0x1p-51 * t * std::abs(frequencies[p]);
        const auto expect = [&](double result, double exact) {
          const double bound = (std::abs(a) + std::abs(b)) * (of_angle + 2 * u32);
          ASSERT_LE(std::abs(result - exact), bound + rounding_of<Y>(std::abs(exact) + bound))
              << "row " << i << " pair " << p << " position " << t;
        };
        expect(static_cast<double>(y(h, i, first)), a * c - b * s);
        expect(static_cast<double>(y(h, i, second)), a * s + b * c);
        if (::testing::Test::HasFatalFailure()) return;
      }
      for (std::size_t j = 2 * pairs; j < x.size(); ++j) {
        const double exact = static_cast<double>(x(h, i, j));
        ASSERT_LE(std::abs(static_cast<double>(y(h, i, j)) - exact), rounding_of<Y>(exact));
      }
    }
  }
}

template <class X, class Y>
void expect_all_forms() {
  for (const std::size_t size : {2, 6, 20, 64, 80, 128, 134}) {
    for (const std::size_t rotated : {size, size / 4 * 2}) {
      const std::vector<double> frequencies = rotary_frequencies(rotated);
      const std::vector<X> x = normal_values<X>(3 * 5 * size, 0, 1, 1);
      std::vector<Y> y(x.size());
      const heads_view<const X> vx(x.data(), 3, 5, size);
      const auto vy = heads_view<Y>::token_major(y.data(), 5, 3, size);
      const std::vector<std::int32_t> positions = {0, 1, 12345, 1 << 20, (1 << 26) - 1};
      for (const bool interleaved : {false, true}) {
        for (const bool inverse : {false, true}) {
          rotary_options options{.interleaved = interleaved, .inverse = inverse};
          for (const std::size_t first : {0, 4000, (1 << 26) - 5}) {
            options.first_position = first;
            rotary_embedding(vx, vy, frequencies, options);
            expect_rotated(vx, vy, frequencies, options);
          }
          options.positions = positions;
          rotary_embedding(vx, vy, frequencies, options);
          expect_rotated(vx, vy, frequencies, options);
          if (::testing::Test::HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(RotaryEmbedding, StaysWithinItsBound) {
  for_each_target([] {
    expect_all_forms<float, float>();
    expect_all_forms<bfloat16, bfloat16>();
    expect_all_forms<half, float>();
  });
}

// Angles near multiples of an eighth of a turn, where the quadrant changes.
TEST(RotaryEmbedding, IsExactAroundTheCircle) {
  for_each_target([] {
    const std::size_t rows = 4096;
    std::vector<float> x(rows * 2, 0.0f), y(rows * 2);
    for (std::size_t i = 0; i < rows; ++i) x[2 * i] = 1.0f;
    const heads_view<float> vx(x.data(), 1, rows, 2), vy(y.data(), 1, rows, 2);
    for (const double frequency : {2 * 3.14159265358979323846 / 4096, 1.0, -0.37, 1000.0, 0.0}) {
      const std::vector<double> frequencies = {frequency};
      rotary_embedding(vx, vy, frequencies);
      expect_rotated(vx, vy, frequencies, {});
    }
  });
}

TEST(RotaryEmbedding, WorksInPlace) {
  for_each_target([] {
    for (const bool interleaved : {false, true}) {
      std::vector<bfloat16> x = normal_values<bfloat16>(2 * 9 * 70, 0, 1, 2), y(x.size());
      const heads_view<bfloat16> vx(x.data(), 2, 9, 70), vy(y.data(), 2, 9, 70);
      const std::vector<double> frequencies = rotary_frequencies(66);
      const rotary_options options{.first_position = 77, .interleaved = interleaved};
      rotary_embedding(vx, vy, frequencies, options);
      rotary_embedding(vx, vx, frequencies, options);
      for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(x[i].bits(), y[i].bits());
    }
  });
}

TEST(RotaryEmbedding, GivesTheSameBitsOnEveryTargetAndExecutor) {
  halfway::thread_pool pool(3);
  halfway::testing::expect_same_bits_on_every_target([&](std::vector<std::uint32_t>& bits) {
    const std::vector<float> x = normal_values<float>(4 * 900 * 52, 0, 1, 3);
    std::vector<float> y(x.size()), z(x.size());
    const heads_view<const float> vx(x.data(), 4, 900, 52);
    const std::vector<double> frequencies = rotary_frequencies(52, 5e5);
    for (const bool interleaved : {false, true}) {
      const rotary_options options{.first_position = 1000000, .interleaved = interleaved};
      rotary_embedding(vx, heads_view<float>(y.data(), 4, 900, 52), frequencies, options);
      rotary_embedding(vx, heads_view<float>(z.data(), 4, 900, 52), frequencies, options, pool);
      EXPECT_EQ(y, z);
      append_bits(bits, std::span<const float>(y));
    }
  });
}

TEST(RotaryEmbedding, RefusesBadInput) {
  std::vector<float> memory(256, 7.0f);
  const auto at = [&](std::size_t from, std::size_t heads, std::size_t rows, std::size_t size) {
    return heads_view<float>(memory.data() + from, heads, rows, size);
  };
  const auto x = at(0, 2, 3, 8), y = at(64, 2, 3, 8);
  const std::vector<double> four = rotary_frequencies(8);
  const auto refuses = [](auto a, auto b, const std::vector<double>& frequencies,
                          const rotary_options& options,
                          std::initializer_list<std::string_view> parts) {
    expect_error([&] { rotary_embedding(a, b, frequencies, options); }, parts);
  };
  refuses(x, at(64, 1, 3, 8), four, {}, {"halfway::rotary_embedding", "y.heads() (1)", "(2)"});
  refuses(x, at(64, 2, 4, 8), four, {}, {"y.rows() (4)", "x.rows() (3)"});
  refuses(x, at(64, 2, 3, 7), four, {}, {"y.size() (7)", "x.size() (8)"});
  refuses(x, y, rotary_frequencies(10), {}, {"frequencies.size() (5)", "x.size() / 2 (4)"});
  refuses(x, y, {0.5, std::nan("")}, {}, {"frequencies[1] (nan)"});
  refuses(x, y, {1e7}, {}, {"frequencies[0] (1e+07)"});
  refuses(x, y, four, {.first_position = (1 << 26) - 2}, {"first_position (67108862)", "(3)"});
  const std::vector<std::int32_t> two = {0, 1}, negative = {0, -1, 2}, large = {0, 1, 1 << 26};
  refuses(x, y, four, {.positions = two}, {"positions.size() (2)", "x.rows() (3)"});
  refuses(x, y, four, {.positions = negative}, {"positions[1] (-1)"});
  refuses(x, y, four, {.positions = large}, {"positions[2] (67108864)"});
  refuses(x, at(1, 2, 3, 8), four, {}, {"x and y share memory"});
  expect_error([] { rotary_frequencies(7); }, {"rotary_frequencies", "size (7) must be even"});
  expect_error([] { rotary_frequencies(8, -1.0); }, {"base (-1)"});
  EXPECT_EQ(memory, std::vector<float>(256, 7.0f));
}

}  // namespace
