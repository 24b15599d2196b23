// SPDX-License-Identifier: Apache-2.0
// Fashion-MNIST: 60,000 + 10,000 images of clothes, 28 x 28 pixels of one byte, in ten classes.
//
//   const demo::fashion_mnist data = demo::read_fashion_mnist("/usr/share/datasets/fashion-mnist");
#ifndef HALFWAY_EXAMPLES_DATA_FASHION_MNIST_H_
#define HALFWAY_EXAMPLES_DATA_FASHION_MNIST_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace demo {

inline constexpr std::size_t image_side = 28;
inline constexpr std::size_t image_bytes = image_side * image_side;
inline constexpr std::size_t class_count = 10;

struct labelled_images {
  std::vector<std::uint8_t> pixels;  // image after image
  std::vector<std::int32_t> labels;  // one an image

  std::size_t size() const { return labels.size(); }
  const std::uint8_t* image(std::size_t i) const { return pixels.data() + i * image_bytes; }
};

struct fashion_mnist {
  labelled_images train;
  labelled_images test;
};

// Reads one pair of files. Errors: those of read_idx_gz; images of another size; as many labels as
// images are needed, each below class_count.
labelled_images read_labelled_images(const std::string& images_path,
                                     const std::string& labels_path);

// Reads the four files. Error: a missing folder or file, with the package that has them.
fashion_mnist read_fashion_mnist(const std::string& folder);

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_DATA_FASHION_MNIST_H_
