// SPDX-License-Identifier: Apache-2.0
// Runs a program as a shell would, and keeps what it printed.
//
//   const auto run = run_command({HELLO_GEMM_PROGRAM});
//   EXPECT_EQ(run.status, 0) << run.output;
#ifndef HALFWAY_TESTS_EXAMPLES_RUN_COMMAND_H_
#define HALFWAY_TESTS_EXAMPLES_RUN_COMMAND_H_

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <string>
#include <vector>

namespace halfway::testing {

struct command_result {
  int status = -1;     // of exit(); -1 where the program could not be run or died of a signal
  std::string output;  // standard output and error
};

inline command_result run_command(const std::vector<std::string>& words) {
  std::string command;
  for (const std::string& word : words) {
    command += '\'';
    for (const char c : word) command += c == '\'' ? std::string("'\\''") : std::string(1, c);
    command += "' ";
  }
  command += "2>&1";
  command_result result;
  std::FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return result;
  std::array<char, 4096> buffer{};
  for (std::size_t got; (got = std::fread(buffer.data(), 1, buffer.size(), pipe)) != 0;)
    result.output.append(buffer.data(), got);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) result.status = WEXITSTATUS(status);
  return result;
}

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_EXAMPLES_RUN_COMMAND_H_
