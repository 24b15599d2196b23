// SPDX-License-Identifier: Apache-2.0
#include "decoder.h"

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "halfway/core/error.h"
#include "halfway/core/heads_view.h"
#include "halfway/ops/attention.h"
#include "halfway/ops/convert.h"
#include "halfway/ops/fused_activation.h"
#include "halfway/ops/norm.h"
#include "halfway/ops/rotary_embedding.h"
#include "halfway/quantization/groups.h"

namespace decoding {

namespace {

using halfway::heads_view;
using halfway::matrix;

template <class Weight>
Weight stored(const matrix<float>& w) {
  using T = typename Weight::value_type;
  if constexpr (std::is_same_v<T, halfway::int8>) {
    return halfway::quantize_groups<T>(w, 32);
  } else {
    matrix<T> narrow(w.rows(), w.cols());
    halfway::convert(w, narrow);
    return Weight(narrow);
  }
}

}  // namespace

template <class Way>
decoder<Way>::decoder(const weights& from, std::size_t most_tokens)
    : most_(most_tokens),
      frequencies_(halfway::rotary_frequencies(head_size)),
      tokens_(from.at("tokens.weight")),
      norm_(from.at("norm.weight")) {
  const auto product_of = [&](const std::string& name) {
    return product{stored<typename Way::weight>(from.at(name + ".weight")),
                   from.at(name + ".bias")};
  };
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::string name = block_name(b);
    blocks_.push_back({from.at(name + "norm1.weight"), from.at(name + "norm2.weight"),
                       product_of(name + "qkv"), product_of(name + "out"), product_of(name + "fc1"),
                       product_of(name + "fc2"), matrix<cached>(most_, width),
                       matrix<cached>(most_, width), matrix<float>(heads, most_),
                       matrix<float>(heads, most_)});
  }
  head_ = product_of("head");
}

template <class Way>
matrix<float> decoder<Way>::append(std::span<const std::int32_t> tokens) {
  if (tokens.size() > most_ - length_)
    halfway::fail(halfway::detail::concat("decoding::decoder::append: ", tokens.size(),
                                          " tokens after ", length_, ", but there is room for ",
                                          most_));
  const std::size_t n = tokens.size();
  matrix<float> x(n, width);  // the residual stream
  for (std::size_t i = 0; i < n; ++i)
    std::ranges::copy(tokens_.row(static_cast<std::size_t>(tokens[i])), x.row(i).begin());

  matrix<activation> normed(n, width), qkv(n, 3 * width), results(n, width), hidden(n, 4 * width);
  for (block& b : blocks_) {
    halfway::rmsnorm(x, b.norm1.elements(), normed);
    halfway::gemm(normed, b.qkv.weight, qkv, {.bias = b.qkv.bias.elements()});
    attend(b, qkv, results);
    halfway::gemm(results, b.out.weight, x, {.beta = 1, .bias = b.out.bias.elements()});

    halfway::rmsnorm(x, b.norm2.elements(), normed);
    halfway::gemm(
        normed, b.fc1.weight, hidden,
        {.bias = b.fc1.bias.elements(), .activation = halfway::fused<halfway::activation::gelu>()});
    halfway::gemm(hidden, b.fc2.weight, x, {.beta = 1, .bias = b.fc2.bias.elements()});
  }
  length_ += n;
  matrix<float> logits(n, vocabulary);
  halfway::rmsnorm(x, norm_.elements(), normed);
  halfway::gemm(normed, head_.weight, logits, {.bias = head_.bias.elements()});
  return logits;
}

template <class Way>
void decoder<Way>::attend(block& b, matrix<activation>& qkv, matrix<activation>& results) {
  const std::size_t n = qkv.rows(), all = length_ + n;
  // Queries and keys lie side by side: 2 * heads heads, which are turned in place.
  const heads_view<activation> both(qkv.data(), 2 * heads, n, head_size, head_size, 3 * width);
  halfway::rotary_embedding(both, both, frequencies_, {.first_position = length_});
  store(qkv.view().block(0, width, n, width), b.keys, b.key_scales);
  store(qkv.view().block(0, 2 * width, n, width), b.values, b.value_scales);

  const heads_view<const activation> q(qkv.data(), heads, n, head_size, head_size, 3 * width);
  const auto kept = [&](const matrix<cached>& cache) {
    return heads_view<const cached>::token_major(cache.data(), all, heads, head_size);
  };
  halfway::attention_options options{.causal = true};
  if constexpr (sizeof(cached) == 1) {
    options.k_scale = std::as_const(b.key_scales).view().block(0, 0, heads, all);
    options.v_scale = std::as_const(b.value_scales).view().block(0, 0, heads, all);
  }
  halfway::attention(q, kept(b.keys), kept(b.values),
                     heads_view<activation>::token_major(results.data(), n, heads, head_size),
                     options);
}

// Rows of new tokens to the end of the cache; int8 with a scale of the largest magnitude / 127.
template <class Way>
void decoder<Way>::store(halfway::matrix_view<const activation> rows, matrix<cached>& to,
                         matrix<float>& scales) {
  for (std::size_t i = 0; i < rows.rows(); ++i) {
    const std::span<cached> row = to.row(length_ + i);
    if constexpr (!std::is_same_v<cached, halfway::int8>) {
      std::copy_n(rows.row(i), width, row.begin());
    } else {
      for (std::size_t h = 0; h < heads; ++h) {
        const std::span<const activation> from(rows.row(i) + h * head_size, head_size);
        float largest = 0;
        for (const activation v : from) largest = std::max(largest, std::abs(float{v}));
        const float scale = largest / 127;
        scales(h, length_ + i) = scale;
        for (std::size_t j = 0; j < head_size; ++j)
          row[h * head_size + j] = static_cast<halfway::int8>(
              scale == 0 ? 0 : static_cast<int>(std::lrint(float{from[j]} / scale)));
      }
    }
  }
}

template <class Way>
std::size_t decoder<Way>::weight_bytes() const {
  std::size_t bytes = head_.weight.bytes() + width * sizeof(float);  // and a row of the table
  for (const block& b : blocks_)
    for (const product* p : {&b.qkv, &b.out, &b.fc1, &b.fc2}) bytes += p->weight.bytes();
  return bytes;
}

template <class Way>
std::size_t decoder<Way>::cache_bytes() {
  const std::size_t scale = sizeof(cached) == 1 ? heads * sizeof(float) : 0;
  return 2 * blocks * (width * sizeof(cached) + scale);
}

template class decoder<in_float32>;
template class decoder<in_bfloat16>;
template class decoder<in_int8>;

}  // namespace decoding
