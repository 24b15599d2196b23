// SPDX-License-Identifier: Apache-2.0
#include "report.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <sstream>

#include "report/page.h"

namespace conversion {

namespace {

std::string number_text(double value, int digits = 4) {
  std::ostringstream text;
  text.precision(digits);
  text << value;
  return text.str();
}

nlohmann::ordered_json number_json(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
}

}  // namespace

std::string to_table(const std::vector<tensor_report>& tensors) {
  report::table table = {{"tensor", "from", "to", "elements", "max error", "max relative",
                          "SQNR dB", "flushed", "saturated", "overflowed", "non-finite in",
                          "bytes before", "after", "missed"}};
  std::uint64_t before = 0, after = 0;
  for (const tensor_report& t : tensors) {
    std::vector<std::string> row = {t.name, t.from, t.to, std::to_string(t.elements)};
    if (t.converted) {
      const std::string share =
          t.loss.flushed() == 0 ? "" : " (" + number_text(100 * t.loss.flushed_share(), 3) + "%)";
      row.insert(row.end(),
                 {number_text(t.loss.max_absolute_error()),
                  number_text(t.loss.max_relative_error()), number_text(t.loss.sqnr_db()),
                  std::to_string(t.loss.flushed()) + share, std::to_string(t.loss.saturated()),
                  std::to_string(t.loss.overflowed()), std::to_string(t.loss.non_finite())});
    } else {
      row.insert(row.end(), 7, "-");
    }
    row.insert(row.end(),
               {std::to_string(t.bytes_before), std::to_string(t.bytes_after), t.missed});
    table.push_back(row);
    before += t.bytes_before;
    after += t.bytes_after;
  }
  std::vector<std::string> total(11, "");
  total[0] = "total";
  total.insert(total.end(), {std::to_string(before), std::to_string(after), ""});
  table.push_back(total);
  return report::to_text(table);
}

std::string to_json(const std::vector<tensor_report>& tensors) {
  nlohmann::ordered_json all = nlohmann::ordered_json::array();
  std::uint64_t before = 0, after = 0;
  for (const tensor_report& t : tensors) {
    nlohmann::ordered_json entry = {{"name", t.name},
                                    {"from", t.from},
                                    {"to", t.to},
                                    {"elements", t.elements},
                                    {"bytes_before", t.bytes_before},
                                    {"bytes_after", t.bytes_after},
                                    {"converted", t.converted}};
    if (t.converted) {
      entry["max_absolute_error"] = number_json(t.loss.max_absolute_error());
      entry["max_relative_error"] = number_json(t.loss.max_relative_error());
      entry["sqnr_db"] = number_json(t.loss.sqnr_db());
      entry["flushed"] = t.loss.flushed();
      entry["flushed_share"] = t.loss.flushed_share();
      entry["saturated"] = t.loss.saturated();
      entry["overflowed"] = t.loss.overflowed();
      entry["non_finite_in"] = t.loss.non_finite();
      entry["missed"] = t.missed;
    }
    all.push_back(entry);
    before += t.bytes_before;
    after += t.bytes_after;
  }
  const nlohmann::ordered_json report = {
      {"tensors", all}, {"bytes_before", before}, {"bytes_after", after}};
  // Names are UTF-8, or their file would not have been read; a path may be anything.
  return report.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

}  // namespace conversion
