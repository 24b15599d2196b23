// SPDX-License-Identifier: Apache-2.0
// What the examples' main functions have in common.
#ifndef HALFWAY_EXAMPLES_PROGRAM_H_
#define HALFWAY_EXAMPLES_PROGRAM_H_

#include <CLI/CLI.hpp>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>

#include "halfway/core/error.h"

namespace examples {

// Error: the file cannot be written.
inline void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) halfway::fail(path.string() + ": cannot be written");
}

// Parses the arguments, then calls f. Returns 0, or 2 after a message about arguments or an error.
template <class F>
int run(CLI::App& app, int argc, char** argv, const F& f) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    f();
  } catch (const std::exception& e) {
    std::cerr << app.get_name() << ": " << e.what() << '\n';
    return 2;
  }
  return 0;
}

}  // namespace examples

#endif  // HALFWAY_EXAMPLES_PROGRAM_H_
