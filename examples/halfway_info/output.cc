// SPDX-License-Identifier: Apache-2.0
#include "output.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "halfway/simd/targets.h"
#include "hwy/detect_targets.h"
#include "report/number.h"

namespace info {

namespace {

using json = nlohmann::ordered_json;

using ::report::format;

std::string size_text(std::size_t bytes) {
  const bool is_large = bytes >= std::size_t{1} << 20;
  return format("%g", static_cast<double>(bytes) / (is_large ? 1 << 20 : 1 << 10)) +
         (is_large ? " MiB" : " KiB");
}

// All columns to the left, a rule below the heads.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  const auto add = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c)
      line += row[c] + std::string(widths[c] - row[c].size() + 2, ' ');
    text += line.substr(0, line.find_last_not_of(' ') + 1) + '\n';
  };
  add(rows.front());
  std::size_t width = 0;
  for (const std::size_t w : widths) width += w + 2;
  text += std::string(width - 2, '-') + '\n';
  std::for_each(rows.begin() + 1, rows.end(), add);
  return text;
}

std::string architecture() {
#if HWY_ARCH_X86_64
  return "x86_64";
#elif HWY_ARCH_ARM_A64
  return "aarch64";
#else
  return "other";
#endif
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& w : words) text += (text.empty() ? "" : ", ") + w;
  return text;
}

std::string cores_text(const machine& m) {
  std::string text = m.cores ? std::to_string(*m.cores) + " cores, " : "";
  text += std::to_string(m.logical_cpus) + " logical CPUs, " + std::to_string(m.available_cpus) +
          " of them for this process";
  if (m.cpu_quota) text += ", of which it may use " + format("%g", *m.cpu_quota);
  return text;
}

}  // namespace

report describe(bool measures) {
  report r;
  r.cpu = cpu_name();
  r.architecture = architecture();
  r.hardware = this_machine();
  r.features = cpu_features();
  r.facts = target_facts_now();
  r.formats = format_supports(r.facts);
  if (measures) r.measured = measure(r.hardware, r.facts);
  return r;
}

std::string to_text(const report& r) {
  std::string text = "CPU:     " + (r.cpu.empty() ? "not told" : r.cpu) + " (" + r.architecture +
                     ")\nCores:   " + cores_text(r.hardware) + "\n";
  if (!r.hardware.caches.empty()) {
    std::vector<std::string> caches;
    for (const cache& c : r.hardware.caches) {
      caches.push_back("L" + std::to_string(c.level) + " " + c.type + " " + size_text(c.bytes) +
                       (c.shared_by > 1 ? " for " + std::to_string(c.shared_by) + " CPUs" : ""));
    }
    text += "Caches:  " + joined(caches) + "\n";
  }
  text += "Kernels: " + chosen_target() + ", vectors of " + std::to_string(r.facts.vector_bits) +
          " bits; compiled for " + joined(compiled_targets()) + "\n\n";

  if (!r.features.empty()) {
    std::vector<std::vector<std::string>> features = {{"instructions", "CPU", "halfway", "for"}};
    for (const cpu_feature& f : r.features) {
      features.push_back({std::string(f.name), f.present ? "yes" : "no", f.used ? "uses" : "-",
                          f.present ? std::string(f.use) : ""});
    }
    text += table(features) + "\n";
  }

  std::vector<std::vector<std::string>> formats = {
      {"format", "to float32", "from float32", "gemm", "product of"}};
  for (const format_support& f : r.formats) {
    formats.push_back({std::string(halfway::name(f.type)), std::string(name(f.to_float32)),
                       std::string(name(f.from_float32)), std::string(name(f.gemm)), f.how});
  }
  text += table(formats);

  if (!r.measured) return text;
  std::vector<std::vector<std::string>> arithmetic = {{"one core", "GFLOP/s", "instruction"}};
  for (const arithmetic_ceiling& a : r.measured->arithmetic)
    arithmetic.push_back({a.name, format("%.0f", a.gflops), a.instruction});
  std::vector<std::vector<std::string>> bandwidths = {
      {"one core", "bytes", "read GB/s", "copy GB/s"}};
  bool is_memory_proven = true;
  for (const bandwidth& b : r.measured->bandwidths) {
    bandwidths.push_back(
        {b.level, size_text(b.bytes), format("%.1f", b.read), format("%.1f", b.copy)});
    is_memory_proven = b.exceeds_caches;
  }
  text += "\n" + table(arithmetic) + "\n" + table(bandwidths);
  if (!is_memory_proven)
    text += "So many bytes are not known to exceed the caches: some may come from there.\n";
  return text;
}

std::string to_json(const report& r) {
  json j = {{"schema", 1},
            {"cpu", {{"name", r.cpu}, {"architecture", r.architecture}}},
            {"cores",
             {{"physical", r.hardware.cores ? json(*r.hardware.cores) : json(nullptr)},
              {"logical", r.hardware.logical_cpus},
              {"available", r.hardware.available_cpus},
              {"quota", r.hardware.cpu_quota ? json(*r.hardware.cpu_quota) : json(nullptr)}}}};
  j["caches"] = json::array();
  for (const cache& c : r.hardware.caches) {
    j["caches"].push_back(
        {{"level", c.level}, {"type", c.type}, {"bytes", c.bytes}, {"shared_by", c.shared_by}});
  }
  j["simd"] = {{"target", chosen_target()},
               {"compiled", compiled_targets()},
               {"vector_bits", r.facts.vector_bits}};
  j["features"] = json::array();
  for (const cpu_feature& f : r.features) {
    j["features"].push_back(
        {{"name", f.name}, {"present", f.present}, {"used", f.used}, {"use", f.use}});
  }
  for (const format_support& f : r.formats) {
    j["formats"].push_back({{"name", halfway::name(f.type)},
                            {"bits", halfway::bits_of(f.type)},
                            {"to_float32", name(f.to_float32)},
                            {"from_float32", name(f.from_float32)},
                            {"gemm", name(f.gemm)},
                            {"how", f.how}});
  }
  if (r.measured) {
    for (const arithmetic_ceiling& a : r.measured->arithmetic) {
      j["arithmetic"].push_back(
          {{"name", a.name}, {"gflops", a.gflops}, {"instruction", a.instruction}});
    }
    for (const bandwidth& b : r.measured->bandwidths) {
      j["bandwidth"].push_back(
          {{"level", b.level}, {"bytes", b.bytes}, {"read_gbps", b.read}, {"copy_gbps", b.copy}});
      if (b.level == "memory") j["bandwidth"].back()["exceeds_caches"] = b.exceeds_caches;
    }
  }
  return j.dump(2) + '\n';
}

// The rules of its page "Customization guide" and of Kubernetes' labels: a name and a value have at
// most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends; # begins a comment;
// namespaces below feature.node.kubernetes.io are allowed without being asked for. Values are
// integers where affinity rules may want Gt and Lt, which know nothing else.
std::string to_nfd(const report& r, const std::string& expiry) {
  std::string text = "# Written by halfway-info --nfd\n";
  if (!expiry.empty()) text += "# +expiry-time=" + expiry + "\n";
  const auto add = [&](const std::string& name, const std::string& value) {
    text += "halfway.feature.node.kubernetes.io/" + name + "=" + value + "\n";
  };
  add("simd-target", chosen_target());
  add("vector-bits", std::to_string(r.facts.vector_bits));
  for (const format_support& f : r.formats) {
    if (f.gemm != support::none)
      add("gemm." + std::string(halfway::name(f.type)), std::string(name(f.gemm)));
  }
  if (!r.measured) return text;
  for (const arithmetic_ceiling& a : r.measured->arithmetic)
    add("gflops." + a.name, format("%.0f", a.gflops));
  for (const bandwidth& b : r.measured->bandwidths)
    add("read-gbps." + b.level, format("%.0f", b.read));
  return text;
}

}  // namespace info
