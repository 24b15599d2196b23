// SPDX-License-Identifier: Apache-2.0
#include "page.h"

#include <algorithm>

#include "markup.h"

namespace report {

namespace {

constexpr const char* style = R"(
:root { color-scheme: light; }
body { margin: 0; background: #fafafa; color: #222; font: 16px/1.5 system-ui, "Segoe UI",
  "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; font-weight: 600; margin: 0 0 4px; }
h2 { font-size: 17px; font-weight: 600; margin: 0 0 8px; }
p { max-width: 46em; }
.lead { color: #555; margin-top: 0; }
.note { border-left: 3px solid #d1495b; padding-left: 14px; }
.scroll { overflow-x: auto; background: #fff; border: 1px solid #e3e3e3; border-radius: 8px;
  padding: 6px 14px; margin: 24px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px;
  font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 7px 8px; white-space: nowrap; }
th { color: #666; font-weight: 500; border-bottom: 1px solid #ccc; }
th:first-child, td:first-child { text-align: left; font-weight: 600; }
tr + tr td { border-top: 1px solid #eee; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(460px, 1fr)); gap: 20px; }
figure { margin: 0; background: #fff; border: 1px solid #e3e3e3; border-radius: 8px;
  padding: 16px; }
figure svg { width: 100%; height: auto; display: block; }
figure svg text { font-family: inherit; }
figcaption { color: #555; font-size: 14px; margin-top: 8px; }
.small { color: #666; font-size: 13px; }
)";

}  // namespace

std::string to_text(const table& t) {
  std::string text;
  for (const std::vector<std::string>& row : t) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      std::size_t width = 0;
      for (const std::vector<std::string>& r : t) width = std::max(width, r[c].size());
      const std::string padding(width - row[c].size(), ' ');
      line += c == 0 ? row[c] + padding : "  " + padding + row[c];
    }
    text += line + '\n';
    if (&row == &t.front()) text += std::string(line.size(), '-') + '\n';
  }
  return text;
}

page::page(const std::string& title, const std::string& lead) : title_(title) {
  body_ = "<h1>" + escaped(title) + "</h1>\n<p class=\"lead\">" + escaped(lead) + "</p>\n";
}

void page::add_heading(const std::string& text) { body_ += "<h2>" + escaped(text) + "</h2>\n"; }

void page::add_table(const table& t) {
  body_ += "<div class=\"scroll\"><table>\n";
  for (const std::vector<std::string>& row : t) {
    const std::string tag = &row == &t.front() ? "th" : "td";
    body_ += "<tr>";
    for (const std::string& cell : row) {
      body_ += '<' + tag + '>';
      body_ += escaped(cell) + "</" + tag + '>';
    }
    body_ += "</tr>\n";
  }
  body_ += "</table></div>\n";
}

void page::add_note(const std::string& text) {
  if (!text.empty()) body_ += "<p class=\"note\">" + escaped(text) + "</p>\n";
}

void page::add_small(const std::string& text) {
  body_ += "<p class=\"small\">" + escaped(text) + "</p>\n";
}

void page::add_figures(const std::vector<figure>& figures) {
  body_ += "<div class=\"figures\">\n";
  for (const figure& f : figures) {
    if (f.svg.empty()) continue;
    body_ += "<figure><h2>" + escaped(f.title) + "</h2>\n" + f.svg + "\n<figcaption>" +
             escaped(f.caption) + "</figcaption></figure>\n";
  }
  body_ += "</div>\n";
}

std::string page::html() const {
  return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
         escaped(title_) + "</title>\n<style>" + style + "</style>\n</head>\n<body>\n<main>\n" +
         body_ + "</main>\n</body>\n</html>\n";
}

}  // namespace report
