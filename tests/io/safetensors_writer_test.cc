// SPDX-License-Identifier: Apache-2.0
#include "halfway/io/safetensors_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "halfway/types/philox.h"
#include "io/safetensors_bytes.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace {

using halfway::half;
using halfway::safetensors_file;
using halfway::safetensors_writer;
using halfway::testing::expect_error;
using halfway::testing::safetensors_bytes;
using halfway::testing::temporary_folder;
using namespace std::string_literals;

// From the specification: wide types first, then names; blanks up to a multiple of 8.
TEST(SafetensorsWriter, WritesTheseBytes) {
  const std::vector<half> b = {half(0.5f)};
  const std::vector<float> a = {1.0f, -2.0f}, z = {3.0f};
  const std::vector<std::int8_t> c = {-1, 7};
  safetensors_writer out;
  out.add("b", b, {1, 1});
  out.add("z", z, {});
  out.add("c", c);
  out.add("a", a);
  out.set_metadata("format", "x");
  out.set_metadata("format", "pt");
  std::string json =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
      R"("z":{"dtype":"F32","shape":[],"data_offsets":[8,12]},)"
      R"("b":{"dtype":"F16","shape":[1,1],"data_offsets":[12,14]},)"
      R"("c":{"dtype":"I8","shape":[2],"data_offsets":[14,16]}})";
  while (json.size() % 8 != 0) json += ' ';
  const std::string data = "\x00\x00\x80\x3F\x00\x00\x00\xC0\x00\x00\x40\x40\x00\x38\xFF\x07"s;
  EXPECT_EQ(out.to_bytes(), safetensors_bytes(json, data));
  EXPECT_EQ(safetensors_writer().to_bytes(), safetensors_bytes("{}      ", ""));
}

template <class T>
std::vector<T> every_pattern() {
  std::vector<T> x;
  for (unsigned i = 0; i < (1u << (8 * sizeof(T))); ++i) {
    x.push_back(T::from_bits(static_cast<typename T::format::storage>(i)));
  }
  return x;
}

template <class T>
void comes_back(const std::vector<T>& x, const temporary_folder& folder) {
  safetensors_writer out;
  out.add("x", x);
  out.write(folder.file("x"));
  const safetensors_file file(folder.file("x"));
  std::vector<T> y(x.size());
  file.read_exact("x", y);
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(x)), std::as_bytes(std::span(y))));
  EXPECT_TRUE(std::ranges::equal(std::as_bytes(std::span(x)), std::as_bytes(file.view<T>("x"))));
}

// NaN's payloads included.
TEST(SafetensorsWriter, EveryBitComesBack) {
  const temporary_folder folder;
  comes_back(every_pattern<half>(), folder);
  comes_back(every_pattern<halfway::bfloat16>(), folder);
  comes_back(every_pattern<halfway::float8_e4m3fn>(), folder);
  comes_back(every_pattern<halfway::float8_e5m2>(), folder);
  comes_back(every_pattern<halfway::float8_e4m3fnuz>(), folder);
  comes_back(every_pattern<halfway::float8_e8m0fnu>(), folder);
  std::vector<float> x;
  for (std::uint64_t i = 0; i < 100000; ++i)
    x.push_back(std::bit_cast<float>(halfway::random_word(3, i)));
  comes_back(x, folder);
  comes_back(std::vector<double>{0.1, -0.0, std::numeric_limits<double>::denorm_min()}, folder);
  comes_back(std::vector<std::uint64_t>{0, ~0ull}, folder);
  comes_back(std::vector<std::int16_t>{-1, 300}, folder);
  comes_back(std::vector<float>(), folder);
}

TEST(SafetensorsWriter, AnyUtf8IsAName) {
  const std::vector<std::string> names = {
      "", "a\"b\\c/d", "\u00E9\U0001F600", "a\nb\tc\0d"s, "data_offsets", "__metadata"};
  safetensors_writer out;
  std::vector<float> x(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) {
    x[i] = static_cast<float>(i);
    out.add(names[i], std::span(x).subspan(i, 1));
    out.set_metadata(names[i], names[names.size() - 1 - i]);
  }
  const std::vector<std::byte> bytes = out.to_bytes();
  const safetensors_file file(bytes, "names");
  for (std::size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(file.view<float>(names[i])[0], x[i]) << names[i];
    EXPECT_EQ(file.metadata().at(names[i]), names[names.size() - 1 - i]);
  }
}

// A promised tensor is asked for when its turn comes, and has to be as long as was said.
TEST(SafetensorsWriter, KeepsPromises) {
  const temporary_folder folder;
  const std::vector<float> x = {1.0f, 2.0f};
  const std::vector<double> y = {3.0};
  const auto bytes_of = [](const auto& values) {
    const auto bytes = std::as_bytes(std::span(values));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  safetensors_writer plain, promised;
  plain.add("x", x);
  plain.add("y", y);
  std::string asked;
  promised.add_promise("x", "F32", {2}, 8, [&] {
    asked += 'x';
    return bytes_of(x);
  });
  promised.add_promise("y", "F64", {1}, 8, [&] {
    asked += 'y';
    return bytes_of(y);
  });
  EXPECT_EQ(asked, "");
  EXPECT_EQ(promised.to_bytes(), plain.to_bytes());
  EXPECT_EQ(asked, "yx");  // in the file's order, wide types first

  plain.write(folder.file("f"));
  promised.add_promise("z", "F32", {1}, 4, [&] { return bytes_of(x); });
  expect_error([&] { promised.write(folder.file("f")); },
               {"tensor \"z\": 8 bytes were made instead of 4"});
  EXPECT_EQ(safetensors_file(folder.file("f")).tensors().size(), 2u);  // the old one
  expect_error([&] { promised.add_promise("w", "F32", {2}, 4, [&] { return bytes_of(x); }); },
               {"take 8 bytes, but the data has 4"});
}

TEST(SafetensorsWriter, RefusesBadArguments) {
  safetensors_writer out;
  const std::vector<float> x(6);
  out.add("x", x, {2, 3});
  const std::vector<std::byte> before = out.to_bytes();
  expect_error([&] { out.add("x", x); }, {"tensor \"x\" has been added already"});
  expect_error([&] { out.add("x", std::vector<half>(1)); },
               {"tensor \"x\" has been added already"});
  expect_error([&] { out.add("y", x, {2, 2}); }, {"its shape and F32 take 16 bytes", "has 24"});
  expect_error([&] { out.add("y", x, {1ull << 63, 2}); }, {"more than 2^64 elements"});
  expect_error([&] { out.add("__metadata__", x); }, {"keeps this name"});
  expect_error([&] { out.add("\xFF", x); }, {"is not UTF-8"});
  expect_error([&] { out.add("\xED\xA0\x80", x); }, {"is not UTF-8"});  // a surrogate
  expect_error([&] { out.add("y", std::span<const float>(static_cast<const float*>(nullptr), 2)); },
               {"y is null but has 2 elements"});
  expect_error([&] { out.add_bytes("y", "F33", {6}, std::as_bytes(std::span(x))); },
               {"unknown type \"F33\""});
  expect_error([&] { out.add_bytes("y", "F4", {3}, {}); }, {"do not fill whole bytes"});
  expect_error([&] { out.set_metadata("k", "\xC0"); }, {"\"k\"", "is not UTF-8"});
  EXPECT_EQ(out.to_bytes(), before);
  const temporary_folder folder;
  expect_error([&] { out.write(folder.file("no/such/folder")); },
               {"cannot create", "No such file"});
  expect_error([&] { out.write(folder.path()); }, {"cannot rename to"});
}

}  // namespace
