// SPDX-License-Identifier: Apache-2.0
// A report as one HTML page that needs nothing else: headings, tables, notes, figures.
#ifndef HALFWAY_EXAMPLES_REPORT_PAGE_H_
#define HALFWAY_EXAMPLES_REPORT_PAGE_H_

#include <string>
#include <vector>

#include "gnuplot.h"

namespace report {

// Rows of cells, the first the heads of the columns.
using table = std::vector<std::vector<std::string>>;

// The same as plain text: the first column to the left, the others to the right, a rule below the heads.
std::string to_text(const table& t);

// Texts are plain: what HTML would take for markup is escaped.
class page {
 public:
  page(const std::string& title, const std::string& lead);

  void add_heading(const std::string& text);
  void add_table(const table& t);
  void add_note(const std::string& text);  // what to look at; nothing if empty
  void add_small(const std::string& text);
  void add_figures(const std::vector<figure>& figures);  // those that have an svg

  std::string html() const;

 private:
  std::string title_, body_;
};

}  // namespace report

#endif  // HALFWAY_EXAMPLES_REPORT_PAGE_H_
