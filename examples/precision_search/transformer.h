// SPDX-License-Identifier: Apache-2.0
// The transformer's loss and gradients in FP32, by the library's operations.
//
//   language::transformer model(16);   // windows a batch
//   float loss = model.loss_and_gradients(parameters, batch, gradients);
#ifndef HALFWAY_EXAMPLES_PRECISION_SEARCH_TRANSFORMER_H_
#define HALFWAY_EXAMPLES_PRECISION_SEARCH_TRANSFORMER_H_

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "halfway/core/matrix.h"
#include "model.h"
#include "data/fortunes.h"

namespace language {

// Pre-norm: x += attention(norm1(x)); x += fc2(gelu(fc1(norm2(x)))), for each block.
class transformer {
 public:
  // Room for batches of so many windows.
  explicit transformer(std::size_t windows);

  // The mean loss in nats; the gradients, laid out as the parameters are, are overwritten.
  float loss_and_gradients(std::span<const float> parameters, const windows& batch,
                           std::span<float> gradients);

 private:
  using matrix = halfway::matrix<float>;

  // What the backward pass of a block needs.
  struct block_values {
    matrix x, normed, query, key, value, mixed;  // to the attention's output
    matrix shares;                               // softmax rows: of each window and head
    matrix middle, normed_middle, before_gelu, after_gelu;
  };

  void forward(std::span<const float> parameters, const windows& batch);
  void attention(block_values& block);
  void attention_backward(const block_values& block, const matrix& d_mixed);
  void norm(const std::string& name, const matrix& x, matrix& y);
  void norm_backward(const std::string& name, const matrix& x, const matrix& dy, matrix& dx);
  void linear(const std::string& name, const matrix& x, matrix& y, bool adds = false);
  void linear_backward(const std::string& name, const matrix& x, const matrix& dy, matrix& dx,
                       bool adds = false);
  void embedding_backward(const windows& batch, const matrix& dx);

  std::size_t windows_;
  model_layout layout_;
  std::span<const float> parameters_;  // of the call
  std::span<float> gradients_;
  std::array<block_values, blocks> block_;
  matrix x_, normed_, logits_;              // after the blocks
  matrix dx_, d_normed_, d_mixed_, d_sum_;  // gradients of what has `width` columns
  matrix d_query_, d_key_, d_value_, d_hidden_, d_logits_;
  matrix scores_, d_shares_;  // of one head
};

}  // namespace language

#endif  // HALFWAY_EXAMPLES_PRECISION_SEARCH_TRANSFORMER_H_
