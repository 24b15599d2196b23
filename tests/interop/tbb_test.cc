// SPDX-License-Identifier: Apache-2.0
#include "halfway/interop/tbb.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "halfway/ops/gemm.h"
#include "halfway/types/bfloat16.h"

namespace halfway {
namespace {

namespace tbb = oneapi::tbb;
using namespace std::chrono_literals;

// Values whose products do not sum exactly, so that another order of the sums would be seen.
matrix<bfloat16> values(std::size_t rows, std::size_t cols, std::size_t seed) {
  matrix<bfloat16> m(rows, cols);
  for (std::size_t i = 0; i < m.size(); ++i) {
    m.elements()[i] = bfloat16(static_cast<float>((i * 7919 + seed) % 1009) / 509.0f - 1.0f);
  }
  return m;
}

matrix<float> product(const matrix<bfloat16>& a, const matrix<bfloat16>& b, executor_ref on) {
  matrix<float> c(a.rows(), b.cols());
  gemm(a, b, c, {}, on);
  return c;
}

matrix<float> product_on(tbb::task_arena& arena, const matrix<bfloat16>& a,
                         const matrix<bfloat16>& b) {
  matrix<float> c(a.rows(), b.cols());
  tbb_executor on(arena);
  gemm(a, b, c, {}, on);
  return c;
}

bool same_bits(const matrix<float>& a, const matrix<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

TEST(TbbExecutor, GivesTheBitsOfTheCallingThread) {
  const auto a = values(201, 300, 1), b = values(300, 170, 2);
  const matrix<float> expected = product(a, b, {});
  for (const int threads : {1, 2, 4}) {
    tbb::task_arena arena(threads);
    tbb_executor on(arena);
    EXPECT_EQ(on.threads(), static_cast<std::size_t>(threads));
    EXPECT_TRUE(same_bits(product_on(arena, a, b), expected)) << threads;
  }
  tbb_executor on_default;
  EXPECT_GE(on_default.threads(), 1u);
  EXPECT_TRUE(same_bits(product(a, b, on_default), expected));
}

TEST(TbbExecutor, RunsEachTaskOnceFromSeveralThreadsAtATime) {
  tbb::task_arena arena(3);
  tbb_executor on(arena);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (const std::size_t tasks : {0u, 1u, 2u, 37u, 500u}) {
        std::vector<std::atomic<int>> runs(tasks);
        executor_ref(on).run(tasks, [&](std::size_t i) { ++runs[i]; });
        for (const auto& n : runs) wrong += n != 1;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST(TbbExecutor, ThrowsWhatATaskThrowsAndGoesOnToWork) {
  tbb::task_arena arena(4);
  tbb_executor on(arena);
  const auto fails = [](std::size_t i) {
    if (i == 13) throw std::runtime_error("task 13");
  };
  try {
    executor_ref(on).run(50, fails);
    FAIL() << "nothing thrown";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "task 13");
  }
  std::atomic<int> runs{0};
  executor_ref(on).run(50, [&](std::size_t) { ++runs; });
  EXPECT_EQ(runs, 50);
}

// Operations within tasks of the same arena, all of whose threads are busy with such tasks.
TEST(TbbExecutor, NestsWithoutDeadlock) {
  tbb::task_arena arena(4);
  tbb_executor on(arena);
  const auto a = values(150, 90, 3), b = values(90, 140, 4);
  const matrix<float> expected = product(a, b, {});
  std::atomic<int> wrong{0};
  arena.execute([&] {
    tbb::parallel_for(0, 40, [&](int) { wrong += !same_bits(product(a, b, on), expected); });
  });
  EXPECT_EQ(wrong, 0);
}

// While an operation waits for a task that another thread runs, the caller's thread must not start a
// task of the engine's: that might begin a second operation in the thread's scratch memory.
TEST(TbbExecutor, RunsNoOtherTasksWhileItWaits) {
  tbb::task_arena arena(3);
  tbb_executor on(arena);
  static thread_local bool in_operation;
  std::atomic<int> mixed{0};
  std::thread engine([&] {
    arena.execute([&] {
      tbb::parallel_for(
          0, 200,
          [&](int) {
            mixed += in_operation;
            std::this_thread::sleep_for(1ms);
          },
          tbb::simple_partitioner());
    });
  });
  for (int round = 0; round < 10; ++round) {
    arena.execute([&] {
      in_operation = true;
      executor_ref(on).run(2,
                           [](std::size_t i) { std::this_thread::sleep_for(i == 0 ? 1ms : 5ms); });
      in_operation = false;
    });
  }
  engine.join();
  EXPECT_EQ(mixed, 0);
}

TEST(TbbExecutor, EndsAnOperationWholeWhereTheCallersGroupIsCancelled) {
  tbb::task_arena arena(4);
  tbb_executor on;
  std::atomic<int> runs{0};
  arena.execute([&] {
    tbb::task_group_context group;
    tbb::parallel_for(
        0, 1,
        [&](int) {
          executor_ref(on).run(100, [&](std::size_t) {
            group.cancel_group_execution();
            ++runs;
          });
        },
        group);
  });
  EXPECT_EQ(runs, 100);
}

}  // namespace
}  // namespace halfway
