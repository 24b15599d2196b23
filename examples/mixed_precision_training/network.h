// SPDX-License-Identifier: Apache-2.0
// The network with its gradients, its activations stored as T: linear layers with ReLU, a layernorm
// in the last hidden one.
//
//   demo::network<halfway::half> net(batch, seed);
//   net.load(images, indices);
//   net.forward();
//   float loss = net.backward(labels, scaler.scale());
//   scaler.unscale(net.gradients());
//   if (scaler.should_step()) net.step(optimizer);
//
// Mixed precision as the policy params=float32,compute=T,output=float32 means it: FP32 master
// parameters and a copy of the weights in T; matrix products take T and accumulate in FP32;
// activations and their gradients are rounded to T once; layernorm, loss and the gradients of
// parameters are FP32, and so are the logits.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_NETWORK_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_NETWORK_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "data/fashion_mnist.h"
#include "halfway/core/matrix.h"
#include "halfway/training/optimizer.h"
#include "parameters.h"
#include "run.h"

namespace demo {

template <class T>
class network {
 public:
  // Room for batches of up to `batch` images; weights drawn from `seed`, the same for every T.
  network(std::size_t batch, std::uint64_t seed);
  // With given parameters, for evaluation.
  network(std::size_t batch, std::span<const float> parameters);

  // Takes pixels as they are, 0 to 255, which every T holds exactly.
  void load(const labelled_images& images, std::span<const std::uint32_t> indices);

  // Computes the logits of what was loaded.
  void forward();
  halfway::matrix_view<const float> logits() const { return top_rows(logits_); }

  // Returns the mean loss and computes the gradients of `scale` times it. Where `flushes` is not
  // null, counts in it what rounding to T made zero, which takes an FP32 copy of every gradient.
  float backward(std::span<const std::int32_t> labels, float scale,
                 std::vector<flush_count>* flushes = nullptr);

  std::span<float> gradients() { return gradients_; }
  std::span<const float> parameters() const { return parameters_; }

  // One step of the master parameters, and of the copy in T.
  void step(const halfway::adam& optimizer);

  // Largest magnitude, in the last forward(), of what goes into the layernorm.
  float largest_before_norm() const;

  // The output of hidden layer l in the last forward(), after its ReLU.
  halfway::matrix_view<const T> hidden(std::size_t l) const { return top_rows(hidden_[l]); }
  std::size_t activation_bytes() const;

 private:
  template <class M>
  auto top_rows(M& m) const {
    return halfway::as_view(m).block(0, 0, rows_, m.cols());
  }
  template <class M>
  auto top_elements(M& m) const {
    return m.elements().first(rows_ * m.cols());
  }
  // What the products read: the copy in T, or the master itself where T is float.
  std::span<const T> model() const;
  template <class Operation>
  void counted(flush_count* count, halfway::matrix<T>& result, const Operation& operation);

  std::size_t rows_ = 0;  // of the loaded batch
  parameter_layout layout_;
  std::vector<float> parameters_;
  std::vector<T> copy_;  // empty where T is float
  std::vector<float> gradients_;
  halfway::adam_state optimizer_state_;

  std::vector<std::uint8_t> pixels_;
  halfway::matrix<T> input_;
  std::array<halfway::matrix<T>, last_hidden + 1> hidden_;
  halfway::matrix<T> before_norm_;
  halfway::matrix<float> logits_;
  halfway::matrix<T> d_logits_;
  std::array<halfway::matrix<T>, 2> d_hidden_;  // of a layer's output and of its input
  halfway::matrix<float> exact_;                // for counting
};

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_NETWORK_H_
