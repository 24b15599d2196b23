// SPDX-License-Identifier: Apache-2.0
// A classifier of made-up points, small enough to be trained within a test: two linear layers with
// a ReLU, bfloat16 weights and activations, FP32 master weights.
//
//   small_network net;
//   std::vector<std::vector<float>> gradients = net.make_gradients();
//   const float loss = net.backward(point_range{0, 64}, scaler.scale(), gradients);
#ifndef HALFWAY_TESTS_SUPPORT_SMALL_TRAINING_H_
#define HALFWAY_TESTS_SUPPORT_SMALL_TRAINING_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/activation.h"
#include "halfway/ops/activation_backward.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/gemm.h"
#include "halfway/ops/softmax_cross_entropy.h"
#include "halfway/training/optimizer.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/philox.h"

namespace halfway::testing {

// From -1 up to 1.
inline float uniform(std::uint64_t seed, std::uint64_t i) {
  return static_cast<float>(random_word(seed, i) >> 8) * 0x1p-23f - 1.0f;
}

// Points numbered first to first + count - 1. Point i is of class i % classes.
struct point_range {
  std::uint64_t first;
  std::size_t count;
};

class small_network {
 public:
  static constexpr std::size_t inputs = 24, hidden = 40, classes = 5;
  static constexpr std::size_t parameters = 4;  // W1, b1, W2, b2
  static constexpr std::array<std::size_t, parameters> sizes = {inputs * hidden, hidden,
                                                                hidden* classes, classes};

  explicit small_network(std::uint64_t seed = 1) {
    for (std::size_t p = 0; p < parameters; ++p) {
      master[p].resize(sizes[p]);
      if (p % 2 == 0) {
        for (std::size_t i = 0; i < sizes[p]; ++i) master[p][i] = 0.3f * uniform(seed + p, i);
      }
      model[p].resize(sizes[p]);
      convert(master[p], model[p]);
    }
  }

  static std::vector<std::vector<float>> make_gradients() {
    std::vector<std::vector<float>> gradients;
    for (const std::size_t n : sizes) gradients.emplace_back(n);
    return gradients;
  }

  // Gradients of scale times the mean loss, which is returned. ready(p) is called as soon as that of
  // parameter p is there: the last first.
  template <class Ready>
  float backward(point_range points, float scale, std::vector<std::vector<float>>& gradients,
                 Ready&& ready) const {
    const std::size_t n = points.count;
    matrix<bfloat16> x(n, inputs), h(n, hidden), d_logits(n, classes), d_h(n, hidden), ones(1, n);
    matrix<float> logits(n, classes);
    std::vector<std::int32_t> labels(n);
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t point = points.first + i;
      labels[i] = static_cast<std::int32_t>(point % classes);
      ones(0, i) = bfloat16(1.0f);
      for (std::size_t j = 0; j < inputs; ++j) {
        x(i, j) = bfloat16(uniform(101 + point % classes, j) + uniform(99, point * inputs + j));
      }
    }
    const matrix_view<const bfloat16> w1(model[0].data(), inputs, hidden),
        w2(model[2].data(), hidden, classes);
    gemm(x, w1, h, {.bias = master[1]});
    relu(h.elements(), h.elements());
    gemm(h, w2, logits, {.bias = master[3]});
    const float loss = softmax_cross_entropy(logits, labels, d_logits, scale);

    const auto gradient = [&](std::size_t p, std::size_t rows, std::size_t cols) {
      return matrix_view<float>(gradients[p].data(), rows, cols);
    };
    gemm(ones, d_logits, gradient(3, 1, classes));
    ready(3);
    gemm(h.view().transposed(), d_logits, gradient(2, hidden, classes));
    ready(2);
    gemm(d_logits, w2.transposed(), d_h);
    relu_backward(h.elements(), d_h.elements(), d_h.elements());
    gemm(ones, d_h, gradient(1, 1, hidden));
    ready(1);
    gemm(x.view().transposed(), d_h, gradient(0, inputs, hidden));
    ready(0);
    return loss;
  }
  float backward(point_range points, float scale,
                 std::vector<std::vector<float>>& gradients) const {
    return backward(points, scale, gradients, [](std::size_t) {});
  }

  void step(const adam& optimizer, std::array<adam_state, parameters>& states,
            const std::vector<std::vector<float>>& gradients) {
    for (std::size_t p = 0; p < parameters; ++p) {
      optimizer.step(states[p], master[p], gradients[p], model[p]);
    }
  }

  std::array<std::vector<float>, parameters> master;
  std::array<std::vector<bfloat16>, parameters> model;
};

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_SMALL_TRAINING_H_
