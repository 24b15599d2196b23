// SPDX-License-Identifier: Apache-2.0
#include "data/idx.h"

#include <gtest/gtest.h>

#include "examples/idx_files.h"
#include "support/expect_error.h"

namespace {

using demo::idx_array;
using demo::read_idx_gz;
using halfway::testing::append_be32;
using halfway::testing::bytes;
using halfway::testing::expect_error;
using halfway::testing::make_idx;
using halfway::testing::message_of;
using halfway::testing::read_bytes;
using halfway::testing::test_folder;

TEST(Idx, ReadsExtentsAndElements) {
  const test_folder folder;
  const bytes elements = {1, 2, 3, 4, 5, 255};
  const idx_array array = read_idx_gz(folder.write_gz("a.gz", make_idx({1, 2, 3}, elements)), 3);
  EXPECT_EQ(array.extents, (std::vector<std::size_t>{1, 2, 3}));
  EXPECT_EQ(array.values, elements);
}

TEST(Idx, ReadsManyPieces) {
  const test_folder folder;
  bytes elements(9'000'001);
  for (std::size_t i = 0; i < elements.size(); ++i)
    elements[i] = static_cast<std::uint8_t>(i * 2654435761u >> 24);
  const std::string path = folder.write_gz("a.gz", make_idx({9'000'001}, elements));
  EXPECT_EQ(read_idx_gz(path, 1).values, elements);
}

TEST(Idx, AcceptsNoElements) {
  const test_folder folder;
  const idx_array array = read_idx_gz(folder.write_gz("a.gz", make_idx({0, 28, 28}, {})), 3);
  EXPECT_EQ(array.extents[0], 0u);
  EXPECT_TRUE(array.values.empty());
}

TEST(Idx, MissingFile) {
  const test_folder folder;
  expect_error([&] { read_idx_gz(folder.file("none.gz"), 1); },
               {folder.file("none.gz"), "cannot be opened"});
}

TEST(Idx, NotGzip) {
  const test_folder folder;
  const std::string plain = folder.write("plain.gz", make_idx({1}, {7}));
  expect_error([&] { read_idx_gz(plain, 1); }, {plain, "not a gzip file"});
  const std::string empty = folder.write("empty.gz", {});
  expect_error([&] { read_idx_gz(empty, 1); }, {empty});
}

TEST(Idx, WrongMagicNumber) {
  const test_folder folder;
  const std::string labels = folder.write_gz("labels.gz", make_idx({1}, {7}));
  expect_error([&] { read_idx_gz(labels, 3); }, {labels, "0x00000801", "0x00000803"});
  bytes floats = make_idx({1}, {7});
  floats[2] = 0x0d;
  const std::string path = folder.write_gz("floats.gz", floats);
  expect_error([&] { read_idx_gz(path, 1); }, {path, "0x00000d01", "0x00000801"});
}

TEST(Idx, HeaderTooShort) {
  const test_folder folder;
  const bytes whole = make_idx({1, 1, 1}, {});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string path =
        folder.write_gz("a.gz", bytes(whole.begin(), whole.begin() + static_cast<int>(size)));
    const std::string field =
        size < 4 ? std::string("the magic number") : "dimension " + std::to_string(size / 4 - 1);
    expect_error([&] { read_idx_gz(path, 3); },
                 {path, field, std::to_string(size % 4) + " bytes instead of 4"});
  }
}

TEST(Idx, TooFewOrTooManyElements) {
  const test_folder folder;
  const std::string few = folder.write_gz("few.gz", make_idx({2, 3}, {1, 2, 3, 4, 5}));
  expect_error([&] { read_idx_gz(few, 2); }, {few, "2 x 3", "6 bytes", "5 follow"});
  const std::string many = folder.write_gz("many.gz", make_idx({2, 2}, {1, 2, 3, 4, 5}));
  expect_error([&] { read_idx_gz(many, 2); }, {many, "after its last element"});
}

// A header's promise must be neither multiplied past the range nor allocated.
TEST(Idx, EnormousExtents) {
  const test_folder folder;
  constexpr std::uint32_t most = 0xffffffff;
  const std::string overflow = folder.write_gz("a.gz", make_idx({most, most, most}, {1}));
  expect_error([&] { read_idx_gz(overflow, 3); }, {overflow, "4294967295", "more than 1073741824"});
  const std::string wraps = folder.write_gz("b.gz", make_idx({1u << 22, 1u << 21, 1u << 21}, {1}));
  expect_error([&] { read_idx_gz(wraps, 3); }, {wraps, "4194304 x 2097152", "more than 1073741824"});
  const std::string gibibyte = folder.write_gz("c.gz", make_idx({1u << 30}, {1}));
  expect_error([&] { read_idx_gz(gibibyte, 1); }, {gibibyte, "1073741824", "1 follow"});
}

TEST(Idx, CutOffAnywhere) {
  const test_folder folder;
  const bytes whole = read_bytes(folder.write_gz("whole.gz", make_idx({2, 3}, {1, 2, 3, 4, 5, 6})));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string path =
        folder.write("cut.gz", bytes(whole.begin(), whole.begin() + static_cast<int>(size)));
    SCOPED_TRACE(size);
    expect_error([&] { read_idx_gz(path, 2); }, {path});
  }
}

// Any byte of a file may be any other: an error, or an array whose size its extents give.
TEST(Idx, DamagedAnywhere) {
  const test_folder folder;
  const bytes whole = read_bytes(folder.write_gz("whole.gz", make_idx({2, 3}, {1, 2, 3, 4, 5, 6})));
  std::size_t refused = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      bytes damaged = whole;
      damaged[i] = static_cast<std::uint8_t>(damaged[i] ^ flip);
      const std::string path = folder.write("damaged.gz", damaged);
      try {
        const idx_array array = read_idx_gz(path, 2);
        EXPECT_EQ(array.values.size(), array.extents[0] * array.extents[1]) << "byte " << i;
      } catch (const halfway::error& e) {
        ++refused;
        EXPECT_NE(std::string(e.what()).find(path), std::string::npos) << e.what();
      }
    }
  }
  // The checksum and the length guard everything but a few fields of gzip's header.
  EXPECT_GT(refused, 3 * (whole.size() - 10));
}

}  // namespace
