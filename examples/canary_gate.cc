// SPDX-License-Identifier: Apache-2.0
// A gate in front of a roll-out: baseline and candidate answer the same requests, one after the
// other, until it is proven that the candidate makes more mistakes than it may, or that it does
// not. A good candidate passes after as few requests as that takes, and a bad one is stopped early.
//
//   cmake --preset demo && cmake --build build/demo --target canary_gate
//   build/demo/examples/canary_gate bf16|int4|int2 [folder of Fashion-MNIST]
//
// Ends with 0 if the candidate may go on; with 1 if it may not: it is worse, or nothing is proven
// by the last request; with 2 for an error.
#include <halfway/core/error.h>
#include <halfway/fidelity/canary.h>
#include <halfway/quantization/groups.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iostream>
#include <span>
#include <string>

#include "classifier/dense.h"
#include "data/images.h"

namespace {

using halfway::dtype;
using halfway::matrix;
using layer = std::function<matrix<float>(const matrix<float>&)>;

// Of what a user sees. Any loss from 0 to 1 will do: min(KL, 1), a share of the time that is
// allowed.
constexpr double margin = 0.01;  // a mistake more in 100 requests is borne, not more
constexpr double error_rate =
    0.001;  // how probable a wrong verdict is, at most, however long it runs

layer in_type(const demo::dense_weights& from, dtype type) {
  return [run = demo::dense_layer(from), type](const matrix<float>& x) { return run(x, type); };
}

// Weights as codes with a scale for each 32 of an output: from -7 to 7, or only -1, 0 and 1.
layer in_codes(const demo::dense_weights& from, bool two_bits) {
  const halfway::matrix_view<const float> weight(from.weight.data(), from.inputs, from.outputs);
  halfway::group_codes<halfway::int4> q = halfway::choose_group_codes<halfway::int4>(weight, 32);
  if (two_bits) {
    for (halfway::int4& code : q.codes.elements())
      code = static_cast<halfway::int4>(std::lround(static_cast<int>(code) / 7.0));
    for (float& scale : q.scales.elements()) scale *= 7;
  }
  return [w = q.packed(), bias = from.bias](const matrix<float>& x) {
    matrix<float> y(x.rows(), bias.size());
    halfway::gemm(x, w, y, {.bias = bias});
    return y;
  };
}

layer make_layer(const demo::dense_weights& from, const std::string& kind) {
  if (kind == "f32") return in_type(from, dtype::float32);
  if (kind == "bf16") return in_type(from, dtype::bfloat16);
  if (kind == "int4" || kind == "int2") return in_codes(from, kind == "int2");
  halfway::fail("candidate (" + kind + ") must be bf16, int4 or int2");
}

class model {
 public:
  model(const demo::classifier& from, const std::string& kind)
      : hidden_(make_layer(from.hidden, kind)), output_(make_layer(from.output, kind)) {}

  matrix<float> logits(const matrix<float>& x) const {
    matrix<float> y = hidden_(x);
    demo::relu(y);
    return output_(y);
  }

 private:
  layer hidden_, output_;
};

// 1 for a wrong class, and for logits that are none.
double mistake(std::span<const float> logits, std::int32_t label) {
  if (!std::ranges::all_of(logits, [](float v) { return std::isfinite(v); })) return 1;
  return std::ranges::max_element(logits) - logits.begin() == label ? 0 : 1;
}

halfway::canary compare(const model& baseline, const model& candidate,
                        const demo::labelled_images& requests) {
  halfway::canary canary(margin, error_rate);
  for (const demo::labelled_batch& batch : demo::in_batches(requests, 50)) {
    const matrix<float> b = baseline.logits(batch.pixels), c = candidate.logits(batch.pixels);
    for (std::size_t i = 0; i < b.rows(); ++i) {
      canary.add(mistake(b.row(i), batch.labels[i]), mistake(c.row(i), batch.labels[i]));
      if (canary.decide() != halfway::canary_verdict::undecided)
        return canary;  // the first one counts
    }
  }
  return canary;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) halfway::fail("usage: canary_gate bf16|int4|int2 [folder of Fashion-MNIST]");
  const auto data =
      demo::read_fashion_mnist(argc > 2 ? argv[2] : "/usr/share/datasets/fashion-mnist");
  const demo::classifier trained = demo::train_classifier(data.train);
  const model baseline(trained, "f32"), candidate(trained, argv[1]);

  const halfway::canary canary = compare(baseline, candidate, data.test);
  const halfway::canary_verdict verdict = canary.decide();
  std::cout << argv[1] << ": "
            << (verdict == halfway::canary_verdict::acceptable ? "acceptable"
                : verdict == halfway::canary_verdict::worse    ? "worse"
                                                               : "undecided")
            << " after " << canary.count() << " of " << data.test.size()
            << " requests; more mistakes in 100 requests: " << 100 * canary.mean_difference()
            << ", allowed: " << 100 * margin << '\n';
  return verdict == halfway::canary_verdict::acceptable ? 0 : 1;
} catch (const std::exception& e) {
  std::cerr << "canary_gate: " << e.what() << '\n';
  return 2;
}
