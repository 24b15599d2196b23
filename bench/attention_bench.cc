// SPDX-License-Identifier: Apache-2.0
// attention/<q>_<kv>/tokens:/size: and attention_causal/... of 8 heads, where 4 * size operations
// count for each key that a query sees, and attention_backward/<type>/..., 10 * size;
// attention_decode/<q>_<kv>/tokens:/size:/group: of one query
// for 8 heads of keys, against a read of keys and values; rotary/<type>/tokens:/size:.
#include "halfway/ops/attention.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "benches.h"
#include "case.h"
#include "halfway/core/heads_view.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/attention_backward.h"
#include "halfway/ops/rotary_embedding.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "names.h"

namespace halfway_bench {
namespace {

using halfway::heads_view;
using halfway::matrix;

constexpr std::size_t heads = 8;

template <class T>
heads_view<T> heads_of(matrix<T>& m, std::size_t rows) {
  return {m.data(), m.size() / m.cols() / rows, rows, m.cols()};
}

template <class TQ, class TKV>
std::string types() {
  return name(short_name<TQ>(), "_", short_name<TKV>());
}

// Rows of all heads together.
template <class TQ, class TKV>
struct operands {
  operands(std::size_t q_rows, std::size_t kv_rows, std::size_t size)
      : q(random_matrix<TQ>(q_rows, size, 1)),
        out(random_matrix<TQ>(q_rows, size, 4)),
        k(random_matrix<TKV>(kv_rows, size, 2)),
        v(random_matrix<TKV>(kv_rows, size, 3)) {}
  matrix<TQ> q, out;
  matrix<TKV> k, v;
};

template <class TQ, class TKV>
void add_prefill(bool causal, std::size_t tokens, std::size_t size) {
  constexpr bool both_bf16 =
      std::is_same_v<TQ, halfway::bfloat16> && std::is_same_v<TKV, halfway::bfloat16>;
  const double n = static_cast<double>(tokens), width = static_cast<double>(size);
  const double pairs = causal ? n * (n + 1) / 2 : n * n;
  bench_case c = products(name(causal ? "attention_causal/" : "attention/", types<TQ, TKV>(),
                               "/tokens:", tokens, "/size:", size),
                          both_bf16 ? unit::bf16 : unit::f32, 4 * heads * pairs * width,
                          2 * heads * n * width * (sizeof(TQ) + sizeof(TKV)));
  c.prepare = [=] {
    const auto o = std::make_shared<operands<TQ, TKV>>(heads * tokens, heads * tokens, size);
    return std::vector{contender{
        "halfway", [=] {
          halfway::attention(heads_of(o->q, tokens), heads_of(o->k, tokens), heads_of(o->v, tokens),
                             heads_of(o->out, tokens), {.causal = causal});
        }}};
  };
  register_case(std::move(c));
}

// Five products where attention has two, all of them in FP32.
template <class T>
void add_backward(bool causal, std::size_t tokens) {
  constexpr std::size_t size = 64;
  const double n = static_cast<double>(tokens), width = static_cast<double>(size);
  const double pairs = causal ? n * (n + 1) / 2 : n * n;
  bench_case c = products(name(causal ? "attention_backward_causal/" : "attention_backward/",
                               short_name<T>(), "/tokens:", tokens, "/size:", size),
                          unit::f32, 10 * heads * pairs * width, 7 * heads * n * width * sizeof(T));
  c.prepare = [=] {
    const auto o = std::make_shared<operands<T, T>>(heads * tokens, heads * tokens, size);
    const auto d = std::make_shared<operands<T, T>>(heads * tokens, heads * tokens, size);
    return std::vector{contender{"halfway", [=] {
                                   halfway::attention_backward(
                                       heads_of(o->q, tokens), heads_of(o->k, tokens),
                                       heads_of(o->v, tokens), heads_of(o->out, tokens),
                                       heads_of(d->q, tokens), heads_of(d->k, tokens),
                                       heads_of(d->v, tokens), {.causal = causal});
                                 }}};
  };
  register_case(std::move(c));
}

template <class TQ, class TKV>
void add_decode(std::size_t tokens, std::size_t group) {
  constexpr std::size_t size = 128;
  const double pairs = static_cast<double>(heads * group * tokens);
  bench_case c =
      reading(name("attention_decode/", types<TQ, TKV>(), "/tokens:", tokens, "/size:", size,
                   "/group:", group),
              4 * pairs * size, 2 * static_cast<double>(heads * tokens) * size * sizeof(TKV));
  c.prepare = [=] {
    const auto o = std::make_shared<operands<TQ, TKV>>(heads * group, heads * tokens, size);
    return std::vector{contender{"halfway", [=] {
                                   halfway::attention(heads_of(o->q, 1), heads_of(o->k, tokens),
                                                      heads_of(o->v, tokens), heads_of(o->out, 1),
                                                      {.scale = 0.01f});
                                 }}};
  };
  register_case(std::move(c));
}

// Four multiplications and two additions for each pair of elements.
template <class T>
void add_rotary(bool interleaved) {
  constexpr std::size_t tokens = 512, size = 128;
  constexpr double elements = heads * tokens * size;
  bench_case c = copying(name(interleaved ? "rotary_interleaved/" : "rotary/", short_name<T>(),
                              "/tokens:", tokens, "/size:", size),
                         3 * elements, 2 * elements * sizeof(T));
  c.prepare = [=] {
    const auto x = std::make_shared<matrix<T>>(random_matrix<T>(heads * tokens, size, 1));
    const auto y = std::make_shared<matrix<T>>(heads * tokens, size);
    const std::vector<double> frequencies = halfway::rotary_frequencies(size);
    return std::vector{contender{"halfway", [=] {
                                   halfway::rotary_embedding(heads_of(*x, tokens),
                                                             heads_of(*y, tokens), frequencies,
                                                             {.interleaved = interleaved});
                                 }}};
  };
  register_case(std::move(c));
}

template <class TQ, class TKV>
void add_attention() {
  for (const bool causal : {false, true}) {
    for (const std::size_t tokens : {512u, 2048u}) {
      for (const std::size_t size : {64u, 128u}) add_prefill<TQ, TKV>(causal, tokens, size);
    }
  }
  for (const std::size_t tokens : {1024u, 32768u}) {
    for (const std::size_t group : {1u, 4u, 8u}) add_decode<TQ, TKV>(tokens, group);
  }
}

}  // namespace

void register_attention() {
  using halfway::bfloat16;
  using halfway::half;
  add_attention<float, float>();
  add_attention<bfloat16, bfloat16>();
  add_attention<half, half>();
  add_attention<bfloat16, std::int8_t>();
  add_attention<bfloat16, halfway::float8_e4m3fn>();
  for (const bool causal : {false, true}) {
    for (const std::size_t tokens : {512u, 2048u}) {
      add_backward<float>(causal, tokens);
      add_backward<bfloat16>(causal, tokens);
    }
  }
  for (const bool interleaved : {false, true}) {
    add_rotary<float>(interleaved);
    add_rotary<bfloat16>(interleaved);
  }
}

}  // namespace halfway_bench
