// SPDX-License-Identifier: Apache-2.0
// A network of dense layers that classifies pictures: as it was, in Eigen alone.
//
//   cmake --preset demo && cmake --build build/demo --target eigen_mlp_before
//   build/demo/examples/eigen_mlp/eigen_mlp_before [folder of Fashion-MNIST]
//
// Prints how many answers are right, and images a second.
#include <Eigen/Core>
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>

#include "classifier/classifier.h"

namespace {

using rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

class dense {
 public:
  dense(const Eigen::Map<const rows>& weight, const Eigen::Map<const Eigen::RowVectorXf>& bias)
      : weight_(weight), bias_(bias) {}

  rows operator()(const Eigen::Ref<const rows>& x) const {
    rows y = x * weight_;
    y.rowwise() += bias_;
    return y;
  }

 private:
  rows weight_;
  Eigen::RowVectorXf bias_;
};

dense make_dense(const demo::dense_weights& from) {
  const auto inputs = static_cast<Eigen::Index>(from.inputs),
             outputs = static_cast<Eigen::Index>(from.outputs);
  return {Eigen::Map<const rows>(from.weight.data(), inputs, outputs),
          Eigen::Map<const Eigen::RowVectorXf>(from.bias.data(), outputs)};
}

}  // namespace

int main(int argc, char** argv) try {
  const auto data =
      demo::read_fashion_mnist(argc > 1 ? argv[1] : "/usr/share/datasets/fashion-mnist");
  const demo::classifier net = demo::train_classifier(data.train);
  const dense hidden = make_dense(net.hidden), output = make_dense(net.output);
  const auto count = static_cast<Eigen::Index>(data.test.size());
  const rows images = Eigen::Map<const Eigen::Matrix<std::uint8_t, -1, -1, Eigen::RowMajor>>(
                          data.test.pixels.data(), count, demo::image_bytes)
                          .cast<float>() /
                      255.0f;

  int right = 0;
  double seconds = 0;  // of the fastest of five times
  for (int turn = 0; turn < 5; ++turn) {
    right = 0;
    const auto start = std::chrono::steady_clock::now();
    for (Eigen::Index at = 0; at < count; at += 100) {
      const Eigen::Index n = std::min<Eigen::Index>(100, count - at);
      const rows logits = output(hidden(images.middleRows(at, n)).cwiseMax(0.0f));
      for (Eigen::Index i = 0; i < n; ++i) {
        Eigen::Index choice = 0;
        logits.row(i).maxCoeff(&choice);
        right += choice == data.test.labels[static_cast<std::size_t>(at + i)];
      }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    seconds = turn == 0 ? took.count() : std::min(seconds, took.count());
  }
  std::printf("%d of %td right, %.0f images a second\n", right, count,
              static_cast<double>(count) / seconds);
} catch (const std::exception& e) {
  std::fprintf(stderr, "eigen_mlp: %s\n", e.what());
  return 2;
}
