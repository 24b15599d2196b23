// SPDX-License-Identifier: Apache-2.0
// What a precision search found: as a table, as JSON, and its Pareto front as a drawing (SVG).
//
//   std::cout << halfway::to_table(found);
//   std::ofstream("front.svg") << halfway::to_svg(found);
#ifndef HALFWAY_PRECISION_SEARCH_REPORT_H_
#define HALFWAY_PRECISION_SEARCH_REPORT_H_

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/search_result.h"
#include "halfway/types/dtype.h"

namespace halfway {

namespace detail {

inline std::string digits_of(const char* format, double value) {
  char text[64];
  return std::string(text,
                     static_cast<std::size_t>(std::snprintf(text, sizeof text, format, value)));
}

// "3 bfloat16, 1 int8"
inline std::string type_counts(const std::vector<dtype>& types) {
  std::map<dtype, std::size_t> counts;
  for (const dtype type : types) ++counts[type];
  std::string text;
  for (const auto& [type, count] : counts) {
    text += concat(text.empty() ? "" : ", ", count, " ", name(type));
  }
  return text.empty() ? "no units" : text;
}

inline std::string json_string(std::string_view text) {
  std::string json = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      json += '\\';
      json += c;
    } else if (code < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(code));
      json += escape;
    } else {
      json += c;
    }
  }
  return json + '"';
}

// JSON has no infinity and no NaN.
inline std::string json_number(double value) {
  return std::isfinite(value) ? to_text(value) : "null";
}

inline std::string json_types(const std::vector<dtype>& types) {
  std::string text = "[";
  for (std::size_t i = 0; i != types.size(); ++i) {
    text += concat(i == 0 ? "" : ", ", "\"", name(types[i]), "\"");
  }
  return text + "]";
}

inline std::string json_point(const search_point& p) {
  return concat("{\"fidelity\": ", json_number(p.measured.fidelity),
                ", \"bytes\": ", json_number(p.measured.bytes),
                ", \"seconds\": ", json_number(p.measured.seconds),
                ", \"cost\": ", json_number(p.cost), ", \"within\": ", p.within ? "true" : "false",
                ", \"types\": ", json_types(p.types), "}");
}

inline std::string xml_text(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '&') {
      escaped += "&amp;";
    } else if (c == '<') {
      escaped += "&lt;";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

}  // namespace detail

/// The units' types in the best assignment, and the Pareto front, each line with its share of the
/// reference's bytes and seconds; * is the best.
inline std::string to_table(const search_result& r) {
  using detail::concat;
  using detail::digits_of;
  std::size_t width = 4;
  for (const search_unit& u : r.units()) width = std::max(width, u.name.size());
  const auto padded = [&](std::string text) {
    text.resize(std::max(text.size(), width), ' ');
    return text;
  };
  std::string text =
      concat(r.evaluations(), " assignments measured; ",
             r.best().within ? "the cheapest within " : "none within ", r.options().budget.metric,
             r.options().budget.scale == fidelity_scale::lower_is_better ? " <= " : " >= ",
             r.options().budget.limit, "\n\n", padded("unit"), "  type\n");
  for (std::size_t u = 0; u != r.units().size(); ++u) {
    text += concat(padded(r.units()[u].name), "  ", name(r.best().types[u]), "\n");
  }
  text += "\n      fidelity     bytes   seconds  types\n";
  const search_measurement& of = r.reference().measured;
  const auto share = [](double value, double whole) { return whole > 0 ? value / whole : 0.0; };
  for (const search_point* p : r.front()) {
    text +=
        concat(p->types == r.best().types ? "* " : "  ", digits_of("%12.6g", p->measured.fidelity),
               digits_of("%10.4f", share(p->measured.bytes, of.bytes)),
               digits_of("%10.4f", share(p->measured.seconds, of.seconds)), "  ",
               detail::type_counts(p->types), "\n");
  }
  return text;
}

/// One object: units, budget, best, front, sensitivities, evaluations. Numbers that JSON does not
/// have (infinite SQNR, NaN) are null.
inline std::string to_json(const search_result& r) {
  using detail::concat;
  using detail::json_number;
  using detail::json_string;
  const fidelity_budget& b = r.options().budget;
  std::string text = concat(
      "{\n  \"metric\": ", json_string(b.metric), ",\n  \"limit\": ", json_number(b.limit),
      ",\n  \"lower_is_better\": ", b.scale == fidelity_scale::lower_is_better ? "true" : "false",
      ",\n  \"evaluations\": ", r.evaluations(), ",\n  \"units\": [");
  for (std::size_t u = 0; u != r.units().size(); ++u) {
    text += concat(u == 0 ? "" : ", ", json_string(r.units()[u].name));
  }
  text += concat("],\n  \"reference\": ", detail::json_point(r.reference()),
                 ",\n  \"best\": ", detail::json_point(r.best()), ",\n  \"front\": [");
  const auto front = r.front();
  for (std::size_t i = 0; i != front.size(); ++i) {
    text += concat(i == 0 ? "\n    " : ",\n    ", detail::json_point(*front[i]));
  }
  text += "\n  ],\n  \"sensitivities\": [";
  for (std::size_t i = 0; i != r.sensitivities().size(); ++i) {
    const search_sensitivity& s = r.sensitivities()[i];
    text += concat(i == 0 ? "\n    " : ",\n    ",
                   "{\"unit\": ", json_string(r.units()[s.unit].name), ", \"type\": \"",
                   name(s.type), "\", \"fidelity\": ", json_number(s.measured.fidelity),
                   ", \"loss\": ", json_number(s.loss), ", \"gain\": ", json_number(s.gain), "}");
  }
  return text + "\n  ]\n}\n";
}

/// Fidelity over bytes and over seconds, side by side: all points that were measured small, the
/// front full, the best with a ring, the budget as a line. Points without a finite fidelity are
/// left out.
inline std::string to_svg(const search_result& r) {
  using detail::concat;
  using detail::digits_of;
  constexpr double width = 420, height = 300, left = 56, top = 30, bottom = 40, right = 16;
  std::string svg =
      concat("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 ", 2 * width, " ", height,
             "\" font-family=\"system-ui, sans-serif\" font-size=\"11\">\n"
             "<style>:root { color-scheme: light dark; } text { fill: #62676f; } line { stroke: "
             "#c9ccd1; }\n"
             "line.budget { stroke: #b4540a; stroke-dasharray: 6 3; } circle { fill: #c9ccd1; }\n"
             "circle.front { fill: #0b62c4; } circle.best { fill: none; stroke: #b4540a; "
             "stroke-width: 2; }"
             "</style>\n");
  const search_measurement& of = r.reference().measured;
  const std::vector<const search_point*> front = r.front();
  const double limit = r.options().budget.limit;
  double low = std::isfinite(limit) ? limit : 0, high = low;
  for (const search_point& p : r.points()) {
    if (!std::isfinite(p.measured.fidelity)) continue;
    low = std::min(low, p.measured.fidelity);
    high = std::max(high, p.measured.fidelity);
  }
  if (!(high > low)) high = low + 1;
  const auto y = [&](double fidelity) {
    return height - bottom - (fidelity - low) / (high - low) * (height - bottom - top);
  };
  for (const bool is_bytes : {true, false}) {
    const double x0 = is_bytes ? 0 : width;
    const auto value = [&](const search_point& p) {
      const double whole = is_bytes ? of.bytes : of.seconds;
      return whole > 0 ? (is_bytes ? p.measured.bytes : p.measured.seconds) / whole : 0.0;
    };
    double most = 1;
    for (const search_point& p : r.points()) most = std::max(most, value(p));
    const auto x = [&](double v) { return x0 + left + v / most * (width - left - right); };
    const auto n = [](double v) { return digits_of("%.1f", v); };
    const auto line = [&](double x1, double y1, double x2, double y2, std::string_view kind) {
      svg += concat("<line class=\"", kind, "\" x1=\"", n(x1), "\" y1=\"", n(y1), "\" x2=\"", n(x2),
                    "\" y2=\"", n(y2), "\"/>\n");
    };
    const auto label = [&](double at_x, double at_y, std::string_view anchor,
                           std::string_view words) {
      svg += concat("<text x=\"", n(at_x), "\" y=\"", n(at_y), "\" text-anchor=\"", anchor, "\">",
                    detail::xml_text(words), "</text>\n");
    };
    const auto circle = [&](const search_point& p, double radius, std::string_view kind) {
      if (!std::isfinite(p.measured.fidelity)) return;
      svg += concat("<circle class=\"", kind, "\" cx=\"", n(x(value(p))), "\" cy=\"",
                    n(y(p.measured.fidelity)), "\" r=\"", radius, "\"/>\n");
    };
    line(x(0), y(low), x(most), y(low), "axis");
    line(x(0), y(low), x(0), y(high), "axis");
    if (std::isfinite(limit)) line(x(0), y(limit), x(most), y(limit), "budget");
    label(x(0), top - 12, "start", r.options().budget.metric);
    label(x(0) - 6, y(high) + 4, "end", digits_of("%.4g", high));
    label(x(0) - 6, y(low) + 4, "end", digits_of("%.4g", low));
    label(x(0), height - bottom + 16, "middle", "0");
    label(x(most), height - bottom + 16, "end", digits_of("%.2f", most));
    label(x(most / 2), height - bottom + 30, "middle",
          is_bytes ? "bytes, share of the reference" : "seconds, share of the reference");
    for (const search_point& p : r.points()) circle(p, 2, "point");
    for (const search_point* p : front) circle(*p, 3.5, "front");
    circle(r.best(), 6, "best");
  }
  return svg + "</svg>\n";
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_SEARCH_REPORT_H_
