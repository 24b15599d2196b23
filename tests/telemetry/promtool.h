// SPDX-License-Identifier: Apache-2.0
// Prometheus's own checker, from Debian's package prometheus.
//
//   const promtool tool;
//   if (!tool.exists()) GTEST_SKIP() << tool.missing;
//   EXPECT_EQ(tool.check_metrics(text), "");
#ifndef HALFWAY_TESTS_TELEMETRY_PROMTOOL_H_
#define HALFWAY_TESTS_TELEMETRY_PROMTOOL_H_

#include <fstream>
#include <string>

#include "examples/run_command.h"
#include "support/temporary_folder.h"

namespace halfway::testing {

class promtool {
 public:
  static constexpr const char* missing = "promtool is missing (Debian's package prometheus)";

  bool exists() const {
    return std::string(HALFWAY_PROMTOOL).find("NOTFOUND") == std::string::npos;
  }

  // What it says of a page of metrics; nothing if it finds nothing, not even a warning.
  std::string check_metrics(const std::string& page) const {
    const temporary_folder folder;
    std::ofstream(folder.file("page.txt")) << page;
    const auto run = run_command(
        {"sh", "-c", std::string(HALFWAY_PROMTOOL " check metrics < ") + folder.file("page.txt")});
    return run.status == 0 && run.output.empty()
               ? ""
               : "status " + std::to_string(run.status) + ": " + run.output;
  }
};

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_TELEMETRY_PROMTOOL_H_
