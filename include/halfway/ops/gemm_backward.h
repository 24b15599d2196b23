// SPDX-License-Identifier: Apache-2.0
// Gradients of c = a * b + bias, a layer's product: of the input a, and added to those of the
// weights b and of the bias.
//
//   halfway::gemm(x, w, y, {.bias = bias});
//   halfway::gemm_backward(x, w, dy, dx.view(), dw.view(), dbias);    // dw, dbias: FP32, added to
#ifndef HALFWAY_OPS_GEMM_BACKWARD_H_
#define HALFWAY_OPS_GEMM_BACKWARD_H_

#include <cmath>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/accumulate.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/reduce.h"
#include "halfway/ops/row_arguments.h"

namespace halfway {

/// What gemm_backward has to know besides the matrices.
struct gemm_backward_options {
  /// What the products are multiplied with: 1 / (scale of dc * scale of b) and 1 / (scale of a *
  /// scale of dc) of operands that were scaled to fit 8-bit floats.
  float da_factor = 1.0f;
  /// @copydoc da_factor
  float db_factor = 1.0f;
  /// As of gemm_options.
  bool reproducible = false;
};

/// da = da_factor * dc * b^T (overwritten), db += db_factor * a^T * dc, dbias[j] += the sum of
/// column j of dc: the gradients of gemm(a, b, c, {.bias = bias}), dc being that of c. An empty da,
/// db or dbias is not computed; the operand that only it needs may then be empty too.
///
/// a: m x k, b: k x n, dc: m x n, of any float formats and, a and b, any strides; da: m x k, float,
/// half or bfloat16; db: k x n and dbias: n, FP32. What db and dbias hold stays in the sum, so that
/// gradients of several batches add up: fill them with zeros first.
///
/// Numbers: as gemm() with alpha = the factor and beta = 0 and 1, and column_sums() and one more
/// addition: sums in FP32, da rounded once to its type. Gradients of weights are never rounded to
/// less than FP32. The same bits as gemm() promises.
///
/// Errors, before anything is written: shapes that do not fit, a factor that is infinite or NaN,
/// outputs that share memory with inputs or each other, dc whose columns do not lie side by side
/// with a dbias.
template <float_storage_matrix A, float_storage_matrix B, float_storage_matrix DC,
          gemm_float_output TDA>
void gemm_backward(const A& a, const B& b, const DC& dc, matrix_view<TDA> da, matrix_view<float> db,
                   std::span<float> dbias, const gemm_backward_options& options = {},
                   executor_ref on = {}) {
  constexpr std::string_view where = "halfway::gemm_backward";
  using TA = std::remove_const_t<element_of<const A>>;
  using TB = std::remove_const_t<element_of<const B>>;
  using TDC = std::remove_const_t<element_of<const DC>>;
  const matrix_view<const TA> va = as_view(a);
  const matrix_view<const TB> vb = as_view(b);
  const matrix_view<const TDC> vdc = as_view(dc);
  if (!da.empty()) {
    detail::check_equal(where, "b.cols()", vb.cols(), "dc.cols()", vdc.cols());
    detail::check_equal(where, "da.rows()", da.rows(), "dc.rows()", vdc.rows());
    detail::check_equal(where, "da.cols()", da.cols(), "b.rows()", vb.rows());
    detail::check_no_overlap(where, "da", "a", detail::overlap(da, va));
    detail::check_no_overlap(where, "da", "b", detail::overlap(da, vb));
    detail::check_no_overlap(where, "da", "dc", detail::overlap(da, vdc));
    detail::check_no_overlap(where, "da", "db", detail::overlap(da, db));
  }
  if (!db.empty()) {
    detail::check_equal(where, "a.rows()", va.rows(), "dc.rows()", vdc.rows());
    detail::check_equal(where, "db.rows()", db.rows(), "a.cols()", va.cols());
    detail::check_equal(where, "db.cols()", db.cols(), "dc.cols()", vdc.cols());
    detail::check_no_overlap(where, "db", "a", detail::overlap(db, va));
    detail::check_no_overlap(where, "db", "b", detail::overlap(db, vb));
    detail::check_no_overlap(where, "db", "dc", detail::overlap(db, vdc));
  }
  if (!dbias.empty()) {
    detail::check_equal(where, "dbias.size()", dbias.size(), "dc.cols()", vdc.cols());
    detail::check_not_null(where, "dbias", dbias.data(), dbias.size());
    detail::check_row_major(where, "dc", vdc);
    detail::check_apart(where, "dbias", dbias, "a", va);
    detail::check_apart(where, "dbias", dbias, "b", vb);
    detail::check_apart(where, "dbias", dbias, "dc", vdc);
    detail::check_apart(where, "dbias", dbias, "da", da);
    detail::check_apart(where, "dbias", dbias, "db", db);
  }
  const auto check_factor = [&](std::string_view name, float factor) {
    if (!std::isfinite(factor)) [[unlikely]] {
      fail(detail::concat(where, ": ", name, " (", factor, ") must be finite"));
    }
  };
  check_factor("da_factor", options.da_factor);
  check_factor("db_factor", options.db_factor);

  if (!dbias.empty()) {
    std::vector<float> sums(dbias.size());
    column_sums(vdc, sums, on);
    accumulate(sums, dbias);
  }
  if (!db.empty()) {
    gemm(va.transposed(), vdc, db,
         {.alpha = options.db_factor, .beta = 1.0f, .reproducible = options.reproducible}, on);
  }
  if (!da.empty()) {
    gemm(vdc, vb.transposed(), da,
         {.alpha = options.da_factor, .reproducible = options.reproducible}, on);
  }
}

}  // namespace halfway

#endif  // HALFWAY_OPS_GEMM_BACKWARD_H_
