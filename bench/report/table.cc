// SPDX-License-Identifier: Apache-2.0
#include "table.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

namespace halfway_bench {
namespace {

std::string printed(const char* format, double x) {
  char text[64];
  std::snprintf(text, sizeof text, format, x);
  return text;
}

// Up to the first (second...) slash.
std::string first_parts(const std::string& name, int parts) {
  std::size_t end = 0;
  for (int i = 0; i < parts && end != std::string::npos; ++i)
    end = name.find('/', i == 0 ? 0 : end + 1);
  return name.substr(0, end);
}

}  // namespace

std::vector<family> families_of(const results& r) {
  constexpr int many = 30;
  std::map<std::string, int> sizes;
  for (const measured& m : r.cases) ++sizes[first_parts(m.name, 1)];
  std::vector<family> families;
  for (const measured& m : r.cases) {
    const std::string first = first_parts(m.name, 1);
    const std::string name = sizes[first] > many ? first_parts(m.name, 2) : first;
    auto at = std::find_if(families.begin(), families.end(),
                           [&](const family& f) { return f.name == name; });
    if (at == families.end()) at = families.insert(at, {name, {}});
    at->cases.push_back(&m);
  }
  return families;
}

std::string name_within(const family& f, const measured& m) {
  return m.name.size() > f.name.size() ? m.name.substr(f.name.size() + 1) : m.name;
}

std::string three_digits(double x) {
  if (x >= 100) return printed("%.0f", x);
  return printed(x >= 10 ? "%.1f" : "%.2f", x);
}

std::array<std::string, table_titles.size()> table_row(const measured& m) {
  if (!m.error.empty()) return {m.name, "ERROR", "", "", m.error};
  std::string ratio, peers;
  if (const std::string best = m.best_peer(); !best.empty())
    ratio = printed("%.2f", m.ratios.at(best).median) + "x " + best;
  for (const auto& [name, rate] : m.peers)
    peers += (peers.empty() ? "" : ", ") + name + " " + three_digits(rate.median);
  return {m.name, three_digits(m.rate.median) + " " + m.rate_unit,
          printed("%.0f%%", 100 * m.of_ceiling.median), ratio, peers};
}

std::string to_markdown(const results& r) {
  std::vector<std::array<std::string, table_titles.size()>> rows(1);
  std::copy(table_titles.begin(), table_titles.end(), rows[0].begin());
  for (const measured& m : r.cases) rows.push_back(table_row(m));
  std::array<std::size_t, table_titles.size()> widths{};
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  widths.back() = 5;  // errors are long
  std::string text;
  for (const auto& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      text += "| " + row[i] + " ";
      if (row[i].size() < widths[i]) text.append(widths[i] - row[i].size(), ' ');
    }
    text += "|\n";
    if (&row != &rows.front()) continue;
    for (const std::size_t width : widths) text += "|" + std::string(width + 2, '-');
    text += "|\n";
  }
  return text;
}

}  // namespace halfway_bench
