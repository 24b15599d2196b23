// SPDX-License-Identifier: Apache-2.0
#include "halfway/precision/autocast_executor.h"

#include <gtest/gtest.h>

#include <barrier>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <queue>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "halfway/core/thread_pool.h"

namespace {

using halfway::autocast;
using halfway::autocast_executor;
using halfway::compute_dtype;
using halfway::dtype;
using halfway::op_category;
namespace op = halfway::op;

// What an engine may have: threads that take callables from a queue.
class queue_pool {
 public:
  explicit queue_pool(std::size_t threads) {
    for (std::size_t i = 0; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  ~queue_pool() {
    for (std::size_t i = 0; i < workers_.size(); ++i) post(nullptr);
    for (std::thread& worker : workers_) worker.join();
  }

  void post(std::function<void()> f) {
    {
      const std::lock_guard lock(mutex_);
      queue_.push(std::move(f));
    }
    ready_.notify_one();
  }

  // As an executor.
  std::size_t threads() const { return workers_.size(); }
  void run(std::size_t tasks, auto f) {
    std::vector<std::future<void>> done;
    for (std::size_t i = 0; i < tasks; ++i) {
      auto task = std::make_shared<std::packaged_task<void()>>([f, i] { f(i); });
      done.push_back(task->get_future());
      post([task] { (*task)(); });
    }
    for (auto& d : done) d.wait();
    for (auto& d : done) d.get();
  }

 private:
  void work() {
    for (;;) {
      std::function<void()> f;
      {
        std::unique_lock lock(mutex_);
        ready_.wait(lock, [this] { return !queue_.empty(); });
        f = std::move(queue_.front());
        queue_.pop();
      }
      if (!f) return;
      f();
    }
  }

  std::mutex mutex_;
  std::condition_variable ready_;
  std::queue<std::function<void()>> queue_;
  std::vector<std::thread> workers_;
};
static_assert(halfway::executor<queue_pool>);
static_assert(halfway::executor<autocast_executor<queue_pool>>);
static_assert(halfway::executor<autocast_executor<halfway::thread_pool>>);

// Each thread of the pool runs one task: none returns before all have begun.
std::vector<dtype> types_of_threads(halfway::executor_ref on) {
  std::vector<dtype> types(on.threads());
  std::barrier all_have_begun(static_cast<std::ptrdiff_t>(types.size()));
  on.run(types.size(), [&](std::size_t i) {
    all_have_begun.arrive_and_wait();
    types[i] = compute_dtype(op::softmax);
  });
  return types;
}

template <class Pool>
void runs_in_the_callers_scope(Pool& pool) {
  const autocast_executor on(pool);
  EXPECT_EQ(on.threads(), pool.threads());
  const std::vector<dtype> wide(3, dtype::float32), narrow(3, dtype::bfloat16);
  EXPECT_EQ(types_of_threads(on), wide);
  {
    const autocast scope(dtype::bfloat16, {{op::softmax, op_category::lower_precision}});
    EXPECT_EQ(types_of_threads(on), narrow);
    {
      const autocast off(halfway::autocast_off);
      EXPECT_EQ(types_of_threads(on), wide);
    }
    EXPECT_EQ(types_of_threads(on), narrow);

    // Scopes within tasks nest in the caller's, and end with the task.
    std::vector<std::pair<dtype, dtype>> nested(50);
    on.run(50, [&](std::size_t i) {
      {
        const autocast inner(halfway::inference, dtype::float16);
        nested[i].first = compute_dtype(op::softmax);
      }
      nested[i].second = compute_dtype(op::softmax);
    });
    EXPECT_EQ(nested, (std::vector<std::pair<dtype, dtype>>(
                          50, std::pair(dtype::float16, dtype::bfloat16))));

    // ... also when an exception passes.
    EXPECT_THROW(on.run(8,
                        [](std::size_t) {
                          const autocast inner(halfway::autocast_off);
                          throw std::runtime_error("from a layer");
                        }),
                 std::runtime_error);
    EXPECT_EQ(compute_dtype(op::softmax), dtype::bfloat16);

    // The tasks share the scope's cache.
    const halfway::parameter p(halfway::matrix<float>(1, 1));
    on.run(50, [&](std::size_t) { autocast::current().cache->get<int>(p, [] { return 1; }); });
    EXPECT_EQ(autocast::current().cache->statistics(), (halfway::cast_cache_statistics{49, 1, 1}));

    // Without the adapter, the threads of the pool know nothing of it.
    EXPECT_NE(types_of_threads(pool), narrow);
  }
  EXPECT_EQ(types_of_threads(on), wide);
  EXPECT_EQ(types_of_threads(pool), wide);  // nothing stayed behind
}

TEST(AutocastExecutor, CarriesTheScopeToTheLibrarysThreadPool) {
  halfway::thread_pool pool(3);
  runs_in_the_callers_scope(pool);
}

TEST(AutocastExecutor, CarriesTheScopeToAThreadPoolOfTheUsers) {
  queue_pool pool(3);
  runs_in_the_callers_scope(pool);
}

TEST(AutocastExecutor, SeveralThreadsRunOnOnePoolEachInItsScope) {
  queue_pool pool(3);
  std::vector<std::thread> callers;
  std::vector<int> wrong(4);
  for (std::size_t t = 0; t < wrong.size(); ++t) {
    callers.emplace_back([&, t] {
      const dtype mine = t % 2 == 0 ? dtype::bfloat16 : dtype::float8_e4m3fn;
      const autocast scope(mine);
      const autocast_executor on(pool);
      std::vector<int> bad(20);
      for (int round = 0; round < 20; ++round)
        on.run(20, [&](std::size_t i) { bad[i] += compute_dtype(op::linear) != mine; });
      for (const int b : bad) wrong[t] += b;
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(AutocastExecutor, ACallableTakesTheScopeAlong) {
  queue_pool pool(2);
  std::future<dtype> result;
  std::packaged_task<dtype()> task;
  {
    const autocast scope(dtype::bfloat16);
    task = std::packaged_task<dtype()>(
        halfway::in_current_scope([] { return compute_dtype(op::linear); }));
    result = task.get_future();
  }
  pool.post([&task] { task(); });  // after the scope has ended
  EXPECT_EQ(result.get(), dtype::bfloat16);
  auto add = halfway::in_current_scope([](int a, int b) { return a + b; });
  EXPECT_EQ(add(1, 2), 3);
  EXPECT_EQ(compute_dtype(op::linear), dtype::float32);
}

}  // namespace
