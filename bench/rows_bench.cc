// SPDX-License-Identifier: Apache-2.0
// <op>/<type>/rows:/cols: for row operations, against a copy of as many bytes; <op>/<type>/n: for
// reductions, against a read.
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "benches.h"
#include "compared.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/reduce.h"
#include "halfway/ops/softmax.h"

namespace halfway_bench {
namespace {

using halfway::matrix;

struct row_shape {
  std::size_t rows, cols;
};
constexpr row_shape row_shapes[] = {{128, 1024}, {512, 4096}, {4096, 4096}};

// The operations of an element, by which a case finds its place in the roofline: those of the
// textbook's formula, where an exponential or a tanh counts one. Bandwidth is the limit of all.
struct nominal {
  double softmax = 5, norm = 7, gelu = 6, residual = 1;
};
constexpr nominal operations_of;

// Norms have the same parameters in all columns.
std::span<const float> gamma_of(std::size_t cols) {
  static const std::vector<float> gamma(8192, norm_gamma);
  return std::span(gamma).first(cols);
}
std::span<const float> beta_of(std::size_t cols) {
  static const std::vector<float> beta(8192, norm_beta);
  return std::span(beta).first(cols);
}

// One pass over so many matrices of a shape, half of them read, half written: x and y.
template <class T>
bench_case row_case(const std::string& op, const row_shape& s, double operations,
                    double matrices = 2) {
  const double elements = static_cast<double>(s.rows * s.cols);
  return copying(name(op, "/", short_name<T>(), "/rows:", s.rows, "/cols:", s.cols),
                 elements * operations, matrices * elements * sizeof(T));
}

template <class T, class Run>
void add_rows(operation what, double operations, Run run) {
  for (const row_shape s : row_shapes) {
    add_compared(
        row_case<T>(std::string(short_name(what)), s, operations),
        [=] { return make_problem(what, element_of<T>(), element_of<T>(), s.rows, s.cols); },
        own_rows<T, T>(run));
  }
}

// Forms that no peer has. make(shape) gives the work.
template <class T, class Make>
void add_own_rows(const std::string& op, double operations, double matrices, Make make) {
  for (const row_shape s : row_shapes) {
    bench_case c = row_case<T>(op, s, operations, matrices);
    c.prepare = [=] { return std::vector{contender{"halfway", make(s)}}; };
    register_case(std::move(c));
  }
}

template <class T>
std::shared_ptr<matrix<T>> shared_random(const row_shape& s, unsigned seed) {
  return std::make_shared<matrix<T>>(random_matrix<T>(s.rows, s.cols, seed));
}

// One pass over x (read only).
template <class T>
bench_case reduction_case(const std::string& op, std::size_t n) {
  const double elements = static_cast<double>(n);
  return reading(name(op, "/", short_name<T>(), "/n:", n), elements, elements * sizeof(T));
}

constexpr std::size_t reduction_sizes[] = {std::size_t{1} << 14, std::size_t{1} << 17,
                                           std::size_t{1} << 24};

template <class T>
void add_sum() {
  for (const std::size_t n : reduction_sizes) {
    add_compared(
        reduction_case<T>("sum", n),
        [n] { return make_problem(operation::sum, element_of<T>(), element::f32, 1, n); },
        own_rows<T, float>([](const auto& x, auto& y) { y(0, 0) = halfway::sum(x.elements()); }));
  }
}

template <class T, class Run>
void add_own_reduction(const std::string& op, Run run) {
  for (const std::size_t n : reduction_sizes) {
    bench_case c = reduction_case<T>(op, n);
    c.prepare = [=] {
      const auto x = std::make_shared<matrix<T>>(random_matrix<T>(1, n, 1));
      const auto result = std::make_shared<float>();
      return std::vector{
          contender{"halfway", [=] { *result = run(std::span<const T>(x->elements())); }}};
    };
    register_case(std::move(c));
  }
}

template <class T>
void add_type() {
  constexpr nominal count = operations_of;
  add_rows<T>(operation::softmax, count.softmax,
              [](const auto& x, auto& y) { halfway::softmax(x, y); });
  add_rows<T>(operation::log_softmax, count.softmax,
              [](const auto& x, auto& y) { halfway::log_softmax(x, y); });
  add_own_rows<T>("softmax_scaled", count.softmax, 2, [](const row_shape& s) {
    return [x = shared_random<T>(s, 1), y = shared_random<T>(s, 2)] {
      halfway::softmax(*x, *y, halfway::softmax_options{.scale = 0.125f});
    };
  });
  add_rows<T>(operation::layernorm, count.norm, [](const auto& x, auto& y) {
    halfway::layernorm(x, gamma_of(x.cols()), beta_of(x.cols()), y, norm_epsilon);
  });
  add_rows<T>(operation::rmsnorm, count.norm, [](const auto& x, auto& y) {
    halfway::rmsnorm(x, gamma_of(x.cols()), y, norm_epsilon);
  });
  // Reads x and a residual, writes their sum and y.
  add_own_rows<T>("add_rmsnorm", count.norm + count.residual, 4, [](const row_shape& s) {
    return [x = shared_random<T>(s, 1), residual = shared_random<T>(s, 2),
            sum = shared_random<T>(s, 3), y = shared_random<T>(s, 4),
            cols = s.cols] { halfway::add_rmsnorm(*x, *residual, gamma_of(cols), *sum, *y); };
  });
  add_rows<T>(operation::gelu, count.gelu,
              [](const auto& x, auto& y) { halfway::gelu(x.elements(), y.elements()); });
  add_rows<T>(operation::gelu_tanh, count.gelu,
              [](const auto& x, auto& y) { halfway::gelu_tanh(x.elements(), y.elements()); });
  add_rows<T>(operation::silu, count.gelu,
              [](const auto& x, auto& y) { halfway::silu(x.elements(), y.elements()); });
  add_sum<T>();
  add_own_reduction<T>("sum_of_squares",
                       [](std::span<const T> x) { return halfway::sum_of_squares(x); });
  add_own_reduction<T>("max", [](std::span<const T> x) { return halfway::max(x); });
}

}  // namespace

void register_rows() {
  add_type<float>();
  add_type<halfway::bfloat16>();
  add_type<halfway::half>();
}

}  // namespace halfway_bench
