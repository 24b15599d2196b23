// SPDX-License-Identifier: Apache-2.0
// A policy with its rules as a text file.
//
//   const halfway::precision_rules rules = halfway::load_policy("encoder.policy");
//   rules.layers.check(names_of_layers);     // each pattern matches a layer
//   const halfway::autocast scope(rules);
//
// The file, one statement a line:
//
//   # comments go from a "#" that begins a line or follows a blank to the end of the line
//   policy = amp-bf16                      # or params=float32,compute=bfloat16,output=float32
//   softmax = bfloat16                     # an operation of the table
//   encoder.*.softmax = float32            # a layer or a pattern: anything but letters, digits, _
//   op gelu = float32 "its tail matters"   # the same, with its kind said and a reason
//   layer head = float32                   # a layer whose name looks like an operation's
//   new op gate = lower_precision          # an operation of the user's
//   op log = refused "log1p" "why"         # refused in low precision: what to do instead
//   chain relu log = refused "softplus"    # `log` on what `relu` returns
//   chain exp log = allowed
//   layer "a name = with blanks" = half    # quoted, with \" and \\ and \n as in C
//
// To the right stands a type that parse_dtype knows or a category. Which rule holds does not depend
// on the order of lines, but that the last pattern of several wins: see precision_rules.h.
#ifndef HALFWAY_PRECISION_POLICY_FILE_H_
#define HALFWAY_PRECISION_POLICY_FILE_H_

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/layer_rules.h"
#include "halfway/precision/op_table.h"
#include "halfway/precision/policy.h"
#include "halfway/precision/precision_rules.h"
#include "halfway/precision/text.h"

namespace halfway {
namespace detail {

// "a word", which reads back through policy_file_reader.
inline std::string escaped_and_quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else if (c == '\r') {
      result += "\\r";
    } else {
      result += c;
    }
  }
  return result + '"';
}

inline std::string quoted_if_needed(std::string_view text) {
  const bool plain = !text.empty() && text.find_first_of(" \t\r\n\v\f\"\\=#") == text.npos;
  return plain ? std::string(text) : escaped_and_quoted(text);
}

class policy_file_reader {
 public:
  policy_file_reader(std::string_view where, std::string_view source, op_table base)
      : where_(where), source_(source) {
    rules_.ops = std::move(base);
  }

  precision_rules read(std::string_view text) {
    if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
    while (!text.empty()) {
      ++line_;
      const std::size_t end = text.find('\n');
      statement(text.substr(0, end));
      text.remove_prefix(end == text.npos ? text.size() : end + 1);
    }
    if (!seen_.contains("policy")) {
      fail(concat(where_, ": ", source_,
                  ": there is no policy; write one line such as policy = amp-bf16"));
    }
    return std::move(rules_);
  }

 private:
  struct token {
    std::string text;
    bool quoted;
  };

  std::string place() const { return concat(source_, ":", line_); }
  [[noreturn]] void refuse(std::string_view message) const {
    fail(concat(where_, ": ", place(), ": ", message));
  }

  static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

  // The words up to `end`, and what follows it; a comment ends the line.
  std::vector<token> words(std::string_view& rest, char end) const {
    std::vector<token> found;
    std::size_t i = 0;
    const auto finish = [&] { rest.remove_prefix(std::min(i, rest.size())); };
    while (i < rest.size()) {
      const char c = rest[i];
      if (is_blank(c)) {
        ++i;
      } else if (c == '#' && (i == 0 || is_blank(rest[i - 1]))) {
        i = rest.size();
      } else if (c == end && end != '\0') {
        break;
      } else if (c == '"') {
        found.push_back({string_at(rest, i), true});
      } else {
        const std::size_t begin = i;
        while (i < rest.size() && !is_blank(rest[i]) && rest[i] != '"' && rest[i] != '=') ++i;
        if (i == begin) refuse("unexpected \"=\"");
        found.push_back({std::string(rest.substr(begin, i - begin)), false});
      }
    }
    finish();
    return found;
  }

  std::string string_at(std::string_view line, std::size_t& i) const {
    std::string text;
    for (++i; i < line.size() && line[i] != '"'; ++i) {
      if (line[i] != '\\') {
        text += line[i];
        continue;
      }
      const char escape = ++i < line.size() ? line[i] : '\0';
      if (escape == 'n' || escape == 'r') {
        text += escape == 'n' ? '\n' : '\r';
      } else if (escape == '"' || escape == '\\') {
        text += escape;
      } else {
        refuse("a \"\\\" in quotes must be followed by n, r, \\ or a quote");
      }
    }
    if (i >= line.size()) refuse("the closing quote is missing");
    ++i;
    return text;
  }

  static std::string joined(const std::vector<token>& tokens) {
    std::string text;
    for (const token& t : tokens) text += (text.empty() ? "" : " ") + t.text;
    return text;
  }

  void statement(std::string_view line) {
    std::string_view rest = line;
    const std::vector<token> left = words(rest, '=');
    if (rest.empty()) {
      if (!left.empty()) refuse(concat(quoted(joined(left)), " is not of the form key = value"));
      return;
    }
    rest.remove_prefix(1);
    if (left.empty()) refuse("there is nothing before \"=\"");

    const token& first = left[0];
    if (left.size() == 1 && !first.quoted && first.text == "policy") {
      once("policy", "policy");
      rules_.policy = parse_policy_at(concat(where_, ": ", place()), without_comment(rest));
      return;
    }
    const std::vector<token> right = words(rest, '\0');
    if (right.empty()) refuse(concat(quoted(joined(left)), " lacks a value"));
    if (left.size() == 1) {
      if (!first.quoted && looks_like_an_op(first.text)) {
        set_op(first.text, right, false);
      } else {
        set_layer(first.text, right);
      }
    } else if (left.size() == 2 && first.text == "op") {
      set_op(left[1].text, right, false);
    } else if (left.size() == 2 && first.text == "layer") {
      set_layer(left[1].text, right);
    } else if (left.size() == 3 && first.text == "new" && left[1].text == "op") {
      set_op(left[2].text, right, true);
    } else if (left.size() == 3 && first.text == "chain") {
      set_chain(left[1].text, left[2].text, right);
    } else {
      refuse(
          concat(quoted(joined(left)),
                 " is none of: policy, NAME, op NAME, new op NAME, layer PATTERN, chain OP OP (a "
                 "name with blanks stands in quotes)"));
    }
  }

  static std::string_view without_comment(std::string_view rest) {
    for (std::size_t i = 0; i < rest.size(); ++i) {
      if (rest[i] == '#' && (i == 0 || is_blank(rest[i - 1]))) return trimmed(rest.substr(0, i));
    }
    return trimmed(rest);
  }

  static bool looks_like_an_op(std::string_view text) {
    return std::ranges::all_of(text, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
  }

  void once(const std::string& key, std::string_view what) {
    const auto [found, fresh] = seen_.emplace(key, line_);
    if (!fresh) refuse(concat(what, " was set before, in line ", found->second));
  }

  // CHOICE ["reason"], or refused ["alternative" ["reason"]].
  precision_choice choice_of(const std::vector<token>& right) const {
    const std::optional<precision_choice> choice =
        right[0].quoted ? std::nullopt : parse_precision_choice(right[0].text);
    if (!choice) {
      std::vector<std::string_view> names = type_names();
      for (const op_category category : all_op_categories) names.push_back(name(category));
      std::ranges::sort(names);
      names.erase(std::unique(names.begin(), names.end()), names.end());
      refuse(concat("unknown type or category ", quoted(right[0].text), "; did you mean ",
                    nearest_names(right[0].text, names), "?"));
    }
    check_strings(right, choice->category == op_category::refused ? 2 : 1);
    return *choice;
  }

  void check_strings(const std::vector<token>& right, std::size_t most) const {
    for (std::size_t i = 1; i < right.size(); ++i) {
      if (!right[i].quoted || i > most) {
        refuse(concat("unexpected ", quoted(right[i].text), " after ", quoted(right[i - 1].text),
                      right[i].quoted ? "" : "; a reason stands in quotes"));
      }
    }
  }

  std::string reason_of(const std::vector<token>& right, std::size_t i) const {
    return right.size() > i ? right[i].text : "set in " + place();
  }

  void check_op(std::string_view op_name) const {
    if (rules_.ops.contains(op_name)) return;
    refuse(concat("unknown operation ", quoted(op_name), "; did you mean ",
                  rules_.ops.nearest(op_name), "? (Write \"layer ", op_name,
                  "\" for a layer of this name, \"new op ", op_name, "\" to add an operation)"));
  }

  void set_op(const std::string& op_name, const std::vector<token>& right, bool is_new) {
    if (op_name.empty()) refuse("the operation's name is empty");
    if (!is_new) check_op(op_name);
    once("op " + op_name, quoted(op_name));
    const precision_choice choice = choice_of(right);
    if (choice.category == op_category::refused && right.size() > 1 && !right[1].text.empty()) {
      rules_.ops.refuse(op_name, right[1].text, reason_of(right, 2));
      return;
    }
    const std::string why = reason_of(right, choice.category == op_category::refused ? 2 : 1);
    // The program may have registered it already.
    if (rules_.ops.contains(op_name)) {
      rules_.ops.set(op_name, choice, why);
    } else {
      rules_.ops.add(op_name, choice, why);
    }
  }

  void set_layer(const std::string& pattern, const std::vector<token>& right) {
    if (pattern.empty()) refuse("the layer's name is empty");
    once("layer " + pattern, quoted(pattern));
    const precision_choice choice = choice_of(right);
    if (choice.category == op_category::refused && right.size() > 2)
      refuse("a layer's rule has no alternative, only a reason");
    rules_.layers.add(pattern, choice, reason_of(right, 1), place());
  }

  void set_chain(const std::string& first, const std::string& then,
                 const std::vector<token>& right) {
    check_op(first);
    check_op(then);
    once("chain " + first + ' ' + then, concat("chain ", first, " ", then));
    if (!right[0].quoted && right[0].text == "allowed") {
      check_strings(right, 0);
      rules_.ops.allow_chain(first, then);
      return;
    }
    if (right[0].quoted || right[0].text != "refused") {
      refuse(concat("a chain is \"refused\" or \"allowed\", not ", quoted(right[0].text)));
    }
    check_strings(right, 2);
    if (right.size() < 2 || right[1].text.empty())
      refuse("a refused chain names the alternative: refused \"do this instead\"");
    rules_.ops.refuse_chain(first, then, right[1].text, reason_of(right, 2));
  }

  std::string_view where_;
  std::string source_;
  std::size_t line_ = 0;
  std::map<std::string, std::size_t> seen_;  // each thing once
  precision_rules rules_;
};

}  // namespace detail

/// Reads the text of a policy file; `source` is its name in messages. `base` holds the operations
/// that the program knows. Errors name the source, the line and the nearest names: an unknown
/// operation, type or category; the same thing set twice; a line that is no statement; no policy.
inline precision_rules parse_policy_file(std::string_view text, std::string_view source = "policy",
                                         op_table base = {}) {
  return detail::policy_file_reader("halfway::parse_policy_file", source, std::move(base))
      .read(text);
}

/// Reads a policy file. Errors: as for parse_policy_file; a file that can't be read.
inline precision_rules load_policy(const std::string& path, op_table base = {}) {
  constexpr std::string_view where = "halfway::load_policy";
  // Not an ifstream: where a path names a folder, libstdc++'s throws from within the buffer.
  std::FILE* const file = std::fopen(path.c_str(), "rb");
  bool good = file != nullptr;
  std::string text;
  if (good) {
    char buffer[4096];
    for (std::size_t n; (n = std::fread(buffer, 1, sizeof(buffer), file)) != 0;)
      text.append(buffer, n);
    good = std::ferror(file) == 0;
  }
  const int reason = errno;
  if (file != nullptr) std::fclose(file);
  if (!good) {
    fail(detail::concat(where, ": can't read ", detail::quoted(path), ": ", std::strerror(reason)));
  }
  return detail::policy_file_reader(where, path, std::move(base)).read(text);
}

/// The text of a policy file that reads back as the same rules: the policy, what differs from the
/// default operations, and all rules of layers.
inline std::string to_string(const precision_rules& rules) {
  using detail::quoted_if_needed;
  std::string text = detail::concat("policy = ", to_string(rules.policy), "\n");
  static const op_table defaults;
  for (const auto& [op_name, e] : rules.ops.entries()) {
    const bool known = defaults.contains(op_name);
    if (known && defaults.at(op_name) == e) continue;
    text += detail::concat(known ? "op " : "new op ", quoted_if_needed(op_name), " = ",
                           e.type ? name(*e.type) : name(e.category));
    if (e.category == op_category::refused) text += ' ' + detail::escaped_and_quoted(e.alternative);
    text += detail::concat(" ", detail::escaped_and_quoted(e.why), "\n");
  }
  const auto chain_of = [](const op_table::chain& c) {
    return detail::concat("chain ", quoted_if_needed(c.first), " ", quoted_if_needed(c.then),
                          " = ");
  };
  for (const op_table::chain& c : defaults.chains()) {
    if (rules.ops.find_chain(c.first, c.then) == nullptr) text += chain_of(c) + "allowed\n";
  }
  for (const op_table::chain& c : rules.ops.chains()) {
    const op_table::chain* known = defaults.find_chain(c.first, c.then);
    if (known != nullptr && *known == c) continue;
    text += detail::concat(chain_of(c), "refused ", detail::escaped_and_quoted(c.alternative), " ",
                           detail::escaped_and_quoted(c.why), "\n");
  }
  for (const layer_rule& rule : rules.layers.rules()) {
    text += detail::concat("layer ", quoted_if_needed(rule.pattern), " = ", to_string(rule.choice),
                           " ", detail::escaped_and_quoted(rule.why), "\n");
  }
  return text;
}

/// Writes a policy file that load_policy reads as the same rules. Error: the file can't be written.
inline void save_policy(const precision_rules& rules, const std::string& path) {
  errno = 0;
  std::ofstream file(path, std::ios::binary);
  file << "# A precision policy of halfway: see precision/policy_file.h.\n" << to_string(rules);
  file.close();
  if (!file) {
    fail(detail::concat("halfway::save_policy: can't write ", detail::quoted(path), ": ",
                        std::strerror(errno)));
  }
}

}  // namespace halfway

#endif  // HALFWAY_PRECISION_POLICY_FILE_H_
