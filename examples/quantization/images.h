// SPDX-License-Identifier: Apache-2.0
// Images as a matrix of pixels from 0 to 1.
#ifndef HALFWAY_EXAMPLES_QUANTIZATION_IMAGES_H_
#define HALFWAY_EXAMPLES_QUANTIZATION_IMAGES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "data/fashion_mnist.h"
#include "halfway/core/matrix.h"

namespace quantization {

struct labelled_batch {
  halfway::matrix<float> pixels;  // one image a row
  std::vector<std::int32_t> labels;
};

inline labelled_batch take(const demo::labelled_images& from,
                           std::span<const std::uint32_t> which) {
  labelled_batch b{halfway::matrix<float>(which.size(), demo::image_bytes), {}};
  for (std::size_t i = 0; i < which.size(); ++i) {
    const std::uint8_t* image = from.image(which[i]);
    for (std::size_t j = 0; j < demo::image_bytes; ++j)
      b.pixels(i, j) = static_cast<float>(image[j]) / 255.0f;
    b.labels.push_back(from.labels[which[i]]);
  }
  return b;
}

// The first `count`.
inline labelled_batch take_first(const demo::labelled_images& from, std::size_t count) {
  std::vector<std::uint32_t> which(std::min(count, from.size()));
  std::iota(which.begin(), which.end(), 0u);
  return take(from, which);
}

}  // namespace quantization

#endif  // HALFWAY_EXAMPLES_QUANTIZATION_IMAGES_H_
