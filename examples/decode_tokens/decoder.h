// SPDX-License-Identifier: Apache-2.0
// The model as a server runs it: token after token, with the keys and values of those before in a
// cache, so that each costs one row of every product. What is read for a token are the weights and
// the cache: where they are larger than the CPU's caches, their bytes decide how fast it comes.
//
//   decoding::decoder<decoding::in_bfloat16> model(weights, 96);   // room for 96 tokens
//   auto logits = model.append(prompt);                            // a row for each of its tokens
//   while (...) logits = model.append({&chosen, 1});               // one row
#ifndef HALFWAY_EXAMPLES_DECODE_TOKENS_DECODER_H_
#define HALFWAY_EXAMPLES_DECODE_TOKENS_DECODER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "halfway/core/matrix.h"
#include "halfway/ops/packed_matrix.h"
#include "halfway/ops/quantized_matrix.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/int8.h"
#include "model.h"

namespace decoding {

// A way to store: activations, the weights of products, keys and values. The residual stream,
// norms, softmax, sums and logits are FP32 in all of them.
struct in_float32 {
  using activation = float;
  using weight = halfway::packed_matrix<float>;
  using cached = float;
};
struct in_bfloat16 {
  using activation = halfway::bfloat16;
  using weight = halfway::packed_matrix<halfway::bfloat16>;
  using cached = halfway::bfloat16;
};
// Codes with a scale for each 32 weights of an output; keys and values with one for each token and
// head.
struct in_int8 {
  using activation = halfway::bfloat16;
  using weight = halfway::quantized_matrix<halfway::int8>;
  using cached = halfway::int8;
};

template <class Way>
class decoder {
 public:
  decoder(const weights& from, std::size_t most_tokens);

  // Takes in tokens after those before; the logits of what follows each of them. Error: no room for
  // them.
  halfway::matrix<float> append(std::span<const std::int32_t> tokens);
  void clear() { length_ = 0; }
  std::size_t length() const { return length_; }

  std::size_t weight_bytes() const;  // that each token reads
  static std::size_t cache_bytes();  // that it reads for each token before it

 private:
  using activation = typename Way::activation;
  using cached = typename Way::cached;

  struct product {
    typename Way::weight weight;
    halfway::matrix<float> bias;
  };
  struct block {
    halfway::matrix<float> norm1, norm2;
    product qkv, out, fc1, fc2;
    halfway::matrix<cached> keys, values;  // a row for each token: head after head
    halfway::matrix<float> key_scales,
        value_scales;  // of int8: a column for each token, heads x tokens
  };

  void attend(block& b, halfway::matrix<activation>& qkv, halfway::matrix<activation>& results);
  void store(halfway::matrix_view<const activation> rows, halfway::matrix<cached>& to,
             halfway::matrix<float>& scales);

  std::size_t most_, length_ = 0;
  std::vector<double> frequencies_;
  halfway::matrix<float> tokens_, norm_;
  std::vector<block> blocks_;
  product head_;
};

extern template class decoder<in_float32>;
extern template class decoder<in_bfloat16>;
extern template class decoder<in_int8>;

}  // namespace decoding

#endif  // HALFWAY_EXAMPLES_DECODE_TOKENS_DECODER_H_
