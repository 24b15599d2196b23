// SPDX-License-Identifier: Apache-2.0
// Files that NumPy wrote, what is written read by NumPy, and files broken in every way.
#include "halfway/io/npy.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "examples/run_command.h"
#include "io/safetensors_bytes.h"
#include "support/expect_error.h"
#include "support/guide.h"
#include "support/temporary_folder.h"

namespace {

using halfway::bfloat16;
using halfway::dtype;
using halfway::half;
using halfway::npy_bytes;
using halfway::npy_file;
using halfway::npy_layout;
using halfway::npy_options;
using halfway::testing::command_result;
using halfway::testing::expect_error;
using halfway::testing::message_of;
using halfway::testing::run_command;
using halfway::testing::temporary_folder;
using halfway::testing::text_of_file;
using halfway::testing::to_bytes;
using namespace std::string_literals;

std::vector<std::byte> numpys(const std::string& name) {
  return to_bytes(text_of_file(std::string(HALFWAY_IO_CORPUS) + "/npy/" + name + ".npy"));
}

// As make_npy_corpus.py: element k is k - 5 in signed types, k in unsigned ones.
template <class T>
std::vector<T> counted(std::size_t n) {
  std::vector<T> x;
  for (std::size_t k = 0; k < n; ++k) {
    const int value = static_cast<int>(k) - (std::is_unsigned_v<T> ? 0 : 5);
    if constexpr (halfway::is_minifloat_v<T>) {
      x.push_back(T(static_cast<float>(value)));
    } else {
      x.push_back(static_cast<T>(value));
    }
  }
  return x;
}

// The elements of a file that NumPy wrote, and the file again from them, byte for byte.
template <class T>
void expect_same(const std::string& name, const std::vector<std::uint64_t>& shape,
                 const npy_layout& layout = {}) {
  SCOPED_TRACE(name);
  const std::vector<std::byte> bytes = numpys(name);
  const npy_file file(bytes, name);
  EXPECT_EQ(file.info().shape, shape);
  const auto values = counted<T>(static_cast<std::size_t>(file.info().elements));
  EXPECT_EQ(file.load_exact<T>(), values);
  EXPECT_EQ(npy_bytes(values, shape, layout), bytes);
}

TEST(Npy, IsNumpysByteForByte) {
  expect_same<half>("f2", {2, 3});
  expect_same<float>("f4", {2, 3});
  expect_same<double>("f8", {2, 3});
  expect_same<std::int8_t>("i1", {2, 3});
  expect_same<std::int16_t>("i2", {2, 3});
  expect_same<std::int32_t>("i4", {2, 3});
  expect_same<std::int64_t>("i8", {2, 3});
  expect_same<std::uint8_t>("u1", {2, 3});
  expect_same<std::uint16_t>("u2", {2, 3});
  expect_same<std::uint32_t>("u4", {2, 3});
  expect_same<std::uint64_t>("u8", {2, 3});
  expect_same<float>("f4_big", {2, 3, 4}, {.big_endian = true});
  expect_same<float>("f4_fortran", {2, 3, 4}, {.fortran_order = true});
  expect_same<std::int16_t>("i2_big_fortran", {2, 3, 4},
                            {.fortran_order = true, .big_endian = true});
  expect_same<float>("f4_scalar", {});
  expect_same<float>("f4_line", {12});
  expect_same<float>("f4_empty", {0, 3});
  expect_same<float>("f4_version2", {2, 3}, {.version = 2});
  expect_same<float>("f4_version3", {2, 3}, {.version = 3});

  const std::vector<std::byte> bytes = numpys("b1");
  std::array<bool, 6> b{};
  npy_file(bytes, "b1").read_exact(b);
  EXPECT_EQ(b, (std::array<bool, 6>{false, true, false, true, false, true}));
  EXPECT_EQ(npy_bytes(b, {2, 3}), bytes);
}

TEST(Npy, CastsInCsOrderFromAnyOrder) {
  const temporary_folder folder;
  const std::vector<float> x = counted<float>(24);
  for (const char* name : {"f4_big", "f4_fortran", "i2_big_fortran"}) {
    const std::vector<std::byte> bytes = numpys(name);
    const npy_file file(bytes, name);
    EXPECT_EQ(file.fortran_order(), std::string(name).ends_with("fortran"));
    EXPECT_EQ(file.big_endian(), std::string(name).find("big") != std::string::npos);
    if (file.info().type == "I16") continue;  // no cast
    std::vector<bfloat16> y(24);
    file.read(y);
    for (std::size_t i = 0; i < 24; ++i) EXPECT_EQ(static_cast<float>(y[i]), x[i]) << name << i;
  }
  // More elements than a block of the cast, in Fortran's order: a transposed matrix.
  std::vector<double> values;
  for (int i = 0; i < 37 * 70; ++i) values.push_back(std::sin(i) * 1e-3);
  halfway::write_npy(folder.file("m.npy"), values, {37, 70}, {.fortran_order = true});
  const npy_file file(folder.file("m.npy"));
  const halfway::matrix<half> m = file.load_matrix<half>();
  ASSERT_EQ(m.rows(), 37u);
  ASSERT_EQ(m.cols(), 70u);
  for (std::size_t i = 0; i < values.size(); ++i) {  // one rounding, from double
    EXPECT_EQ(m(i / 70, i % 70), halfway::ieee_cast<half>(values[i]));
  }
  std::vector<std::byte> some(3 * sizeof(double));
  file.copy_bytes(some, 69);  // over the end of a row
  double three[3];
  std::memcpy(three, some.data(), sizeof(three));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(three[i], values[69 + i]);
  expect_error([&] { file.copy_bytes(some, 37 * 70 - 2); }, {"must be whole elements", "2590"});
  expect_error([&] { file.copy_bytes(std::span(some).first(9)); }, {"9 bytes"});
}

// bfloat16 and the floats of 8 bits, which NumPy takes for bytes without a meaning.
TEST(Npy, VoidIsWhatTheCallerSays) {
  const std::vector<std::byte> two = numpys("void2"), one = numpys("void1");
  expect_error([&] { npy_file(two, "two"); }, {"\"two\" has the type \"|V2\"", "void_type"});
  expect_error([&] { npy_file(one, "one"); }, {"\"one\" has the type \"|V1\"", "void_type"});
  const auto b = npy_file(two, "two", {.void_type = dtype::bfloat16}).load_exact<bfloat16>();
  EXPECT_EQ(static_cast<float>(b[0]), 1.0f);
  EXPECT_EQ(static_cast<float>(b[1]), -2.0f);
  EXPECT_TRUE(std::isnan(static_cast<float>(b[2])));
  std::vector<float> x(3);
  npy_file(one, "one", {.void_type = dtype::float8_e4m3fn}).read(x);
  EXPECT_EQ(x, (std::vector<float>{1, -2, 448}));
  EXPECT_EQ(npy_file(one, "one", {.void_type = dtype::float8_e5m2}).info().type, "F8_E5M2");
  expect_error([&] { npy_file(one, "one", {.void_type = dtype::bfloat16}); },
               {"\"|V1\", which can't hold void_type (bfloat16)"});
  expect_error([&] { npy_file(one, "one", {.void_type = dtype::int8}); }, {"void_type (int8)"});

  // As ml_dtypes names its types: bfloat16's own, float8_e5m2's own, one for all others.
  const auto descr_of = [](const std::vector<std::byte>& bytes) {
    return std::string(reinterpret_cast<const char*>(bytes.data()) + 20, 5);
  };
  const auto bytes = npy_bytes(b, {3});
  EXPECT_EQ(descr_of(bytes), "'<V2'");
  EXPECT_EQ(npy_file(bytes, "b").info().type, "BF16");  // needs no void_type
  EXPECT_EQ(descr_of(npy_bytes(std::vector<halfway::float8_e5m2>(1), {1})), "'<f1'");
  const auto e4m3 = npy_bytes(counted<halfway::float8_e4m3fn>(9), {9});
  EXPECT_EQ(descr_of(e4m3), "'<V1'");
  expect_error([&] { npy_file(e4m3, "e"); }, {"void_type"});
  EXPECT_EQ(npy_file(e4m3, "e", {.void_type = dtype::float8_e4m3fn})
                .load_exact<halfway::float8_e4m3fn>()[0],
            halfway::float8_e4m3fn(-5.0f));
}

// A file with this literal and these elements.
std::vector<std::byte> npy(const std::string& literal, const std::string& data,
                           const std::string& magic = "\x93NUMPY\x01\x00"s) {
  const std::string text = literal + "\n";
  return to_bytes(magic + static_cast<char>(text.size() & 0xFF) +
                  static_cast<char>(text.size() >> 8) + text + data);
}

TEST(Npy, RefusesWhatIsNotTheFormat) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
  const std::string one = "\x00\x00\x80\x3F"s;
  EXPECT_EQ(npy_file(npy(good, one), "f").load_exact<float>()[0], 1.0f);
  // Other spellings of Python's that mean the same.
  for (const char* same :
       {"{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(1,)}",
        "{ 'shape' : ( 1 , ) , 'descr' : '<f4' , 'fortran_order' : False }   "}) {
    EXPECT_EQ(npy_file(npy(same, one), "f").load_exact<float>()[0], 1.0f) << same;
  }
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string literal = good;
    literal.replace(literal.find(from), from.size(), to);
    return literal;
  };
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"", "instead of {"},
      {"[]", "instead of {"},
      {"{}", "lacks descr"},
      {with("'descr': '<f4', ", ""), "lacks descr"},
      {with("'fortran_order': False, ", ""), "lacks fortran_order"},
      {with("'shape': (1,), ", ""), "lacks shape"},
      {with("'shape'", "'descr': '<f4', 'shape'"), "\"descr\" twice"},
      {with("'shape'", "'shapes'"), "\"shapes\" in its header, which is none of"},
      {with("'<f4'", "'<f\\x34'"), "not plain text"},
      {with("'<f4'", "'<f\xC3\xA9'"), "not plain text"},
      {with("'<f4'", "'<f4"), "type \"<f4, \", which is not read"},
      {with("'<f4'", "\"<f4'"), "a string without an end"},
      {with("'<f4'", "b'<f4'"), "instead of a string"},
      {with("'<f4'", "__import__('os').system('id')"), "instead of a string"},
      {with("'<f4'", "'=f4'"), "type \"=f4\", which is not read"},
      {with("'<f4'", "'|f4'"), "without an order of its bytes"},
      {with("'<f4'", "'f4'"), "type \"f4\", which is not read"},
      {with("'<f4'", "''"), "type \"\", which is not read"},
      {with("'<f4'", "'<f16'"), "type \"<f16\", which is not read"},
      {with("'<f4'", "'<c8'"), "type \"<c8\", which is not read"},
      {with("'<f4'", "'|O'"), "Python objects"},
      {with("'<f4'", "'<U1'"), "type \"<U1\", which is not read"},
      {with("'<f4'", "'>V2'"), "void_type"},
      {with("'<f4'", "[('a', '<f4')]"), "a structured type"},
      {with("False", "false"), "instead of True or False"},
      {with("False", "0"), "instead of True or False"},
      {with("False", "Falsey"), "instead of }"},
      {with("(1,)", "(1)"), "a comma after the only dimension"},
      {with("(1,)", "1"), "instead of ("},
      {with("(1,)", "[1]"), "instead of ("},
      {with("(1,)", "(-1,)"), "instead of a whole number"},
      {with("(1,)", "(+1,)"), "instead of a whole number"},
      {with("(1,)", "(1.0,)"), "comma after the only dimension"},
      {with("(1,)", "(01,)"), "instead of a whole number"},
      {with("(1,)", "(1L,)"), "comma after the only dimension"},
      {with("(1,)", "(0x1,)"), "comma after the only dimension"},
      {with("(1,)", "(1_0,)"), "comma after the only dimension"},
      {with("(1,)", "(,)"), "instead of a whole number"},
      {with("(1,)", "(1,,)"), "instead of a whole number"},
      {with("(1,)", "(1, 1"), "instead of a whole number"},
      {with("(1,)", "(1, 1 1)"), "instead of a comma or )"},
      {with("(1,)", "(1 1)"), "comma after the only dimension"},
      {with("(1,)", "((1,),)"), "instead of a whole number"},
      {with("(1,)", "(18446744073709551616,)"), "above 2^64 - 1"},
      {with("(1,)", "(18446744073709551615,)"), "more than 2^64 bits"},
      {with("(1,)", "(4294967296, 4294967296)"), "more than 2^64 elements"},
      {with("(1,)", "(4611686018427387904,)"), "more than 2^64 bits"},
      {with("(1,)", "(2,)"), "take 8 bytes, but the data has 4"},
      {with("(1,)", "(0,)"), "take 0 bytes, but the data has 4"},
      {good + " x", "instead of blanks and a newline"},
      {good + "\n", "instead of blanks and a newline"},
      {good.substr(0, good.size() - 1), "instead of a string"},
      {with(", }", "; }"), "instead of }"},
  };
  for (const auto& [literal, part] : bad) {
    SCOPED_TRACE(literal);
    expect_error([&] { npy_file(npy(literal, one), "file"); },
                 {"halfway::npy_file: \"file\"", part});
  }
  std::string many = "(";
  for (int i = 0; i < 65; ++i) many += "1, ";
  expect_error([&] { npy_file(npy(with("(1,)", many + ")"), one), "f"); }, {"more than 64 dim"});
  const auto magic = [&](const std::string& m) { return npy(good, one, m); };
  expect_error([&] { npy_file(magic("\x93NUMPX\x01\x00"s), "f"); }, {"does not begin as"});
  expect_error([&] { npy_file(magic("\x93NUMPY\x04\x00"s), "f"); }, {"version 4.0"});
  expect_error([&] { npy_file(magic("\x93NUMPY\x00\x00"s), "f"); }, {"version 0.0"});
  expect_error([&] { npy_file(magic("\x93NUMPY\x01\x01"s), "f"); }, {"version 1.1"});
  expect_error([&] { npy_file(magic("\x93NUMPY\x02\x00"s), "f"); }, {"more than max_header_bytes"});
  expect_error([&] { npy_file(npy(good, one), "f", {.max_header_bytes = 20}); },
               {"more than max_header_bytes (20)"});
  for (const char* name : {"objects", "structured", "complex"}) {
    EXPECT_NE(message_of([&] { npy_file(numpys(name), name); }), "no error") << name;
  }
  expect_error([&] { npy_file("no such file"); }, {"cannot open \"no such file\""});
}

// Memory of exactly the bytes that are there, so that the address sanitizer sees a step over it.
TEST(Npy, SurvivesTruncationAndEveryByte) {
  for (const char* name : {"f4", "f4_version2", "i2_big_fortran", "f4_scalar", "b1"}) {
    const std::vector<std::byte> whole = numpys(name);
    for (std::size_t n = 0; n < whole.size(); ++n) {
      const std::vector<std::byte> part(whole.begin(),
                                        whole.begin() + static_cast<std::ptrdiff_t>(n));
      EXPECT_NE(message_of([&] { npy_file(part, name); }), "no error") << name << " to " << n;
    }
    std::vector<std::byte> more = whole;
    more.push_back(std::byte{0});
    EXPECT_NE(message_of([&] { npy_file(more, name); }), "no error") << name;
  }
  const std::vector<std::byte> whole = numpys("i2_big_fortran");
  int accepted = 0;
  for (std::size_t i = 0; i < 80; ++i) {  // the rest of the header is blanks
    for (int value = 0; value < 256; ++value) {
      std::vector<std::byte> bytes = whole;
      bytes[i] = static_cast<std::byte>(value);
      try {
        const npy_file file(bytes, "changed");
        std::vector<std::byte> elements(48);
        file.copy_bytes(elements);
        ++accepted;
      } catch (const halfway::error&) {
      }
    }
  }
  // The file as it is, at every byte; and a few that say something else, such as '<i2'.
  EXPECT_GE(accepted, 80);
  EXPECT_LE(accepted, 200);
}

TEST(Npy, RefusesBadArguments) {
  const temporary_folder folder;
  const std::string path = folder.file("x.npy");
  const std::vector<float> x(6);
  const std::vector<bfloat16> b(6);
  expect_error([&] { halfway::write_npy(path, x, {2, 2}); }, {"F32 take 16 bytes", "24"});
  expect_error([&] { halfway::write_npy(path, x, {6}, {.version = 4}); }, {"layout.version (4)"});
  expect_error([&] { halfway::write_npy(path, b, {6}, {.big_endian = true}); }, {"BF16"});
  expect_error([&] { halfway::write_npy(path, x, std::vector<std::uint64_t>(65, 1)); },
               {"65 dimensions"});
  expect_error([&] { halfway::write_npy_bytes(path, "F4", {}, {0}); }, {"no type for \"F4\""});
  expect_error([&] { npy_file{path}; }, {"cannot open"});  // nothing was written
  halfway::write_npy(path, x, {6});
  const npy_file file(path);
  std::vector<float> five(5, 7.0f);
  expect_error([&] { file.read(five); }, {"y.size() (5) must equal the 6 elements"});
  expect_error([&] { file.read_exact(five); }, {"y.size() (5) must equal the 6 elements"});
  EXPECT_EQ(five, std::vector<float>(5, 7.0f));
  expect_error([&] { file.load_exact<double>(); }, {"is stored as F32, not F64"});
  const auto integers = npy_bytes(std::vector<std::int64_t>(6), {1, 2, 3});
  std::vector<float> six(6);
  expect_error([&] { npy_file(integers, "i").read(six); }, {"stored as I64, which has no cast"});
  expect_error([&] { npy_file(integers, "i").load_matrix<float>(); }, {"3 dimensions instead"});
  auto bools = npy_bytes(std::array<bool, 2>{true, false}, {2});
  bools.back() = std::byte{2};
  std::array<bool, 2> y{};
  expect_error([&] { npy_file(bools, "b").read_exact(y); }, {"a bool of 2"});
}

// An interpreter with NumPy; empty if there is none.
std::string python_with_numpy() {
  for (const char* python : {"python3", "/usr/bin/python3"}) {
    if (run_command({python, "-c", "import numpy"}).status == 0) return python;
  }
  return {};
}

TEST(Npy, NumpyReadsWhatIsWritten) {
  const std::string python = python_with_numpy();
  if (python.empty()) GTEST_SKIP() << "no python3 with numpy (Debian's python3-numpy)";
  const temporary_folder folder;
  std::string script =
      "import sys, numpy as np\n"
      "def check(name, descr, shape, fortran):\n"
      "  a = np.load(sys.argv[1] + '/' + name)\n"
      "  k = np.arange(24)\n"
      "  e = (k if descr[1] == 'u' else k - 5).astype(descr).reshape(shape)\n"
      "  assert a.dtype == np.dtype(descr) and a.shape == shape, (name, a.dtype, a.shape)\n"
      "  assert (a == e).all() and a.flags.f_contiguous == fortran, (name, a)\n";
  int files = 0;
  const auto write = [&]<class T>(const T&, const std::string& code) {
    for (const bool fortran : {false, true}) {
      for (const bool big : {false, true}) {
        const int version = 1 + files % 3;
        const std::string name = std::to_string(files++) + ".npy";
        halfway::write_npy(folder.file(name), counted<T>(24), {4, 3, 2}, {fortran, big, version});
        script += "check('" + name + "', '" + (big ? '>' : '<') + code + "', (4, 3, 2), " +
                  (fortran ? "True" : "False") + ")\n";
      }
    }
  };
  write(half(), "f2");
  write(0.0f, "f4");
  write(0.0, "f8");
  write(std::int8_t{}, "i1");
  write(std::int16_t{}, "i2");
  write(std::int64_t{}, "i8");
  write(std::uint32_t{}, "u4");
  // The bits of bfloat16, which NumPy has as bytes.
  halfway::write_npy(folder.file("b.npy"), counted<bfloat16>(24), {24});
  script +=
      "b = np.load(sys.argv[1] + '/b.npy').view('<u2').astype('<u4') << 16\n"
      "assert (b.view('<f4') == np.arange(24) - 5).all(), b\nprint('read', np.__version__)\n";
  const command_result r = run_command({python, "-c", script, folder.path()});
  EXPECT_EQ(r.status, 0) << r.output;
  EXPECT_NE(r.output.find("read "), std::string::npos) << r.output;
}

}  // namespace
