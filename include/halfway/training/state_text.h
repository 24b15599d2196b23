// SPDX-License-Identifier: Apache-2.0
// States of training as text, "key=value,key=value", every field by its name.
//
//   template <class S, class Visit> void visit_fields(S& s, Visit&& visit) {
//     visit("scale", s.scale);                                            // in one place for both
//   }
//   std::string text = fields_to_text(visitor, state);
//   fields_from_text(where, visitor, text, state);
#ifndef HALFWAY_TRAINING_STATE_TEXT_H_
#define HALFWAY_TRAINING_STATE_TEXT_H_

#include <algorithm>
#include <charconv>
#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/text.h"

namespace halfway::detail {

template <class T>
concept field_number = std::integral<T> || std::floating_point<T>;

template <field_number T>
std::string field_to_text(T value) {
  return to_text(value);
}
template <field_number T>
bool field_from_text(std::string_view text, T& value) {
  const char* const end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  return problem == std::errc() && stop == end;
}
template <field_number T>
constexpr std::string_view field_rule(const T& /*value*/) {
  return std::floating_point<T> ? "a number in the range of float" : "a whole number below 2^64";
}

inline std::string field_to_text(bool value) { return value ? "true" : "false"; }
inline bool field_from_text(std::string_view text, bool& value) {
  value = text == "true";
  return value || text == "false";
}
inline std::string_view field_rule(bool /*value*/) { return "true or false"; }

// A list of numbers with blanks between; "none" if it is empty.
inline std::string field_to_text(const std::vector<float>& values) {
  std::string text;
  for (const float v : values) text += concat(text.empty() ? "" : " ", v);
  return text.empty() ? "none" : text;
}
inline bool field_from_text(std::string_view text, std::vector<float>& values) {
  values.clear();
  if (text == "none") return true;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t blank = rest.find(' ');
    float value = 0;
    if (!field_from_text(rest.substr(0, blank), value)) return false;
    values.push_back(value);
    rest = blank == std::string_view::npos ? std::string_view() : trimmed(rest.substr(blank));
  }
  return true;
}
inline std::string_view field_rule(const std::vector<float>& /*values*/) {
  return "a list of numbers in the range of float";
}

// `visit_fields(state, f)` calls f(name, field) for each field. Fields of other types have
// overloads of the three functions above.
template <class VisitFields, class State>
std::string fields_to_text(const VisitFields& visit_fields, const State& state) {
  std::string text;
  visit_fields(state, [&text](std::string_view key, const auto& value) {
    text += concat(text.empty() ? "" : ",", key, "=", field_to_text(value));
  });
  return text;
}

// Errors: a key that is unknown, missing or given twice; a value that is not one of its type.
template <class VisitFields, class State>
void fields_from_text(std::string_view where, const VisitFields& visit_fields,
                      std::string_view text, State& state) {
  const std::vector<assignment> assignments = parse_assignments(where, text);
  std::vector<std::string_view> known;
  visit_fields(state, [&](std::string_view key, auto& value) {
    known.push_back(key);
    const auto found = std::ranges::find(assignments, key, &assignment::key);
    if (found == assignments.end()) {
      fail(concat(where, ": ", quoted(key), " is missing in ", quoted(text)));
    }
    if (!field_from_text(found->value, value)) {
      fail(concat(where, ": ", key, "=", found->value, " in ", quoted(text), " is not ",
                  field_rule(value)));
    }
  });
  for (const assignment& a : assignments) {
    if (std::ranges::find(known, a.key) == known.end()) {
      fail(concat(where, ": unknown key ", quoted(a.key), " in ", quoted(text), "; did you mean ",
                  nearest_names(a.key, known), "?"));
    }
  }
}

}  // namespace halfway::detail

#endif  // HALFWAY_TRAINING_STATE_TEXT_H_
