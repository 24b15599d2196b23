// SPDX-License-Identifier: Apache-2.0
#include "halfway/core/runs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>

#include "halfway/core/matrix.h"

namespace {

using halfway::matrix;
using halfway::matrix_view;
using halfway::detail::for_each_run;

struct shape {
  std::size_t rows, cols;
};

// The longest and the number of runs, and that each element is met once.
struct runs_seen {
  std::size_t count = 0, longest = 0;
};
runs_seen runs_of(matrix_view<const float> x, matrix_view<float> y) {
  runs_seen seen;
  for_each_run(x, y, [&](const float* from, float* to, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) to[i] = from[i] + 1;
    ++seen.count;
    seen.longest = std::max(seen.longest, n);
  });
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) EXPECT_EQ(y(i, j), x(i, j) + 1);
  }
  std::size_t alone = 0, elements = 0;
  for_each_run(x, [&](const float*, std::size_t n) {
    ++alone;
    elements += n;
  });
  EXPECT_EQ(elements, x.size());
  return seen;
}

matrix<float> numbered(std::size_t rows, std::size_t cols) {
  matrix<float> m(rows, cols);
  for (std::size_t i = 0; i < m.size(); ++i) m.elements()[i] = static_cast<float>(i % 1000);
  return m;
}

TEST(Runs, AreOneWhereMatricesAreDense) {
  for (const shape s : {shape{5000, 1}, {5000, 4}, {5000, 144}, {3, 7000}, {1, 1}}) {
    const matrix<float> x = numbered(s.rows, s.cols);
    matrix<float> y(s.rows, s.cols);
    EXPECT_EQ(runs_of(x.view(), y.view()).count, 1u) << s.rows << " x " << s.cols;
    EXPECT_EQ(runs_of(x.view().transposed(), y.view().transposed()).count, 1u);
  }
}

// However tall: a row of 144 in place is better than columns that are gathered.
TEST(Runs, AreRowsWhereRowsAreApart) {
  const matrix<float> x = numbered(5000, 160);
  matrix<float> y(5000, 160);
  for (const std::size_t cols : {8u, 31u, 144u}) {
    const runs_seen seen =
        runs_of(x.view().block(0, 0, 5000, cols), y.view().block(0, 0, 5000, cols));
    EXPECT_EQ(seen.count, 5000u);
    EXPECT_EQ(seen.longest, cols);
  }
}

TEST(Runs, GoThroughBuffersWhereNothingIsSideBySide) {
  const matrix<float> x = numbered(40, 300);
  matrix<float> y(300, 40);
  const runs_seen seen = runs_of(x.view(), y.view().transposed());
  EXPECT_LE(seen.longest, 256u);
  EXPECT_LE(seen.count, 80u);
}

}  // namespace
