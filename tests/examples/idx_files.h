// SPDX-License-Identifier: Apache-2.0
// Makes idx and gzip files, good and bad ones, in a folder that a test has for itself.
#ifndef HALFWAY_TESTS_EXAMPLES_IDX_FILES_H_
#define HALFWAY_TESTS_EXAMPLES_IDX_FILES_H_

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "support/temporary_folder.h"

namespace halfway::testing {

using bytes = std::vector<std::uint8_t>;

class test_folder : public temporary_folder {
 public:
  // Returns the path.
  std::string write(const std::string& name, const bytes& content) const {
    std::ofstream out(file(name), std::ios::binary);
    out.write(reinterpret_cast<const char*>(content.data()),
              static_cast<std::streamsize>(content.size()));
    return file(name);
  }

  std::string write_gz(const std::string& name, const bytes& content) const {
    const gzFile out = gzopen(file(name).c_str(), "wb9");
    if (!content.empty()) gzwrite(out, content.data(), static_cast<unsigned>(content.size()));
    gzclose(out);
    return file(name);
  }
};

inline bytes read_bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline void append_be32(bytes& to, std::uint32_t value) {
  for (const int shift : {24, 16, 8, 0}) to.push_back(static_cast<std::uint8_t>(value >> shift));
}

// An idx file of unsigned bytes: header and elements, not compressed.
inline bytes make_idx(const std::vector<std::uint32_t>& extents, const bytes& elements) {
  bytes result;
  append_be32(result, 0x800u + static_cast<std::uint32_t>(extents.size()));
  for (const std::uint32_t extent : extents) append_be32(result, extent);
  result.insert(result.end(), elements.begin(), elements.end());
  return result;
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_EXAMPLES_IDX_FILES_H_
