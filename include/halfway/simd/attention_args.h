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
  float log2_scale;          // the factor of the scores, times log2(e); positive
  bool causal;
  void* (*scratch)(std::size_t bytes);  // 64-byte aligned memory, valid until the kernel returns

  const TQ* q_row(std::size_t kv_head, std::size_t r) const {
    return q.row(kv_head * group + r % group, r / group);
  }
  TOut* out_row(std::size_t kv_head, std::size_t r) const {
    return out.row(kv_head * group + r % group, r / group);
  }
  // Keys that row r sees, the first ones.
  std::size_t keys_of(std::size_t r) const {
    return causal ? kv_rows - q_rows + r / group + 1 : kv_rows;
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

}  // namespace halfway::detail

#endif  // HALFWAY_SIMD_ATTENTION_ARGS_H_
