// SPDX-License-Identifier: Apache-2.0
// The assignments near one, which a precision search looks at for a cheaper one.
#ifndef HALFWAY_PRECISION_SEARCH_NEIGHBOURS_H_
#define HALFWAY_PRECISION_SEARCH_NEIGHBOURS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "halfway/precision/search_model.h"
#include "halfway/precision/search_result.h"
#include "halfway/types/dtype.h"

namespace halfway::detail {

class search_neighbours {
 public:
  using choice = type_choice;

  search_neighbours(std::span<const search_unit> units, const search_model& model)
      : units_(units), model_(model) {}

  /// From the reference, all units in one type where they have it.
  std::vector<choice> uniform() const {
    std::vector<choice> choices;
    for (const dtype type : all_dtypes) {
      choice c(units_.size());
      set_all(c, 0, c.size(), type);
      if (c != choice(units_.size())) choices.push_back(std::move(c));
    }
    return choices;
  }

  /// Chunks of neighbours, as in delta debugging: all, halves, quarters, ..., single units; every
  /// stretch where there are few. Each in one type, or each unit one step cheaper. Whole stretches,
  /// as where single units only add casts.
  void add_chunks(const choice& from, std::vector<choice>& to) const {
    const std::size_t n = units_.size();
    const auto add = [&](std::size_t begin, std::size_t end) {
      for (const dtype type : all_dtypes) {
        choice c = from;
        set_all(c, begin, end, type);
        if (c != from) to.push_back(std::move(c));
      }
      choice c = from;
      for (std::size_t u = begin; u != end; ++u) c[u] = next_cheaper(u, from[u]);
      if (c != from) to.push_back(std::move(c));
    };
    if (n <= few_units) {
      for (std::size_t begin = 0; begin != n; ++begin) {
        for (std::size_t end = begin + 1; end <= n; ++end) add(begin, end);
      }
      return;
    }
    for (std::size_t length = n; length != 0; length /= 2) {
      for (std::size_t begin = 0; begin < n; begin += length) {
        add(begin, std::min(n, begin + length));
      }
    }
  }

  /// One unit cheaper, another one more precise to pay for it.
  void add_exchanges(const choice& from, std::vector<choice>& to) const {
    for (std::size_t u = 0; u != units_.size(); ++u) {
      for (std::size_t v = 0; v != u; ++v) {
        for (std::size_t s = 0; s != units_[u].types.size(); ++s) {
          for (std::size_t t = 0; t != units_[v].types.size(); ++t) {
            if (s == from[u] || t == from[v]) continue;
            choice c = from;
            c[u] = static_cast<std::uint8_t>(s);
            c[v] = static_cast<std::uint8_t>(t);
            to.push_back(std::move(c));
          }
        }
      }
    }
  }

  /// A stretch and a unit outside of it, where units are few.
  void add_chunks_and_units(const choice& from, std::vector<choice>& to) const {
    if (units_.size() > few_units) return;
    std::vector<choice> chunks;
    add_chunks(from, chunks);
    for (const choice& chunk : chunks) {
      for (std::size_t u = 0; u != units_.size(); ++u) {
        if (chunk[u] != from[u]) continue;
        for (std::size_t t = 0; t != units_[u].types.size(); ++t) {
          if (t == from[u]) continue;
          to.push_back(chunk);
          to.back()[u] = static_cast<std::uint8_t>(t);
        }
      }
    }
  }

 private:
  void set_all(choice& c, std::size_t begin, std::size_t end, dtype type) const {
    for (std::size_t u = begin; u != end; ++u) {
      const auto found = std::ranges::find(units_[u].types, type);
      if (found != units_[u].types.end()) {
        c[u] = static_cast<std::uint8_t>(found - units_[u].types.begin());
      }
    }
  }

  std::uint8_t next_cheaper(std::size_t u, std::uint8_t t) const {
    std::uint8_t best = t;
    double least = std::numeric_limits<double>::infinity();
    for (std::size_t other = 0; other != units_[u].types.size(); ++other) {
      const double saved = model_.gain(u, t, other);
      if (saved > 0 && saved < least) {
        least = saved;
        best = static_cast<std::uint8_t>(other);
      }
    }
    return best;
  }

  std::span<const search_unit> units_;
  const search_model& model_;
};

}  // namespace halfway::detail

#endif  // HALFWAY_PRECISION_SEARCH_NEIGHBOURS_H_
