// SPDX-License-Identifier: Apache-2.0
// Reads gzipped idx files of unsigned bytes, the format of MNIST and its relatives.
//
//   demo::idx_array images = demo::read_idx_gz("train-images-idx3-ubyte.gz", 3);
//   images.extents;  // {60000, 28, 28}
//
// The format, from the MNIST page: two zero bytes, the element type (8: unsigned byte), the number
// of dimensions, the extent of each dimension as a big-endian 32-bit number, then the elements,
// last dimension fastest.
#ifndef HALFWAY_EXAMPLES_DATA_IDX_H_
#define HALFWAY_EXAMPLES_DATA_IDX_H_

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "halfway/core/error.h"

namespace demo {

struct idx_array {
  std::vector<std::size_t> extents;
  std::vector<std::uint8_t> values;
};

// A gzip file, read from its start. Every failure names the file.
class gzip_file {
 public:
  explicit gzip_file(const std::string& path) : path_(path), file_(gzopen(path.c_str(), "rb")) {
    if (file_ == nullptr) fail("cannot be opened");
  }

  [[noreturn]] void fail(const std::string& what) const { halfway::fail(path_ + ": " + what); }

  // Reads up to `size` bytes; fewer only at the end of the file.
  std::size_t read(std::uint8_t* to, std::size_t size) {
    std::size_t done = 0;
    while (done < size) {
      const auto ask = static_cast<unsigned>(std::min<std::size_t>(size - done, 1u << 20));
      const int got = gzread(file_.get(), to + done, ask);
      if (gzdirect(file_.get()) != 0) fail("is not a gzip file");
      if (got < 0 && !is_cut_off()) fail_decompressing();
      if (got <= 0) break;
      done += static_cast<std::size_t>(got);
    }
    return done;
  }

  // After the last byte has been read: the stream must end here, with a checksum that fits.
  void expect_end() {
    std::uint8_t more = 0;
    if (read(&more, 1) != 0) fail("has bytes after its last element");
    int code = Z_OK;
    gzerror(file_.get(), &code);
    if (code != Z_OK) fail_decompressing();
  }

  // For messages about too few bytes: why there are no more.
  std::string reason() const { return is_cut_off() ? " (the gzip stream is cut off)" : ""; }

 private:
  struct closer {
    void operator()(gzFile_s* file) const { gzclose(file); }
  };

  bool is_cut_off() const {
    int code = Z_OK;
    gzerror(file_.get(), &code);
    return code == Z_BUF_ERROR;
  }

  [[noreturn]] void fail_decompressing() const {
    int code = Z_OK;
    const char* message = gzerror(file_.get(), &code);
    fail(std::string("cannot be decompressed: ") + (code == Z_ERRNO ? "read error" : message));
  }

  std::string path_;
  std::unique_ptr<gzFile_s, closer> file_;
};

// Reads a file whose array must have `dimensions` dimensions.
// Errors name the file, the field and the values: not gzip, damaged or cut off; another magic
// number; more than 1 GiB of elements; fewer bytes than the extents ask for, or more.
inline idx_array read_idx_gz(const std::string& path, std::size_t dimensions) {
  constexpr std::size_t most_bytes = std::size_t{1} << 30;
  using halfway::detail::concat;
  gzip_file file(path);

  const auto read_field = [&file](const std::string& field) {
    std::array<std::uint8_t, 4> bytes{};
    const std::size_t got = file.read(bytes.data(), bytes.size());
    if (got != bytes.size())
      file.fail(concat(field, " has ", got, " bytes instead of 4", file.reason()));
    return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 |
           std::uint32_t{bytes[2]} << 8 | std::uint32_t{bytes[3]};
  };
  const auto hex = [](std::uint32_t value) {
    std::array<char, 11> text{};
    std::snprintf(text.data(), text.size(), "0x%08x", value);
    return std::string(text.data());
  };

  const auto expected_magic = static_cast<std::uint32_t>(0x800 + dimensions);
  const std::uint32_t magic = read_field("the magic number");
  if (magic != expected_magic) {
    file.fail(concat("the magic number is ", hex(magic), ", not ", hex(expected_magic),
                     " (unsigned bytes, ", dimensions, " dimensions)"));
  }

  idx_array array;
  std::size_t bytes = 1;
  std::string shape;
  for (std::size_t d = 0; d < dimensions; ++d) {
    const std::size_t extent = read_field(concat("the extent of dimension ", d));
    shape += concat(d == 0 ? "" : " x ", extent);
    if (extent != 0 && bytes > most_bytes / extent) {
      file.fail(concat("the extents ", shape, " ask for more than ", most_bytes, " bytes"));
    }
    bytes *= extent;
    array.extents.push_back(extent);
  }

  // In pieces: a header that promises much must not make us allocate it.
  constexpr std::size_t piece = std::size_t{1} << 22;
  while (array.values.size() < bytes) {
    const std::size_t before = array.values.size();
    const std::size_t ask = std::min(piece, bytes - before);
    array.values.resize(before + ask);
    const std::size_t got = file.read(array.values.data() + before, ask);
    if (got != ask) {
      file.fail(concat("the extents ", shape, " ask for ", bytes, " bytes of elements, but ",
                       before + got, " follow", file.reason()));
    }
  }
  file.expect_end();
  return array;
}

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_DATA_IDX_H_
