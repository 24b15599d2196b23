// SPDX-License-Identifier: Apache-2.0
// A registry as the text that Prometheus scrapes: its text exposition format 0.0.4.
//
//   server.Get("/metrics", [&](const Request&, Response& response) {
//     response.set_content(to_prometheus_text(metrics), prometheus_content_type);
//   });
#ifndef HALFWAY_TELEMETRY_PROMETHEUS_H_
#define HALFWAY_TELEMETRY_PROMETHEUS_H_

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/telemetry/registry.h"

namespace halfway::telemetry {

/// The Content-Type of a response with to_prometheus_text().
inline constexpr const char* prometheus_content_type = "text/plain; version=0.0.4; charset=utf-8";

namespace detail {

// Line feeds and backslashes as \n and \\; quotes too, inside quotes.
inline std::string prometheus_escaped(std::string_view text, bool quotes) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\n') {
      escaped += "\\n";
    } else {
      if (c == '\\' || (quotes && c == '"')) escaped += '\\';
      escaped += c;
    }
  }
  return escaped;
}

// The shortest digits that read back as the same value, in the form that Go's clients write and so
// others compare `le` with: 0.0001 and 100000, but 1e-05 and 1e+06.
inline std::string prometheus_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[64];
  const auto end = std::to_chars(text, text + sizeof(text), value, std::chars_format::general).ptr;
  return std::string(text, end);
}
inline std::string prometheus_number(std::uint64_t value) {
  return halfway::detail::to_text(value);
}

class prometheus_writer {
 public:
  void add(const family_snapshot& f) {
    add_parts("# HELP ", f.name, " ", prometheus_escaped(f.help, false), "\n");
    add_parts("# TYPE ", f.name, " ", name(f.type), "\n");
    for (const series_snapshot& s : f.series) {
      if (const auto* h = std::get_if<histogram_values>(&s.value)) {
        add_histogram(f.name, s.labels, *h);
      } else if (const auto* count = std::get_if<std::uint64_t>(&s.value)) {
        add_sample(f.name, "", s.labels, "", *count);
      } else if (const auto* value = std::get_if<double>(&s.value)) {
        add_sample(f.name, "", s.labels, "", *value);
      }
    }
  }

  std::string text() && { return std::move(text_); }

 private:
  template <class... Parts>
  void add_parts(const Parts&... parts) {
    (text_.append(parts), ...);
  }

  // Buckets count what the lower ones do too.
  void add_histogram(std::string_view name, const label_set& labels, const histogram_values& h) {
    std::uint64_t count = 0;
    for (std::size_t i = 0; i != h.counts.size(); ++i) {
      count += h.counts[i];
      const bool last = i == h.bounds.size();
      add_sample(name, "_bucket", labels, last ? "+Inf" : prometheus_number(h.bounds[i]), count);
    }
    add_sample(name, "_sum", labels, "", h.sum);
    add_sample(name, "_count", labels, "", count);
  }

  template <class Number>
  void add_sample(std::string_view name, std::string_view suffix, const label_set& labels,
                  std::string_view bound, Number value) {
    add_parts(name, suffix);
    std::string_view before = "{";
    const auto add_label = [&](std::string_view label_name, std::string_view label_value) {
      add_parts(before, label_name, "=\"", prometheus_escaped(label_value, true), "\"");
      before = ",";
    };
    for (const label& l : labels) add_label(l.name, l.value);
    if (!bound.empty()) add_label("le", bound);
    add_parts(before == "," ? "} " : " ", prometheus_number(value), "\n");
  }

  std::string text_;
};

}  // namespace detail

/// Families in the order of the snapshot. Without timestamps: the scrape's time counts.
inline std::string to_prometheus_text(const std::vector<family_snapshot>& families) {
  detail::prometheus_writer writer;
  for (const family_snapshot& f : families) writer.add(f);
  return std::move(writer).text();
}

/// The registry's values at this moment.
inline std::string to_prometheus_text(const registry& metrics) {
  return to_prometheus_text(metrics.snapshot());
}

}  // namespace halfway::telemetry

#endif  // HALFWAY_TELEMETRY_PROMETHEUS_H_
