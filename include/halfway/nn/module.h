// SPDX-License-Identifier: Apache-2.0
// Layers of a network that trains: what each of them offers. A thin layer over ops/: read the
// modules as examples of how its operations fit together, and write your own beside them.
//
//   halfway::nn::pass pass{.seed = seed, .next_word = halfway::nn::words_of_step(step)};
//   const auto y = model.forward(x, pass);    // y: memory of the model's, until its next forward
//   // dy = gradient of the loss with respect to y
//   model.backward(dy, pass);                 // adds to the gradients of the weights
//
// Everything is a matrix with one row for each example: of features, of an image's pixels (NHWC),
// or for text one row for each token. T is the type that is computed in (compute type of a policy):
// activations and their gradients are stored in it; products accumulate in FP32, and norms, losses,
// weights and their gradients are FP32.
#ifndef HALFWAY_NN_MODULE_H_
#define HALFWAY_NN_MODULE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/core/executor.h"
#include "halfway/core/matrix.h"
#include "halfway/nn/weight.h"

/// Layers that train: each runs forward and backward in the types that it was made with, and owns
/// its weights. Built of the operations of namespace halfway, which work without them.
namespace halfway::nn {

/// What goes through the layers with the data of one step, forward and back.
struct pass {
  bool training = true;    ///< false: dropout lets everything through
  std::uint64_t seed = 0;  ///< of all random words of a run
  /// The random word that the next layer with chance begins at. Steps with the same seed take
  /// different words: words_of_step.
  std::uint64_t next_word = 0;
  executor_ref on = {};  ///< where the operations' tasks run
  /// If not empty, called in backward() as soon as a weight's gradient is complete, last layer
  /// first: where data-parallel training starts to communicate.
  std::function<void(weight&)> on_gradient = {};

  /// For layers: w's gradient is complete.
  void ready(weight& w) const {
    if (on_gradient) on_gradient(w);
  }
};

/// 2^36 words for each of 2^28 steps.
constexpr std::uint64_t words_of_step(std::uint64_t step) { return step << 36; }

/// A layer from T to T. It owns its results, and refers to its input until backward(): both must
/// stay as they are until then. Not thread-safe; its operations run on pass::on.
template <class T>
class module {
 public:
  module() = default;
  module(const module&) = delete;
  module& operator=(const module&) = delete;
  virtual ~module() = default;

  /// The result for x, valid until the next forward(). Error: a shape that does not fit.
  virtual matrix_view<const T> forward(matrix_view<const T> x, pass& p) = 0;

  /// Given the gradient of what the last forward() returned: adds to the gradients of the weights,
  /// and returns that of x, valid until the next backward(), or an empty view where it is not
  /// wanted, which saves a product in the first layer. Errors: a shape that does not fit, no
  /// forward() before.
  virtual matrix_view<const T> backward(matrix_view<const T> dy, const pass& p,
                                        bool wants_dx = true) = 0;

  /// Calls f for each weight, in the order of the forward pass.
  virtual void visit(const std::function<void(weight&)>& /*f*/) {}
};

namespace detail {

// The buffer with a shape; its elements are kept only if it had it.
template <class T>
matrix<T>& shaped(matrix<T>& buffer, std::size_t rows, std::size_t cols) {
  if (buffer.rows() != rows || buffer.cols() != cols) buffer = matrix<T>(rows, cols);
  return buffer;
}

inline void check_width(std::string_view layer, std::string_view name, std::size_t cols,
                        std::size_t width) {
  if (cols != width) [[unlikely]] {
    fail(halfway::detail::concat("halfway::nn: ", layer, ": ", name, ".cols() (", cols,
                                 ") must be ", width));
  }
}

// dy is the gradient of the `rows` x `cols` result of a forward(), of which there was one.
template <class T>
void check_gradient(std::string_view layer, matrix_view<const T> dy, std::size_t rows,
                    std::size_t cols) {
  if (dy.rows() != rows || dy.cols() != cols) [[unlikely]] {
    fail(halfway::detail::concat("halfway::nn: ", layer, ": dy is ", dy.rows(), " x ", dy.cols(),
                                 " but the last forward() gave ", rows, " x ", cols));
  }
}

// The elements of a result or gradient, which lie side by side.
template <class T>
std::span<const T> elements(std::string_view layer, std::string_view name, matrix_view<const T> x) {
  if (x.extent() != x.size() || (!x.empty() && !x.is_row_major())) [[unlikely]] {
    fail(halfway::detail::concat("halfway::nn: ", layer, ": ", name, " with strides ",
                                 x.row_stride(), " and ", x.col_stride(), " must be dense"));
  }
  return {x.data(), x.size()};
}

}  // namespace detail
}  // namespace halfway::nn

#endif  // HALFWAY_NN_MODULE_H_
