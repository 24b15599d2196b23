// SPDX-License-Identifier: Apache-2.0
// The elementary functions to as many digits as one likes, from MPFR: the oracle for the library's.
//
//   halfway::testing::exact_functions exact;
//   double y = exact.to_odd(halfway::testing::elementary::exp, 0.5);
#ifndef HALFWAY_TESTS_SUPPORT_EXACT_FUNCTIONS_H_
#define HALFWAY_TESTS_SUPPORT_EXACT_FUNCTIONS_H_

#include <mpfr.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace halfway::testing {

enum class elementary {
  exp,
  exp2,
  log,
  log2,
  tanh,
  sigmoid,
  erf,
  gelu,
  gelu_tanh,
  silu,
  softplus,
  rsqrt,
  reciprocal,
  sqrt,
  sin,
  cos
};
inline constexpr std::size_t elementary_count = 16;
inline constexpr const char* elementary_names[elementary_count] = {
    "exp",       "exp2", "log",      "log2",  "tanh",       "sigmoid", "erf", "gelu",
    "gelu_tanh", "silu", "softplus", "rsqrt", "reciprocal", "sqrt",    "sin", "cos"};

class exact_functions {
 public:
  exact_functions() = default;
  exact_functions(const exact_functions&) = delete;
  exact_functions& operator=(const exact_functions&) = delete;

  /// f(x) rounded to odd: its last bit is set if it is inexact, so that one more rounding, to fewer
  /// digits, gives what rounding f(x) itself would.
  double to_odd(elementary f, double x) {
    // Where x is tiny, x sigmoid(x) is x / 2 but for a digit as far below as x is small.
    numbers& n = std::abs(x) < 0x1p-50 && is_step_product(f) ? long_ : short_;
    // The limit, where the formula has no value.
    if (x == -std::numeric_limits<double>::infinity() && is_step_product(f)) return -0.0;
    evaluate(f, x, n);
    double y = mpfr_get_d(n.y.value, MPFR_RNDZ);
    std::uint64_t bits;
    std::memcpy(&bits, &y, sizeof(y));
    if (std::isfinite(y) && mpfr_cmp_d(n.y.value, y) != 0) bits |= 1;
    std::memcpy(&y, &bits, sizeof(y));
    return y;
  }

 private:
  struct number {
    explicit number(mpfr_prec_t digits) { mpfr_init2(value, digits); }
    ~number() { mpfr_clear(value); }
    number(const number&) = delete;
    number& operator=(const number&) = delete;
    mpfr_t value;
  };
  struct numbers {
    explicit numbers(mpfr_prec_t digits) : x(digits), y(digits), z(digits) {}
    number x, y, z;
  };
  numbers short_{96};
  numbers long_{320};

  static bool is_step_product(elementary f) {
    return f == elementary::gelu || f == elementary::gelu_tanh || f == elementary::silu;
  }

  // y = numerator / (1 + e^-z).
  static void divide_by_logistic(mpfr_ptr y, mpfr_srcptr numerator, mpfr_ptr z) {
    mpfr_neg(z, z, MPFR_RNDN);
    mpfr_exp(z, z, MPFR_RNDN);
    mpfr_add_ui(z, z, 1, MPFR_RNDN);
    mpfr_div(y, numerator, z, MPFR_RNDN);
  }

  static void evaluate(elementary f, double at, numbers& n) {
    mpfr_ptr x = n.x.value, y = n.y.value, z = n.z.value;
    constexpr mpfr_rnd_t nearest = MPFR_RNDN;
    mpfr_set_d(x, at, nearest);
    switch (f) {
      case elementary::exp:
        mpfr_exp(y, x, nearest);
        break;
      case elementary::exp2:
        mpfr_exp2(y, x, nearest);
        break;
      case elementary::log:
        mpfr_log(y, x, nearest);
        break;
      case elementary::log2:
        mpfr_log2(y, x, nearest);
        break;
      case elementary::tanh:
        mpfr_tanh(y, x, nearest);
        break;
      case elementary::sigmoid:
        mpfr_set_ui(y, 1, nearest);
        divide_by_logistic(y, y, x);
        break;
      case elementary::erf:
        mpfr_erf(y, x, nearest);
        break;
      case elementary::gelu:  // x erfc(-x / sqrt(2)) / 2
        mpfr_sqrt_ui(z, 2, nearest);
        mpfr_div(z, x, z, nearest);
        mpfr_neg(z, z, nearest);
        mpfr_erfc(z, z, nearest);
        mpfr_mul(y, x, z, nearest);
        mpfr_div_2ui(y, y, 1, nearest);
        break;
      case elementary::gelu_tanh:  // x / (1 + e^-z), z = 2 sqrt(2 / pi) (x + 0.044715 x^3)
        mpfr_sqr(z, x, nearest);
        mpfr_mul_ui(z, z, 44715, nearest);
        mpfr_div_ui(z, z, 1000000, nearest);
        mpfr_add_ui(z, z, 1, nearest);
        mpfr_mul(z, z, x, nearest);
        mpfr_const_pi(y, nearest);
        mpfr_ui_div(y, 8, y, nearest);
        mpfr_sqrt(y, y, nearest);
        mpfr_mul(z, z, y, nearest);
        divide_by_logistic(y, x, z);
        break;
      case elementary::silu:
        mpfr_set(z, x, nearest);
        divide_by_logistic(y, x, z);
        break;
      case elementary::softplus:  // max(x, 0) + log(1 + e^-|x|)
        mpfr_abs(z, x, nearest);
        mpfr_neg(z, z, nearest);
        mpfr_exp(z, z, nearest);
        mpfr_log1p(y, z, nearest);
        if (at > 0) mpfr_add(y, y, x, nearest);
        break;
      case elementary::rsqrt:
        if (at == 0) {  // MPFR says +inf at -0, IEEE 754-2019 9.2.1 -inf
          mpfr_ui_div(y, 1, x, nearest);
        } else {
          mpfr_rec_sqrt(y, x, nearest);
        }
        break;
      case elementary::reciprocal:
        mpfr_ui_div(y, 1, x, nearest);
        break;
      case elementary::sqrt:
        mpfr_sqrt(y, x, nearest);
        break;
      case elementary::sin:
        mpfr_sin(y, x, nearest);
        break;
      case elementary::cos:
        mpfr_cos(y, x, nearest);
        break;
    }
  }
};

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_EXACT_FUNCTIONS_H_
