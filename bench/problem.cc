// SPDX-License-Identifier: Apache-2.0
#include "problem.h"

#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <sstream>
#include <stdexcept>

#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"

namespace halfway_bench {
namespace {

float rounded(element e, float x) {
  switch (e) {
    case element::f32:
      return x;
    case element::bf16:
      return halfway::bfloat16(x);
    case element::f16:
      return halfway::half(x);
    case element::e4m3:
      return halfway::float8_e4m3fn(x);
    case element::e5m2:
      return halfway::float8_e5m2(x);
    default:
      throw std::invalid_argument("rounded: not a float");
  }
}

// Half the distance of the smallest numbers. Peers may flush those of f32 and bfloat16 to zero.
double smallest_rounding(element e) {
  switch (e) {
    case element::f32:
    case element::bf16:
      return 0x1p-126;
    case element::f16:
      return 0x1p-25;
    case element::e4m3:
      return 0x1p-10;
    case element::e5m2:
      return 0x1p-17;
    default:
      return 0;
  }
}

std::vector<float> random_values(element e, std::size_t n, unsigned seed) {
  std::vector<float> values(n);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  // -128 has no counterpart, and some peers leave it out.
  std::uniform_int_distribution<int> byte(e == element::u8 ? 0 : -127,
                                          e == element::u8 ? 255 : 127);
  const bool is_byte = e == element::u8 || e == element::s8;
  // Drawing all of them would take longer than the bench. A prime, so that rows differ.
  const std::size_t drawn = std::min<std::size_t>(n, 65521);
  for (std::size_t i = 0; i < drawn; ++i)
    values[i] = is_byte ? static_cast<float>(byte(random)) : rounded(e, normal(random));
  for (std::size_t i = drawn; i < n; ++i) values[i] = values[i - drawn];
  return values;
}

// First, last and some between: a float64 reference of all rows would take longer than the bench.
std::vector<std::size_t> some_rows(std::size_t rows) {
  constexpr std::size_t most = 4;
  std::vector<std::size_t> some;
  const std::size_t count = std::min(rows, most);
  for (std::size_t i = 0; i < count; ++i)
    some.push_back(count == 1 ? 0 : i * (rows - 1) / (count - 1));
  return some;
}

double cpu_seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// The CPU time that other threads of this process spend while `run` is at work, as a share.
double share_of_other_threads(const std::function<void()>& run) {
  run();  // may start threads, or find its parameters
  const double process = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID);
  const double thread = cpu_seconds(CLOCK_THREAD_CPUTIME_ID);
  double mine = 0;
  do {
    run();
    mine = cpu_seconds(CLOCK_THREAD_CPUTIME_ID) - thread;
  } while (mine < 2e-3);  // the clocks of other threads are read with a delay
  const double all = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) - process;
  return std::max(0.0, all - mine) / mine;
}

}  // namespace

std::string_view short_name(element e) {
  switch (e) {
    case element::f32:
      return "f32";
    case element::bf16:
      return "bf16";
    case element::f16:
      return "f16";
    case element::e4m3:
      return "e4m3";
    case element::e5m2:
      return "e5m2";
    case element::u8:
      return "u8";
    case element::s8:
      return "s8";
    case element::s32:
      return "s32";
  }
  return "";
}

std::string_view short_name(operation o) {
  switch (o) {
    case operation::gemm:
      return "gemm";
    case operation::gemm_packed:
      return "gemm_packed";
    case operation::softmax:
      return "softmax";
    case operation::log_softmax:
      return "log_softmax";
    case operation::layernorm:
      return "layernorm";
    case operation::rmsnorm:
      return "rmsnorm";
    case operation::gelu:
      return "gelu";
    case operation::gelu_tanh:
      return "gelu_tanh";
    case operation::silu:
      return "silu";
    case operation::sum:
      return "sum";
    case operation::cast:
      return "cast";
  }
  return "";
}

std::size_t bytes_of(element e) {
  switch (e) {
    case element::f32:
    case element::s32:
      return 4;
    case element::bf16:
    case element::f16:
      return 2;
    default:
      return 1;
  }
}

double element_at(element e, const void* data, std::size_t i) {
  const auto at = [=](auto t) {
    return static_cast<double>(static_cast<const decltype(t)*>(data)[i]);
  };
  switch (e) {
    case element::f32:
      return at(float{});
    case element::bf16:
      return at(halfway::bfloat16{});
    case element::f16:
      return at(halfway::half{});
    case element::e4m3:
      return at(halfway::float8_e4m3fn{});
    case element::e5m2:
      return at(halfway::float8_e5m2{});
    case element::u8:
      return at(std::uint8_t{});
    case element::s8:
      return at(std::int8_t{});
    case element::s32:
      return at(std::int32_t{});
  }
  return 0;
}

double unit_roundoff(element e) {
  switch (e) {
    case element::f32:
      return 0x1p-24;
    case element::bf16:
      return 0x1p-8;
    case element::f16:
      return 0x1p-11;
    case element::e4m3:
      return 0x1p-4;
    case element::e5m2:
      return 0x1p-3;
    default:
      return 0;
  }
}

problem make_problem(operation what, element from, element to, std::size_t rows, std::size_t cols) {
  return {what, from, from, to, rows, cols, 0, random_values(from, rows * cols, 1), {}};
}

problem make_product(operation what, element from, element weights, element to, std::size_t rows,
                     std::size_t cols, std::size_t depth) {
  return {what,
          from,
          weights,
          to,
          rows,
          cols,
          depth,
          random_values(from, rows * depth, 1),
          random_values(weights, depth * cols, 2)};
}

reference::reference(const problem& p)
    : what_(p.what),
      to_(p.to),
      terms_(static_cast<double>(p.what == operation::sum ? p.x.size()
                                 : p.w.empty()            ? p.cols
                                                          : p.depth)) {
  if (p.what == operation::sum) {
    sample s{};
    for (const float x : p.x) {
      s.value += x;
      s.scale += std::abs(x);
      s.squares += static_cast<double>(x) * x;
    }
    samples_.push_back(s);
    return;
  }
  for (const std::size_t row : some_rows(p.rows))
    p.w.empty() ? add_row(p, row) : add_product_row(p, row);
}

void reference::add_product_row(const problem& p, std::size_t row) {
  std::vector<double> sum(p.cols), magnitude(p.cols), squares(p.cols);
  for (std::size_t k = 0; k < p.depth; ++k) {
    const double x = p.x[row * p.depth + k];
    const float* w = p.w.data() + k * p.cols;
    for (std::size_t j = 0; j < p.cols; ++j) {
      const double term = x * w[j];
      sum[j] += term;
      magnitude[j] += std::abs(term);
      squares[j] += term * term;
    }
  }
  for (std::size_t j = 0; j < p.cols; ++j)
    samples_.push_back({row * p.cols + j, sum[j], magnitude[j], squares[j]});
}

void reference::add_row(const problem& p, std::size_t row) {
  const float* x = p.x.data() + row * p.cols;
  const double n = static_cast<double>(p.cols);
  double mean = 0, magnitude = 0, square = 0, max = x[0];
  for (std::size_t j = 0; j < p.cols; ++j) {
    mean += x[j] / n;
    magnitude += std::abs(x[j]) / n;
    square += static_cast<double>(x[j]) * x[j] / n;
    max = std::max<double>(max, x[j]);
  }
  double variance = 0, exponentials = 0;
  for (std::size_t j = 0; j < p.cols; ++j) {
    variance += (x[j] - mean) * (x[j] - mean) / n;
    exponentials += std::exp(x[j] - max);
  }
  const double deviation = std::sqrt(variance + norm_epsilon);
  for (std::size_t j = 0; j < p.cols; ++j) {
    sample s{row * p.cols + j, 0, 0, 0};
    const double v = x[j];
    switch (p.what) {
      case operation::softmax:
        s.value = std::exp(v - max) / exponentials;
        s.scale = s.value * (std::abs(v - max) + n + 16);
        break;
      case operation::log_softmax:
        s.value = v - max - std::log(exponentials);
        s.scale = n + 16 + 4 * (std::abs(v) + std::abs(max) + std::abs(s.value));
        break;
      case operation::layernorm:
        s.value = (v - mean) / deviation * norm_gamma + norm_beta;
        s.scale = (n + 16) * norm_gamma * (std::abs(v - mean) / deviation + magnitude / deviation) +
                  8 * (std::abs(s.value) + norm_beta);
        break;
      case operation::rmsnorm:
        s.value = v / std::sqrt(square + norm_epsilon) * norm_gamma;
        s.scale = (n / 2 + 16) * std::abs(s.value);
        break;
      case operation::gelu:
        s.value = v * 0.5 * std::erfc(-v / std::numbers::sqrt2);
        s.scale = 16 * std::abs(v);
        break;
      case operation::gelu_tanh: {
        const double t = std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v);
        s.value = v / (1 + std::exp(-2 * t));
        s.scale = 16 * std::abs(v);
        break;
      }
      case operation::silu:
        s.value = v / (1 + std::exp(-v));
        s.scale = 16 * std::abs(v);
        break;
      case operation::cast:
        s.value = v;
        break;
      default:
        throw std::invalid_argument("reference: not a row operation");
    }
    samples_.push_back(s);
  }
}

bool reference::is_sum() const {
  return what_ == operation::gemm || what_ == operation::gemm_packed || what_ == operation::sum;
}

// First-order bounds that hold for any order of summation (Higham 2002, section 3.1), so they suit
// all peers; n is the number of terms of a sum, z the distance from the row's largest element.
//   products, sums: (n + 3) u sum |x w|.
//   softmax: (n + |z| + 16) u, relative: the rounding of z, an exponential of a few units in the last
//     place, the sum, the division. log_softmax: the same of the sum, absolute, and 4 u of each term.
//   layernorm: (n + 16) u of the mean's and of the normalized value; rmsnorm: half of n u, relative.
//   gelu, silu: 16 u |x|, which is what a factor from 0 to 1 with an absolute error of 16 u gives:
//     peers approximate erf and tanh that way.
// All: and the rounding to the result's type.
double reference::allowed_error(const sample& at, const solution& s) const {
  if (to_ == element::s32) return 0;
  const double u = unit_roundoff(s.accumulator);
  const double rounding = unit_roundoff(to_) * std::abs(at.value) + smallest_rounding(to_);
  const double relative = is_sum() ? (terms_ + 3) * u / (1 - (terms_ + 3) * u) : u;
  return relative * at.scale + s.roundings * rounding;
}

std::string reference::check(const solution& s) const {
  std::ostringstream wrong;
  // A thread pool may stay awake for a while after it was started, and clocks of threads are coarse.
  constexpr double most_of_other_threads = 0.2;
  double others = share_of_other_threads(s.run);
  for (int again = 0; again < 5 && others > most_of_other_threads; ++again)
    others = std::min(others, share_of_other_threads(s.run));
  if (others > most_of_other_threads) {
    wrong << "other threads work too, " << others << " of this thread's time";
    return wrong.str();
  }
  const double u = unit_roundoff(s.accumulator);
  // Where n u is no small number, the bound of each element says nothing. Then the root mean square
  // over all of them is held to three times what independent roundings give (Higham and Mary 2019):
  // after i of n terms a sum of random numbers has grown to sqrt(i), and each step adds u of it.
  if (is_sum() && to_ != element::s32 && (terms_ + 3) * u > 0.1) {
    double error = 0, squares = 0;
    for (const sample& at : samples_) {
      error += std::pow(s.output(at.index) - at.value, 2);
      squares += at.squares;
    }
    const double found = std::sqrt(error / squares), allowed = 3 * u * std::sqrt((terms_ + 3) / 2);
    if (!(found <= allowed)) wrong << "relative error " << found << ", allowed " << allowed;
    return wrong.str();
  }
  for (const sample& at : samples_) {
    const double got = s.output(at.index);
    if (std::abs(got - at.value) <= allowed_error(at, s)) continue;
    wrong.precision(9);
    wrong << "element " << at.index << " is " << got << ", should be " << at.value << " within "
          << allowed_error(at, s);
    break;
  }
  return wrong.str();
}

}  // namespace halfway_bench
