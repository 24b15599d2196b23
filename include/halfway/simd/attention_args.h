// SPDX-License-Identifier: Apache-2.0
// What the attention kernels are told. Plain data, no SIMD.
#ifndef HALFWAY_SIMD_ATTENTION_ARGS_H_
#define HALFWAY_SIMD_ATTENTION_ARGS_H_

#include <cstddef>

namespace halfway::detail {

// Rows of contiguous elements: row i of head h at data + h * head_stride + i * row_stride.
template <class T>
struct head_rows {
  T* data;
  std::size_t head_stride, row_stride;

  T* row(std::size_t head, std::size_t i) const {
    return data + head * head_stride + i * row_stride;
  }
};

// What the keys or values of a token are multiplied with; null data: with nothing.
struct token_scales {
  const float* data;
  std::size_t head_stride, row_stride;

  token_scales of_head(std::size_t head) const {
    return data == nullptr ? *this : token_scales{data + head * head_stride, 0, row_stride};
  }
  token_scales from_row(std::size_t i) const {
    return data == nullptr ? *this : token_scales{data + i * row_stride, 0, row_stride};
  }
  float operator[](std::size_t i) const { return data == nullptr ? 1.0f : data[i * row_stride]; }
};

// What is added to the scaled scores; null: nothing.
struct score_bias {
  const float* mask;  // of a query of a head, one for each key
  std::size_t mask_head_stride, mask_row_stride;
  std::size_t heads_to_a_mask;  // heads that share it
  const float* slopes;          // one for each head: times the distance of the key from the query

  bool is_empty() const { return mask == nullptr && slopes == nullptr; }
  // The mask of a query of a head, from a key on.
  const float* of_row(std::size_t head, std::size_t query, std::size_t key) const {
    if (mask == nullptr) return nullptr;
    return mask + head / heads_to_a_mask * mask_head_stride + query * mask_row_stride + key;
  }
};

// The heads that share keys and values are taken together: row r of a group is query r / group of
// the group's head r % group, so that the keys a row sees never become fewer from row to row.
template <class TQ, class TKV, class TOut>
struct attention_operands {
  head_rows<const TQ> q;
  head_rows<const TKV> k, v;
  head_rows<TOut> out;
  token_scales k_scale, v_scale;
  std::size_t group;  // query heads to a head of keys and values
  std::size_t q_rows, kv_rows;
  std::size_t size, v_size;  // elements of a query and key, of a value and result
  float scale;               // of the scores; positive
  float log2_scale;          // log2(e) times what scores still lack: the scale, or where there is a
                             // bias, nothing
  score_bias bias;
  bool causal;
  std::size_t window;                   // keys that a query sees at most
  void* (*scratch)(std::size_t bytes);  // 64-byte aligned memory, valid until the kernel returns

  const TQ* q_row(std::size_t kv_head, std::size_t r) const {
    return q.row(kv_head * group + r % group, r / group);
  }
  TOut* out_row(std::size_t kv_head, std::size_t r) const {
    return out.row(kv_head * group + r % group, r / group);
  }
  std::size_t query(std::size_t r) const { return group == 1 ? r : r / group; }  // division is slow
  // The key where row r stands.
  std::size_t position(std::size_t r) const { return kv_rows - q_rows + query(r); }
  // Row r sees keys [first_key(r), end_key(r)).
  std::size_t end_key(std::size_t r) const { return causal ? position(r) + 1 : kv_rows; }
  std::size_t first_key(std::size_t r) const {
    if (window >= kv_rows) return 0;
    const std::size_t end = end_key(r);
    return end > window ? end - window : 0;
  }
};

// A few queries take keys and values in ranges of so many, each apart from the others: tasks for many
// threads from one head. What they give (a maximum, a sum, and v_size results of each row) is put
// together in order, so the bits do not depend on who did it.
inline constexpr std::size_t attention_range_keys = 512;

struct attention_ranges {
  std::size_t first, count;  // in units of attention_range_keys
  float* parts;              // of the heads' ranges' rows; unused where count is 1
  std::size_t part_floats;   // from one to the next

  float* part(std::size_t kv_head, std::size_t range, std::size_t rows, std::size_t r) const {
    return parts + ((kv_head * count + range) * rows + r) * part_floats;
  }
};

// The kernels' one template argument.
template <class TQ, class TKV, class TOut>
struct attention_config {
  using Q = TQ;
  using KV = TKV;
  using Out = TOut;
  using Operands = attention_operands<TQ, TKV, TOut>;
};

// A row of the backward pass, of `cols` keys of which it sees [begin, end).
struct attention_gradient_row {
  float* weights;   // scaled scores, which become weights
  float* gradient;  // of the weights, which becomes that of the scores
  std::size_t begin, end, cols;
  const float* mask;     // of the keys from begin on, or null
  float slope;           // times the distance of the key from the query
  float first_distance;  // of the key at begin
  float scale;
};

}  // namespace halfway::detail

#endif  // HALFWAY_SIMD_ATTENTION_ARGS_H_
