// SPDX-License-Identifier: Apache-2.0
// Files made byte by byte from the specification, whole and broken in every way.
#include "halfway/io/safetensors.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors_bytes.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::safetensors_file;
using halfway::testing::expect_error;
using halfway::testing::message_of;
using halfway::testing::safetensors_bytes;
using halfway::testing::temporary_folder;
using halfway::testing::to_bytes;
using namespace std::string_literals;

// 1 and -2 as F32, 0.5 as F16, 3 as BF16; their bits are IEEE 754's.
const std::string small_json =
    R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
    R"("b":{"dtype":"F16","shape":[1,1],"data_offsets":[8,10]},)"
    R"("c":{"dtype":"BF16","shape":[],"data_offsets":[10,12]}})";
const std::string small_data = "\x00\x00\x80\x3F\x00\x00\x00\xC0\x00\x38\x40\x40"s;

safetensors_file parse(const std::vector<std::byte>& bytes,
                       const halfway::safetensors_options& options = {}) {
  return safetensors_file(bytes, "file", options);
}

TEST(Safetensors, ReadsWhatTheSpecificationSays) {
  const std::vector<std::byte> bytes = safetensors_bytes(small_json, small_data);
  const safetensors_file file = parse(bytes);
  ASSERT_EQ(file.tensors().size(), 3u);
  EXPECT_EQ(file.metadata().size(), 1u);
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.at("a").shape, std::vector<std::uint64_t>{2});
  EXPECT_EQ(file.at("a").type, "F32");
  EXPECT_EQ(file.at("c").elements, 1u);
  EXPECT_TRUE(file.at("c").shape.empty());
  EXPECT_TRUE(file.contains("b"));
  EXPECT_FALSE(file.contains("d"));
  std::vector<float> a(2), b(1), c(1);
  file.read("a", a);
  file.read("b", b);
  file.read("c", c);
  EXPECT_EQ(a, (std::vector<float>{1.0f, -2.0f}));
  EXPECT_EQ(b[0], 0.5f);
  EXPECT_EQ(c[0], 3.0f);
  std::vector<bfloat16> narrow(2);
  file.read("a", narrow);
  EXPECT_EQ(narrow[1].bits(), 0xC000);
  std::vector<half> same(1);
  file.read_exact("b", same);
  EXPECT_EQ(same[0].bits(), 0x3800);
  EXPECT_EQ(file.load_exact<float>("a"), a);
  expect_error([&] { file.load_exact<double>("a"); }, {"stored as F32, not F64"});
  EXPECT_EQ(file.bytes("b").size(), 2u);
  EXPECT_EQ(file.bytes("b")[1], std::byte{0x38});
  EXPECT_EQ(file.load_matrix<double>("a")(0, 1), -2.0);
  EXPECT_EQ(file.load_matrix<float>("b").rows(), 1u);
  EXPECT_TRUE(file.ignored().empty());
}

TEST(Safetensors, ReadsEveryTypeWithOneRounding) {
  const std::string json =
      R"({"F64":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},)"
      R"("I32":{"dtype":"I32","shape":[1],"data_offsets":[8,12]},)"
      R"("F8_E4M3":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[12,13]},)"
      R"("F8_E5M2":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[13,14]},)"
      R"("F8_E4M3FNUZ":{"dtype":"F8_E4M3FNUZ","shape":[1],"data_offsets":[14,15]},)"
      R"("F8_E5M2FNUZ":{"dtype":"F8_E5M2FNUZ","shape":[1],"data_offsets":[15,16]},)"
      R"("F8_E8M0":{"dtype":"F8_E8M0","shape":[1],"data_offsets":[16,17]},)"
      R"("I8":{"dtype":"I8","shape":[1],"data_offsets":[17,18]},)"
      R"("U8":{"dtype":"U8","shape":[1],"data_offsets":[18,19]},)"
      R"("I64":{"dtype":"I64","shape":[1],"data_offsets":[19,27]},)"
      R"("F4":{"dtype":"F4","shape":[2,3],"data_offsets":[27,30]},)"
      R"("BOOL":{"dtype":"BOOL","shape":[2],"data_offsets":[30,32]}})";
  // 1 + 2^-8 + 2^-28: a tie in bfloat16 once it has been rounded to float, but not before.
  ASSERT_EQ(std::bit_cast<double>(0x3FF0100001000000u), 1 + 0x1p-8 + 0x1p-28);
  const std::string data = "\x00\x00\x00\x01\x00\x10\xF0\x3F"s + "\xFE\xFF\xFF\xFF"s +
                           "\x38\x3C\x40\x40\x80\xFB\xFB"s + "\x07\x00\x00\x00\x00\x00\x00\x80"s +
                           "\x21\x43\x65"s + "\x00\x01"s;
  const std::vector<std::byte> bytes = safetensors_bytes(json, data);
  const safetensors_file file = parse(bytes);
  const auto value = [&](const char* name) {
    std::vector<float> x(1);
    file.read(name, x);
    return x[0];
  };
  EXPECT_EQ(value("F64"), 1 + 0x1p-8f);  // 2^-28 is below half an ulp of float
  std::vector<bfloat16> narrow(1);
  file.read("F64", narrow);
  EXPECT_EQ(static_cast<float>(narrow[0]), 1 + 0x1p-7f);  // above the tie, so up; by float: down
  EXPECT_EQ(value("I32"), -2.0f);
  EXPECT_EQ(value("F8_E4M3"), 1.0f);
  EXPECT_EQ(value("F8_E5M2"), 1.0f);
  EXPECT_EQ(value("F8_E4M3FNUZ"), 1.0f);
  EXPECT_EQ(value("F8_E5M2FNUZ"), 1.0f);
  EXPECT_EQ(value("F8_E8M0"), 2.0f);
  EXPECT_EQ(value("I8"), -5.0f);
  EXPECT_EQ(value("U8"), 251.0f);
  std::vector<std::int64_t> wide(1);
  file.read_exact("I64", wide);
  EXPECT_EQ(wide[0], std::numeric_limits<std::int64_t>::min() + 7);
  EXPECT_EQ(file.bytes("F4").size(), 3u);
  EXPECT_EQ(file.at("F4").elements, 6u);
  std::vector<float> x(1);
  expect_error([&] { file.read("I64", x); }, {"stored as I64, which has no cast"});
  expect_error([&] { file.read_exact("I64", x); }, {"stored as I64, not F32"});
  expect_error([&] { file.read("F64", std::vector<float>(2)); },
               {"y.size() (2) must equal the 1 elements", "\"F64\""});
  expect_error([&] { static_cast<void>(file.at("f64")); }, {"no tensor \"f64\"", "did you mean"});
}

TEST(Safetensors, ViewsAlignedMemoryOnly) {
  // The second F32 begins at byte 4 + 1.
  const std::string json = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                           R"("pad":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},)"
                           R"("b":{"dtype":"F32","shape":[1],"data_offsets":[5,9]}})";
  std::string padded = json;
  padded.resize((json.size() + 7) / 8 * 8, ' ');  // blanks may end a header
  const std::vector<std::byte> bytes =
      safetensors_bytes(padded, "\x00\x00\x80\x3F\x00\x00\x00\x00\x40"s);
  const safetensors_file file = parse(bytes);
  EXPECT_EQ(file.view<float>("a")[0], 1.0f);
  EXPECT_EQ(static_cast<const void*>(file.view<float>("a").data()),
            static_cast<const void*>(file.bytes("a").data()));
  expect_error([&] { file.view<float>("b"); }, {"not aligned to 4 bytes"});
  expect_error([&] { file.view<std::int32_t>("a"); }, {"stored as F32, not I32"});
  std::vector<float> b(1);
  file.read("b", b);
  EXPECT_EQ(b[0], 2.0f);
  file.read_exact("b", b);
  EXPECT_EQ(b[0], 2.0f);
}

TEST(Safetensors, EmptyTensorsAndFiles) {
  const std::vector<std::byte> none = safetensors_bytes("{}", "");
  EXPECT_TRUE(parse(none).tensors().empty());
  const std::vector<std::byte> empty = safetensors_bytes(
      R"({"a":{"dtype":"F32","shape":[0,9223372036854775808],"data_offsets":[0,0]},)"
      R"("b":{"dtype":"F32","shape":[9223372036854775808,0],"data_offsets":[0,0]}})",
      "");
  const safetensors_file file = parse(empty);
  std::vector<float> x;
  file.read("a", x);
  EXPECT_EQ(file.load_matrix<float>("b").size(), 0u);
  EXPECT_EQ(file.view<float>("b").size(), 0u);
}

std::string one(std::string_view rest) { return "{\"a\":{" + std::string(rest) + "}}"; }

TEST(Safetensors, RefusesHostileFiles) {
  struct hostile {
    std::string what;
    std::vector<std::byte> bytes;
    std::string message;
  };
  const std::string good = R"("dtype":"F32","shape":[2],"data_offsets":[0,8])";
  const std::string data(8, 'x');
  const auto with = [&](const std::string& json) { return safetensors_bytes(json, data); };
  const std::vector<hostile> table = {
      {"nothing", {}, "has 0 bytes, fewer than the 8"},
      {"seven bytes", to_bytes("\x02\x00\x00\x00\x00\x00\x00"s), "has 7 bytes"},
      {"longer than the file", to_bytes(halfway::testing::length_bytes(3) + "{}"),
       "has 10 bytes, too few for its header of 3"},
      {"header of 2^64 - 1", to_bytes(halfway::testing::length_bytes(~0ull) + "{}"),
       "has a header of 18446744073709551615 bytes, more than max_header_bytes (100000000)"},
      {"header of 2^64 - 8", to_bytes(halfway::testing::length_bytes(~0ull - 7) + "{}"),
       "more than max_header_bytes"},
      {"empty header", safetensors_bytes("", ""), "does not begin with '{'"},
      {"leading blank", safetensors_bytes(" {}", ""), "does not begin with '{'"},
      {"byte order mark", safetensors_bytes("\xEF\xBB\xBF{}", ""), "does not begin with '{'"},
      {"array", safetensors_bytes("[]", ""), "does not begin with '{'"},
      {"half an object", safetensors_bytes("{", ""), "is not JSON"},
      {"two objects", safetensors_bytes("{}{}", ""), "is not JSON"},
      {"comment", safetensors_bytes("{/**/}", ""), "is not JSON"},
      {"text after a NUL", safetensors_bytes("{}\0hidden"s, ""), "NUL byte"},
      {"padding of NULs", safetensors_bytes("{}\0\0"s, ""), "NUL byte"},
      {"not UTF-8", with("{\"\xFF\":{" + good + "}}"), "is not JSON"},
      {"overlong UTF-8", with("{\"\xC0\xAF\":{" + good + "}}"), "is not JSON"},
      {"lone surrogate", with("{\"\\ud800\":{" + good + "}}"), "is not JSON"},
      {"tensor is a number", with(R"({"a":1})"), "has a number at \"a\""},
      {"tensor is null", with(R"({"a":null})"), "has null at \"a\""},
      {"tensor is an array", with(R"({"a":[]})"), "has an array at \"a\""},
      {"metadata is a string", with(R"({"__metadata__":"x"})"), "has a string at"},
      {"metadata of numbers", with(R"({"__metadata__":{"x":1}})"), "has a number at \"x\""},
      {"metadata of objects", with(R"({"__metadata__":{"x":{}}})"), "has an object at \"x\""},
      {"metadata twice", with(R"({"__metadata__":{},"__metadata__":{}})"),
       "key \"__metadata__\" stands twice"},
      {"metadata's key twice", with(R"({"__metadata__":{"x":"1","x":"2"}})"),
       "key \"x\" stands twice"},
      {"no type", with(one(R"("shape":[2],"data_offsets":[0,8])")), "lacks dtype"},
      {"no shape", with(one(R"("dtype":"F32","data_offsets":[0,8])")), "lacks shape"},
      {"no offsets", with(one(R"("dtype":"F32","shape":[2])")), "lacks data_offsets"},
      {"unknown key", with(one(good + R"(,"stride":[1])")), "has an array at \"stride\""},
      {"type twice", with(one(good + R"(,"dtype":"F32")")), "key \"dtype\" stands twice"},
      {"tensor twice", with("{\"a\":{" + good + "},\"a\":{" + good + "}}"),
       "key \"a\" stands twice"},
      {"type is a number", with(one(R"("dtype":4,"shape":[2],"data_offsets":[0,8])")),
       "has a number at \"dtype\""},
      {"unknown type", with(one(R"("dtype":"F33","shape":[2],"data_offsets":[0,8])")),
       "has the unknown type \"F33\""},
      {"lower case", with(one(R"("dtype":"f32","shape":[2],"data_offsets":[0,8])")),
       "has the unknown type \"f32\""},
      {"shape is a number", with(one(R"("dtype":"F32","shape":2,"data_offsets":[0,8])")),
       "has a number at \"shape\""},
      {"shape of strings", with(one(R"("dtype":"F32","shape":["2"],"data_offsets":[0,8])")),
       "has a string at \"shape\""},
      {"negative extent", with(one(R"("dtype":"F32","shape":[-2],"data_offsets":[0,8])")),
       "has a negative number at \"shape\""},
      {"minus zero", with(one(R"("dtype":"F32","shape":[-0],"data_offsets":[0,8])")),
       "has a negative number at \"shape\""},
      {"fraction", with(one(R"("dtype":"F32","shape":[2.0],"data_offsets":[0,8])")),
       "not whole or above 2^64 - 1 at \"shape\""},
      {"2^64", with(one(R"("dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,8])")),
       "not whole or above 2^64 - 1 at \"shape\""},
      {"array in a shape", with(one(R"("dtype":"F32","shape":[[2]],"data_offsets":[0,8])")),
       "has an array at \"shape\""},
      {"one offset", with(one(R"("dtype":"F32","shape":[2],"data_offsets":[8])")),
       "data_offsets has 1 numbers"},
      {"three offsets", with(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,8,9])")),
       "has a third number"},
      {"backwards", with(one(R"("dtype":"F32","shape":[2],"data_offsets":[8,0])")),
       "data_offsets go back, from 8 to 0"},
      {"past the end", with(one(R"("dtype":"F32","shape":[3],"data_offsets":[0,12])")),
       "data_offsets end at 12, after the file's 8 bytes"},
      {"offsets that wrap",
       with(one(R"("dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,0])")),
       "data_offsets go back"},
      {"the end at 2^64 - 1",
       with(one(R"("dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615])")),
       "data_offsets end at 18446744073709551615"},
      {"2^63 elements",
       with(one(R"("dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8])")),
       "more than 2^64 bits"},
      {"a product of 2^64 that wraps to 0",
       with(one(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])")),
       "more than 2^64 elements"},
      {"a product that wraps to 2",
       with(one(R"("dtype":"F32","shape":[9223372036854775809,2],"data_offsets":[0,8])")),
       "more than 2^64 elements"},
      {"bits that wrap to 64",
       with(one(R"("dtype":"F32","shape":[576460752303423490],"data_offsets":[0,8])")),
       "more than 2^64 bits"},
      {"too few bytes", with(one(R"("dtype":"F64","shape":[2],"data_offsets":[0,8])")),
       "its shape and F64 take 16 bytes, but the data has 8"},
      {"too many bytes", with(one(R"("dtype":"F16","shape":[2],"data_offsets":[0,8])")),
       "take 4 bytes, but the data has 8"},
      {"half a byte", with(one(R"("dtype":"F4","shape":[15],"data_offsets":[0,8])")),
       "15 elements of 4 bits do not fill whole bytes"},
      {"overlap",
       with(R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},)"
            R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})"),
       "tensor \"b\": data_offsets begin at 4, before another tensor's end at 5"},
      {"the same place twice",
       with(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
            R"("b":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})"),
       "before another tensor's end at 8"},
      {"nothing within a tensor",
       with(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
            R"("b":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}})"),
       "before another tensor's end at 8"},
      {"gap at the start", with(one(R"("dtype":"U8","shape":[7],"data_offsets":[1,8])")),
       "has 1 bytes of no tensor before tensor \"a\""},
      {"gap",
       with(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
            R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})"),
       "has 2 bytes of no tensor before tensor \"b\""},
      {"trailing bytes", with(one(R"("dtype":"U8","shape":[7],"data_offsets":[0,7])")),
       "has 1 bytes after the last tensor"},
      {"data without tensors", with("{}"), "has 8 bytes after the last tensor"},
      {"control characters in a name", with("{\"a\\u0007b\":1}"), "at \"a?b\""},
  };
  for (const hostile& h : table) {
    const std::string message = message_of([&] { parse(h.bytes); });
    EXPECT_NE(message.find("halfway::safetensors_file: \"file\" "), std::string::npos)
        << h.what << ": " << message;
    EXPECT_NE(message.find(h.message), std::string::npos) << h.what << ": " << message;
  }
}

TEST(Safetensors, DepthIsBounded) {
  for (const std::string& open : {"["s, "{\"a\":"s}) {
    std::string json = "{\"x\":";
    for (int i = 0; i < 1000000; ++i) json += open;
    const std::vector<std::byte> bytes = safetensors_bytes(json, "");
    expect_error([&] { parse(bytes); }, {"has a"});
  }
}

TEST(Safetensors, LenientModeSaysWhatItIgnored) {
  const std::vector<std::byte> bytes =
      safetensors_bytes(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},)"
                        R"("q":{"dtype":"NF4","shape":[4],"data_offsets":[3,5]},)"
                        R"("b":{"dtype":"I8","shape":[1],"data_offsets":[5,6]}})",
                        "?\x01\x02??\xFF??");
  expect_error([&] { parse(bytes); }, {"has 1 bytes of no tensor before tensor \"a\""});
  const safetensors_file file = parse(bytes, {.lenient = true});
  EXPECT_EQ(file.ignored(),
            (std::vector<std::string>{"has 1 bytes of no tensor before tensor \"a\"",
                                      "tensor \"q\" has the unknown type \"NF4\"",
                                      "has 2 bytes after the last tensor"}));
  EXPECT_EQ(file.tensors().size(), 2u);
  std::vector<float> a(2), b(1);
  file.read("a", a);
  file.read("b", b);
  EXPECT_EQ(a, (std::vector<float>{1, 2}));
  EXPECT_EQ(b[0], -1.0f);
  // What would be misunderstood is refused in this mode, too.
  const std::vector<std::byte> bad =
      safetensors_bytes(R"({"q":{"dtype":"NF4","shape":[4],"data_offsets":[0,99]}})", "12345678");
  expect_error([&] { parse(bad, {.lenient = true}); }, {"are not within the file's 8 bytes"});
}

// Each prefix lies in memory of its own size, where the address sanitizer sees every byte too many.
TEST(Safetensors, TruncatedAnywhereIsAnError) {
  const std::vector<std::byte> whole = safetensors_bytes(small_json, small_data);
  parse(whole);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    const std::vector<std::byte> part(whole.begin(),
                                      whole.begin() + static_cast<std::ptrdiff_t>(n));
    EXPECT_NE(message_of([&] { parse(part); }), "no error") << n;
    EXPECT_NE(message_of([&] { parse(part, {.lenient = true}); }), "no error") << n;
  }
}

// Whatever one byte becomes, the file is refused or every tensor lies within it.
TEST(Safetensors, AnyByteMayBeWrong) {
  std::vector<std::byte> bytes = safetensors_bytes(small_json, small_data);
  const std::size_t header = bytes.size() - small_data.size();
  std::size_t refused = 0;
  for (std::size_t i = 0; i < header; ++i) {
    for (int value = 0; value < 256; ++value) {
      const std::byte right = bytes[i];
      bytes[i] = static_cast<std::byte>(value);
      const std::string message = message_of([&] {
        const safetensors_file file = parse(bytes);
        for (const halfway::tensor_info& t : file.tensors()) {
          const std::span<const std::byte> data = file.bytes(t.name);
          ASSERT_GE(data.data(), bytes.data() + header);
          ASSERT_LE(data.data() + data.size(), bytes.data() + bytes.size());
        }
      });
      refused += message == "no error" ? 0 : 1;
      bytes[i] = right;
    }
  }
  // Only within names, values of metadata and blanks can a byte be another one.
  EXPECT_GT(refused, header * 256 * 8 / 10);
}

TEST(Safetensors, MapsFiles) {
  const temporary_folder folder;
  const std::string path = folder.file("small.safetensors");
  const std::vector<std::byte> bytes = safetensors_bytes(small_json, small_data);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  safetensors_file file(path);
  const safetensors_file moved = std::move(file);
  std::vector<float> a(2);
  moved.read("a", a);
  EXPECT_EQ(a[1], -2.0f);
  expect_error([&] { safetensors_file missing(folder.file("missing")); },
               {"halfway::mapped_file: cannot open", "missing", "No such file"});
  expect_error([&] { safetensors_file directory(folder.path()); }, {"is not a regular file"});
  std::ofstream(folder.file("empty"));
  expect_error([&] { safetensors_file empty(folder.file("empty")); }, {"has 0 bytes"});
}

}  // namespace
