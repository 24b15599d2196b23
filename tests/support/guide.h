// SPDX-License-Identifier: Apache-2.0
// A guide's blocks of code, and whether tests hold them as they stand there.
//
//   expect_blocks_in(HALFWAY_GUIDE, {__FILE__});
#ifndef HALFWAY_TESTS_SUPPORT_GUIDE_H_
#define HALFWAY_TESTS_SUPPORT_GUIDE_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace halfway::testing {

inline std::string text_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// What stands between ``` of a language.
inline std::vector<std::string> blocks_of_guide(const std::string& path,
                                                const std::string& language) {
  const std::string guide = text_of_file(path), opening = "\n```" + language + '\n';
  std::vector<std::string> blocks;
  for (std::size_t at = 0; (at = guide.find(opening, at)) != guide.npos;) {
    at += opening.size();
    blocks.push_back(guide.substr(at, guide.find("\n```", at) + 1 - at));
  }
  return blocks;
}

// Each block of C++ is in one of the test files but for blanks; returns how many there are.
inline std::size_t expect_blocks_in(const std::string& guide,
                                    const std::vector<std::string>& test_files) {
  const auto without_blanks = [](std::string text) {
    std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
    return text;
  };
  std::string tests;
  for (const std::string& file : test_files) tests += without_blanks(text_of_file(file));
  const std::vector<std::string> blocks = blocks_of_guide(guide, "cpp");
  for (const std::string& block : blocks) {
    EXPECT_NE(tests.find(without_blanks(block)), std::string::npos) << block;
  }
  return blocks.size();
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_GUIDE_H_
