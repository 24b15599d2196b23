// SPDX-License-Identifier: Apache-2.0
// Embedding lookup and its gradient, and accumulate(), which it adds with.
#include "halfway/ops/embedding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/accumulate.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "support/executors.h"
#include "support/expect_error.h"
#include "support/for_each_target.h"
#include "support/numerics.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::matrix;
using halfway::matrix_view;
using halfway::testing::append_bits;
using halfway::testing::expect_error;
using halfway::testing::expect_same_bits_on_every_target;
using halfway::testing::for_each_target;
using halfway::testing::gamma;
using halfway::testing::normal_values;
using halfway::testing::padded_rows;

std::vector<std::int32_t> random_indices(std::size_t n, std::size_t rows, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_int_distribution<std::int32_t> row(0, static_cast<std::int32_t>(rows) - 1);
  std::vector<std::int32_t> indices(n);
  for (std::int32_t& i : indices) i = row(random);
  return indices;
}

TEST(Embedding, CopiesOrRoundsRows) {
  for_each_target([] {
    for (const std::size_t cols : {1u, 7u, 16u, 33u}) {
      padded_rows<float> table(5, cols, 2);
      table.fill_normal(0, 1, 1);
      table.view()(3, 0) = std::numeric_limits<float>::quiet_NaN();
      const auto indices = random_indices(9, 5, 2);
      padded_rows<float> same(9, cols, 1);
      padded_rows<bfloat16> narrow(9, cols, 3);
      halfway::embedding(table.view(), indices, same.view());
      halfway::embedding(table.view(), indices, narrow.view());
      std::vector<std::uint32_t> is, must_be;
      for (std::size_t i = 0; i < 9; ++i) {
        const float* from = table.view().row(static_cast<std::size_t>(indices[i]));
        append_bits<float>(must_be, {from, cols});
        append_bits<float>(is, {same.view().row(i), cols});
        for (std::size_t j = 0; j < cols; ++j) {
          const float rounded = static_cast<float>(bfloat16(from[j]));
          append_bits<float>(must_be, {&rounded, 1});
        }
        append_bits<bfloat16>(is, {narrow.view().row(i), cols});
      }
      EXPECT_EQ(is, must_be);
      EXPECT_TRUE(same.padding_is_whole());
      EXPECT_TRUE(narrow.padding_is_whole());
    }
  });
}

template <class T>
class EmbeddingBackward : public ::testing::Test {};
using Types = ::testing::Types<float, half, bfloat16, halfway::float8_e5m2>;
TYPED_TEST_SUITE(EmbeddingBackward, Types);

TYPED_TEST(EmbeddingBackward, AddsRowsWithinItsBound) {
  using T = TypeParam;
  for_each_target([] {
    for (const std::size_t cols : {1u, 5u, 19u}) {
      const std::size_t rows = 6, n = 100;
      const auto indices = random_indices(n, rows, 3);
      padded_rows<T> dy(n, cols, 2);
      dy.fill_normal(0.0, 1.0, 4);
      padded_rows<float> dtable(rows, cols, 1);
      dtable.fill_normal(0.0, 1.0, 5);
      matrix<double> exact(rows, cols), magnitude(rows, cols);
      std::vector<double> terms(rows);
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t j = 0; j < cols; ++j) {
          exact(r, j) = dtable.view()(r, j);
          magnitude(r, j) = std::abs(exact(r, j));
        }
      }
      const std::int32_t skip = 2;
      for (std::size_t i = 0; i < n; ++i) {
        if (indices[i] == skip) continue;
        const auto r = static_cast<std::size_t>(indices[i]);
        ++terms[r];
        for (std::size_t j = 0; j < cols; ++j) {
          exact(r, j) += static_cast<double>(dy.view()(i, j));
          magnitude(r, j) += std::abs(static_cast<double>(dy.view()(i, j)));
        }
      }
      halfway::embedding_backward(indices, dy.view(), dtable.view(), skip);
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t j = 0; j < cols; ++j) {
          ASSERT_LE(std::abs(dtable.view()(r, j) - exact(r, j)), gamma(terms[r]) * magnitude(r, j))
              << r << " " << j;
        }
      }
      EXPECT_TRUE(dtable.padding_is_whole());
    }
  });
}

TEST(Embedding, RepeatedRowsAddUpInOrderEverywhere) {
  const std::size_t rows = 1000, n = 4000, cols = 24;
  auto indices = random_indices(n, rows, 6);
  std::fill(indices.begin(), indices.begin() + 500, 7);
  matrix<half> dy(n, cols);
  const auto values = normal_values<half>(n * cols, 0.0, 1.0, 7);
  std::copy(values.begin(), values.end(), dy.data());
  matrix<float> in_order(rows, cols);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      in_order(static_cast<std::size_t>(indices[i]), j) += static_cast<float>(dy(i, j));
    }
  }
  for_each_target([&] {
    matrix<float> dtable(rows, cols);
    halfway::embedding_backward(indices, dy, dtable.view());
    EXPECT_TRUE(std::ranges::equal(dtable.elements(), in_order.elements()));
  });
  matrix<float> dtable(rows, cols);
  halfway::testing::expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
    std::ranges::fill(dtable.elements(), 0.0f);
    halfway::embedding_backward(indices, dy, dtable.view(), halfway::no_index, on);
    return std::as_bytes(dtable.elements());
  });
}

TEST(Embedding, NamesBadArguments) {
  matrix<float> table(3, 2), y(2, 2);
  const std::vector<std::int32_t> good = {0, 2}, high = {1, 3}, low = {-1, 0};
  expect_error([&] { halfway::embedding(table, high, y); },
               {"halfway::embedding", "indices[1] (3)", "below table.rows() (3)"});
  expect_error([&] { halfway::embedding(table, low, y); }, {"indices[0] (-1)", "at least 0"});
  matrix<float> wide(2, 3), tall(3, 2);
  expect_error([&] { halfway::embedding(table, good, wide); },
               {"y.cols() (3)", "table.cols() (2)"});
  expect_error([&] { halfway::embedding(table, good, tall); },
               {"y.rows() (3)", "indices.size() (2)"});
  expect_error([&] { halfway::embedding(table, good, table.view().block(0, 0, 2, 2)); },
               {"y and table share memory"});
  table(2, 1) = 5.0f;
  expect_error([&] { halfway::embedding_backward(high, y, table.view()); },
               {"halfway::embedding_backward", "indices[1] (3)", "dtable.rows() (3)"});
  expect_error([&] { halfway::embedding_backward(good, wide, table.view()); },
               {"dy.cols() (3)", "dtable.cols() (2)"});
  EXPECT_EQ(table(2, 1), 5.0f);
  halfway::embedding_backward({}, matrix<float>(0, 2), table.view());
  EXPECT_EQ(table(2, 1), 5.0f);
}

TEST(Accumulate, AddsWithOneRoundingOfEachType) {
  for_each_target([] {
    const auto x = normal_values<half>(77, 0.0, 1.0, 8);
    const auto start = normal_values<float>(77, 0.0, 1.0, 9);
    std::vector<float> y = start;
    halfway::accumulate(x, y);
    std::vector<bfloat16> narrow(start.begin(), start.end());
    const auto before = narrow;
    halfway::accumulate(x, narrow);
    for (std::size_t i = 0; i < x.size(); ++i) {
      EXPECT_EQ(y[i], start[i] + static_cast<float>(x[i]));
      EXPECT_EQ(
          static_cast<float>(narrow[i]),
          static_cast<float>(bfloat16(static_cast<float>(before[i]) + static_cast<float>(x[i]))));
    }
    halfway::accumulate(y, y);
    EXPECT_EQ(y[0], 2.0f * (start[0] + static_cast<float>(x[0])));
  });
  std::vector<float> y(3);
  expect_error([&] { halfway::accumulate(std::vector<half>(2), y); },
               {"halfway::accumulate", "y.size() (3)", "x.size() (2)"});
}

}  // namespace
