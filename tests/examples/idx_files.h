// SPDX-License-Identifier: Apache-2.0
// Makes idx and gzip files, good and bad ones, in a folder that a test has for itself.
#ifndef HALFWAY_TESTS_EXAMPLES_IDX_FILES_H_
#define HALFWAY_TESTS_EXAMPLES_IDX_FILES_H_

#include <gtest/gtest.h>
#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace halfway::testing {

using bytes = std::vector<std::uint8_t>;

// Exists while this object lives.
class test_folder {
 public:
  test_folder() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(::testing::TempDir()) /
            (std::string("halfway_") + test->test_suite_name() + '_' + test->name());
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~test_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  test_folder(const test_folder&) = delete;
  test_folder& operator=(const test_folder&) = delete;

  std::string path() const { return path_.string(); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

  // Returns the path.
  std::string write(const std::string& name, const bytes& content) const {
    std::ofstream out(path_ / name, std::ios::binary);
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

 private:
  std::filesystem::path path_;
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
