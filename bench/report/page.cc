// SPDX-License-Identifier: Apache-2.0
#include "page.h"

#include <vector>

#include "roofline.h"
#include "table.h"

namespace halfway_bench {
namespace {

constexpr char head[] = R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>halfway: benchmarks</title>
<style>
:root { color-scheme: light dark; --page: #fdfdfc; --ink: #1d2126; --faint: #c9ccd1; --own: #0b62c4;
  --peer: #b4540a; --roof: #62676f; }
@media (prefers-color-scheme: dark) {
  :root { --page: #15181c; --ink: #e3e6ea; --faint: #3a4048; --own: #6db1ff; --peer: #f0a35e;
    --roof: #a0a7b0; }
}
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif;
  max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .15rem .9rem .15rem 0; border-bottom: 1px solid var(--faint);
  vertical-align: top; overflow-wrap: anywhere; }
td.number { text-align: right; white-space: nowrap; }
tr.error td { color: var(--peer); font-weight: 600; }
.wide { overflow-x: auto; }
svg { display: block; width: 100%; height: auto; margin: 1rem 0; font: 11px system-ui, sans-serif; }
svg text { fill: var(--ink); }
svg .middle { text-anchor: middle; }
svg .end { text-anchor: end; }
svg text.roof { fill: var(--roof); }
svg line { stroke: var(--faint); stroke-width: 1; }
svg line.grid { stroke-width: .5; }
svg line.ceiling, svg line.slope { stroke: var(--roof); stroke-width: 1.5; }
svg line.slope { stroke-dasharray: 6 3; }
svg line.leader { stroke-width: .7; }
svg circle.own { fill: var(--own); }
svg circle.peer { fill: var(--page); stroke: var(--peer); stroke-width: 1.5; }
.own { color: var(--own); } .peer { color: var(--peer); }
</style>
</head>
<body>
<h1>halfway: benchmarks</h1>
)";

constexpr char how_to_read[] =
    R"(<p>All contenders of a case are timed in turns in one process, on one
thread but for <code>gemm_threads</code>, after each result was checked against float64. Each figure is
the median over repetitions. <em>Of ceiling</em> is the share of what this machine could do, measured in
the same process: of arithmetic from register to register or of reading the operands, whichever is less,
where the rate counts operations; of a copy or a read of as many bytes, where it counts bytes.
<em>To best peer</em> above 1 means that halfway is faster.</p>
<p>In the plots a <span class="own">full point</span> is halfway, a <span class="peer">circle</span> the
best peer. Lines across are the ceilings of arithmetic, broken lines the bandwidth of reading from cache
and from memory. Points of problems that fit the caches may lie above the slope of memory; copies write
too and so lie below that of reading.</p>
)";

std::string row(const std::string& cells, const char* kind = "") {
  return std::string("<tr") + kind + ">" + cells + "</tr>\n";
}

std::string context_table(const results& r) {
  std::string html = "<table>\n";
  for (const char* key : {"cpu", "simd_target", "compiler", "build_flags", "peers", "date"}) {
    const auto at = r.context.find(key);
    if (at == r.context.end()) continue;
    html += row("<th>" + std::string(key) + "</th><td>" + escaped(at->second) + "</td>");
  }
  return html + "</table>\n";
}

std::string case_table(const family& f) {
  std::string header;
  for (const char* title : table_titles) header += "<th>" + std::string(title) + "</th>";
  std::string html = "<div class=\"wide\"><table>\n" + row(header);
  for (const measured* m : f.cases) {
    const auto cells = table_row(*m);
    std::string text = "<td>" + escaped(name_within(f, *m)) + "</td>";
    for (std::size_t i = 1; i < cells.size(); ++i)
      text += (i <= 2 ? "<td class=\"number\">" : "<td>") + escaped(cells[i]) + "</td>";
    html += row(text, m->error.empty() ? "" : " class=\"error\"");
  }
  return html + "</table></div>\n";
}

std::vector<plot_point> points_of(const family& f, bool whole_names) {
  std::vector<plot_point> points;
  for (const measured* m : f.cases) {
    if (!m->error.empty()) continue;
    const std::string best = m->best_peer();
    points.push_back({whole_names ? m->name : name_within(f, *m), m->intensity(), m->gflops(),
                      best.empty() ? 0 : m->gflops() / m->ratios.at(best).median});
  }
  return points;
}

}  // namespace

std::string to_html(const results& r, const std::string& compile_cost) {
  const machine m = machine_of(r);
  std::string html = head + context_table(r) + how_to_read;
  html += "<p>" + escaped(compile_cost) + "</p>\n";
  family all;
  for (const measured& each : r.cases) all.cases.push_back(&each);
  html += "<h2>all cases</h2>\n" + roofline_svg(m, points_of(all, true), false);
  for (const family& f : families_of(r)) {
    html += "<h2>" + escaped(f.name) + "</h2>\n";
    if (const auto points = points_of(f, false); !points.empty())
      html += roofline_svg(m, points, true);
    html += case_table(f);
  }
  return html + "</body>\n</html>\n";
}

}  // namespace halfway_bench
