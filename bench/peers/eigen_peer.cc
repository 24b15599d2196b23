// SPDX-License-Identifier: Apache-2.0
// Eigen, as its user would write each operation. It sums 16-bit products in 16 bits.
#include <Eigen/Core>
#include <memory>
#include <stdexcept>
#include <string>

#include "peer.h"

namespace halfway_bench {
namespace {

template <class T>
using dense = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class T>
dense<T> to_dense(const std::vector<float>& values, std::size_t rows, std::size_t cols) {
  return Eigen::Map<const dense<float>>(values.data(), static_cast<Eigen::Index>(rows),
                                        static_cast<Eigen::Index>(cols))
      .template cast<T>();
}

// Calls f with a value of the C++ type of `e`, if Eigen has one.
template <class F>
solution with_type(element e, const F& f) {
  switch (e) {
    case element::f32:
      return f(float{});
    case element::bf16:
      return f(Eigen::bfloat16{});
    case element::f16:
      return f(Eigen::half{});
    default:
      return {};
  }
}

// What a run reads and writes.
template <class TX, class TY>
struct data {
  dense<TX> x, w;
  dense<TY> y;
};

template <class TX, class TY, class Run>
solution solve(const problem& p, Run run) {
  const auto d = std::make_shared<data<TX, TY>>();
  if (p.w.empty()) {
    d->x = to_dense<TX>(p.x, p.rows, p.cols);
  } else {
    d->x = to_dense<TX>(p.x, p.rows, p.depth);
    d->w = to_dense<TX>(p.w, p.depth, p.cols);
  }
  d->y.resize(static_cast<Eigen::Index>(p.rows), static_cast<Eigen::Index>(p.cols));
  return {[d, run] { run(*d); },
          [d](std::size_t i) { return static_cast<double>(d->y.data()[i]); }};
}

solution product(const problem& p) {
  // Larger products of 16-bit types take seconds each.
  constexpr double most_operations_of_slow_types = 3e9;
  const double operations = 2.0 * static_cast<double>(p.rows * p.cols * p.depth);
  if (p.from != p.weights) return {};
  if (p.from != element::f32 && operations > most_operations_of_slow_types) return {};
  return with_type(p.from, [&](auto t) {
    using T = decltype(t);
    solution s = solve<T, T>(p, [](data<T, T>& d) { d.y.noalias() = d.x * d.w; });
    s.accumulator = p.from;
    return s;
  });
}

solution cast(const problem& p) {
  return with_type(p.from, [&](auto from) {
    return with_type(p.to, [&](auto to) {
      using TX = decltype(from);
      using TY = decltype(to);
      return solve<TX, TY>(p, [](data<TX, TY>& d) { d.y = d.x.template cast<TY>(); });
    });
  });
}

// In 16 bits a sum of so many would be far off.
solution sum(const problem& p) {
  return with_type(p.from, [&](auto t) {
    using T = decltype(t);
    return solve<T, float>(p,
                           [](data<T, float>& d) { d.y(0, 0) = d.x.template cast<float>().sum(); });
  });
}

solution softmax(const problem& p) {
  if (p.from != element::f32) return {};
  return solve<float, float>(p, [](data<float, float>& d) {
    for (Eigen::Index i = 0; i < d.x.rows(); ++i) {
      auto y = d.y.row(i).array();
      y = (d.x.row(i).array() - d.x.row(i).maxCoeff()).exp();
      y *= 1.0f / y.sum();
    }
  });
}

solution layernorm(const problem& p) {
  if (p.from != element::f32) return {};
  return solve<float, float>(p, [](data<float, float>& d) {
    for (Eigen::Index i = 0; i < d.x.rows(); ++i) {
      const auto x = d.x.row(i).array();
      const float mean = x.mean();
      const float variance = (x - mean).square().mean();
      d.y.row(i).array() =
          (x - mean) * (norm_gamma / std::sqrt(variance + norm_epsilon)) + norm_beta;
    }
  });
}

solution gelu_tanh(const problem& p) {
  if (p.from != element::f32) return {};
  return solve<float, float>(p, [](data<float, float>& d) {
    const auto x = d.x.array();
    d.y.array() = 0.5f * x * (1.0f + (0.7978845608f * (x + 0.044715f * x.cube())).tanh());
  });
}

solution make(const problem& p) {
  switch (p.what) {
    case operation::gemm:
    case operation::gemm_packed:
      return product(p);
    case operation::cast:
      return cast(p);
    case operation::sum:
      return sum(p);
    case operation::softmax:
      return softmax(p);
    case operation::layernorm:
      return layernorm(p);
    case operation::gelu_tanh:
      return gelu_tanh(p);
    default:
      return {};
  }
}

}  // namespace

peer eigen_peer() {
  Eigen::setNbThreads(1);
  if (Eigen::nbThreads() != 1) throw std::runtime_error("Eigen refuses to work on one thread");
  // 3.4.0, but then 5.0.0 without the 3
  std::string version =
      std::to_string(EIGEN_MAJOR_VERSION) + "." + std::to_string(EIGEN_MINOR_VERSION);
  if (EIGEN_MAJOR_VERSION < 5) version = std::to_string(EIGEN_WORLD_VERSION) + "." + version;
  return {"Eigen", version, make};
}

}  // namespace halfway_bench
