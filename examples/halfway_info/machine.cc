// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <utility>

#if defined(__linux__)
#include <sched.h>
#endif

namespace info {

namespace {

namespace fs = std::filesystem;

// The first line; empty where the file cannot be read.
std::string line_of(const fs::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// "48K" and "2M" as sysfs writes sizes; 0 where it is none.
std::size_t size_of(const std::string& text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return 0;
  const char unit = end == text.data() + text.size() ? 'B' : *end;
  return value << (unit == 'K' ? 10 : unit == 'M' ? 20 : unit == 'G' ? 30 : 0);
}

// "0-3,8" has five.
std::size_t count_of_list(const std::string& text) {
  std::size_t count = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    std::size_t first = 0;
    auto parsed = std::from_chars(at, end, first);
    if (parsed.ec != std::errc()) return 0;
    std::size_t last = first;
    if (parsed.ptr != end && *parsed.ptr == '-') {
      parsed = std::from_chars(parsed.ptr + 1, end, last);
      if (parsed.ec != std::errc() || last < first) return 0;
    }
    count += last - first + 1;
    at = parsed.ptr == end ? end : parsed.ptr + 1;
  }
  return count;
}

std::vector<cache> read_caches(const fs::path& cpus) {
  std::vector<cache> all;
  for (int i = 0;; ++i) {
    const fs::path folder = cpus / "cpu0/cache" / ("index" + std::to_string(i));
    cache c;
    c.bytes = size_of(line_of(folder / "size"));
    if (c.bytes == 0) return all;
    c.level = static_cast<int>(size_of(line_of(folder / "level")));
    c.type = line_of(folder / "type");
    std::ranges::transform(c.type, c.type.begin(),
                           [](unsigned char x) { return static_cast<char>(std::tolower(x)); });
    c.shared_by = count_of_list(line_of(folder / "shared_cpu_list"));
    all.push_back(std::move(c));
  }
}

std::optional<std::size_t> count_cores(const fs::path& cpus) {
  std::set<std::pair<std::string, std::string>> cores;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(cpus, ignored)) {
    const std::string package = line_of(entry.path() / "topology/physical_package_id");
    const std::string core = line_of(entry.path() / "topology/core_id");
    if (!core.empty()) cores.emplace(package, core);
  }
  if (cores.empty()) return {};
  return cores.size();
}

// Of version 2 of control groups: "max 100000" or microseconds of each period.
std::optional<double> read_quota() {
  std::ifstream in("/sys/fs/cgroup/cpu.max");
  double quota = 0, period = 0;
  if (!(in >> quota >> period) || period <= 0) return {};
  return quota / period;
}

}  // namespace

std::size_t machine::cache_bytes(int level) const {
  for (const cache& c : caches) {
    if (c.level == level && c.type != "instruction") return c.bytes;
  }
  return 0;
}

machine this_machine() {
  machine m;
  const fs::path cpus = "/sys/devices/system/cpu";
  m.available_cpus = std::max(1u, std::thread::hardware_concurrency());
  m.logical_cpus = std::max(m.available_cpus, count_of_list(line_of(cpus / "online")));
#if defined(__linux__)
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    m.available_cpus = static_cast<std::size_t>(CPU_COUNT(&set));
#endif
  m.cpu_quota = read_quota();
  m.cores = count_cores(cpus);
  m.caches = read_caches(cpus);
  return m;
}

}  // namespace info
