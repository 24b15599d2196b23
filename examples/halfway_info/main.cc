// SPDX-License-Identifier: Apache-2.0
// What this machine can do with narrow numbers, and what of it halfway uses.
#include <CLI/CLI.hpp>
#include <ctime>
#include <iostream>
#include <string>

#include "output.h"
#include "program.h"

namespace {

struct options {
  bool json = false, nfd = false, measures = true;
  double valid_hours = 0;
};

std::string hours_from_now(double hours) {
  const std::time_t then = std::time(nullptr) + static_cast<std::time_t>(hours * 3600);
  std::tm utc{};
  gmtime_r(&then, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

void run_program(const options& o) {
  const info::report r = info::describe(o.measures);
  if (o.json) {
    std::cout << info::to_json(r);
  } else if (o.nfd) {
    std::cout << info::to_nfd(r, o.valid_hours > 0 ? hours_from_now(o.valid_hours) : "");
  } else {
    std::cout << info::to_text(r);
  }
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Says what this machine can do with narrow numbers, and what of it halfway uses.",
               "halfway-info");
  auto* json = app.add_flag("--json", o.json, "JSON instead of text");
  auto* nfd =
      app.add_flag("--nfd", o.nfd, "A feature file for Node Feature Discovery")->excludes(json);
  app.add_option("--valid-hours", o.valid_hours, "With --nfd: after so many hours labels expire")
      ->check(CLI::Range(0.01, 1e5))
      ->needs(nfd);
  app.add_flag("!--no-measure", o.measures, "Without the two seconds of measuring");
  return examples::run(app, argc, argv, [&] { run_program(o); });
}
