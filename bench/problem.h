// SPDX-License-Identifier: Apache-2.0
// One problem for this library and its peers: the same numbers for all, and a float64 reference that
// every result is checked against before it is timed.
//
//   const problem p = make_problem(operation::softmax, element::bf16, element::bf16, 128, 1024);
//   std::string wrong = reference(p).check(result);              // empty: within the bound
#ifndef HALFWAY_BENCH_PROBLEM_H_
#define HALFWAY_BENCH_PROBLEM_H_

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace halfway_bench {

enum class operation {
  gemm,         // one call, nothing prepared
  gemm_packed,  // the weights packed before, as often as the peer likes
  softmax,
  log_softmax,
  layernorm,
  rmsnorm,
  gelu,
  gelu_tanh,
  silu,
  sum,
  cast,
};
enum class element { f32, bf16, f16, e4m3, e5m2, u8, s8, s32 };

// "f32", "gemm_packed"...
std::string_view short_name(element e);
std::string_view short_name(operation o);
std::size_t bytes_of(element e);

// Element i of an array of such elements.
double element_at(element e, const void* data, std::size_t i);

// Largest relative error of rounding to nearest: 2^-24 for f32; 0 for integers.
double unit_roundoff(element e);

inline constexpr float norm_epsilon = 1e-5f, norm_gamma = 1.0f, norm_beta = 0.5f;

struct problem {
  operation what;
  element from;  // of x
  element weights;
  element to;  // of the result
  std::size_t rows, cols, depth;
  // Row-major, of values that the element type has. Products: x is rows x depth, w is depth x cols,
  // the result rows x cols. All else: x is rows x cols, and so is the result (of a sum, one number).
  std::vector<float> x, w;
};

problem make_problem(operation what, element from, element to, std::size_t rows, std::size_t cols);
problem make_product(operation what, element from, element weights, element to, std::size_t rows,
                     std::size_t cols, std::size_t depth);

// How somebody does it.
struct solution {
  std::function<void()> run;                    // empty: cannot
  std::function<double(std::size_t i)> output;  // element i of the result, once run() was called
  element accumulator = element::f32;           // what it sums in
  int roundings = 1;                            // to the result's type, one after the other
};

// Some rows of the true result, in float64.
class reference {
 public:
  explicit reference(const problem& p);

  // Runs `s` once. Gives what is wrong: a result out of its error bound, or work on other threads;
  // empty if all is well.
  std::string check(const solution& s) const;

 private:
  struct sample {
    std::size_t index;  // in the result
    double value;
    double scale;    // what rounding errors are relative to; of a sum, the sum of magnitudes
    double squares;  // of a sum, of its terms
  };
  void add_product_row(const problem& p, std::size_t row);
  void add_row(const problem& p, std::size_t row);
  bool is_sum() const;
  double allowed_error(const sample& at, const solution& s) const;

  operation what_;
  element to_;
  double terms_;  // in each sum
  std::vector<sample> samples_;
};

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_PROBLEM_H_
