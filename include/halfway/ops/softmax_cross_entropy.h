// SPDX-License-Identifier: Apache-2.0
// The loss of a classifier and its gradient in one call, in FP32 whatever the storage.
//
//   halfway::matrix<halfway::half> logits(64, 10), dlogits(64, 10);
//   std::vector<std::int32_t> labels(64);
//   float loss = halfway::softmax_cross_entropy(logits, labels, dlogits, 1024.0f);   // gradient of
//   1024 * loss
#ifndef HALFWAY_OPS_SOFTMAX_CROSS_ENTROPY_H_
#define HALFWAY_OPS_SOFTMAX_CROSS_ENTROPY_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/core/scratch.h"
#include "halfway/ops/row_arguments.h"
#include "halfway/simd/dispatch.h"
#include "halfway/simd/row_args.h"

namespace halfway {

namespace detail {

template <class T>
void check_labels(std::string_view where, matrix_view<const T> logits,
                  std::span<const std::int32_t> labels) {
  check_equal(where, "labels.size()", labels.size(), "logits.rows()", logits.rows());
  check_not_null(where, "labels", labels.data(), labels.size());
  check_row_major(where, "logits", logits);
  if (labels.empty()) [[unlikely]] {
    fail(concat(where, ": logits has no rows"));
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || static_cast<std::size_t>(labels[i]) >= logits.cols()) [[unlikely]] {
      fail(concat(where, ": labels[", i, "] (", labels[i],
                  ") must be at least 0 and below logits.cols() (", logits.cols(), ")"));
    }
  }
}

// The sum of the rows' losses: blocks of rows are added up, then the blocks, so that the result
// does not depend on what runs them.
template <class Config>
double sum_of_losses(row_block<const typename Config::X> logits,
                     std::span<const std::int32_t> labels, row_block<typename Config::Y> dlogits,
                     std::size_t cols, float factor, executor_ref on) {
  constexpr std::size_t block = 64;
  const std::size_t blocks = (labels.size() + block - 1) / block;
  const auto kernel = HALFWAY_DISPATCH(CrossEntropyKernel<Config>);
  std::vector<double> losses(blocks);
  for_each_part(on, blocks, block * cols * sizeof(typename Config::X),
                [&](std::size_t begin, std::size_t count) {
                  float* scratch = nullptr;
                  if (dlogits.data != nullptr) {
                    scratch = static_cast<float*>(thread_scratch(cols * sizeof(float)));
                  }
                  for (std::size_t b = begin; b < begin + count; ++b) {
                    const std::size_t row = b * block;
                    const std::size_t rows = std::min(block, labels.size() - row);
                    row_block<typename Config::Y> out = dlogits;
                    if (out.data != nullptr) out.data = dlogits.row(row);
                    losses[b] = kernel({logits.row(row), logits.stride}, labels.data() + row, out,
                                       rows, cols, factor, scratch);
                  }
                });
  double sum = 0.0;
  for (const double loss : losses) sum += loss;
  return sum;
}

}  // namespace detail

/// Returns the mean over the rows of log(sum over j of e^logits(i, j)) - logits(i, labels[i]), and
/// writes its gradient times `scale`: dlogits = scale / rows * (softmax(logits) - onehot(labels)).
/// `scale` is where the loss scale of mixed-precision training enters; the loss returned is without
/// it.
///
/// logits and dlogits have one shape, rows of contiguous elements and any float formats; dlogits
/// may be logits. One label a row. In FP32 in the order of softmax, the losses of rows added up in
/// double: the same bits on every CPU. The gradient errs as softmax does, times scale / rows, and
/// by 4 u of itself; a row's loss as log_softmax. Gradients past the range of dlogits' type become
/// infinite: what a loss scaler looks for.
///
/// A row that holds NaN or +infinity, or is -infinity throughout, has a loss and gradients of NaN.
/// A label on an element of -infinity gives an infinite loss and the gradient -scale / rows.
///
/// Errors, before anything is written: shapes that differ, a number of labels other than rows, a
/// label below 0 or not below the number of columns, no rows, columns that do not lie side by side,
/// memory that is shared otherwise.
template <float_storage_matrix X, float_storage_output_matrix DX>
float softmax_cross_entropy(const X& logits, std::span<const std::int32_t> labels, DX&& dlogits,
                            float scale = 1.0f, executor_ref on = {}) {
  constexpr std::string_view where = "halfway::softmax_cross_entropy";
  using TX = std::remove_const_t<element_of<const X>>;
  using TD = element_of<DX>;
  const matrix_view<const TX> vx = as_view(logits);
  const matrix_view<TD> vd = as_view(dlogits);
  detail::check_row_map(where, "logits", vx, "dlogits", vd);
  detail::check_labels(where, vx, labels);
  detail::check_apart(where, "labels", labels, "dlogits", vd);
  using Config = detail::pair_config<TX, TD>;
  const double rows = static_cast<double>(vx.rows());
  const double losses =
      detail::sum_of_losses<Config>(detail::rows_of(vx), labels, detail::rows_of(vd), vx.cols(),
                                    static_cast<float>(scale / rows), on);
  return static_cast<float>(losses / rows);
}

/// The loss alone.
template <float_storage_matrix X>
float softmax_cross_entropy(const X& logits, std::span<const std::int32_t> labels,
                            executor_ref on = {}) {
  using TX = std::remove_const_t<element_of<const X>>;
  const matrix_view<const TX> vx = as_view(logits);
  detail::check_labels("halfway::softmax_cross_entropy", vx, labels);
  using Config = detail::pair_config<TX, float>;
  const double losses = detail::sum_of_losses<Config>(
      detail::rows_of(vx), labels, detail::row_block<float>{nullptr, 0}, vx.cols(), 1.0f, on);
  return static_cast<float>(losses / static_cast<double>(vx.rows()));
}

}  // namespace halfway

#endif  // HALFWAY_OPS_SOFTMAX_CROSS_ENTROPY_H_
