// SPDX-License-Identifier: Apache-2.0
// An engine that has a thread pool already gives it to the operations, here Eigen's, which TensorFlow and
// ONNX Runtime build on. Two functions are all it takes.
#define EIGEN_USE_THREADS
#include <halfway/core/executor.h>
#include <halfway/ops/packed_matrix.h>
#include <halfway/ops/softmax.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <iostream>
#include <unsupported/Eigen/CXX11/ThreadPool>

class eigen_executor {
 public:
  explicit eigen_executor(Eigen::ThreadPool& pool) : pool_(&pool) {}

  std::size_t threads() const { return static_cast<std::size_t>(pool_->NumThreads()); }

  void run(std::size_t tasks, halfway::task_ref f) {
    Eigen::Barrier done(static_cast<unsigned>(tasks));
    for (std::size_t i = 0; i < tasks; ++i) {
      pool_->Schedule([&done, f, i] {
        f(i);
        done.Notify();
      });
    }
    done.Wait();
  }

 private:
  Eigen::ThreadPool* pool_;
};

template <class Matrix>
bool same_bits(const Matrix& a, const Matrix& b) {
  return std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

int main() {
  Eigen::ThreadPool pool(4);
  eigen_executor on(pool);

  halfway::matrix<float> x(300, 512), w(512, 700);
  for (std::size_t i = 0; i < x.size(); ++i) x.elements()[i] = static_cast<float>(i % 101) * 0.01f;
  for (std::size_t i = 0; i < w.size(); ++i)
    w.elements()[i] = static_cast<float>(i % 89) * 0.02f - 0.9f;
  const halfway::packed_matrix packed(w);

  halfway::matrix<float> serial(300, 700), parallel(300, 700);
  halfway::gemm(x, packed, serial);
  halfway::gemm(x, packed, parallel, {}, on);
  std::cout << "gemm: " << (same_bits(serial, parallel) ? "same bits" : "other bits") << '\n';

  halfway::matrix<float> p(300, 700), q(300, 700);
  halfway::softmax(serial, p);
  halfway::softmax(parallel, q, on);
  std::cout << "softmax: " << (same_bits(p, q) ? "same bits" : "other bits") << '\n';
}
