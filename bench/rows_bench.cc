// SPDX-License-Identifier: Apache-2.0
// <op>/<type>/rows:/cols: for row operations, <op>/<type>/n: for reductions.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/reduce.h"
#include "halfway/ops/softmax.h"
#include "report.h"

namespace halfway_bench {
namespace {

using halfway::matrix;

struct row_shape {
  std::size_t rows, cols;
};
constexpr row_shape row_shapes[] = {{128, 1024}, {512, 4096}, {4096, 4096}};

// One pass over x (read) and y (written), against a copy of as many bytes.
template <class T, class Op>
void add_rows(const std::string& op, Op run_op) {
  for (const auto [rows, cols] : row_shapes) {
    const auto run = [rows = rows, cols = cols, run_op](benchmark::State& state) {
      matrix<T> x(rows, cols), y(rows, cols);
      fill(x);
      const std::size_t bytes = x.bytes() + y.bytes();
      report_bytes(state, bytes, copy_bandwidth(bytes), [&] { run_op(x, y); });
    };
    benchmark::RegisterBenchmark(
        name(op, "/", short_name<T>(), "/rows:", rows, "/cols:", cols).c_str(), run);
  }
}

// One pass over x (read only), against a read of as many bytes.
template <class T, class Op>
void add_reduction(const std::string& op, Op run_op) {
  for (std::size_t n : {std::size_t{1} << 14, std::size_t{1} << 17, std::size_t{1} << 24}) {
    const auto run = [n, run_op](benchmark::State& state) {
      matrix<T> x(1, n);
      fill(x);
      report_bytes(state, x.bytes(), read_bandwidth(x.bytes()),
                   [&] { benchmark::DoNotOptimize(run_op(x.elements())); });
    };
    benchmark::RegisterBenchmark(name(op, "/", short_name<T>(), "/n:", n).c_str(), run);
  }
}

template <class T>
void add_type() {
  add_rows<T>("softmax", [](const matrix<T>& x, matrix<T>& y) { halfway::softmax(x, y); });
  add_rows<T>("log_softmax", [](const matrix<T>& x, matrix<T>& y) { halfway::log_softmax(x, y); });
  add_rows<T>("softmax_scaled", [](const matrix<T>& x, matrix<T>& y) {
    halfway::softmax(x, y, halfway::softmax_options{.scale = 0.125f});
  });
  add_rows<T>("layernorm", [](const matrix<T>& x, matrix<T>& y) {
    const std::vector<float> gamma(x.cols(), 1.0f), beta(x.cols(), 0.5f);
    halfway::layernorm(x, gamma, beta, y);
  });
  add_rows<T>("rmsnorm", [](const matrix<T>& x, matrix<T>& y) {
    const std::vector<float> gamma(x.cols(), 1.0f);
    halfway::rmsnorm(x, gamma, y);
  });
  // In addition to x and y, reads and writes a residual.
  add_rows<T>("add_rmsnorm", [](const matrix<T>& x, matrix<T>& y) {
    const std::vector<float> gamma(x.cols(), 1.0f);
    thread_local matrix<T> residual;
    if (residual.rows() != x.rows() || residual.cols() != x.cols()) {
      residual = matrix<T>(x.rows(), x.cols());
    }
    halfway::add_rmsnorm(x, residual, gamma, residual, y);
  });
  add_rows<T>("gelu",
              [](const matrix<T>& x, matrix<T>& y) { halfway::gelu(x.elements(), y.elements()); });
  add_rows<T>("gelu_tanh", [](const matrix<T>& x, matrix<T>& y) {
    halfway::gelu_tanh(x.elements(), y.elements());
  });
  add_rows<T>("silu",
              [](const matrix<T>& x, matrix<T>& y) { halfway::silu(x.elements(), y.elements()); });
  add_reduction<T>("sum", [](std::span<const T> x) { return halfway::sum(x); });
  add_reduction<T>("sum_of_squares",
                   [](std::span<const T> x) { return halfway::sum_of_squares(x); });
  add_reduction<T>("max", [](std::span<const T> x) { return halfway::max(x); });
}

}  // namespace

void register_rows() {
  add_type<float>();
  add_type<halfway::bfloat16>();
  add_type<halfway::half>();
}

}  // namespace halfway_bench
