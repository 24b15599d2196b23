// SPDX-License-Identifier: Apache-2.0
// A network with the data that it learns, whatever it is and whatever types it computes in.
#ifndef HALFWAY_EXAMPLES_CONVERGENCE_LEARNER_H_
#define HALFWAY_EXAMPLES_CONVERGENCE_LEARNER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/fashion_mnist.h"
#include "data/fortunes.h"
#include "gradient_census.h"
#include "halfway/nn/weight.h"
#include "recipe.h"

namespace convergence {

struct data {
  demo::fashion_mnist images;
  language::corpus text;
};

enum class network { mlp, cnn, transformer };

// What is learned, the same for every recipe and seed.
struct task {
  network kind = network::mlp;
  std::string name;
  std::string metric;  // of data that was not trained on
  bool higher_is_better = true;
  std::size_t steps = 0;
  std::size_t batch = 0;  // images, or windows of text
  double learning_rate = 1e-3;
};

class learner {
 public:
  virtual ~learner() = default;

  virtual std::vector<halfway::nn::weight*> weights() = 0;

  // The mean loss of a batch; `scale` times its gradients are added to those of the weights. With a
  // census, the gradients that flow between layers are counted in it.
  virtual float learn(std::size_t step, float scale, gradient_census* census) = 0;

  // The task's metric.
  virtual double evaluate() = 0;
};

// The seed is that of the first weights and of the order of the data.
std::unique_ptr<learner> make_learner(const task& t, compute_kind compute, const data& d,
                                      std::uint64_t seed);

// One for each compute_kind, in files of their own, which compile side by side.
std::unique_ptr<learner> make_float32_learner(const task& t, const data& d, std::uint64_t seed);
std::unique_ptr<learner> make_float16_learner(const task& t, const data& d, std::uint64_t seed);
std::unique_ptr<learner> make_bfloat16_learner(const task& t, const data& d, std::uint64_t seed);
std::unique_ptr<learner> make_float8_learner(const task& t, const data& d, std::uint64_t seed);

}  // namespace convergence

#endif  // HALFWAY_EXAMPLES_CONVERGENCE_LEARNER_H_
