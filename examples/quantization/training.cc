// SPDX-License-Identifier: Apache-2.0
#include "training.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <random>
#include <span>
#include <string>

#include "data/images.h"
#include "halfway/core/matrix.h"
#include "halfway/nn/activation.h"
#include "halfway/nn/conv2d.h"
#include "halfway/nn/gemm_inputs.h"
#include "halfway/nn/linear.h"
#include "halfway/nn/loss.h"
#include "halfway/nn/pooling.h"
#include "halfway/nn/sequential.h"
#include "halfway/nn/weight.h"
#include "halfway/quantization/affine.h"
#include "halfway/quantization/fake_quantize.h"
#include "halfway/quantization/moving_average_observer.h"
#include "halfway/training/adam.h"

namespace quantization {

namespace {

namespace nn = halfway::nn;
using halfway::matrix_view;

// Operands of products, rounded to what the codes of quantized_linear can say, in float.
class int8_inputs {
 public:
  nn::gemm_operand<float> input(matrix_view<const float> x) {
    range_.observe(x);
    return {rounded(x, input_, [&](auto& y) {
      halfway::fake_quantize(x, y, params(), halfway::dtype::uint8);
    })};
  }
  nn::gemm_operand<float> weight(const halfway::parameter& p) {
    const matrix_view<const float> w = p.values();
    return {rounded(w, weight_, [&](auto& y) {
      const auto scales = halfway::choose_row_params(w.transposed(), halfway::dtype::int8,
                                                     halfway::affine_scheme::symmetric);
      halfway::fake_quantize_rows(w.transposed(), y.view().transposed(), scales,
                                  halfway::dtype::int8);
    })};
  }
  nn::gemm_operand<float> gradient(matrix_view<const float> dy) { return {dy}; }

  halfway::affine_params params() const { return range_.params(halfway::dtype::uint8); }

 private:
  template <class Round>
  static matrix_view<const float> rounded(matrix_view<const float> x, halfway::matrix<float>& y,
                                          const Round& round) {
    if (y.rows() != x.rows() || y.cols() != x.cols())
      y = halfway::matrix<float>(x.rows(), x.cols());
    round(y);
    return y.view();
  }

  halfway::moving_average_observer range_{0.05};
  halfway::matrix<float> input_, weight_;
};

// The network as layers that train.
template <class Inputs>
class trainer {
 public:
  trainer(const network& n, std::uint64_t seed) : random_(seed) {
    std::size_t width = demo::image_bytes;
    for (const stage& s : n.stages) {
      if (s.conv) {
        auto& conv = body_.template add<nn::conv2d<float, Inputs>>(s.name, *s.conv, s.outputs,
                                                                   conv_window, random_);
        inputs_.push_back(&conv.inputs());
        body_.template add<nn::relu<float>>();
        auto& pool = body_.template add<nn::max_pool<float>>(conv.output_shape(), pool_window);
        width = pool.output_shape().image_size();
      } else {
        auto& linear =
            body_.template add<nn::linear<float, float, Inputs>>(s.name, width, s.outputs, random_);
        inputs_.push_back(&linear.inputs());
        if (!s.is_last) body_.template add<nn::relu<float>>();
        width = s.outputs;
      }
    }
  }

  // "fc1.weight" and "fc1.bias" for each stage.
  void read_weights(network& n) {
    for (nn::weight* w : nn::weights_of(body_)) {
      for (stage& s : n.stages) {
        if (w->name == s.name + ".weight") {
          s.weight = halfway::matrix<float>(w->value.rows(), w->value.cols());
          std::ranges::copy(w->values(), s.weight.elements().begin());
        } else if (w->name == s.name + ".bias") {
          s.bias.assign(w->values().begin(), w->values().end());
        }
      }
    }
  }
  void write_weights(const network& n) {
    for (nn::weight* w : nn::weights_of(body_)) {
      for (const stage& s : n.stages) {
        auto values = w->value.write();
        if (w->name == s.name + ".weight") {
          std::ranges::copy(s.weight.elements(), values.elements().begin());
        } else if (w->name == s.name + ".bias") {
          std::ranges::copy(s.bias, values.elements().begin());
        }
      }
    }
  }

  void train(const demo::labelled_images& images, const training_settings& settings) {
    const auto weights = nn::weights_of(body_);
    std::map<std::string, halfway::adam_state> states;
    halfway::adam optimizer;
    nn::cross_entropy<float> loss;
    std::mt19937_64 order(settings.seed);
    std::vector<std::uint32_t> batch(settings.batch);
    for (std::size_t step = 0; step < settings.steps; ++step) {
      for (std::uint32_t& i : batch) i = static_cast<std::uint32_t>(order() % images.size());
      const demo::labelled_batch data = take(images, batch);
      nn::pass pass;
      loss.forward(body_.forward(data.pixels.view(), pass), data.labels, 1, pass);
      for (nn::weight* w : weights) w->zero_gradient();
      body_.backward(loss.gradient(), pass, false);
      const double done = static_cast<double>(step) / static_cast<double>(settings.steps);
      optimizer.set_learning_rate(settings.learning_rate / 2 *
                                  (1 + std::cos(std::numbers::pi * done)));
      for (nn::weight* w : weights) {
        auto values = w->value.write();
        optimizer.step(states[w->name], values.elements(), w->gradient.elements());
      }
    }
  }

  const std::vector<Inputs*>& inputs() const { return inputs_; }

 private:
  nn::weight_source random_;
  nn::sequential<float> body_;
  std::vector<Inputs*> inputs_;  // of each stage
};

}  // namespace

void train(network& n, const demo::labelled_images& images, const training_settings& settings) {
  trainer<nn::plain_inputs<float>> t(n, settings.seed);
  t.train(images, settings);
  t.read_weights(n);
}

std::vector<halfway::affine_params> train_for_int8(network& n, const demo::labelled_images& images,
                                                   const training_settings& settings) {
  trainer<int8_inputs> t(n, settings.seed);
  t.write_weights(n);
  t.train(images, settings);
  t.read_weights(n);
  std::vector<halfway::affine_params> params;
  for (const int8_inputs* inputs : t.inputs()) params.push_back(inputs->params());
  return params;
}

}  // namespace quantization
