// SPDX-License-Identifier: Apache-2.0
#include "roofline.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "table.h"

namespace halfway_bench {
namespace {

constexpr double left = 62, top = 14, bottom = 46, plot_width = 560, names_width = 250;
constexpr double line_height = 15;

// Both axes are logarithmic.
struct axis {
  double low, high, from, to;

  double operator()(double value) const {
    return from + (to - from) * std::log(value / low) / std::log(high / low);
  }
};

std::string rounded(double pixels) {
  std::ostringstream text;
  text.precision(1);
  text << std::fixed << pixels;
  return text.str();
}

std::string line(const char* kind, double x1, double y1, double x2, double y2) {
  return std::string("<line class='") + kind + "' x1='" + rounded(x1) + "' y1='" + rounded(y1) +
         "' x2='" + rounded(x2) + "' y2='" + rounded(y2) + "'/>\n";
}

std::string label(const char* kind, double x, double y, const std::string& text) {
  return std::string("<text class='") + kind + "' x='" + rounded(x) + "' y='" + rounded(y) + "'>" +
         escaped(text) + "</text>\n";
}

std::string circle(const char* kind, double x, double y, const std::string& title) {
  return std::string("<circle class='") + kind + "' cx='" + rounded(x) + "' cy='" + rounded(y) +
         "' r='4'><title>" + escaped(title) + "</title></circle>\n";
}

// Powers of ten on the vertical axis, of four on the horizontal one.
std::string grid(const axis& x, const axis& y) {
  std::string svg;
  for (int i = -8; i <= 12; ++i) {
    const double value = std::pow(4.0, i);
    if (value < x.low || value > x.high) continue;
    svg += line("grid", x(value), y.from, x(value), y.to);
    svg += label("middle", x(value), y.from + 18,
                 value < 1 ? "1/" + std::to_string(std::lround(1 / value))
                           : std::to_string(std::lround(value)));
  }
  for (int i = -3; i <= 6; ++i) {
    const double value = std::pow(10.0, i);
    if (value < y.low || value > y.high) continue;
    svg += line("grid", x.from, y(value), x.to, y(value));
    std::ostringstream number;
    number << value;
    svg += label("end", x.from - 6, y(value) + 4, number.str());
  }
  svg += label("middle", (x.from + x.to) / 2, y.from + 38, "operations per byte");
  svg += label("start", 4, top + 4, "GFLOP/s");
  return svg;
}

std::string roofs(const machine& m, const axis& x, const axis& y) {
  double highest = 0, steepest = 0;
  for (const roof& c : m.ceilings) highest = std::max(highest, c.value);
  for (const roof& s : m.slopes) steepest = std::max(steepest, s.value);
  std::string svg;
  for (const roof& c : m.ceilings) {
    const double from = std::clamp(c.value / steepest, x.low, x.high);
    svg += line("ceiling", x(from), y(c.value), x.to, y(c.value));
    svg += label("end roof", x.to - 4, y(c.value) - 4, c.name + " " + three_digits(c.value));
  }
  for (const roof& s : m.slopes) {
    const double from = std::max(x.low, y.low / s.value), to = std::min(x.high, highest / s.value);
    if (from >= to) continue;
    svg += line("slope", x(from), y(from * s.value), x(to), y(to * s.value));
    svg += label("start roof", x(from) + 6, y(from * s.value) - 10,
                 s.name + " " + three_digits(s.value) + " GB/s");
  }
  return svg;
}

// The names in a column, in the order of their points from top to bottom, none above another.
std::string names(const std::vector<plot_point>& points, const axis& x, const axis& y) {
  std::vector<const plot_point*> sorted;
  for (const plot_point& p : points) sorted.push_back(&p);
  std::sort(sorted.begin(), sorted.end(),
            [](const plot_point* a, const plot_point* b) { return a->gflops > b->gflops; });
  std::string svg;
  double next = top + line_height;
  double left_over = line_height * static_cast<double>(sorted.size());
  for (const plot_point* p : sorted) {
    // As near to the point as those before and those to come let it.
    const double at = std::max(next, std::min(y(p->gflops), y.from - left_over + line_height));
    svg += line("leader", x(p->intensity) + 5, y(p->gflops), x.to + 14, at - 4);
    svg += label("start", x.to + 18, at, p->name);
    next = at + line_height;
    left_over -= line_height;
  }
  return svg;
}

}  // namespace

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

machine machine_of(const results& r) {
  return {{{"f32", r.number("ceiling_f32_gflops")},
           {"bf16", r.number("ceiling_bf16_gflops")},
           {"int8", r.number("ceiling_i8_gops")}},
          {{"memory", r.number("read_memory_gbs")}, {"cache", r.number("read_cache_gbs")}}};
}

std::string roofline_svg(const machine& m, const std::vector<plot_point>& points, bool with_names) {
  double low_x = 0.25, high_x = 64, low_y = 10, high_y = 10;
  for (const roof& c : m.ceilings) high_y = std::max(high_y, 1.6 * c.value);
  for (const plot_point& p : points) {
    low_x = std::min(low_x, p.intensity / 1.5);
    high_x = std::max(high_x, p.intensity * 1.5);
    low_y = std::min(low_y, p.gflops / 1.5);
    if (p.best_peer_gflops > 0) low_y = std::min(low_y, p.best_peer_gflops / 1.5);
    high_y = std::max({high_y, 1.6 * p.gflops, 1.6 * p.best_peer_gflops});
  }
  const double lines = with_names ? static_cast<double>(points.size() + 2) * line_height : 0;
  const double plot_height = std::max(300.0, lines);
  const double width = left + plot_width + (with_names ? names_width : 14);
  const double height = top + plot_height + bottom;
  const axis x{low_x, high_x, left, left + plot_width};
  const axis y{low_y, high_y, top + plot_height, top};

  std::string svg = "<svg viewBox='0 0 " + rounded(width) + " " + rounded(height) +
                    "' style='max-width:" + rounded(width) +
                    "px' role='img'>\n<title>roofline</title>\n";
  svg += grid(x, y) + roofs(m, x, y);
  if (with_names) svg += names(points, x, y);
  for (const plot_point& p : points) {
    if (p.best_peer_gflops > 0) {
      svg += circle("peer", x(p.intensity), y(p.best_peer_gflops),
                    "best peer: " + p.name + ", " + three_digits(p.best_peer_gflops) + " GFLOP/s");
    }
    svg += circle("own", x(p.intensity), y(p.gflops),
                  p.name + ", " + three_digits(p.gflops) + " GFLOP/s, " +
                      three_digits(p.intensity) + " operations per byte");
  }
  return svg + "</svg>\n";
}

}  // namespace halfway_bench
