// SPDX-License-Identifier: Apache-2.0
// Settings as text, "key=value,key=value", and the names nearest to a misspelt one.
//
//   for (const auto& [key, value] : halfway::detail::parse_assignments("f", "a=1, b=2")) ...
//   halfway::detail::nearest_names("lineer", names);  // "linear", "bilinear" or "relu"
#ifndef HALFWAY_PRECISION_TEXT_H_
#define HALFWAY_PRECISION_TEXT_H_

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"

namespace halfway::detail {

// An object, not a function: for arguments of namespace std, std::quoted would join the overloads.
inline constexpr auto quoted = [](std::string_view text) { return concat("\"", text, "\""); };

inline std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

struct assignment {
  std::string_view key;
  std::string_view value;
};

// The pairs of "key=value,key=value" in their order, blanks around keys and values dropped. The
// views point into `text`. Errors, which name `where` and the text: a part without "=", an empty
// key or value, a key given twice.
inline std::vector<assignment> parse_assignments(std::string_view where, std::string_view text) {
  std::vector<assignment> assignments;
  for (std::string_view rest = text;;) {
    const std::size_t comma = rest.find(',');
    const std::string_view part = rest.substr(0, comma);
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos) {
      fail(concat(where, ": ", quoted(trimmed(part)), " in ", quoted(text),
                  " is not of the form key=value"));
    }
    const assignment a{trimmed(part.substr(0, equals)), trimmed(part.substr(equals + 1))};
    if (a.key.empty() || a.value.empty()) {
      fail(concat(where, ": ", quoted(trimmed(part)), " in ", quoted(text), " lacks a ",
                  a.key.empty() ? "key" : "value"));
    }
    if (std::ranges::find(assignments, a.key, &assignment::key) != assignments.end()) {
      fail(concat(where, ": ", quoted(a.key), " stands twice in ", quoted(text)));
    }
    assignments.push_back(a);
    if (comma == std::string_view::npos) return assignments;
    rest.remove_prefix(comma + 1);
  }
}

// How many insertions, deletions and substitutions of a character turn one word into the other
// (Levenshtein).
inline std::size_t edit_distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t substituted = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
    }
  }
  return row[to.size()];
}

// Up to three names, nearest first, ready for a message: "\"linear\", \"bilinear\" or \"relu\"".
inline std::string nearest_names(std::string_view word, const std::vector<std::string_view>& names,
                                 std::size_t (*distance)(std::string_view,
                                                         std::string_view) = edit_distance) {
  std::vector<std::pair<std::size_t, std::string_view>> ranked;
  for (const std::string_view name : names) ranked.emplace_back(distance(word, name), name);
  std::ranges::sort(ranked);
  if (ranked.size() > 3) ranked.resize(3);
  std::string text;
  for (std::size_t i = 0; i < ranked.size(); ++i) {
    if (i != 0) text += i + 1 == ranked.size() ? " or " : ", ";
    text += quoted(ranked[i].second);
  }
  return text;
}

}  // namespace halfway::detail

#endif  // HALFWAY_PRECISION_TEXT_H_
