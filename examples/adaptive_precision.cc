// SPDX-License-Identifier: Apache-2.0
// Layers that run in half as long as their inputs let them: a camera sends shares of 1, then for a
// while 14-bit and later 16-bit counts, which end past half's range: the former in the second
// layer, the latter in the first one already. Each layer notices, goes on in bfloat16, and comes
// back to half after a quiet time. Prints each change, and what half alone would have made of it.
//
// The engine is one's own here, and precision/adaptive.h only decides. Where the model is a graph,
// halfway::adaptive_runner does all that stands in adaptive_model, too.
//
//   cmake --preset demo && cmake --build build/demo --target adaptive_precision
//   build/demo/examples/adaptive_precision [folder of Fashion-MNIST]
#include <halfway/fidelity/comparison.h>
#include <halfway/ops/scale.h>
#include <halfway/precision/adaptive.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <exception>
#include <iomanip>
#include <iostream>
#include <string>
#include <vector>

#include "classifier/dense.h"
#include "data/images.h"

namespace {

using halfway::dtype;
using halfway::matrix;

class adaptive_model {
 public:
  explicit adaptive_model(const demo::classifier& from)
      : hidden_(from.hidden), output_(from.output) {
    precision_.on_switch([](const auto& s) { std::cout << "  " << to_string(s) << '\n'; });
    for (const char* layer : {"hidden", "output"}) precision_.add_layer(layer);
  }

  matrix<float> logits(const matrix<float>& x) {
    matrix<float> y = run(0, hidden_, x);
    demo::relu(y);
    return run(1, output_, y);
  }

  std::string types() const {
    return std::string(name(precision_.type(0))) + " and " + std::string(name(precision_.type(1)));
  }

 private:
  matrix<float> run(std::size_t i, const demo::dense_layer& layer, const matrix<float>& x) {
    for (;;) {
      const dtype type = precision_.type(i);
      const bool due = precision_.layer(i).calls() % shadow_every == 0;
      matrix<float> y = layer(x, type);
      // The result is FP32, so what must fit the type is x; but an infinity in a sum shows in y
      // alone.
      const float amax_of_y = halfway::amax(y.elements());
      const bool broken = !std::isfinite(amax_of_y);
      halfway::layer_evidence seen{.amax = broken ? amax_of_y : halfway::amax(x.elements())};
      if (due && !broken) {  // what takes a second run is looked at now and then
        halfway::comparison with_float32;
        with_float32.add(layer(x, dtype::float32).elements(), y.elements());
        seen.sqnr_db = with_float32.sqnr_db();
      }
      // Up at once: what has overflowed is not given to anyone, but done again in the new type.
      if (!precision_.observe(i, seen) || !broken) return y;
    }
  }

  static constexpr std::uint64_t shadow_every = 16;
  demo::dense_layer hidden_, output_;
  halfway::adaptive_precision precision_{
      {.ladder = {dtype::float16, dtype::bfloat16, dtype::float32},
       .min_sqnr_db = 30,
       .quiet_calls = 20}};
};

struct answers {
  std::size_t images = 0, right = 0, broken = 0;

  void add(const matrix<float>& logits, const std::vector<std::int32_t>& labels) {
    for (std::size_t i = 0; i < logits.rows(); ++i) {
      const auto row = logits.row(i);
      ++images;
      if (std::ranges::all_of(row, [](float v) { return std::isfinite(v); })) {
        right += std::ranges::max_element(row) - row.begin() == labels[i];
      } else {
        ++broken;
      }
    }
  }
};

}  // namespace

int main(int argc, char** argv) try {
  const auto data =
      demo::read_fashion_mnist(argc > 1 ? argv[1] : "/usr/share/datasets/fashion-mnist");
  const demo::classifier trained = demo::train_classifier(data.train);
  const demo::dense_layer hidden(trained.hidden), output(trained.output);
  adaptive_model model(trained);
  auto batches = demo::in_batches(data.test, 50);

  struct phase {
    const char* name;
    float white;  // the value of a white pixel
    std::size_t batches;
  };
  std::size_t at = 0;
  for (const phase& p :
       {phase{"shares of 1", 1, 30}, phase{"14-bit counts", 16383, 10}, phase{"shares of 1", 1, 30},
        phase{"16-bit counts", 65535, 10}, phase{"shares of 1", 1, 60}}) {
    std::cout << p.batches << " batches of " << p.name << '\n';
    answers adaptive, half;
    for (std::size_t end = at + p.batches; at < end; ++at) {
      demo::labelled_batch& batch = batches[at];
      for (float& pixel : batch.pixels.elements()) pixel *= p.white;
      adaptive.add(model.logits(batch.pixels), batch.labels);
      matrix<float> y = hidden(batch.pixels, dtype::float16);
      demo::relu(y);
      half.add(output(y, dtype::float16), batch.labels);
    }
    std::cout << "  answers that are not finite: " << adaptive.broken << " of " << adaptive.images
              << ", of half alone: " << half.broken << "; right: " << adaptive.right << " and "
              << half.right << "; now " << model.types() << '\n';
  }
} catch (const std::exception& e) {
  std::cerr << "adaptive_precision: " << e.what() << '\n';
  return 2;
}
