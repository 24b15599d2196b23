// SPDX-License-Identifier: Apache-2.0
#include "halfway/core/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstddef>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "halfway/core/thread_pool.h"

namespace halfway {
namespace {

// How often each task was called.
std::vector<int> calls(executor_ref on, std::size_t tasks) {
  std::vector<std::atomic<int>> counts(tasks);
  on.run(tasks, [&](std::size_t i) { counts[i].fetch_add(1); });
  return {counts.begin(), counts.end()};
}

// An engine's own pool, with the two functions that the concept asks for: last task first.
struct backward_engine {
  std::size_t threads() const { return 0; }
  void run(std::size_t tasks, auto f) {
    ++runs;
    while (tasks-- > 0) f(tasks);
  }
  int runs = 0;
};
static_assert(executor<backward_engine> && executor<thread_pool> && !executor<std::string>);

TEST(Executor, ByDefaultTheCallingThreadInOrder) {
  const executor_ref here;
  EXPECT_EQ(here.threads(), 1u);
  std::vector<std::size_t> order;
  here.run(4, [&](std::size_t i) { order.push_back(i); });
  EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2, 3}));
}

TEST(Executor, TakesAnEngine) {
  backward_engine engine;
  const executor_ref on = engine;
  EXPECT_EQ(on.threads(), 1u) << "an engine without threads still runs tasks";
  std::vector<std::size_t> order;
  on.run(3, [&](std::size_t i) { order.push_back(i); });
  EXPECT_EQ(order, (std::vector<std::size_t>{2, 1, 0}));
  on.run(1, [&](std::size_t) {});
  EXPECT_EQ(engine.runs, 1) << "a single task needs no engine";
}

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (const std::size_t threads : {0u, 1u, 2u, 3u, 7u}) {
    thread_pool pool(threads);
    EXPECT_EQ(pool.threads(), threads == 0 ? 1 : threads);
    for (const std::size_t tasks : {0u, 1u, 2u, 5u, 1000u}) {
      EXPECT_EQ(calls(pool, tasks), std::vector<int>(tasks, 1)) << threads << " threads";
    }
  }
}

TEST(ThreadPool, UsesItsThreads) {
  thread_pool pool(3);
  std::atomic<int> arrived{0};
  pool.run(3, task_ref(
                  [](const void* p, std::size_t) {
                    auto& count = *static_cast<std::atomic<int>*>(const_cast<void*>(p));
                    ++count;
                    while (count < 3) std::this_thread::yield();  // ends only with three at once
                  },
                  &arrived));
  EXPECT_EQ(arrived, 3);
}

TEST(ThreadPool, ManyShortRoundsInARow) {
  thread_pool pool(2);
  const executor_ref on = pool;
  std::vector<int> sums(2);
  for (int round = 0; round < 20000; ++round) {
    on.run(2, [&](std::size_t i) { sums[i] += 1; });  // each round sees what the last one wrote
  }
  EXPECT_EQ(sums, (std::vector<int>{20000, 20000}));
}

TEST(ThreadPool, RunFromWithinATaskIsSerial) {
  thread_pool pool(2);
  const executor_ref on = pool;
  std::atomic<int> count{0};
  on.run(4, [&](std::size_t) { on.run(5, [&](std::size_t) { ++count; }); });
  EXPECT_EQ(count, 20);
}

TEST(ThreadPool, CallersTakeTurns) {
  thread_pool pool(2);
  std::atomic<int> count{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([&] {
      for (int i = 0; i < 50; ++i) executor_ref(pool).run(10, [&](std::size_t) { ++count; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(count, 3 * 50 * 10);
}

TEST(ThreadPool, PassesOnTheFirstException) {
  thread_pool pool(2);
  const executor_ref on = pool;
  std::atomic<int> ended{0};
  EXPECT_THROW(on.run(8,
                      [&](std::size_t i) {
                        if (i % 2 == 1) throw std::runtime_error("task");
                        ++ended;
                      }),
               std::runtime_error);
  EXPECT_EQ(ended, 4) << "the other tasks are run";
  EXPECT_EQ(calls(on, 100), std::vector<int>(100, 1)) << "the pool is as good as new";
}

TEST(ThreadPool, TheDefaultOneIsOne) {
  EXPECT_EQ(&default_thread_pool(), &default_thread_pool());
  EXPECT_GE(default_thread_pool().threads(), 1u);
}

}  // namespace
}  // namespace halfway
