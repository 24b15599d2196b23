// SPDX-License-Identifier: Apache-2.0
// Images as a matrix of pixels from 0 to 1.
#ifndef HALFWAY_EXAMPLES_DATA_IMAGES_H_
#define HALFWAY_EXAMPLES_DATA_IMAGES_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "fashion_mnist.h"
#include "halfway/core/matrix.h"

namespace demo {

struct labelled_batch {
  halfway::matrix<float> pixels;  // one image a row
  std::vector<std::int32_t> labels;
};

inline labelled_batch take(const labelled_images& from, std::span<const std::uint32_t> which) {
  labelled_batch b{halfway::matrix<float>(which.size(), image_bytes), {}};
  for (std::size_t i = 0; i < which.size(); ++i) {
    const std::uint8_t* image = from.image(which[i]);
    for (std::size_t j = 0; j < image_bytes; ++j)
      b.pixels(i, j) = static_cast<float>(image[j]) / 255.0f;
    b.labels.push_back(from.labels[which[i]]);
  }
  return b;
}

// All of them in order, `size` at a time; the last may be smaller.
inline std::vector<labelled_batch> in_batches(const labelled_images& from, std::size_t size) {
  std::vector<std::uint32_t> which(from.size());
  std::iota(which.begin(), which.end(), 0u);
  std::vector<labelled_batch> batches;
  for (std::size_t at = 0; at < which.size(); at += size)
    batches.push_back(take(from, std::span(which).subspan(at, std::min(size, which.size() - at))));
  return batches;
}

// The first `count`.
inline labelled_batch take_first(const labelled_images& from, std::size_t count) {
  std::vector<std::uint32_t> which(std::min(count, from.size()));
  std::iota(which.begin(), which.end(), 0u);
  return take(from, which);
}

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_DATA_IMAGES_H_
