// SPDX-License-Identifier: Apache-2.0
#include "data/fashion_mnist.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "examples/idx_files.h"
#include "support/expect_error.h"

namespace {

using demo::read_fashion_mnist;
using demo::read_labelled_images;
using halfway::testing::bytes;
using halfway::testing::expect_error;
using halfway::testing::make_idx;
using halfway::testing::test_folder;

const bytes two_images(2 * demo::image_bytes, 9);

TEST(Dataset, ReadsImagesWithLabels) {
  const test_folder folder;
  const demo::labelled_images read =
      read_labelled_images(folder.write_gz("i.gz", make_idx({2, 28, 28}, two_images)),
                           folder.write_gz("l.gz", make_idx({2}, {3, 0})));
  EXPECT_EQ(read.pixels, two_images);
  EXPECT_EQ(read.labels, (std::vector<std::int32_t>{3, 0}));
}

TEST(Dataset, ImagesOfAnotherSize) {
  const test_folder folder;
  const std::string images = folder.write_gz("i.gz", make_idx({1, 2, 3}, bytes(6)));
  const std::string labels = folder.write_gz("l.gz", make_idx({1}, {0}));
  expect_error([&] { read_labelled_images(images, labels); }, {images, "2 x 3", "28 x 28"});
}

TEST(Dataset, LabelsThatDoNotFitTheImages) {
  const test_folder folder;
  const std::string images = folder.write_gz("i.gz", make_idx({2, 28, 28}, two_images));
  const std::string three = folder.write_gz("three.gz", make_idx({3}, {0, 1, 2}));
  expect_error([&] { read_labelled_images(images, three); },
               {three, "3 labels", "2 images", images});
  const std::string eleventh = folder.write_gz("eleventh.gz", make_idx({2}, {9, 10}));
  expect_error([&] { read_labelled_images(images, eleventh); },
               {eleventh, "label 1 is 10", "10 classes"});
}

TEST(Dataset, NoImages) {
  const test_folder folder;
  const std::string images = folder.write_gz("i.gz", make_idx({0, 28, 28}, {}));
  const std::string labels = folder.write_gz("l.gz", make_idx({0}, {}));
  expect_error([&] { read_labelled_images(images, labels); }, {images, "no images"});
}

TEST(Dataset, MissingFolderNamesThePackage) {
  expect_error([] { read_fashion_mnist("/nonexistent/folder"); },
               {"/nonexistent/folder", "train-images-idx3-ubyte.gz", "dataset-fashion-mnist"});
}

TEST(Dataset, TheRealData) {
  if (!std::filesystem::exists(DATA_FOLDER)) GTEST_SKIP() << "dataset-fashion-mnist is missing";
  const demo::fashion_mnist data = read_fashion_mnist(DATA_FOLDER);
  EXPECT_EQ(data.train.pixels.size(), 60'000 * demo::image_bytes);
  EXPECT_EQ(data.test.pixels.size(), 10'000 * demo::image_bytes);
  for (std::int32_t label = 0; label < 10; ++label) {
    EXPECT_EQ(std::ranges::count(data.train.labels, label), 6000);
    EXPECT_EQ(std::ranges::count(data.test.labels, label), 1000);
  }
}

}  // namespace
