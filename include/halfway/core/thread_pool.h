// SPDX-License-Identifier: Apache-2.0
// Threads that wait for the tasks of operations: an executor (core/executor.h).
//
//   halfway::thread_pool pool(4);                     // the caller and three more
//   halfway::gemm(a, b, c, {}, pool);
//   halfway::gemm(a, b, c, {}, halfway::default_thread_pool());
#ifndef HALFWAY_CORE_THREAD_POOL_H_
#define HALFWAY_CORE_THREAD_POOL_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "halfway/core/executor.h"

namespace halfway {

/// Runs tasks on the calling thread and on threads of its own, which start with the pool and end
/// with it. `run` may be called from several threads, which then take turns; from within a task it
/// runs its tasks one after the other. The first exception of a task is thrown by `run` once all
/// tasks have ended.
class thread_pool {
 public:
  /// `threads`: how many run tasks, the caller among them; 0 is taken as 1.
  explicit thread_pool(std::size_t threads = std::thread::hardware_concurrency()) {
    for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this] { wait_for_work(); });
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool() {
    const std::lock_guard turn(turn_);
    ends_ = true;
    start_round();
    for (std::thread& worker : workers_) worker.join();
  }

  /// That run tasks, the caller among them: at least 1.
  std::size_t threads() const { return workers_.size() + 1; }

  /// As an executor (core/executor.h).
  void run(std::size_t tasks, task_ref f) {
    if (workers_.empty() || tasks <= 1 || in_task()) {
      for (std::size_t i = 0; i < tasks; ++i) f(i);
      return;
    }
    const std::lock_guard turn(turn_);
    task_ = f;
    tasks_ = tasks;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(workers_.size(), std::memory_order_relaxed);
    start_round();
    work();
    spin_until([&] { return busy_.load(std::memory_order_acquire) == 0; });
    for (std::size_t n; (n = busy_.load(std::memory_order_acquire)) != 0;) busy_.wait(n);
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

 private:
  static bool& in_task() {
    thread_local bool inside = false;
    return inside;
  }

  void start_round() {
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }

  // Waking a thread takes tens of microseconds, as long as many an operation: look a while first.
  template <class Condition>
  static void spin_until(const Condition& reached) {
    for (int i = 0; i < 4000 && !reached(); ++i) {
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#endif
    }
  }

  void wait_for_work() {
    for (std::uint32_t seen = 0;; ++seen) {
      spin_until([&] { return round_.load(std::memory_order_acquire) != seen; });
      round_.wait(seen, std::memory_order_acquire);
      if (ends_) return;
      work();
      if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
    }
  }

  void work() {
    in_task() = true;
    for (std::size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) {
#if defined(__cpp_exceptions)
      try {
        (*task_)(i);
      } catch (...) {
        const std::lock_guard one(failing_);
        if (!failure_) failure_ = std::current_exception();
      }
#else
      (*task_)(i);
#endif
    }
    in_task() = false;
  }

  std::mutex turn_;  // held by the thread whose tasks run
  std::optional<task_ref> task_;
  std::size_t tasks_ = 0;
  bool ends_ = false;
  std::atomic<std::uint32_t> round_{0};  // counts calls of run
  std::mutex failing_;
  std::exception_ptr failure_;
  std::vector<std::thread> workers_;

  // Written by all threads: each in a cache line of its own.
  alignas(64) std::atomic<std::size_t> next_{0};
  alignas(64) std::atomic<std::size_t> busy_{0};  // workers that have not ended this round
};

/// One pool for the process with as many threads as the machine runs at once, started by the first
/// call.
inline thread_pool& default_thread_pool() {
  static thread_pool pool;
  return pool;
}

}  // namespace halfway

#endif  // HALFWAY_CORE_THREAD_POOL_H_
