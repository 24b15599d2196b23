// SPDX-License-Identifier: Apache-2.0
// oneTBB's threads for halfway's operations, so that an engine that has an arena needs no second
// pool.
//
//   oneapi::tbb::task_arena arena(8);
//   halfway::tbb_executor on(arena);
//   halfway::gemm(x, w, y, {}, on);              // the same bits as on any other executor
//
// The operation waits for its own tasks only: a thread that has none left does not take up another
// task of the engine, which might start a second operation on top of the first one's scratch
// memory. So it may be called from within TBB's tasks, of the same arena or another.
//
// Cancelling the group that the caller runs in does not reach into an operation: it ends whole, as
// its outputs would otherwise be half written and nobody told. An exception of a task (operations
// have none but std::bad_alloc) is thrown by the operation, and the tasks that have not begun are
// dropped.
#ifndef HALFWAY_INTEROP_TBB_H_
#define HALFWAY_INTEROP_TBB_H_

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include <cstddef>

#include "halfway/core/executor.h"

namespace halfway {

/// An executor (core/executor.h) on the threads of an arena. May be used by several threads at
/// once.
class tbb_executor {
 public:
  /// On the arena that the caller of an operation is in, which outside of others is TBB's own.
  tbb_executor() = default;
  /// On `arena`, which must live as long as this does.
  explicit tbb_executor(oneapi::tbb::task_arena& arena) : arena_(&arena) {}

  /// That run tasks at once: what the arena was made for.
  std::size_t threads() const {
    const int n = arena_ != nullptr ? arena_->max_concurrency()
                                    : oneapi::tbb::this_task_arena::max_concurrency();
    return n < 1 ? 1 : static_cast<std::size_t>(n);
  }

  /// As an executor.
  void run(std::size_t tasks, task_ref f) {
    const auto all = [tasks, f] {
      oneapi::tbb::this_task_arena::isolate([tasks, f] {
        oneapi::tbb::task_group_context own(oneapi::tbb::task_group_context::isolated);
        oneapi::tbb::parallel_for(
            oneapi::tbb::blocked_range<std::size_t>(0, tasks, 1),
            [f](const oneapi::tbb::blocked_range<std::size_t>& part) {
              for (std::size_t i = part.begin(); i != part.end(); ++i) f(i);
            },
            oneapi::tbb::simple_partitioner(), own);
      });
    };
    arena_ != nullptr ? arena_->execute(all) : all();
  }

 private:
  oneapi::tbb::task_arena* arena_ = nullptr;
};

}  // namespace halfway

#endif  // HALFWAY_INTEROP_TBB_H_
