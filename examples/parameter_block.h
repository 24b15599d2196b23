// SPDX-License-Identifier: Apache-2.0
// Where a parameter stands in the flat buffer that holds a model's parameters, or their gradients.
#ifndef HALFWAY_EXAMPLES_PARAMETER_BLOCK_H_
#define HALFWAY_EXAMPLES_PARAMETER_BLOCK_H_

#include <cstddef>
#include <span>

#include "halfway/core/matrix.h"

namespace examples {

// A matrix within the flat buffer.
struct parameter_block {
  std::size_t offset = 0;
  std::size_t rows = 0;
  std::size_t cols = 0;

  std::size_t size() const { return rows * cols; }

  template <class T>
  halfway::matrix_view<T> in(std::span<T> buffer) const {
    return {buffer.data() + offset, rows, cols};
  }
  template <class T>
  std::span<T> elements_in(std::span<T> buffer) const {
    return buffer.subspan(offset, size());
  }
};

}  // namespace examples

#endif  // HALFWAY_EXAMPLES_PARAMETER_BLOCK_H_
