// SPDX-License-Identifier: Apache-2.0
// Eigen's memory in halfway's operations and halfway's in Eigen's; tensors too.
#include <gtest/gtest.h>

#include <Eigen/Core>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "halfway/interop/eigen.h"
#include "halfway/interop/eigen_tensor.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/softmax.h"
#include "support/expect_error.h"

namespace halfway {
namespace {

using testing::expect_error;
using any_stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;

// Small integers: every sum below is exact in float, whatever its order.
template <class Matrix>
void fill(Matrix& m, int seed) {
  for (Eigen::Index i = 0; i < m.rows(); ++i) {
    for (Eigen::Index j = 0; j < m.cols(); ++j) {
      m(i, j) =
          static_cast<typename Matrix::Scalar>(static_cast<float>((seed + 5 * i + 3 * j) % 9 - 4));
    }
  }
}

TEST(EigenOperands, GemmTakesBlocksMapsReferencesArraysAndTransposes) {
  Eigen::MatrixXf storage(170, 50), y = Eigen::MatrixXf::Constant(12, 13, 7.0f);
  fill(storage, 1);
  const Eigen::Ref<const Eigen::MatrixXf> reference = storage.block(2, 3, 30, 6);
  const Eigen::Map<const Eigen::MatrixXf, 0, any_stride> map(storage.data() + 1, 30, 5, {340, 2});
  Eigen::MatrixXf expected = y;

  gemm(reference.transpose(), map, y.block(2, 4, 6, 5));
  expected.block(2, 4, 6, 5) = reference.transpose() * map;
  EXPECT_EQ(y, expected);

  gemm(reference.transpose().array(), map.middleCols(1, 2), y.topRows(6).rightCols(2).array());
  expected.topRows(6).rightCols(2) = reference.transpose() * map.middleCols(1, 2);
  EXPECT_EQ(y, expected);

  gemm(map.transpose(), reference.col(2), y.row(11).leftCols(5).transpose());
  expected.row(11).leftCols(5) = (map.transpose() * reference.col(2)).transpose();
  EXPECT_EQ(y, expected);
}

void project(const Eigen::MatrixXf& w, const Eigen::Ref<const Eigen::MatrixXf>& x,
             Eigen::MatrixXf& y) {
  gemm(w.transpose(), x, y.leftCols(x.cols()));
}

float trace_of_square(matrix<float>& m) {
  auto e = to_eigen(m);
  return (e * e).trace();
}

TEST(EigenOperands, OfTheGuide) {
  Eigen::MatrixXf w(4, 2), x(4, 3), y = Eigen::MatrixXf::Zero(2, 5);
  fill(w, 1);
  fill(x, 3);
  project(w, x, y);
  EXPECT_EQ(y.leftCols(3), w.transpose() * x);
  EXPECT_EQ(y.rightCols(2).cwiseAbs().sum(), 0.0f);
  matrix<float> m(2, 2);
  m(0, 0) = 3, m(0, 1) = 2, m(1, 0) = 5, m(1, 1) = 1;
  EXPECT_EQ(trace_of_square(m), 9.0f + 10 + 10 + 1);
}

TEST(EigenOperands, ExpressionsAndConstantOutputsDoNotCompile) {
  const Eigen::MatrixXf a, b;
  static_assert(!matrix_like<decltype(a + b)> && !matrix_like<decltype(a.cast<half>())> &&
                !matrix_like<decltype(2.0f * a)> && !matrix_like<decltype(a.reverse())>);
  static_assert(matrix_like<decltype((a + b).eval())>);
  static_assert(std::is_const_v<element_of<decltype(a.block(0, 0, 1, 1))>>);
  static_assert(std::is_const_v<element_of<Eigen::Ref<const Eigen::MatrixXf>>>);
  static_assert(!std::is_const_v<element_of<Eigen::Ref<Eigen::MatrixXf>>>);
}

TEST(EigenOperands, RefuseNegativeStridesAndOverlap) {
  std::vector<float> x(16);
  const Eigen::Map<Eigen::MatrixXf, 0, any_stride> backward(x.data() + 15, 2, 2, {-4, 1});
  const Eigen::Map<Eigen::MatrixXf, 0, any_stride> stacked(x.data(), 2, 2, {1, 1});
  expect_error([&] { as_view(backward); }, {"2 x 2", "outer stride -4"});
  expect_error([&] { as_view(stacked); }, {"in one place"});
}

TEST(EigenOwnScalars, AreOperandsBitForBit) {
  Eigen::Matrix<Eigen::half, Eigen::Dynamic, Eigen::Dynamic> x(9, 33);
  Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> w(33, 6);
  fill(x, 2);
  fill(w, 4);
  static_assert(std::is_same_v<decltype(as_view(x)), matrix_view<half>>);
  static_assert(std::is_same_v<decltype(as_view(std::as_const(w))), matrix_view<const bfloat16>>);
  EXPECT_EQ(static_cast<void*>(as_view(x).data()), static_cast<void*>(x.data()));

  Eigen::MatrixXf y(9, 6);
  gemm(x, w, y);
  EXPECT_EQ(y, (x.cast<float>() * w.cast<float>()).eval());

  // And back: a matrix of half where Eigen has its own type. What one writes, the other reads.
  matrix<half> m(2, 3);
  auto eigen = to_eigen(from_halfway<Eigen::half>(m));
  eigen(1, 2) = Eigen::half(0.5f);
  EXPECT_EQ(m(1, 2), half(0.5f));
  m(0, 1) = half(-3.0f);
  EXPECT_EQ(static_cast<float>(eigen(0, 1)), -3.0f);
}

TEST(EigenMap, HasHalfwaysElementsWhereTheyAre) {
  matrix<float> m(4, 6);
  for (std::size_t i = 0; i < m.size(); ++i) m.elements()[i] = static_cast<float>(i);
  auto all = to_eigen(m);
  auto part = to_eigen(m.view().block(1, 2, 2, 3).transposed());
  EXPECT_EQ(all.rows(), 4);
  EXPECT_EQ(part.rows(), 3);
  EXPECT_EQ(&all.coeffRef(3, 5), &m(3, 5));
  EXPECT_EQ(&part.coeffRef(2, 1), &m(2, 4));
  EXPECT_EQ(part.sum(), 8.0f + 9 + 10 + 14 + 15 + 16);
  EXPECT_EQ(as_view(part).row_stride(), 1u);  // and back
  EXPECT_EQ(as_view(part).col_stride(), 6u);

  const matrix<float>& constant = m;
  static_assert(std::is_same_v<decltype(to_eigen(constant))::PointerType, const float*>);
  EXPECT_EQ(to_eigen(constant), all);
  EXPECT_EQ(to_eigen(m.row(1)).sum(), 6.0f + 7 + 8 + 9 + 10 + 11);
  EXPECT_EQ(to_eigen(matrix<float>()).size(), 0);
}

template <int Layout>
void expect_tensor_is_operand() {
  Eigen::Tensor<float, 2, Layout> x(7, 20);
  std::vector<float> memory(20 * 5), product(7 * 5);
  Eigen::TensorMap<Eigen::Tensor<float, 2, Layout>> w(memory.data(), 20, 5);
  Eigen::TensorMap<Eigen::Tensor<float, 2, Layout>> y(product.data(), 7, 5);
  for (int i = 0; i < 20; ++i) {
    for (int j = 0; j < 7; ++j) x(j, i) = static_cast<float>((i + 3 * j) % 5 - 2);
    for (int j = 0; j < 5; ++j) w(i, j) = static_cast<float>((2 * i + j) % 7 - 3);
  }
  gemm(std::as_const(x), w, y);
  const Eigen::array<Eigen::IndexPair<int>, 1> inner = {Eigen::IndexPair<int>(1, 0)};
  const Eigen::Tensor<float, 2, Layout> expected = x.contract(w, inner);
  for (int i = 0; i < 7; ++i) {
    for (int j = 0; j < 5; ++j) EXPECT_EQ(y(i, j), expected(i, j)) << i << ' ' << j;
  }
}

TEST(EigenTensor, OfRankTwoIsAnOperand) {
  expect_tensor_is_operand<Eigen::RowMajor>();
  expect_tensor_is_operand<Eigen::ColMajor>();
  using T = Eigen::Tensor<Eigen::half, 2>;
  static_assert(
      std::is_same_v<element_of<T>, half> && std::is_same_v<element_of<const T>, const half> &&
      std::is_same_v<element_of<Eigen::TensorMap<const T>>, const half> &&
      std::is_same_v<element_of<Eigen::TensorFixedSize<float, Eigen::Sizes<2, 3>>>, float>);
  static_assert(!matrix_like<Eigen::Tensor<float, 3>> &&
                !matrix_like<decltype(std::declval<T>() + std::declval<T>())>);
}

void attention_weights(Eigen::Tensor<half, 3, Eigen::RowMajor>& scores) {  // heads, queries, keys
  softmax(as_rows(scores), as_rows(scores));
}

// The rows are what lies side by side: the last dimension of a row-major tensor, the first of another.
TEST(EigenTensor, OfAnyRankHasRows) {
  Eigen::Tensor<half, 3, Eigen::RowMajor> x(2, 3, 9);
  Eigen::Tensor<half, 3> columns(9, 3, 2);
  for (int b = 0; b < 2; ++b) {
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 9; ++j) {
        x(b, i, j) = columns(j, i, b) = half(static_cast<float>((b + 2 * i + 3 * j) % 7) * 0.5f);
      }
    }
  }
  EXPECT_EQ(as_rows(x).rows(), 6u);
  EXPECT_EQ(as_rows(x).cols(), 9u);
  EXPECT_EQ(&as_rows(x)(4, 7), &x(1, 1, 7));
  EXPECT_EQ(&as_rows(columns)(4, 7), &columns(7, 1, 1));

  attention_weights(x);
  softmax(as_rows(std::as_const(columns)), as_rows(columns));
  for (int b = 0; b < 2; ++b) {
    for (int i = 0; i < 3; ++i) {
      float sum = 0;
      for (int j = 0; j < 9; ++j) {
        sum += x(b, i, j);
        EXPECT_EQ(x(b, i, j), columns(j, i, b));
      }
      // Each of nine probabilities is below 1 and rounded to half: at most 2^-12 off (softmax itself
      // errs by a few 2^-24), and eight additions by 2^-24 each.
      EXPECT_NEAR(sum, 1.0f, 9 * 0x1p-12f + 17 * 0x1p-24f);
    }
  }
  Eigen::Tensor<float, 1> vector(5);
  EXPECT_EQ(as_rows(vector).rows(), 1u);
  EXPECT_EQ(as_rows(Eigen::TensorMap<Eigen::Tensor<float, 1>>(vector.data(), 5)).cols(), 5u);
}

}  // namespace
}  // namespace halfway
