// SPDX-License-Identifier: Apache-2.0
#include "fashion_mnist.h"

#include <filesystem>

#include "halfway/core/error.h"
#include "idx.h"

namespace demo {

using halfway::detail::concat;

labelled_images read_labelled_images(const std::string& images_path,
                                     const std::string& labels_path) {
  idx_array images = read_idx_gz(images_path, 3);
  const idx_array labels = read_idx_gz(labels_path, 1);
  if (images.extents[1] != image_side || images.extents[2] != image_side) {
    halfway::fail(concat(images_path, ": images are ", images.extents[1], " x ", images.extents[2],
                         ", not ", image_side, " x ", image_side));
  }
  if (labels.extents[0] != images.extents[0]) {
    halfway::fail(concat(labels_path, ": ", labels.extents[0], " labels for the ",
                         images.extents[0], " images of ", images_path));
  }
  if (labels.extents[0] == 0) halfway::fail(concat(images_path, ": has no images"));
  for (std::size_t i = 0; i < labels.values.size(); ++i) {
    if (labels.values[i] >= class_count) {
      halfway::fail(concat(labels_path, ": label ", i, " is ", int{labels.values[i]},
                           ", but there are ", class_count, " classes"));
    }
  }
  return {std::move(images.values), {labels.values.begin(), labels.values.end()}};
}

fashion_mnist read_fashion_mnist(const std::string& folder) {
  const std::filesystem::path root(folder);
  for (const char* name : {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz",
                           "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"}) {
    std::error_code ignored;
    if (!std::filesystem::exists(root / name, ignored)) {
      halfway::fail(concat("no Fashion-MNIST data in ", folder, ": ", name,
                           " is missing. Debian has it in the package dataset-fashion-mnist; "
                           "--data names another folder"));
    }
  }
  const auto path = [&root](const char* name) { return (root / name).string(); };
  return {
      read_labelled_images(path("train-images-idx3-ubyte.gz"), path("train-labels-idx1-ubyte.gz")),
      read_labelled_images(path("t10k-images-idx3-ubyte.gz"), path("t10k-labels-idx1-ubyte.gz"))};
}

}  // namespace demo
