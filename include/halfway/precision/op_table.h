// SPDX-License-Identifier: Apache-2.0
// Which operations are safe in a narrow type: a category for each, and from it the type an
// operation computes in.
//
//   halfway::op_table table;  // the default operations
//   table.set_category(halfway::op::gelu, halfway::op_category::float32);
//   table.add("my_op", halfway::op_category::lower_precision, "its sums are kept in FP32");
//   table.resolve("my_op", {halfway::dtype::float32}, halfway::amp_bf16);  // bfloat16
//
// The defaults begin with the lists of PyTorch's autocast on CPU. Where those leave an operation
// out and the ones for CUDA put it into float32 (softmax, norms, exp, sums), ours do so too:
// "unlisted" in PyTorch means that its CPU kernel widens by itself, which says nothing of the
// result that is stored.
#ifndef HALFWAY_PRECISION_OP_TABLE_H_
#define HALFWAY_PRECISION_OP_TABLE_H_

#include <functional>
#include <initializer_list>
#include <map>
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
#include "halfway/precision/text.h"

namespace halfway {

/// A plain value: copy it, change the copy, give it to an autocast scope. Reading it from several
/// threads is safe.
class op_table {
 public:
  struct entry {
    op_category category;
    std::string why;
  };

  /// The default operations.
  op_table() {
    for (const default_op& o : default_ops)
      entries_.emplace(o.name, entry{o.category, std::string(o.why)});
  }

  bool contains(std::string_view op_name) const { return entries_.find(op_name) != entries_.end(); }

  /// Error: an unknown operation, with the nearest names.
  const entry& at(std::string_view op_name) const {
    const auto found = entries_.find(op_name);
    if (found == entries_.end()) fail_unknown(op_name);
    return found->second;
  }

  op_category category(std::string_view op_name) const { return at(op_name).category; }

  /// Registers an operation of the user's. Errors: an empty name; the operation exists (see
  /// set_category).
  void add(std::string_view op_name, op_category category,
           std::string_view why = "added by the user") {
    if (op_name.empty()) fail("halfway::op_table::add: op_name is empty");
    if (!entries_.try_emplace(std::string(op_name), entry{category, std::string(why)}).second) {
      fail(detail::concat("halfway::op_table::add: operation ", detail::quoted(op_name),
                          " exists; set_category changes it"));
    }
  }

  /// Overrides the category of an operation. Error: an unknown operation, with the nearest names.
  void set_category(std::string_view op_name, op_category category,
                    std::string_view why = "set by the user") {
    const auto found = entries_.find(op_name);
    if (found == entries_.end()) fail_unknown(op_name);
    found->second = entry{category, std::string(why)};
  }

  /// All operations, sorted by name.
  const std::map<std::string, entry, std::less<>>& entries() const { return entries_; }

  /// The type that the inputs are cast to, and that the operation computes in, under a policy:
  ///   lower_precision   policy.compute
  ///   float32           float32
  ///   promote_widest    promote() of all inputs
  /// Autocast leaves alone what it is not for: if an input is float64, or if all are integers,
  /// promote() of all inputs decides. `inputs` may be empty where they don't matter. Errors: an
  /// unknown operation, with the nearest names; promote_widest without inputs.
  dtype resolve(std::string_view op_name, std::span<const dtype> inputs,
                const cast_policy& policy) const {
    const op_category category = at(op_name).category;
    if (inputs.empty()) {
      if (category == op_category::promote_widest) {
        fail(detail::concat("halfway::op_table::resolve: ", op_name,
                            " computes in the widest type of its inputs, but none is given"));
      }
    } else {
      const dtype widest = promote(inputs);
      if (category == op_category::promote_widest || widest == dtype::float64 ||
          !is_floating(widest))
        return widest;
    }
    return category == op_category::float32 ? dtype::float32 : policy.compute;
  }

  dtype resolve(std::string_view op_name, std::initializer_list<dtype> inputs,
                const cast_policy& policy) const {
    return resolve(op_name, std::span(inputs.begin(), inputs.size()), policy);
  }

 private:
  [[noreturn]] void fail_unknown(std::string_view op_name) const {
    std::vector<std::string_view> names;
    for (const auto& [name, e] : entries_) names.push_back(name);
    fail(detail::concat("halfway::op_table: unknown operation ", detail::quoted(op_name),
                        "; did you mean ", detail::nearest_names(op_name, names), "?"));
  }

  std::map<std::string, entry, std::less<>> entries_;
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_OP_TABLE_H_
