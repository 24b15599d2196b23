// SPDX-License-Identifier: Apache-2.0
// Which operations are safe in a narrow type: a category for each, and from it the type an
// operation computes in.
//
//   halfway::op_table table;  // the default operations
//   table.set_category(halfway::op::gelu, halfway::op_category::float32);
//   table.set(halfway::op::attention, halfway::dtype::bfloat16);   // whatever the policy says
//   table.add("my_op", halfway::op_category::lower_precision, "its sums are kept in FP32");
//   table.resolve("my_op", {halfway::dtype::float32}, halfway::amp_bf16);  // bfloat16
//
// The defaults begin with the lists of PyTorch's autocast on CPU. Where those leave an operation
// out and the ones for CUDA put it into float32 (softmax, norms, exp, sums), ours do so too:
// "unlisted" in PyTorch means that its CPU kernel widens by itself, which says nothing of the
// result that is stored. binary_cross_entropy is refused as on CUDA, for what it would meet:
// PyTorch's CPU lists compute it in float32, after the probability has been rounded. Given inputs
// of float32 it runs.
#ifndef HALFWAY_PRECISION_OP_TABLE_H_
#define HALFWAY_PRECISION_OP_TABLE_H_

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <ostream>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/precision/default_ops.h"
#include "halfway/precision/policy.h"
#include "halfway/precision/promote.h"
#include "halfway/precision/resolve.h"
#include "halfway/precision/text.h"

namespace halfway {

/// What a user asks for an operation or a layer: a category, or a type whatever the policy says.
struct precision_choice {
  /// That of a type, where one is given: float32 or lower_precision.
  op_category category = op_category::float32;

  /// The type that the policy has for it.
  constexpr precision_choice(op_category c)  // NOLINT(google-explicit-constructor)
      : category(c) {}
  /// This type, whatever the policy says.
  constexpr precision_choice(dtype t)  // NOLINT(google-explicit-constructor)
      : category(t == dtype::float32 ? op_category::float32 : op_category::lower_precision),
        type_(t) {}

  /// float32 is a category.
  constexpr std::optional<dtype> type() const {
    return type_ == dtype::float32 ? std::nullopt : std::optional(type_);
  }

  constexpr bool operator==(const precision_choice&) const = default;  ///< of what was asked for

 private:
  dtype type_ = dtype::float32;
};

/// "float32", "bfloat16", "lower_precision", ...: reads back as the same choice.
inline std::string to_string(const precision_choice& choice) {
  return std::string(choice.type() ? name(*choice.type()) : name(choice.category));
}

/// As to_string().
inline std::ostream& operator<<(std::ostream& out, const precision_choice& choice) {
  return out << to_string(choice);
}

/// The choice of this name: a category's, or one that parse_dtype knows. Empty where there is none.
constexpr std::optional<precision_choice> parse_precision_choice(std::string_view text) {
  for (const op_category category : all_op_categories) {
    if (name(category) == text) return category;
  }
  if (const std::optional<dtype> type = parse_dtype(text)) return *type;
  return std::nullopt;
}

/// A plain value: copy it, change the copy, give it to an autocast scope. Reading it from several
/// threads is safe.
class op_table {
 public:
  /// What the table says of one operation.
  struct entry {
    op_category category;            ///< unless `type` is given
    std::string why;                 ///< a sentence, for plans and messages
    std::optional<dtype> type = {};  ///< chosen by the user whatever the policy says
    std::string alternative = {};    ///< refused: what to do instead

    bool operator==(const entry&) const = default;  ///< field by field
  };

  /// Operations that must not follow each other in low precision.
  struct chain {
    std::string first;        ///< whose result the other reads
    std::string then;         ///< the one that reads it
    std::string alternative;  ///< what to use instead
    std::string why;          ///< a sentence, for messages

    bool operator==(const chain&) const = default;  ///< field by field
  };

  /// The default operations.
  op_table() {
    for (const default_op& o : default_ops) {
      entries_.emplace(
          o.name, entry{o.category, std::string(o.why), std::nullopt, std::string(o.alternative)});
    }
    for (const refused_chain& c : default_refused_chains) {
      chains_.push_back({std::string(c.first), std::string(c.then), std::string(c.alternative),
                         std::string(c.why)});
    }
    sort_chains();
  }

  /// The same operations and chains, reasons included.
  bool operator==(const op_table&) const = default;

  /// Whether the operation is known.
  bool contains(std::string_view op_name) const { return entries_.find(op_name) != entries_.end(); }

  /// Error: an unknown operation, with the nearest names.
  const entry& at(std::string_view op_name) const {
    const auto found = entries_.find(op_name);
    if (found == entries_.end()) fail_unknown(op_name);
    return found->second;
  }

  /// Error: an unknown operation.
  op_category category(std::string_view op_name) const { return at(op_name).category; }

  /// Registers an operation of the user's. Errors: an empty name; the operation exists (see set).
  void add(std::string_view op_name, precision_choice choice,
           std::string_view why = "added by the user") {
    if (op_name.empty()) fail("halfway::op_table::add: op_name is empty");
    if (contains(op_name)) {
      fail(detail::concat("halfway::op_table::add: operation ", detail::quoted(op_name),
                          " exists; set changes it"));
    }
    entries_.emplace(op_name, entry_of(choice, why));
  }

  /// Overrides the category of an operation, or fixes its type whatever the policy says. Error: an
  /// unknown operation, with the nearest names.
  void set(std::string_view op_name, precision_choice choice,
           std::string_view why = "set by the user") {
    const auto found = entries_.find(op_name);
    if (found == entries_.end()) fail_unknown(op_name);
    found->second = entry_of(choice, why);
  }

  /// As set(), for a category alone.
  void set_category(std::string_view op_name, op_category category,
                    std::string_view why = "set by the user") {
    set(op_name, category, why);
  }

  /// Makes low precision an error for an operation, registered with this if it is new. Errors: an
  /// empty name; no alternative, since an error without one leaves its reader nowhere.
  void refuse(std::string_view op_name, std::string_view alternative,
              std::string_view why = "refused by the user") {
    if (op_name.empty()) fail("halfway::op_table::refuse: op_name is empty");
    if (alternative.empty()) {
      fail(detail::concat("halfway::op_table::refuse: alternative to ", detail::quoted(op_name),
                          " is empty"));
    }
    entry refused = entry_of(op_category::refused, why);
    refused.alternative = alternative;
    entries_.insert_or_assign(std::string(op_name), std::move(refused));
  }

  /// Makes `then` on what `first` returns an error in low precision. Errors: an unknown operation,
  /// with the nearest names; no alternative.
  void refuse_chain(std::string_view first, std::string_view then, std::string_view alternative,
                    std::string_view why = "refused by the user") {
    if (alternative.empty()) {
      fail(detail::concat("halfway::op_table::refuse_chain: alternative to ", then, " of ", first,
                          " is empty"));
    }
    allow_chain(first, then);
    chains_.push_back(
        {std::string(first), std::string(then), std::string(alternative), std::string(why)});
    sort_chains();
  }

  /// Takes the refusal back, if there is one. Error: an unknown operation, with the nearest names.
  void allow_chain(std::string_view first, std::string_view then) {
    at(first);
    at(then);
    std::erase_if(chains_, [&](const chain& c) { return c.first == first && c.then == then; });
  }

  /// The refusal of `then` on what `first` returns; null where there is none.
  const chain* find_chain(std::string_view first, std::string_view then) const {
    const auto found = std::ranges::find_if(
        chains_, [&](const chain& c) { return c.first == first && c.then == then; });
    return found == chains_.end() ? nullptr : &*found;
  }

  /// Fails if `then` must not follow `first` with values of type `between` (those that `first`
  /// returns, or that `then` reads: whichever is narrower). The message names the operations, the
  /// type and what to do instead; it begins with `where`, such as a layer's name.
  void check_chain(std::string_view first, std::string_view then, dtype between,
                   std::string_view where = "halfway::op_table::check_chain") const {
    const chain* refused = find_chain(first, then);
    if (refused == nullptr || !is_low_precision(between)) return;
    fail(detail::concat(where, ": ", then, " of ", first, " is refused in low precision (",
                        name(between), "): ", refused->why, "; use ", refused->alternative,
                        ", or keep float32 between them"));
  }

  /// All operations, sorted by name, and all refused chains.
  const std::map<std::string, entry, std::less<>>& entries() const { return entries_; }
  /// @copydoc entries()
  const std::vector<chain>& chains() const { return chains_; }

  /// The type that the inputs are cast to, and that the operation computes in, under a policy: see
  /// resolve_category. A type that the user set takes the place of the category. `inputs` may be
  /// empty where they don't matter. Errors: an unknown operation, with the nearest names;
  /// promote_widest without inputs; a refused operation that would meet low precision, with the
  /// alternative.
  dtype resolve(std::string_view op_name, std::span<const dtype> inputs,
                const cast_policy& policy) const {
    const entry& e = at(op_name);
    if (e.type) return left_alone(inputs).value_or(*e.type);
    if (e.category == op_category::refused && meets_low_precision(inputs, policy))
      fail_refused("halfway::op_table::resolve", op_name, inputs, policy.compute);
    if (e.category == op_category::promote_widest && inputs.empty()) {
      fail(detail::concat("halfway::op_table::resolve: ", op_name,
                          " computes in the widest type of its inputs, but none is given"));
    }
    return resolve_category(e.category, has_integer_form(op_name), inputs, policy);
  }

  /// @copydoc resolve(std::string_view, std::span<const dtype>, const cast_policy&) const
  dtype resolve(std::string_view op_name, std::initializer_list<dtype> inputs,
                const cast_policy& policy) const {
    return resolve(op_name, std::span(inputs.begin(), inputs.size()), policy);
  }

  /// The error of a refused operation: its inputs or, where they aren't known, the type asked for.
  [[noreturn]] void fail_refused(std::string_view where, std::string_view op_name,
                                 std::span<const dtype> inputs, dtype asked) const {
    const entry& e = at(op_name);
    std::string types;
    for (const dtype type : inputs) types += detail::concat(types.empty() ? "" : ", ", name(type));
    fail(detail::concat(
        where, ": ", op_name, " is refused in low precision (",
        inputs.empty() ? name(asked) : std::string_view(types), "): ", e.why, "; use ",
        e.alternative.empty() ? std::string_view("float32 inputs") : e.alternative,
        " instead, or allow it with set(", detail::quoted(op_name), ", op_category::float32)"));
  }

  /// The names of operations nearest to a misspelt one, ready for a message.
  std::string nearest(std::string_view op_name) const {
    std::vector<std::string_view> names;
    for (const auto& [name, e] : entries_) names.push_back(name);
    return detail::nearest_names(op_name, names);
  }

 private:
  static entry entry_of(precision_choice choice, std::string_view why) {
    return {choice.category, std::string(why), choice.type(), {}};
  }

  void sort_chains() {
    std::ranges::sort(chains_, {}, [](const chain& c) { return std::pair(c.first, c.then); });
  }

  [[noreturn]] void fail_unknown(std::string_view op_name) const {
    fail(detail::concat("halfway::op_table: unknown operation ", detail::quoted(op_name),
                        "; did you mean ", nearest(op_name), "?"));
  }

  std::map<std::string, entry, std::less<>> entries_;
  std::vector<chain> chains_;
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_OP_TABLE_H_
