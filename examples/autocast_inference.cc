// SPDX-License-Identifier: Apache-2.0
// A network written once, for FP32, runs in 16 bits where a scope says so: its layers ask which
// type to compute in, and their weights are cast once in a scope. Prints what was cast, the bytes
// of weights that a batch reads, and what becomes of the answers.
//
//   cmake --preset demo && cmake --build build/demo --target autocast_inference
//   build/demo/examples/autocast_inference [folder of Fashion-MNIST]
#include <halfway/fidelity/comparison.h>
#include <halfway/fidelity/logit_comparison.h>
#include <halfway/precision/autocast.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <functional>
#include <iomanip>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "classifier/dense.h"
#include "data/images.h"

namespace {

using halfway::dtype;
using halfway::matrix;
namespace op = halfway::op;

struct network {
  demo::dense_layer hidden, output;

  // All that autocast asks of a model: compute_dtype(), which outside of any scope is float32.
  matrix<float> logits(const matrix<float>& x) const {
    matrix<float> y = hidden(x, halfway::compute_dtype(op::linear));
    demo::relu(y);
    return output(y, halfway::compute_dtype(op::linear));
  }
  std::size_t weights() const { return hidden.weight().size() + output.weight().size(); }
};

using batches = std::vector<demo::labelled_batch>;

std::vector<matrix<float>> run(const network& net, const batches& test) {
  std::vector<matrix<float>> results;
  for (const demo::labelled_batch& batch : test) results.push_back(net.logits(batch.pixels));
  const dtype linear = halfway::compute_dtype(op::linear);
  std::cout << "linear in " << name(linear) << ", softmax in "
            << name(halfway::compute_dtype(op::softmax)) << "; a batch reads "
            << net.weights() * static_cast<std::size_t>(bits_of(linear)) / 8
            << " bytes of weights\n";
  return results;
}

void compare(const batches& test, const std::vector<matrix<float>>& exact,
             const std::vector<matrix<float>>& narrow) {
  halfway::comparison values;
  halfway::logit_comparison choices;
  std::size_t right = 0, close = 0, images = 0;
  for (std::size_t b = 0; b < test.size(); ++b) {
    values.add(exact[b].elements(), narrow[b].elements());
    choices.add(exact[b], narrow[b]);
  }
  for (std::size_t b = 0; b < test.size(); ++b) {
    images += exact[b].rows();
    for (std::size_t i = 0; i < exact[b].rows(); ++i) {
      const std::span<const float> row = narrow[b].row(i);
      right += std::ranges::max_element(row) - row.begin() == test[b].labels[i];
      // Only where the two largest logits are nearer to each other than two errors can they change
      // places.
      std::vector<float> order(exact[b].row(i).begin(), exact[b].row(i).end());
      std::ranges::partial_sort(order, order.begin() + 2, std::greater());
      close += static_cast<double>(order[0] - order[1]) <= 2 * values.max_absolute_error();
    }
  }
  const double n = static_cast<double>(images);
  std::cout << "  right: " << 100 * static_cast<double>(right) / n
            << "%, as float32: " << 100 * choices.top1_agreement()
            << "%, SQNR: " << values.sqnr_db()
            << " dB, largest error of a logit: " << std::setprecision(5)
            << values.max_absolute_error() << std::setprecision(2) << '\n'
            << "  images with a runner-up within twice that error, whose class may change: "
            << close << " of " << images << '\n';
}

}  // namespace

int main(int argc, char** argv) try {
  const auto data =
      demo::read_fashion_mnist(argc > 1 ? argv[1] : "/usr/share/datasets/fashion-mnist");
  const demo::classifier trained = demo::train_classifier(data.train);
  const network net{demo::dense_layer(trained.hidden), demo::dense_layer(trained.output)};
  const batches test = demo::in_batches(data.test, 1000);

  std::cout << std::fixed << std::setprecision(2) << "no scope: ";
  const std::vector<matrix<float>> exact = run(net, test);
  compare(test, exact, exact);
  for (const halfway::cast_policy& policy : {halfway::amp_bf16, halfway::amp_fp16}) {
    // `inference`: nothing is trained here, so FP16 needs no loss_scaler, and nobody warns of its
    // absence.
    const halfway::autocast scope(halfway::inference, policy);
    std::cout << name(policy.compute) << " scope: ";
    const std::vector<matrix<float>> narrow = run(net, test);
    const auto casts = halfway::autocast::current().cache->statistics();
    std::cout << "  weights cast: " << casts.misses
              << " times, found in the scope's cache: " << casts.hits << " times\n";
    compare(test, exact, narrow);
  }
} catch (const std::exception& e) {
  std::cerr << "autocast_inference: " << e.what() << '\n';
  return 2;
}
