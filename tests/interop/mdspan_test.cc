// SPDX-License-Identifier: Apache-2.0
#include "halfway/interop/mdspan.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "halfway/types/half.h"
#include "support/expect_error.h"

namespace halfway {
namespace {

using testing::expect_error;

// The members of an mdspan that from_mdspan looks at, with strides that std::mdspan would not take.
template <class T>
struct small_mdspan {
  using element_type = T;
  using reference = T&;
  using extents_type = std::array<int, 2>;
  using layout_type = void;
  static constexpr std::size_t rank() { return 2; }
  int extent(std::size_t i) const { return extents[i]; }
  int stride(std::size_t i) const { return strides[i]; }
  bool is_strided() const { return strided; }
  T* data_handle() const { return data; }

  T* data;
  std::array<int, 2> extents, strides;
  bool strided = true;
};

TEST(Mdspan, OfAnyLibraryIsAView) {
  std::vector<half> x(20);
  const matrix_view<half> m = from_mdspan(small_mdspan<half>{x.data() + 1, {2, 3}, {8, 2}});
  EXPECT_EQ(&m(1, 2), &x[1 + 8 + 4]);
  // A stride that leads nowhere may be anything.
  EXPECT_EQ(from_mdspan(small_mdspan<half>{x.data(), {1, 3}, {-9, 1}}).cols(), 3u);
  EXPECT_TRUE(from_mdspan(small_mdspan<half>{nullptr, {0, 3}, {3, 1}}).empty());
}

TEST(Mdspan, RefusesWhatAMatrixViewIsNot) {
  std::vector<float> x(9);
  expect_error(
      [&] {
        from_mdspan(small_mdspan<float>{x.data() + 8, {2, 3}, {-3, 1}});
      },
      {"stride 0 (-3)", "2 x 3"});
  expect_error(
      [&] {
        from_mdspan(small_mdspan<float>{x.data(), {2, 3}, {3, 1}, false});
      },
      {"no strides"});
  expect_error(
      [&] {
        from_mdspan(small_mdspan<float>{x.data(), {2, 3}, {0, 1}});
      },
      {"in one place"});
  expect_error([&] { from_mdspan(small_mdspan<float>{nullptr, {2, 3}, {3, 1}}); }, {"is null"});
}

#if defined(__cpp_lib_mdspan)
void scale_by_two(std::mdspan<float, std::dextents<int, 2>> x) {
  const matrix_view<float> m = from_mdspan(x);
  for (std::size_t i = 0; i < m.rows(); ++i) {
    for (std::size_t j = 0; j < m.cols(); ++j) m(i, j) *= 2.0f;
  }
}
#endif

TEST(Mdspan, OfTheStandardGoesBothWays) {
#if defined(__cpp_lib_mdspan)
  std::vector<float> numbers = {1, 2, 3, 4};
  scale_by_two(std::mdspan(numbers.data(), 2, 2));
  EXPECT_EQ(numbers, (std::vector<float>{2, 4, 6, 8}));
  std::vector<half> x(7);
  const std::mdspan rows(x.data(), 2, 3);
  const std::mdspan columns(x.data(),
                            std::layout_left::mapping(std::dextents<std::size_t, 2>(2, 3)));
  const std::mdspan strided(
      x.data(), std::layout_stride::mapping(std::extents<int, 2, 2>(), std::array<int, 2>{4, 2}));
  EXPECT_EQ(&from_mdspan(rows)(1, 2), &x[5]);
  EXPECT_EQ(&from_mdspan(columns)(1, 2), &x[5]);
  EXPECT_EQ(from_mdspan(columns).row_stride(), 1u);
  EXPECT_EQ(from_mdspan(strided).row_stride(), 4u);
  EXPECT_EQ(from_mdspan(strided).col_stride(), 2u);
  static_assert(
      std::is_same_v<decltype(from_mdspan(
                         std::declval<std::mdspan<const half, std::extents<int, 2, 3>>>())),
                     matrix_view<const half>>);

  matrix<half> m(3, 4);
  const std::mdspan back = to_mdspan(m.view().transposed());
  EXPECT_EQ(back.extent(0), 4u);
  EXPECT_EQ(back.data_handle() + back.mapping()(3, 1), &m(1, 3));
  EXPECT_EQ(&from_mdspan(back)(3, 1), &m(1, 3));
  // Strides that lead nowhere: whatever they are, a checking mdspan takes what becomes of them.
  for (const std::size_t n : {0u, 1u, 2u}) {
    for (const std::size_t k : {0u, 1u, 2u}) {
      const auto cut = to_mdspan(m.view().transposed().block(1, 1, n, k));
      EXPECT_EQ(cut.extent(0), n);
      EXPECT_EQ(cut.extent(1), k);
      if (n * k > 2) {
        EXPECT_EQ(&from_mdspan(cut)(1, 1), &m(2, 2));
      }
    }
  }
  // Rows whose elements lie between each other's are no layout of an mdspan.
  expect_error([&] { to_mdspan(matrix_view<half>(x.data(), 2, 2, 3, 2)); },
               {"strides 3 and 2", "2 x 2"});
  const matrix<half>& constant = m;
  static_assert(std::is_const_v<decltype(to_mdspan(constant))::element_type>);
#else
  GTEST_SKIP() << "std::mdspan is missing (C++23 with libc++ 17 or libstdc++ 15)";
#endif
}

}  // namespace
}  // namespace halfway
