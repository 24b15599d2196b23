// SPDX-License-Identifier: Apache-2.0
// Rules for layers by name or by a pattern: "encoder.*.softmax=float32".
//
//   halfway::layer_rules rules;
//   rules.add("encoder.*.softmax", halfway::dtype::float32);
//   rules.add("encoder.0.softmax", halfway::dtype::bfloat16);   // a name beats a pattern
//   rules.find("encoder.0.softmax")->choice;                    // bfloat16
//   rules.check(names_of_layers);                               // each rule matches one
#ifndef HALFWAY_PRECISION_LAYER_RULES_H_
#define HALFWAY_PRECISION_LAYER_RULES_H_

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/op_table.h"
#include "halfway/precision/text.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// Whether a pattern matches a whole name: "*" stands for any characters, none and dots included,
/// "?" for one; every other character for itself. Case matters.
constexpr bool matches_pattern(std::string_view pattern, std::string_view name) {
  std::size_t p = 0, n = 0;
  std::size_t star = std::string_view::npos, taken = 0;  // the last "*" takes name[.., taken)
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      taken = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p;
      ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++taken;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

/// Whether it has "*" or "?", and so stands for more than its own name.
constexpr bool is_pattern(std::string_view text) {
  return text.find_first_of("*?") != std::string_view::npos;
}

namespace detail {

// How many characters of a name must change for the pattern to match it.
inline std::size_t pattern_distance(std::string_view pattern, std::string_view name) {
  std::vector<std::size_t> row(name.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (const char p : pattern) {
    std::size_t diagonal = row[0];
    if (p != '*') ++row[0];
    for (std::size_t j = 0; j < name.size(); ++j) {
      const std::size_t above = row[j + 1];
      if (p == '*') {
        row[j + 1] = std::min(above, row[j]);
      } else {
        const std::size_t changed = diagonal + (p == '?' || p == name[j] ? 0 : 1);
        row[j + 1] = std::min({changed, row[j] + 1, above + 1});
      }
      diagonal = above;
    }
  }
  return row[name.size()];
}

}  // namespace detail

/// One rule. Rules are equal whatever their origin.
struct layer_rule {
  std::string pattern;      ///< a name, or a pattern with "*" or "?"
  precision_choice choice;  ///< a category, or a type whatever the policy says
  std::string why;          ///< a sentence, for plans and messages
  std::string origin = {};  ///< for messages: "policy.txt:7"; empty: set by the program

  /// Whatever the origin.
  bool operator==(const layer_rule& other) const {
    return pattern == other.pattern && choice == other.choice && why == other.why;
  }
};

/// Which of several rules holds for a layer: the one with exactly its name; else, of the patterns
/// that match, the last. A plain value; reading it from several threads is safe.
class layer_rules {
 public:
  /// Adds a rule after all others; one with the same pattern is replaced. Error: an empty pattern.
  void add(std::string_view pattern, precision_choice choice,
           std::string_view why = "set by the user", std::string_view origin = {}) {
    if (pattern.empty()) fail("halfway::layer_rules::add: pattern is empty");
    std::erase_if(rules_, [&](const layer_rule& r) { return r.pattern == pattern; });
    rules_.push_back({std::string(pattern), choice, std::string(why), std::string(origin)});
  }

  bool empty() const { return rules_.empty(); }  ///< without rules

  /// In the order in which they were added.
  const std::vector<layer_rule>& rules() const { return rules_; }

  bool operator==(const layer_rules&) const = default;  ///< the same rules in the same order

  /// The rule for a layer; null where none matches.
  const layer_rule* find(std::string_view layer) const {
    const layer_rule* found = nullptr;
    for (const layer_rule& rule : rules_) {
      if (rule.pattern == layer) return &rule;
      if (is_pattern(rule.pattern) && matches_pattern(rule.pattern, layer)) found = &rule;
    }
    return found;
  }

  /// Fails unless every rule matches a layer of a model, with the nearest layers. `Names` is any
  /// range of std::string or std::string_view.
  template <class Names>
  void check(const Names& layers) const {
    check_views(std::vector<std::string_view>(std::begin(layers), std::end(layers)));
  }

 private:
  void check_views(const std::vector<std::string_view>& layers) const {
    for (const layer_rule& rule : rules_) {
      const bool pattern = is_pattern(rule.pattern);
      const bool used = std::ranges::any_of(layers, [&](std::string_view layer) {
        return layer == rule.pattern || (pattern && matches_pattern(rule.pattern, layer));
      });
      if (used) continue;
      const std::string where = rule.origin.empty() ? "" : rule.origin + ": ";
      const std::string what =
          pattern ? detail::concat("pattern ", detail::quoted(rule.pattern), " matches no layer")
                  : detail::concat("no layer is named ", detail::quoted(rule.pattern));
      fail(detail::concat(
          where, "halfway::layer_rules::check: ", what,
          layers.empty()
              ? std::string(": there are no layers")
              : detail::concat(
                    "; did you mean ",
                    detail::nearest_names(rule.pattern, layers, detail::pattern_distance), "?")));
    }
  }

  std::vector<layer_rule> rules_;
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_LAYER_RULES_H_
