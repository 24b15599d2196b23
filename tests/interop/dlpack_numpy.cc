// SPDX-License-Identifier: Apache-2.0
// A library that dlpack_numpy.py loads: makes tensors for NumPy and takes NumPy's.
#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "halfway/core/matrix.h"
#include "halfway/interop/dlpack.h"
#include "halfway/types/half.h"

namespace {

using halfway::half;
using halfway::matrix;
using halfway::matrix_view;

int alive = 0;  // matrices that NumPy has and that are not freed

// Element (i, j) is 10 i + j + 0.5.
template <class T>
DLManagedTensor* make(std::size_t rows, std::size_t cols) {
  std::shared_ptr<matrix<T>> m(new matrix<T>(rows, cols), [](matrix<T>* p) {
    delete p;
    --alive;
  });
  ++alive;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) (*m)(i, j) = T(static_cast<float>(10 * i + j) + 0.5f);
  }
  return halfway::to_dlpack(std::move(m)).release();
}

// x = 2 x + i, in place; "" or what is wrong with x.
template <class T>
const char* change(const DLManagedTensor* tensor) {
  static std::string message;
  message.clear();
  try {
    const matrix_view<T> x = halfway::from_dlpack<T>(*tensor);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t j = 0; j < x.cols(); ++j) {
        x(i, j) = T(2.0f * static_cast<float>(x(i, j)) + static_cast<float>(i));
      }
    }
  } catch (const std::exception& e) {
    message = e.what();
  }
  return message.c_str();
}

}  // namespace

extern "C" {
DLManagedTensor* make_float32(std::size_t rows, std::size_t cols) {
  return make<float>(rows, cols);
}
DLManagedTensor* make_float16(std::size_t rows, std::size_t cols) { return make<half>(rows, cols); }
const char* change_float32(const DLManagedTensor* x) { return change<float>(x); }
const char* change_float16(const DLManagedTensor* x) { return change<half>(x); }
void end_of_tensor(DLManagedTensor* x) { halfway::dlpack_handle<DLManagedTensor> ends(x); }
int matrices_alive() { return alive; }
}
