// SPDX-License-Identifier: Apache-2.0
// Where the tasks of an operation run: on the calling thread, on halfway's own pool, or on yours.
//
//   halfway::softmax(x, y);                                    // the calling thread; no other starts
//   halfway::softmax(x, y, halfway::default_thread_pool());    // core/thread_pool.h
//
//   struct my_engine_pool {                                    // an engine's own
//     std::size_t threads() const;                             // how many tasks run at once
//     void run(std::size_t tasks, auto f);                     // f(0) ... f(tasks - 1), then returns
//   };
#ifndef HALFWAY_CORE_EXECUTOR_H_
#define HALFWAY_CORE_EXECUTOR_H_

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>

namespace halfway {

/// One call of `operator()` for each task. A small value; valid until `run` returns.
class task_ref {
 public:
  /// `call(f, task)` for each task.
  task_ref(void (*call)(const void*, std::size_t), const void* f) : call_(call), f_(f) {}
  void operator()(std::size_t task) const { call_(f_, task); }  ///< runs one task

 private:
  void (*call_)(const void*, std::size_t);
  const void* f_;
};

/// An engine that runs tasks. `run(n, f)` calls f(i) once for each i in [0, n), in any order and at
/// the same time from up to `threads()` threads, and returns once all have returned. f may throw
/// std::bad_alloc: what `run` does then is the engine's choice. Operations call `run` only for work
/// that pays for it, and never from within a task.
template <class E>
concept executor = requires(E& e, std::size_t n, task_ref f) {
  { e.threads() } -> std::convertible_to<std::size_t>;
  e.run(n, f);
};

/// Names an executor, which must live as long as the operation that it is passed to; by default the
/// calling thread itself. How work is cut never changes a result: every operation gives the same
/// bits on any executor.
class executor_ref {
 public:
  constexpr executor_ref() = default;

  /// Of any executor, which is not copied.
  template <executor E>
  requires(!std::same_as<std::remove_const_t<E>, executor_ref>)
      executor_ref(E& engine)  // NOLINT(google-explicit-constructor): an argument names the engine
      : engine_(const_cast<std::remove_const_t<E>*>(std::addressof(engine))),
        threads_([](void* e) -> std::size_t { return static_cast<E*>(e)->threads(); }),
        run_([](void* e, std::size_t tasks, task_ref f) { static_cast<E*>(e)->run(tasks, f); }) {}

  /// At least 1.
  std::size_t threads() const {
    const std::size_t n = run_ == nullptr ? 1 : threads_(engine_);
    return n == 0 ? 1 : n;
  }

  /// Calls f(task) for each task in [0, tasks), then returns.
  template <std::invocable<std::size_t> F>
  void run(std::size_t tasks, const F& f) const {
    if (run_ == nullptr || tasks <= 1) {
      for (std::size_t i = 0; i < tasks; ++i) f(i);
      return;
    }
    run_(engine_, tasks,
         task_ref([](const void* g, std::size_t i) { (*static_cast<const F*>(g))(i); },
                  std::addressof(f)));
  }

 private:
  void* engine_ = nullptr;
  std::size_t (*threads_)(void*) = nullptr;
  void (*run_)(void*, std::size_t, task_ref) = nullptr;
};

}  // namespace halfway

#endif  // HALFWAY_CORE_EXECUTOR_H_
