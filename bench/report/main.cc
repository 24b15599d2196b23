// SPDX-License-Identifier: Apache-2.0
// bench_report: the figures of a run of halfway_bench as a table (on standard output) and as a page.
//
//   bench_report results.json compile_cost.json report.html
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>

#include "page.h"
#include "results.h"
#include "table.h"

namespace halfway_bench {
namespace {

std::string compile_cost_of(const std::string& file) {
  std::ifstream in(file);
  if (!in) throw std::runtime_error(file + ": cannot be read");
  const nlohmann::json cost = nlohmann::json::parse(in);
  std::ostringstream text;
  text << "A file that includes halfway/ops/gemm.h and multiplies in two types compiles in "
       << three_digits(cost.at("seconds").get<double>()) << " s ("
       << cost.at("flags").get<std::string>() << ") to "
       << cost.at("object_bytes").get<long>() / 1024 << " KiB of object.";
  return text.str();
}

void write(const std::string& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  if (!out) throw std::runtime_error(file + ": cannot be written");
}

void run(const std::string& results_file, const std::string& cost_file, const std::string& page) {
  const results r = read_results(results_file);
  const std::string cost = compile_cost_of(cost_file);
  write(page, to_html(r, cost));
  std::cout << r.context.at("cpu") << ", " << r.context.at("simd_target") << ", "
            << r.context.at("compiler") << "\nPeers: " << r.context.at("peers")
            << "\nCeilings: f32 " << three_digits(r.number("ceiling_f32_gflops")) << ", bf16 "
            << three_digits(r.number("ceiling_bf16_gflops")) << ", int8 "
            << three_digits(r.number("ceiling_i8_gops")) << " GFLOP/s; reading from cache "
            << three_digits(r.number("read_cache_gbs")) << ", from memory "
            << three_digits(r.number("read_memory_gbs")) << " GB/s\n\n"
            << to_markdown(r) << "\n"
            << cost << "\n\n"
            << results_file << "\n"
            << page << "\n";
}

}  // namespace
}  // namespace halfway_bench

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: bench_report results.json compile_cost.json report.html\n";
    return 2;
  }
  try {
    halfway_bench::run(argv[1], argv[2], argv[3]);
  } catch (const std::exception& e) {
    std::cerr << "bench_report: " << e.what() << "\n";
    return 2;
  }
}
