// SPDX-License-Identifier: Apache-2.0
// A product cut into blocks of c that run at the same time.
#ifndef HALFWAY_OPS_GEMM_TASKS_H_
#define HALFWAY_OPS_GEMM_TASKS_H_

#include <algorithm>
#include <cstddef>
#include <vector>

#include "halfway/core/executor.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/gemm_args.h"
#include "halfway/simd/gemm_layout.h"

namespace halfway::detail {

/// Blocks of c, as nearly equal as whole panels of columns and whole tiles of rows allow.
struct gemm_grid {
  std::size_t m, n;
  std::size_t rows, columns;  // of a block

  /// One block, or up to four for each thread, so that a slow one is not waited for (at 1024^3 5%
  /// faster on two threads than one block each); none so small that waking a thread, which takes
  /// tens of microseconds, does not pay. Columns are cut where there are enough of them, which each
  /// block reads on its own; else rows, where b is read (or packed) for each block.
  gemm_grid(std::size_t rows_of_c, std::size_t columns_of_c, std::size_t k, std::size_t threads)
      : m(rows_of_c), n(columns_of_c), rows(m), columns(n) {
    constexpr double worth = 1 << 21;  // multiply-adds
    constexpr std::size_t granule = 12;
    const double work = static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    const auto blocks =
        static_cast<std::size_t>(std::min(work / worth, 4.0 * static_cast<double>(threads)));
    if (threads <= 1 || blocks <= 1) return;
    if (n >= blocks * panel_columns || m < blocks * granule) {
      columns = round_up((n + blocks - 1) / blocks, panel_columns);
    } else {
      rows = round_up((m + blocks - 1) / blocks, granule);
    }
  }

  std::size_t across() const { return (n + columns - 1) / columns; }
  std::size_t tasks() const { return (m + rows - 1) / rows * across(); }
  gemm_block block(std::size_t task) const {
    const std::size_t i = task / across() * rows;
    const std::size_t j = task % across() * columns;
    return {i, std::min(rows, m - i), j, std::min(columns, n - j)};
  }
};

template <class Config>
void run_gemm(const gemm_operands<typename Config::A, typename Config::B>& operands,
              const typename Config::Epilogue& epilogue, executor_ref on) {
  const auto kernel = HALFWAY_DISPATCH(GemmKernel<Config>);
  const gemm_grid grid(operands.m, operands.n, operands.k, on.threads());
  if (grid.tasks() <= 1) return kernel(operands, epilogue);

  std::vector<gemm_health> parts;
  if constexpr (requires { epilogue.health; }) {
    if (epilogue.health != nullptr) parts.resize(grid.tasks());
  }
  on.run(grid.tasks(), [&](std::size_t task) {
    const gemm_block block = grid.block(task);
    auto part = epilogue.part(block);
    if constexpr (requires { part.health; }) {
      if (!parts.empty()) part.health = &parts[task];
    }
    kernel(operands.template part<Config::b_is_packed>(block), part);
  });
  if constexpr (requires { epilogue.health; }) {
    for (const gemm_health& part : parts) {
      epilogue.health->amax = std::max(epilogue.health->amax, part.amax);
      epilogue.health->non_finite += part.non_finite;
    }
  }
}

}  // namespace halfway::detail

#endif  // HALFWAY_OPS_GEMM_TASKS_H_
