// SPDX-License-Identifier: Apache-2.0
// A vector for each token, the first layer of a model of text.
//
//   halfway::nn::embedding<halfway::half> tokens("tokens", vocabulary, 64, random);
//   const auto x = tokens.forward(ids, pass);    // ids.size() x 64
//   tokens.backward(dx, pass);
#ifndef HALFWAY_NN_EMBEDDING_H_
#define HALFWAY_NN_EMBEDDING_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>

#include "halfway/core/matrix.h"
#include "halfway/nn/module.h"
#include "halfway/nn/weight.h"
#include "halfway/ops/embedding.h"

namespace halfway::nn {

/// The weight "<name>.weight", rows x width, of variance 1 / width. Only the rows that are used are
/// rounded to T. The indices must stay as they are until backward(). Numbers: ops/embedding.h.
template <class T>
class embedding {
 public:
  /// `rows`: how many different tokens there are. `width`: the length of their vectors.
  embedding(std::string name, std::size_t rows, std::size_t width, weight_source& random)
      : name_(std::move(name)), table_(name_ + ".weight", random.for_inputs(width, rows, width)) {}
  embedding(const embedding&) = delete;
  embedding& operator=(const embedding&) = delete;

  /// indices.size() x width: row i is that of token indices[i]; valid until the next forward().
  /// Errors: an index that is negative or not below `rows`.
  matrix_view<const T> forward(std::span<const std::int32_t> indices, pass& p) {
    indices_ = indices;
    detail::shaped(y_, indices.size(), table_.value.cols());
    halfway::embedding(table_.value, indices, y_, p.on);
    return y_.view();
  }

  /// Adds the rows of dy to those of the weight's gradient that their tokens have. Error: another
  /// shape than the last forward() gave.
  void backward(matrix_view<const T> dy, const pass& p) {
    detail::check_gradient(name_, dy, y_.rows(), y_.cols());
    embedding_backward(indices_, dy, table_.gradient.view(), no_index, p.on);
    p.ready(table_);
  }

  /// @copydoc module::visit
  void visit(const std::function<void(weight&)>& f) { f(table_); }

 private:
  std::string name_;
  weight table_;
  std::span<const std::int32_t> indices_;
  matrix<T> y_;
};

}  // namespace halfway::nn

#endif  // HALFWAY_NN_EMBEDDING_H_
