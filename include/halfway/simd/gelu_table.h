// SPDX-License-Identifier: Apache-2.0
// The coefficients of gelu on [0, 4) and of silu on [0, 8): a polynomial for each eighth, or
// quarter, computed by the compiler.
//
//   Phi(-t) = sum over k of gelu_table<5>.coefficient[k][i] * (t - i / 8)^k,  i = round(8 t)
//
// For each center c = i / 8 the Taylor series about c is economized: from the highest degree down,
// the multiple of a Chebyshev polynomial is subtracted that removes the term, which is the least
// change on [c - 1/16, c + 1/16] (Lanczos' economization). Of degree 5, its coefficients rounded to
// float, what is left has a relative error below 2^-25.8; of degree 4, below 2^-18.5; of degree 3,
// below 2^-14.4: enough for results that are rounded to 24, 11 and 8 bits.
#ifndef HALFWAY_SIMD_GELU_TABLE_H_
#define HALFWAY_SIMD_GELU_TABLE_H_

#include <cstddef>

namespace halfway::detail {

// The degree for results of so many significant bits.
constexpr std::size_t degree_for_digits(int digits) { return digits > 11 ? 5 : digits > 8 ? 4 : 3; }

template <std::size_t Degree>
struct piecewise_polynomials {
  static constexpr std::size_t pieces = 32;
  static constexpr std::size_t degree = Degree;

  alignas(64) float coefficient[Degree + 1][pieces];
  alignas(64) float low[pieces];  // what rounding took from coefficient[0]
  double spacing;                 // of the centers, a power of two
  double end;                     // of where the errors are as small as stated
};

namespace gelu_table_of {

inline constexpr std::size_t terms = 13;  // of the Taylor series: the next is 2^-52 of the value

struct series {
  double term[terms];
};

// e^x for x in [-50, 0]: (e^(x / 256))^256.
constexpr double exponential(double x) {
  double term = 1.0, sum = 1.0;
  for (int k = 1; k <= 9; ++k) {
    term *= x / 256.0 / k;
    sum += term;
  }
  for (int i = 0; i < 8; ++i) sum *= sum;
  return sum;
}

// The series of e^f for a cubic f: from (e^f)' = f' e^f.
constexpr series exponential(double f0, double f1, double f2, double f3) {
  series e{{exponential(f0)}};
  e.term[1] = f1 * e.term[0];
  e.term[2] = (f1 * e.term[1] + 2.0 * f2 * e.term[0]) / 2.0;
  for (std::size_t k = 3; k < terms; ++k) {
    e.term[k] = (f1 * e.term[k - 1] + 2.0 * f2 * e.term[k - 2] + 3.0 * f3 * e.term[k - 3]) /
                static_cast<double>(k);
  }
  return e;
}

constexpr double value(const series& f, double x) {
  double sum = 0.0;
  for (std::size_t k = terms; k-- > 0;) sum = sum * x + f.term[k];
  return sum;
}

// The Chebyshev polynomials of degree up to terms - 1, divided by their highest coefficients.
struct chebyshev {
  double coefficient[terms][terms] = {};

  constexpr chebyshev() {
    coefficient[0][0] = 1.0;
    coefficient[1][1] = 1.0;
    for (std::size_t n = 2; n < terms; ++n) {  // T_n / 2^(n-1) = x T_(n-1) / 2^(n-2) - ...
      const double share = n == 2 ? 0.5 : 0.25;
      for (std::size_t k = 0; k <= n; ++k) {
        coefficient[n][k] =
            (k > 0 ? coefficient[n - 1][k - 1] : 0.0) - share * coefficient[n - 2][k];
      }
    }
  }
};

// Economizes f, in powers of t - c, and stores it as piece i.
template <std::size_t Degree>
constexpr void store(series f, const chebyshev& t, std::size_t i,
                     piecewise_polynomials<Degree>& table) {
  const double half = table.spacing / 2;
  double power = 1.0;  // to powers of u = (t - c) / half
  for (std::size_t k = 0; k < terms; ++k, power *= half) f.term[k] *= power;
  for (std::size_t n = terms - 1; n > Degree; --n) {
    for (std::size_t k = n % 2; k < n; k += 2) f.term[k] -= f.term[n] * t.coefficient[n][k];
  }
  power = 1.0;
  for (std::size_t k = 1; k <= Degree; ++k) {
    power *= half;
    table.coefficient[k][i] = static_cast<float>(f.term[k] / power);
    if constexpr (Degree < 5) continue;
    // What rounding took is given to higher terms, which in [-1, 1] come close: u to 4 u^3 - 3.2
    // u^5, u^2 to u^4 + 1/8 (the Chebyshev polynomials of degree 5 and 4), u^3 to 1.15 u^5.
    const double rest = f.term[k] - static_cast<double>(table.coefficient[k][i]) * power;
    if (k == 1) f.term[3] += 4.0 * rest, f.term[5] -= 3.2 * rest;
    if (k == 2) f.term[4] += rest, f.term[0] += 0.125 * rest;
    if (k == 3) f.term[5] += 1.15 * rest;
  }
  table.coefficient[0][i] = static_cast<float>(f.term[0]);
  table.low[i] = static_cast<float>(f.term[0] - static_cast<double>(table.coefficient[0][i]));
}

// Phi(-t), Phi the distribution function of the normal distribution.
template <std::size_t Degree>
constexpr piecewise_polynomials<Degree> make_normal_tail() {
  const chebyshev t;
  piecewise_polynomials<Degree> table{};
  table.spacing = 0.125;
  table.end = 31.5 * table.spacing;
  double at_center = 0.5;
  for (std::size_t i = 0; i < table.pieces; ++i) {
    const double c = table.spacing * static_cast<double>(i);
    const series density = exponential(-0.5 * c * c, -c, -0.5, 0.0);
    series f{{at_center}};
    for (std::size_t k = 1; k < terms; ++k) {
      f.term[k] = -0.39894228040143267794 * density.term[k - 1] / static_cast<double>(k);
    }
    store(f, t, i, table);
    at_center = value(f, table.spacing);
  }
  return table;
}

// e / (1 + e).
constexpr series logistic(const series& e) {
  series f{};  // f (1 + e) = e
  for (std::size_t k = 0; k < terms; ++k) {
    double rest = e.term[k];
    for (std::size_t j = 1; j <= k; ++j) rest -= e.term[j] * f.term[k - j];
    f.term[k] = rest / (1.0 + e.term[0]);
  }
  return f;
}

// 1 / (1 + e^(a t + b t^3)), which is (1 - tanh((a t + b t^3) / 2)) / 2.
template <std::size_t Degree>
constexpr piecewise_polynomials<Degree> make_logistic_of_cubic(double a, double b, double spacing,
                                                               double end) {
  const chebyshev t;
  piecewise_polynomials<Degree> table{};
  table.spacing = spacing;
  table.end = end;
  for (std::size_t i = 0; i < table.pieces; ++i) {
    const double c = spacing * static_cast<double>(i);
    const series e = exponential(-(a + b * c * c) * c, -(a + 3.0 * b * c * c), -3.0 * b * c, -b);
    store(logistic(e), t, i, table);
  }
  return table;
}

// log(1 + e^-t), whose derivative is -1 / (1 + e^t).
template <std::size_t Degree>
constexpr piecewise_polynomials<Degree> make_softplus_tail() {
  const chebyshev t;
  piecewise_polynomials<Degree> table{};
  table.spacing = 0.25;
  table.end = 31.5 * table.spacing;
  double at_center = 0.69314718055994530942;
  for (std::size_t i = 0; i < table.pieces; ++i) {
    const double c = table.spacing * static_cast<double>(i);
    const series slope = logistic(exponential(-c, -1.0, 0.0, 0.0));
    series f{{at_center}};
    for (std::size_t k = 1; k < terms; ++k) {
      f.term[k] = -slope.term[k - 1] / static_cast<double>(k);
    }
    store(f, t, i, table);
    at_center = value(f, table.spacing);
  }
  return table;
}

// erf(t), whose derivative is 2 / sqrt(pi) e^(-t^2).
template <std::size_t Degree>
constexpr piecewise_polynomials<Degree> make_erf() {
  const chebyshev t;
  piecewise_polynomials<Degree> table{};
  table.spacing = 0.125;
  table.end = 31.5 * table.spacing;
  double at_center = 0.0;
  for (std::size_t i = 0; i < table.pieces; ++i) {
    const double c = table.spacing * static_cast<double>(i);
    const series density = exponential(-c * c, -2.0 * c, -1.0, 0.0);
    series f{{at_center}};
    for (std::size_t k = 1; k < terms; ++k) {
      f.term[k] = 1.12837916709551257390 * density.term[k - 1] / static_cast<double>(k);
    }
    store(f, t, i, table);
    at_center = value(f, table.spacing);
  }
  return table;
}

// Additions to single coefficients, within the errors above. With those of degree 4 the results in
// float16 are correctly rounded for all arguments in float16, also where they lie next to where
// rounding changes (after Lim and Nagarakatte, "High performance correctly rounded math libraries
// for 32-bit floating point representations", 2021); degree 3 does without, for bfloat16. With those
// of degree 5 the largest errors above and below f32 results are equal in the worst pieces.
struct nudge {
  std::size_t degree;
  std::size_t piece;
  std::size_t power;  // of degree 5 only 0, to `low`
  float by;
};
template <std::size_t Degree, std::size_t Count>
constexpr piecewise_polynomials<Degree> nudged(piecewise_polynomials<Degree> table,
                                               const nudge (&nudges)[Count]) {
  for (const nudge& n : nudges) {
    if (n.degree != Degree) continue;
    (Degree == 5 ? table.low : table.coefficient[n.power])[n.piece] += n.by;
  }
  return table;
}
inline constexpr nudge gelu_nudges[] = {
    {4, 0, 1, 0x1p-18f}, {4, 0, 3, -0x1p-10f}, {5, 29, 0, 0x1.8p-43f}};
inline constexpr nudge gelu_tanh_nudges[] = {{4, 0, 1, 0x1p-18f},  {4, 0, 3, -0x1p-10f},
                                             {4, 2, 0, 0x1p-25f},  {4, 2, 1, 0x1p-19f},
                                             {4, 3, 0, -0x1p-24f}, {5, 25, 0, 0x1p-39f}};
inline constexpr nudge silu_nudges[] = {{4, 11, 0, -0x1p-27f}};

}  // namespace gelu_table_of

// The argument of the tanh form: a t + b t^3 = 2 sqrt(2 / pi) (t + 0.044715 t^3).
inline constexpr double gelu_tanh_a = 1.5957691216057307117597842397375;
inline constexpr double gelu_tanh_b = 0.044715 * gelu_tanh_a;

// Templates so that only a file that calls an operation has its table computed, which takes the
// compiler a moment.
template <std::size_t Degree>
inline constexpr auto gelu_table = gelu_table_of::nudged(gelu_table_of::make_normal_tail<Degree>(),
                                                         gelu_table_of::gelu_nudges);
template <std::size_t Degree>
inline constexpr auto gelu_tanh_table = gelu_table_of::nudged(
    gelu_table_of::make_logistic_of_cubic<Degree>(
        gelu_tanh_a, gelu_tanh_b, 0.125,
        Degree < 5 ? 3.9375 : 3.4375),  // beyond, the fifth degree errs by more than 1 ULP
    gelu_table_of::gelu_tanh_nudges);
template <std::size_t Degree>
inline constexpr auto silu_table =
    gelu_table_of::nudged(gelu_table_of::make_logistic_of_cubic<Degree>(1.0, 0.0, 0.25, 7.875),
                          gelu_table_of::silu_nudges);
template <std::size_t Degree>
inline constexpr auto softplus_table = gelu_table_of::make_softplus_tail<Degree>();
template <std::size_t Degree>
inline constexpr auto erf_table = gelu_table_of::make_erf<Degree>();

}  // namespace halfway::detail

#endif  // HALFWAY_SIMD_GELU_TABLE_H_
