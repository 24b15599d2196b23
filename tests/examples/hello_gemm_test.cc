// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "examples/run_command.h"

namespace {

std::string read_text(const char* path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(HelloGemm, PrintsWhatItsCommentSays) {
  const auto run = halfway::testing::run_command({HELLO_GEMM_PROGRAM});
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(run.output, "75\n");
}

// The README shows the program as it is, without the license line.
TEST(HelloGemm, StandsInTheReadme) {
  if (!std::filesystem::exists(README_FILE)) GTEST_SKIP() << "there is no README.md here";
  const std::string readme = read_text(README_FILE);
  const std::string marker = "<!-- examples/hello_gemm.cc -->\n```cpp\n";
  const std::size_t marked = readme.find(marker);
  ASSERT_NE(marked, std::string::npos) << "README.md lacks the block marked " << marker;
  const std::size_t first = marked + marker.size();
  const std::size_t last = readme.find("```", first);
  ASSERT_NE(last, std::string::npos);

  std::string program = read_text(HELLO_GEMM_SOURCE);
  program.erase(0, program.find('\n') + 1);
  EXPECT_EQ(readme.substr(first, last - first), program);
}

}  // namespace
