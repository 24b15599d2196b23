// SPDX-License-Identifier: Apache-2.0
// A program that runs beside the test.
//
//   background_program server({SERVER_PROGRAM});
//   const std::string line = server.first_line();
#ifndef HALFWAY_TESTS_EXAMPLES_BACKGROUND_PROGRAM_H_
#define HALFWAY_TESTS_EXAMPLES_BACKGROUND_PROGRAM_H_

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace halfway::testing {

// Lives until stop(), or as long as this object.
class background_program {
 public:
  // Standard error goes to the file `errors`.
  background_program(std::vector<std::string> words, const std::string& errors) {
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    int ends[2];
    if (pipe(ends) != 0) return;
    process_ = fork();
    if (process_ == 0) {
      const int file = open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
      dup2(ends[1], STDOUT_FILENO);
      dup2(file, STDERR_FILENO);
      close(ends[0]);
      close(ends[1]);
      execv(arguments[0], arguments.data());
      _exit(127);
    }
    close(ends[1]);
    output_ = ends[0];
  }
  ~background_program() {
    stop();
    close(output_);
  }
  background_program(const background_program&) = delete;
  background_program& operator=(const background_program&) = delete;

  // Waits for the first line of standard output; without the line feed.
  std::string first_line() const {
    std::string line;
    for (char c = 0; read(output_, &c, 1) == 1 && c != '\n';) line += c;
    return line;
  }

  // Asks it to end with SIGTERM, and waits. The status of exit(); -1 where it died of a signal, or
  // has been stopped before.
  int stop() {
    if (process_ <= 0) return -1;
    kill(process_, SIGTERM);
    int status = 0;
    waitpid(process_, &status, 0);
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t process_ = -1;
  int output_ = -1;
};

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_EXAMPLES_BACKGROUND_PROGRAM_H_
