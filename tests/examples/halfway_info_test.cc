// SPDX-License-Identifier: Apache-2.0
// halfway-info as a user runs it: what it says must be true of this machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "examples/run_command.h"
#include "halfway/simd/dispatch.h"
#include "halfway/types/dtype.h"

namespace {

using halfway::testing::run_command;
using nlohmann::json;

json info(std::vector<std::string> more = {"--no-measure"}) {
  more.insert(more.begin(), {HALFWAY_INFO_PROGRAM, "--json"});
  const auto run = run_command(more);
  EXPECT_EQ(run.status, 0) << run.output;
  return json::parse(run.output);
}

// Of a line "name : words" of /proc/cpuinfo.
std::set<std::string> words_of_cpuinfo(const std::string& name) {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    return {std::istream_iterator<std::string>(words), {}};
  }
  return {};
}

TEST(HalfwayInfo, NamesTheTargetThatKernelsRunOn) {
  const json j = info();
  EXPECT_EQ(j.at("schema"), 1);
  EXPECT_EQ(j.at("simd").at("target"), halfway::simd_target_name());
  const json& compiled = j.at("simd").at("compiled");
  EXPECT_NE(std::find(compiled.begin(), compiled.end(), halfway::simd_target_name()),
            compiled.end());
  EXPECT_GE(j.at("cores").at("available"), 1);
  EXPECT_LE(j.at("cores").at("available"), j.at("cores").at("logical"));
}

TEST(HalfwayInfo, AgreesWithTheKernelAboutTheCpu) {
  std::set<std::string> flags = words_of_cpuinfo("flags");  // of x86
  if (flags.empty()) flags = words_of_cpuinfo("Features");  // of Arm
  if (flags.empty()) GTEST_SKIP() << "/proc/cpuinfo has no flags";
  // Since Linux 5.0, x86 or Arm. Of newer ones an old kernel does not tell, and of some no kernel does.
  const std::set<std::string> old = {
      "f16c",        "avx2",  "fma",  "avx512f", "avx512bw", "avx512vl", "avx512_vbmi",
      "avx512_vnni", "asimd", "fphp", "asimdhp", "asimddp",  "sve"};
  const json j = info();
  ASSERT_FALSE(j.at("features").empty());
  for (const json& f : j.at("features")) {
    const std::string name = f.at("name");
    const bool is_flag = flags.contains(name == "avx512_vbmi" ? "avx512vbmi" : name);
    if (is_flag || old.contains(name)) {
      EXPECT_EQ(f.at("present"), is_flag) << name;
    }
    EXPECT_TRUE(f.at("present") || !f.at("used")) << name;
  }
}

TEST(HalfwayInfo, ListsEveryFormatOnce) {
  const json j = info();
  ASSERT_EQ(j.at("formats").size(), halfway::all_dtypes.size());
  std::map<std::string, json> formats;
  const std::set<std::string> kinds = {"native", "widened", "emulated", "scalar", "none"};
  for (const json& f : j.at("formats")) {
    const auto type = halfway::parse_dtype(f.at("name").get<std::string>());
    ASSERT_TRUE(type) << f.dump();
    EXPECT_EQ(f.at("bits"), halfway::bits_of(*type));
    for (const char* of : {"to_float32", "from_float32", "gemm"})
      EXPECT_TRUE(kinds.contains(f.at(of))) << f.dump();
    formats[f.at("name")] = f;
  }
  EXPECT_EQ(formats.size(), halfway::all_dtypes.size());
  EXPECT_EQ(formats.at("float32").at("gemm"), "native");
  EXPECT_EQ(formats.at("float64").at("gemm"), "none");
  EXPECT_NE(formats.at("float16").at("gemm"), "native");  // sums in float32 on every CPU
#if HWY_ARCH_X86
  // The same from the names of targets.
  const std::string target = halfway::simd_target_name();
  const bool avx512 = target.starts_with("AVX3"), dot = avx512 && target != "AVX3";
  EXPECT_EQ(formats.at("float16").at("to_float32"),
            avx512 || target == "AVX2" ? "native" : "emulated");
  EXPECT_EQ(formats.at("int8").at("gemm"), dot ? "native" : "widened");
  EXPECT_EQ(formats.at("float8_e4m3fn").at("gemm"),
            target == "AVX2" || target == "AVX3" ? "widened" : "emulated");
#endif
}

TEST(HalfwayInfo, MeasuresOnlyWhenAsked) {
  const json without = info();
  EXPECT_FALSE(without.contains("arithmetic"));
  EXPECT_FALSE(without.contains("bandwidth"));
  const auto text = run_command({HALFWAY_INFO_PROGRAM, "--no-measure"});
  EXPECT_EQ(text.status, 0);
  EXPECT_EQ(text.output.find("FLOP/s"), std::string::npos) << text.output;
  EXPECT_EQ(text.output.find("GB/s"), std::string::npos) << text.output;
  EXPECT_NE(text.output.find(halfway::simd_target_name()), std::string::npos);

  const json j = info({});
  std::map<std::string, double> gflops;
  for (const json& a : j.at("arithmetic")) gflops[a.at("name")] = a.at("gflops");
  for (const char* name : {"f32", "f16", "bf16", "int8"}) EXPECT_GT(gflops.at(name), 0) << name;
  EXPECT_EQ(gflops["f16"], gflops["f32"]);  // products widen it
  std::set<std::string> levels;
  for (const json& b : j.at("bandwidth")) {
    EXPECT_GT(b.at("read_gbps"), 0) << b.dump();
    EXPECT_GT(b.at("copy_gbps"), 0) << b.dump();
    EXPECT_TRUE(levels.insert(b.at("level")).second);
  }
  EXPECT_TRUE(levels.contains("memory"));
}

// The rules are of Node Feature Discovery's local source and of Kubernetes' labels.
TEST(HalfwayInfo, WritesLabels) {
  const auto run = run_command({HALFWAY_INFO_PROGRAM, "--nfd", "--valid-hours", "2"});
  ASSERT_EQ(run.status, 0) << run.output;
  EXPECT_LE(run.output.size(), 65536u);
  const std::string word = "[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?";
  const std::regex label("([a-z0-9.-]{1,253})/(" + word + ")=(" + word + ")");
  const std::regex expiry(R"(# \+expiry-time=(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z))");  // RFC 3339
  std::map<std::string, std::string> labels;
  std::string expires;
  std::istringstream lines(run.output);
  std::smatch found;
  for (std::string line; std::getline(lines, line);) {
    if (std::regex_match(line, found, expiry)) {
      EXPECT_TRUE(labels.empty()) << "labels before it would not expire";
      expires = found[1];
    } else if (!line.starts_with("# W")) {  // the comment
      ASSERT_TRUE(std::regex_match(line, found, label)) << line;
      EXPECT_TRUE(labels.emplace(found[2], found[3]).second) << line << " comes twice";
      EXPECT_TRUE(found[1].str().ends_with(".feature.node.kubernetes.io")) << line;
    }
  }
  EXPECT_EQ(labels.at("simd-target"), halfway::simd_target_name());
  EXPECT_EQ(labels.at("gemm.float32"), "native");
  for (const char* number : {"gflops.f32", "gflops.bf16", "gflops.int8", "read-gbps.memory"}) {
    EXPECT_TRUE(std::regex_match(labels.at(number), std::regex("[1-9][0-9]*")))
        << labels.at(number);
  }
  // In two hours, give or take what the machine was busy with.
  std::tm at{};
  ASSERT_NE(strptime(expires.c_str(), "%Y-%m-%dT%H:%M:%SZ", &at), nullptr) << expires;
  const double ahead = std::difftime(timegm(&at), std::time(nullptr));
  EXPECT_LE(ahead, 7200);
  EXPECT_GT(ahead, 7200 - 300);

  const auto plain = run_command({HALFWAY_INFO_PROGRAM, "--nfd", "--no-measure"});
  EXPECT_EQ(plain.output.find("gflops"), std::string::npos) << plain.output;
  EXPECT_EQ(plain.output.find("expiry"), std::string::npos) << plain.output;
}

TEST(HalfwayInfo, RefusesOptionsThatDoNotFit) {
  const auto refused = [](std::vector<std::string> options, const std::string& part) {
    options.insert(options.begin(), HALFWAY_INFO_PROGRAM);
    const auto run = run_command(options);
    EXPECT_EQ(run.status, 2) << run.output;
    EXPECT_NE(run.output.find(part), std::string::npos) << run.output;
  };
  refused({"--json", "--nfd"}, "--json");
  refused({"--valid-hours", "2"}, "--nfd");
  refused({"--nfd", "--valid-hours", "0"}, "--valid-hours");
  refused({"--measure"}, "--measure");
}

}  // namespace
