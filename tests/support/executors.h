// SPDX-License-Identifier: Apache-2.0
// Runs an operation on executors that cut it in different ways: its bits must not depend on them.
//
//   expect_same_bits_on_any_executor([&](halfway::executor_ref on) {
//     halfway::softmax(x, y, on);
//     return std::as_bytes(y.elements());
//   });
#ifndef HALFWAY_TESTS_SUPPORT_EXECUTORS_H_
#define HALFWAY_TESTS_SUPPORT_EXECUTORS_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "halfway/core/executor.h"
#include "halfway/core/thread_pool.h"

namespace halfway::testing {

// Claims to have so many threads, and runs the last task first.
struct backward_executor {
  std::size_t claimed;
  std::size_t tasks_run = 0;

  std::size_t threads() const { return claimed; }
  void run(std::size_t tasks, auto f) {
    tasks_run += tasks;
    for (std::size_t i = tasks; i-- > 0;) f(i);
  }
};

// `operation` returns the bytes of its result.
template <class Operation>
void expect_same_bits_on_any_executor(Operation&& operation) {
  const std::span<const std::byte> once = operation(executor_ref());
  const std::vector<std::byte> expected(once.begin(), once.end());
  for (const std::size_t threads : {std::size_t{2}, std::size_t{3}}) {
    backward_executor backward{threads};
    EXPECT_TRUE(std::ranges::equal(operation(executor_ref(backward)), expected)) << threads;
    EXPECT_GT(backward.tasks_run, 1u) << "too little work to be cut";
    thread_pool pool(threads);
    EXPECT_TRUE(std::ranges::equal(operation(executor_ref(pool)), expected)) << threads;
  }
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_EXECUTORS_H_
