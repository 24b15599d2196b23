// SPDX-License-Identifier: Apache-2.0
// In which order the contributions of all ranks are added: by rank, or in a binary tree over shards
// of the batch that is the same for every number of ranks.
//
//   tree over 6 shards:  ((0 + 1) + (2 + 3)) + (4 + 5)
//   with 4 ranks:        0 | 1 2 | 3 | 4 5       rank 3 sends the node 4 + 5, the others leaves
//
// A node of level l holds shards [i 2^l, (i + 1) 2^l) as far as they exist. Each rank sends the
// largest nodes that lie within its own shards; whoever sums adds what is left of the tree.
#ifndef HALFWAY_INTEROP_MPI_SUMMATION_H_
#define HALFWAY_INTEROP_MPI_SUMMATION_H_

#include <cstddef>
#include <utility>
#include <vector>

namespace halfway::detail {

// Merges nodes that arrive from left to right as far as the tree allows.
class shard_tree {
 public:
  struct node {
    std::size_t level, index;
    std::size_t slot;  // where its sum is
  };

  explicit shard_tree(std::size_t shards) : shards_(shards) {}

  // add(left, right): the sum of slot `left` becomes that of both; `right` is free.
  template <class Add>
  void push(node added, Add&& add) {
    nodes_.push_back(raised(added));
    while (nodes_.size() > 1) {
      const node left = nodes_[nodes_.size() - 2], right = nodes_.back();
      const bool siblings =
          left.level == right.level && left.index % 2 == 0 && right.index == left.index + 1;
      if (!siblings) return;
      add(left.slot, right.slot);
      nodes_.pop_back();
      nodes_.back() = raised({left.level + 1, left.index / 2, left.slot});
    }
  }

  // What could not be merged further, from left to right.
  const std::vector<node>& nodes() const { return nodes_; }

 private:
  std::size_t count(std::size_t level) const { return ((shards_ - 1) >> level) + 1; }

  // A last node without a sibling stands for its parent.
  node raised(node n) const {
    while (n.index % 2 == 0 && n.index + 1 == count(n.level) && count(n.level) != 1) {
      ++n.level;
      n.index /= 2;
    }
    return n;
  }

  std::size_t shards_;
  std::vector<node> nodes_;
};

// The shards of a rank: [first, last).
struct shard_range {
  std::size_t first, last;
};
inline shard_range shards_of(std::size_t shards, std::size_t ranks, std::size_t rank) {
  return {shards * rank / ranks, shards * (rank + 1) / ranks};
}

// Which additions make the sum of all contributions, which are numbered rank after rank. The total
// ends in contribution 0.
struct mpi_summation {
  std::vector<std::size_t> first;  // contribution of each rank, and their number at the end
  std::vector<std::pair<std::size_t, std::size_t>> additions;  // to, from

  std::size_t contributions() const { return first.back(); }
  std::size_t contributions_of(std::size_t rank) const { return first[rank + 1] - first[rank]; }
};

// One contribution a rank, from left to right.
inline mpi_summation sum_by_rank(std::size_t ranks) {
  mpi_summation plan;
  for (std::size_t r = 0; r <= ranks; ++r) plan.first.push_back(r);
  for (std::size_t r = 1; r < ranks; ++r) plan.additions.emplace_back(0, r);
  return plan;
}

// The nodes that a rank makes of its own shards, in the tree over all.
template <class Add>
shard_tree tree_of_rank(std::size_t shards, shard_range own, Add&& add) {
  shard_tree tree(shards);
  for (std::size_t s = own.first; s < own.last; ++s) tree.push({0, s, s - own.first}, add);
  return tree;
}

inline mpi_summation sum_by_shard(std::size_t shards, std::size_t ranks) {
  mpi_summation plan;
  shard_tree all(shards);
  std::size_t slot = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    plan.first.push_back(slot);
    const shard_tree own =
        tree_of_rank(shards, shards_of(shards, ranks, r), [](std::size_t, std::size_t) {});
    for (const shard_tree::node& n : own.nodes()) {
      all.push({n.level, n.index, slot++}, [&plan](std::size_t left, std::size_t right) {
        plan.additions.emplace_back(left, right);
      });
    }
  }
  plan.first.push_back(slot);
  return plan;
}

}  // namespace halfway::detail

#endif  // HALFWAY_INTEROP_MPI_SUMMATION_H_
