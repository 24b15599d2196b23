// SPDX-License-Identifier: Apache-2.0
#include "halfway/core/matrix.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "support/expect_error.h"

namespace {

using halfway::testing::message_of;
using halfway::matrix;
using halfway::matrix_view;

TEST(Matrix, StartsAtZeroDenseAndAligned) {
  matrix<float> m(3, 5);
  EXPECT_EQ(m.rows(), 3u);
  EXPECT_EQ(m.cols(), 5u);
  EXPECT_EQ(m.bytes(), 60u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(m.data()) % 64, 0u);
  for (float x : m.elements()) EXPECT_EQ(x, 0.0f);
  m(1, 2) = 4.0f;
  EXPECT_EQ(m.elements()[7], 4.0f);
  EXPECT_EQ(m.row(1)[2], 4.0f);
}

TEST(Matrix, TooLargeForTheAddressSpaceIsAnError) {
  const std::size_t huge = std::numeric_limits<std::size_t>::max() / 2;
  EXPECT_EQ(message_of([&] { matrix<float> m(huge, 3); }),
            "halfway::matrix: " + std::to_string(huge) + " x 3 does not fit the address space");
}

TEST(MatrixView, TransposeReadsTheSameMemory) {
  matrix<int> m(2, 3);
  for (int i = 0; i < 6; ++i) m.elements()[static_cast<std::size_t>(i)] = i;
  const auto t = m.view().transposed();
  EXPECT_EQ(t.rows(), 3u);
  EXPECT_EQ(t.cols(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 3; ++j) EXPECT_EQ(&t(j, i), &m(i, j));
  }
  EXPECT_TRUE(t.is_column_major());
  EXPECT_FALSE(t.is_row_major());
}

TEST(MatrixView, BlockKeepsStridesAndRefusesWhatLiesOutside) {
  matrix<int> m(4, 6);
  const auto b = m.view().block(1, 2, 2, 3);
  EXPECT_EQ(&b(1, 2), &m(2, 4));
  EXPECT_EQ(b.extent(), 6u + 3u);
  EXPECT_EQ(message_of([&] { m.view().block(3, 0, 2, 1); }),
            "halfway::matrix_view::block: 2 x 1 at (3, 0) does not lie within 4 x 6");
  const std::size_t huge = std::numeric_limits<std::size_t>::max();
  EXPECT_NE(message_of([&] { m.view().block(1, 1, huge, 1); }), "no error");
}

TEST(MatrixView, OfNonConstIsOneOfConst) {
  matrix<float> m(2, 2);
  matrix_view<const float> v = m.view();
  EXPECT_EQ(v.data(), m.data());
  static_assert(!std::is_convertible_v<matrix_view<const float>, matrix_view<float>>);
  static_assert(!std::is_convertible_v<matrix_view<double>, matrix_view<const float>>);
}

TEST(MatrixView, RefusesWhatCannotBeAMatrix) {
  float data[8] = {};
  using view = matrix_view<float>;
  EXPECT_EQ(message_of([&] { view(nullptr, 2, 3); }),
            "halfway::matrix_view: data is null but the matrix has 2 x 3 elements");
  EXPECT_EQ(message_of([&] { view(nullptr, 0, 3); }), "no error");
  EXPECT_EQ(message_of([&] { view(data, 2, 3, 2); }),
            "halfway::matrix_view: strides 2 and 1 put two elements of 2 x 3 in one place");
  EXPECT_EQ(message_of([&] { view(data, 2, 3, 0); }),
            "halfway::matrix_view: strides 0 and 1 put two elements of 2 x 3 in one place");
  EXPECT_EQ(message_of([&] { view(data, 1, 3, 0); }), "no error");
  EXPECT_EQ(message_of([&] { view(data, 2, 3, 1, 2); }), "no error");  // column-major
  const std::size_t huge = std::numeric_limits<std::size_t>::max();
  EXPECT_NE(message_of([&] { view(data, 2, 2, huge); }), "no error");
  EXPECT_NE(message_of([&] { view(data, huge, huge); }), "no error");
  EXPECT_NE(message_of([&] { view(data, huge / 8, 2, 1, huge / 8); }), "no error");
}

TEST(MatrixLike, CoversOwnersAndViewsWithTheirConstness) {
  static_assert(halfway::matrix_like<matrix<float>> && halfway::matrix_like<const matrix<float>>);
  static_assert(halfway::matrix_like<matrix_view<const float>>);
  static_assert(!halfway::matrix_like<std::vector<float>>);
  static_assert(std::is_same_v<halfway::element_of<matrix<float>>, float>);
  static_assert(std::is_same_v<halfway::element_of<const matrix<float>>, const float>);
}

TEST(Overlap, IsAboutBytes) {
  float data[10] = {};
  const matrix_view<float> first(data, 2, 2, 5), second(data + 2, 2, 2, 5), last(data + 7, 1, 3);
  EXPECT_TRUE(halfway::detail::overlap(
      first, second));  // interleaved: their ranges meet though no element is shared
  EXPECT_FALSE(halfway::detail::overlap(first, last));
  EXPECT_FALSE(halfway::detail::overlap(first, matrix_view<float>(data, 0, 2)));
  EXPECT_TRUE(halfway::detail::same_places(first, first));
  EXPECT_FALSE(halfway::detail::same_places(first, second));
}

}  // namespace
