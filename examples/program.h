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
#include <type_traits>

#include "halfway/core/error.h"

namespace examples {

// Error: the file cannot be written.
inline void write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) halfway::fail(path.string() + ": cannot be written");
}

// Parses the arguments, then calls f. Returns 2 after a message about arguments or an error, else what
// f returns: 0 if that is nothing, and for bool 0 for true and 1 for false.
template <class F>
int run(CLI::App& app, int argc, char** argv, const F& f) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  try {
    if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
      f();
      return 0;
    } else {
      return f() ? 0 : 1;
    }
  } catch (const std::exception& e) {
    std::cerr << app.get_name() << ": " << e.what() << '\n';
    return 2;
  }
}

}  // namespace examples

#endif  // HALFWAY_EXAMPLES_PROGRAM_H_
