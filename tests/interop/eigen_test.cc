// SPDX-License-Identifier: Apache-2.0
#include "halfway/interop/eigen.h"

#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <string>
#include <type_traits>

#include "halfway/ops/convert.h"
#include "halfway/ops/gemm.h"
#include "halfway/quantization/affine.h"
#include "halfway/quantization/min_max_observer.h"
#include "halfway/types/float4.h"
#include "halfway/types/float6.h"
#include "halfway/types/float8.h"

namespace halfway {
namespace {

template <class T>
using Square = Eigen::Matrix<T, 4, 4>;
template <class T>
using Dynamic = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;

struct scalar_names {
  template <class T>
  static std::string GetName(int) {
    return std::string(T::format::name);
  }
};

template <class T>
class EigenTraits : public ::testing::Test {};
using every_scalar =
    ::testing::Types<half, bfloat16, float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz,
                     float8_e8m0fnu, float6_e2m3fn, float6_e3m2fn, float4_e2m1fn>;
TYPED_TEST_SUITE(EigenTraits, every_scalar, scalar_names);

TYPED_TEST(EigenTraits, AreThoseOfNumericLimits) {
  using N = Eigen::NumTraits<TypeParam>;
  using L = std::numeric_limits<TypeParam>;
  static_assert(!N::IsInteger && !N::IsComplex && !N::RequireInitialization);
  static_assert(std::is_same_v<typename N::Real, TypeParam> &&
                std::is_same_v<typename N::NonInteger, TypeParam>);
  EXPECT_EQ(static_cast<bool>(N::IsSigned), L::is_signed);
  EXPECT_EQ(N::epsilon().bits(), L::epsilon().bits());
  EXPECT_EQ(N::highest().bits(), L::max().bits());
  EXPECT_EQ(N::lowest().bits(), L::lowest().bits());
  EXPECT_EQ(N::infinity().bits(), L::infinity().bits());
  EXPECT_EQ(N::quiet_NaN().bits(), L::quiet_NaN().bits());
  EXPECT_EQ(N::digits(), L::digits);
  EXPECT_EQ(N::digits10(), L::digits10);
  EXPECT_GE(N::dummy_precision(), N::epsilon());
  EXPECT_LE(N::dummy_precision(), 1.0f);
}

/// One format of each kind: Eigen's templates take long to compile.
template <class T>
class EigenScalar : public ::testing::Test {};
using scalars = ::testing::Types<half, bfloat16, float8_e4m3fn, float4_e2m1fn>;
TYPED_TEST_SUITE(EigenScalar, scalars, scalar_names);

// Small integers, whose products and sums every format here holds.
TYPED_TEST(EigenScalar, ProductsAndSumsOfExactValuesAreExact) {
  Eigen::Matrix2f a;
  Eigen::Matrix2f b;
  a << 1, -2, 0, 2;
  b << 1, 0, 1, -1;
  const Eigen::Matrix<TypeParam, 2, 2> x = a.cast<TypeParam>();
  const Eigen::Matrix<TypeParam, 2, 2> y = b.cast<TypeParam>();
  EXPECT_EQ((x * y).eval().template cast<float>(), a * b);
  EXPECT_EQ((x + y).eval().template cast<float>(), a + b);
  EXPECT_EQ((x - y.transpose()).eval().template cast<float>(), a - b.transpose());
  EXPECT_EQ((x.array() * y.array()).matrix().eval().template cast<double>(),
            (a.array() * b.array()).matrix().cast<double>());
  EXPECT_EQ(x.sum(), a.sum());
  EXPECT_EQ(x.maxCoeff(), 2.0f);
  EXPECT_EQ((x * TypeParam(0.5f)).eval().template cast<float>(), a * 0.5f);
  EXPECT_TRUE(x.isApprox(x));
  EXPECT_FALSE(x.isApprox(-x));
  EXPECT_TRUE(x.allFinite());
  EXPECT_FALSE(x.hasNaN());
}

TYPED_TEST(EigenScalar, CastRoundsOnceEachWay) {
  Eigen::ArrayXd values(6);
  values << 1.0, 0.1, 1.0 + 0x1p-11 + 0x1p-30, 3.0, 1.0 / 3.0, 0.7;
  const Eigen::Array<TypeParam, Eigen::Dynamic, 1> x = values.cast<TypeParam>();
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    EXPECT_EQ(x[i].bits(), TypeParam(values[i]).bits());
    EXPECT_EQ(x.template cast<float>()[i], static_cast<float>(x[i]));
  }
}

TYPED_TEST(EigenScalar, PrintsAsTheScalarDoes) {
  Eigen::Matrix<TypeParam, 1, 3> x;
  x << TypeParam(0.5f), TypeParam(2.0f), TypeParam(1.0f);
  std::ostringstream os;
  os << x;
  EXPECT_EQ(os.str(), "0.5   2   1");
}

TYPED_TEST(EigenScalar, RandomStaysInRange) {
  const Square<TypeParam> x = Square<TypeParam>::Random();
  EXPECT_LE(x.maxCoeff(), 1.0f);
  EXPECT_GE(x.minCoeff(), std::numeric_limits<TypeParam>::is_signed ? -1.0f : 0.0f);
  EXPECT_NE(x.maxCoeff(), x.minCoeff());
}

TEST(EigenHalf, MathFunctionsStayInHalf) {
  Eigen::Array<half, 1, 4> x;
  x << half(0.25f), half(1.0f), half(2.0f), half(4.0f);
  static_assert(std::is_same_v<decltype(x.exp())::Scalar, half>);
  for (Eigen::Index i = 0; i < 4; ++i) {
    EXPECT_EQ(x.exp()(i), exp(x(i)));
    EXPECT_EQ(x.log()(i), log(x(i)));
    EXPECT_EQ(x.sqrt()(i), sqrt(x(i)));
    EXPECT_EQ(x.tanh()(i), tanh(x(i)));
    EXPECT_EQ(x.abs()(i), abs(x(i)));
    EXPECT_EQ(x.square()(i), x(i) * x(i));
    EXPECT_EQ(x.pow(half(2.0f))(i), pow(x(i), half(2.0f)));
  }
  EXPECT_EQ(Eigen::numext::maxi(half(1), half(2)), half(2));
  EXPECT_TRUE((Eigen::numext::isnan)(std::numeric_limits<half>::quiet_NaN()));
  EXPECT_TRUE((Eigen::numext::isfinite)(half(1)));
  EXPECT_FALSE((Eigen::numext::isfinite)(std::numeric_limits<half>::infinity()));
}

// A solve works in the scalar. The bound is the backward error of LU with partial pivoting, n^2 u
// growth, which for this diagonally dominant matrix (growth at most 2) is 2 n^2 u |A|, times the
// condition number, at most 3 here.
TEST(EigenHalf, SolvesALinearSystem) {
  Square<half> a = Square<half>::Constant(half(0.25f));
  a.diagonal().setConstant(half(4.0f));
  const Eigen::Matrix<half, 4, 1> expected(half(1.0f), half(-2.0f), half(0.5f), half(3.0f));
  const Eigen::Vector4f exact_b = a.cast<float>() * expected.cast<float>();
  const Eigen::Matrix<half, 4, 1> x = a.partialPivLu().solve(exact_b.cast<half>());
  const float u = 0x1p-11f;
  const float bound = 3 * 2 * 16 * u * expected.cast<float>().norm();
  EXPECT_LE((x.cast<float>() - expected.cast<float>()).norm(), bound);
}

TEST(EigenBits, GoOverUnchanged) {
  for (std::uint32_t b = 0; b < 65536; ++b) {
    const auto h = half::from_bits(static_cast<std::uint16_t>(b));
    const auto f = bfloat16::from_bits(static_cast<std::uint16_t>(b));
    ASSERT_EQ(from_eigen(to_eigen(h)).bits(), b);
    ASSERT_EQ(from_eigen(to_eigen(f)).bits(), b);
    // Eigen reads the same number, independently of us.
    if (isnan(h)) {
      ASSERT_TRUE(std::isnan(static_cast<float>(to_eigen(h))));
    } else {
      ASSERT_EQ(static_cast<float>(to_eigen(h)), static_cast<float>(h));
    }
    if (!isnan(f)) {
      ASSERT_EQ(static_cast<float>(to_eigen(f)), static_cast<float>(f));
    }
  }
}

template <class M>
void expect_same_elements(M& m) {
  const auto view = as_view(m);
  ASSERT_EQ(view.rows(), static_cast<std::size_t>(m.rows()));
  ASSERT_EQ(view.cols(), static_cast<std::size_t>(m.cols()));
  for (Eigen::Index i = 0; i < m.rows(); ++i) {
    for (Eigen::Index j = 0; j < m.cols(); ++j) {
      ASSERT_EQ(&view(static_cast<std::size_t>(i), static_cast<std::size_t>(j)), &m.coeffRef(i, j));
    }
  }
}

TEST(EigenView, HasTheElementsWhereTheyAre) {
  Eigen::MatrixXf columns = Eigen::MatrixXf::Random(5, 7);
  Eigen::Matrix<half, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows(5, 7);
  rows.setRandom();
  Eigen::VectorXf vector = Eigen::VectorXf::Random(6);
  auto block = columns.block(1, 2, 3, 4);
  auto transposed = columns.transpose();
  auto row = columns.row(2);
  Eigen::Map<Eigen::MatrixXf, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> map(
      columns.data(), 2, 3, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(10, 2));
  expect_same_elements(columns);
  expect_same_elements(rows);
  expect_same_elements(vector);
  expect_same_elements(block);
  expect_same_elements(transposed);
  expect_same_elements(row);
  expect_same_elements(map);
  const Eigen::MatrixXf& constant = columns;
  static_assert(std::is_same_v<decltype(as_view(constant)), matrix_view<const float>>);
  static_assert(std::is_same_v<decltype(as_view(columns)), matrix_view<float>>);
  static_assert(matrix_like<Eigen::MatrixXf> && matrix_like<const Eigen::MatrixXf> &&
                matrix_like<decltype(block)>);
  static_assert(!matrix_like<decltype(columns + columns)>);
}

// halfway::gemm on Eigen's objects, sums in float: each of k products of values below 1 in
// magnitude is exact in float, and a sum of k terms errs by at most k u sum|a b| <= k^2 u.
TEST(EigenView, GemmTakesEigenMatrices) {
  constexpr int k = 70;
  const Dynamic<half> a = Dynamic<half>::Random(9, k);
  const Dynamic<half> b = Dynamic<half>::Random(k, 11);
  Eigen::MatrixXf c(9, 11);
  gemm(a, b, c);
  const Eigen::MatrixXd exact = a.cast<double>() * b.cast<double>();
  EXPECT_LE((c.cast<double>() - exact).cwiseAbs().maxCoeff(), k * k * 0x1p-24);
}

/// A vector is a range and a matrix: neither makes a call ambiguous.
TEST(EigenVector, ConvertsAndQuantizes) {
  const Eigen::VectorXf x{{-1.0f, 0.3333f, 2.0f}};
  Eigen::Matrix<half, Eigen::Dynamic, 1> narrow(3);
  convert(x, narrow);
  EXPECT_EQ(narrow[1], half(0.3333f));
  matrix<half> column(3, 1);
  convert_saturating(x, column);
  EXPECT_EQ(column(2, 0), half(2.0f));

  min_max_observer observer;
  observer.observe(x);
  EXPECT_EQ(observer.min(), -1.0f);
  EXPECT_EQ(observer.max(), 2.0f);

  Eigen::Matrix<int8, Eigen::Dynamic, 1> q(3);
  Eigen::VectorXf back(3);
  const affine_params params{.scale = 0.5f, .zero_point = 1};
  quantize(x, q, params);
  dequantize(q, back, params);
  EXPECT_EQ(static_cast<int>(q[1]), 2);
  EXPECT_EQ(back, (Eigen::VectorXf{{-1.0f, 0.5f, 2.0f}}));
}

}  // namespace
}  // namespace halfway
