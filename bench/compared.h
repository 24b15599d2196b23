// SPDX-License-Identifier: Apache-2.0
// Cases that peers can do too. `T` are this library's types of what `run` takes and gives.
//
//   add_compared(products(...), [] { return make_problem(...); },
//                own_rows<T, T>([](const auto& x, auto& y) { halfway::softmax(x, y); }));
#ifndef HALFWAY_BENCH_COMPARED_H_
#define HALFWAY_BENCH_COMPARED_H_

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "case.h"
#include "halfway/core/matrix.h"
#include "names.h"
#include "peers/peer.h"
#include "problem.h"

namespace halfway_bench {

// Registers a case of this library, solved by `own`, and of every peer that can solve it. All results
// are checked before any is timed.
void add_compared(bench_case c, std::function<problem()> make,
                  std::function<solution(const problem&)> own);

template <class T>
halfway::matrix<T> to_matrix(const std::vector<float>& values, std::size_t rows, std::size_t cols) {
  halfway::matrix<T> m(rows, cols);
  for (std::size_t i = 0; i < values.size(); ++i) m.data()[i] = static_cast<T>(values[i]);
  return m;
}

// run(x, y): a row operation or a cast, for matrices of TX and TY.
template <class TX, class TY, class Run>
std::function<solution(const problem&)> own_rows(Run run) {
  return [run](const problem& p) {
    const auto x = std::make_shared<halfway::matrix<TX>>(to_matrix<TX>(p.x, p.rows, p.cols));
    const auto y = std::make_shared<halfway::matrix<TY>>(p.rows, p.cols);
    return solution{[=] { run(*x, *y); },
                    [y](std::size_t i) { return static_cast<double>(y->data()[i]); }};
  };
}

}  // namespace halfway_bench

#endif  // HALFWAY_BENCH_COMPARED_H_
