// SPDX-License-Identifier: Apache-2.0
// Carries an autocast scope to the threads of a pool.
//
//   halfway::autocast_executor on(pool);         // pool: any executor (core/executor.h)
//   halfway::autocast scope(halfway::amp_bf16);
//   on.run(layers, [&](std::size_t i) { halfway::compute_dtype(halfway::op::linear); });  // bfloat16
//
//   my_engine.post(halfway::in_current_scope([&] { ... }));   // a pool that takes callables
#ifndef HALFWAY_PRECISION_AUTOCAST_EXECUTOR_H_
#define HALFWAY_PRECISION_AUTOCAST_EXECUTOR_H_

#include <concepts>
#include <cstddef>
#include <functional>
#include <utility>

#include "halfway/core/executor.h"
#include "halfway/precision/autocast.h"

namespace halfway {

/// The scope that a thread is in, for another thread to enter while the first one waits.
class carried_autocast {
 public:
  /// The calling thread's.
  carried_autocast() : scope_(autocast::innermost()) {}

  /// Calls f() in that scope, on any thread, as long as the scope lives.
  template <class F>
  void call(const F& f) const {
    const entered inside(scope_);
    f();
  }

 private:
  struct entered {
    explicit entered(const autocast* scope) : before(autocast::innermost()) {
      autocast::innermost() = scope;
    }
    ~entered() { autocast::innermost() = before; }
    entered(const entered&) = delete;
    entered& operator=(const entered&) = delete;
    const autocast* before;
  };

  const autocast* scope_;
};

/// An executor that runs its tasks on another, in the scope of the thread that calls run(), or in
/// none if that is in none; afterwards each thread is again where it was. The tasks share that
/// scope's cache of casted weights. The other executor must outlive this one.
template <executor E>
class autocast_executor {
 public:
  explicit autocast_executor(E& engine) : engine_(&engine) {}  ///< which must outlive this

  std::size_t threads() const { return engine_->threads(); }  ///< of the other executor

  /// Calls f(task) for each task in [0, tasks), then returns.
  template <std::invocable<std::size_t> F>
  void run(std::size_t tasks, const F& f) const {
    const carried_autocast scope;  // lives on this thread's stack, which waits
    const auto in_scope = [&](std::size_t task) { scope.call([&] { f(task); }); };
    executor_ref(*engine_).run(tasks, in_scope);
  }

 private:
  E* engine_;
};

/// `f` as a callable that runs in the scope that the calling thread is in now, whenever and
/// wherever it is called: it holds a copy of the state.
template <class F>
auto in_current_scope(F&& f) {
  return [state = autocast::current(), call = std::forward<F>(f)](auto&&... arguments) mutable {
    const autocast scope(state);
    return std::invoke(call, std::forward<decltype(arguments)>(arguments)...);
  };
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_AUTOCAST_EXECUTOR_H_
