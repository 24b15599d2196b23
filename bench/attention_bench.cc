// SPDX-License-Identifier: Apache-2.0
// attention/<q>_<kv>/tokens:/size: and attention_causal/... of 8 heads, where 4 * size operations
// count for each key that a query sees; attention_decode/<q>_<kv>/tokens:/size:/group: of one query
// for 8 heads of keys, against a read of keys and values; rotary/<type>/tokens:/size:.
#include "halfway/ops/attention.h"

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "halfway/core/heads_view.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/rotary_embedding.h"
#include "halfway/types/bfloat16.h"
#include "halfway/types/float8.h"
#include "halfway/types/half.h"
#include "report.h"

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

template <class TQ, class TKV>
void add_prefill() {
  constexpr bool both_bf16 =
      std::is_same_v<TQ, halfway::bfloat16> && std::is_same_v<TKV, halfway::bfloat16>;
  for (const bool causal : {false, true}) {
    for (const std::size_t tokens : {std::size_t{512}, std::size_t{2048}}) {
      for (const std::size_t size : {std::size_t{64}, std::size_t{128}}) {
        const auto run = [=](benchmark::State& state) {
          matrix<TQ> q(heads * tokens, size), out(heads * tokens, size);
          matrix<TKV> k(heads * tokens, size), v(heads * tokens, size);
          fill(q, 1);
          fill(k, 2);
          fill(v, 3);
          const double n = static_cast<double>(tokens);
          const double pairs = causal ? n * (n + 1) / 2 : n * n;
          const unit u = both_bf16 ? unit::bf16 : unit::f32;
          report_products(state, 4.0 * heads * pairs * static_cast<double>(size), u, [&] {
            halfway::attention(heads_of(q, tokens), heads_of(k, tokens), heads_of(v, tokens),
                               heads_of(out, tokens), {.causal = causal});
          });
        };
        benchmark::RegisterBenchmark(name(causal ? "attention_causal/" : "attention/",
                                          types<TQ, TKV>(), "/tokens:", tokens, "/size:", size)
                                         .c_str(),
                                     run);
      }
    }
  }
}

template <class TQ, class TKV>
void add_decode() {
  for (const std::size_t tokens : {std::size_t{1024}, std::size_t{32768}}) {
    for (const std::size_t group : {std::size_t{1}, std::size_t{4}, std::size_t{8}}) {
      const std::size_t size = 128;
      const auto run = [=](benchmark::State& state) {
        matrix<TQ> q(heads * group, size), out(heads * group, size);
        matrix<TKV> k(heads * tokens, size), v(heads * tokens, size);
        fill(q, 1);
        fill(k, 2);
        fill(v, 3);
        const std::size_t bytes = k.bytes() + v.bytes();
        report_bytes(state, bytes, read_bandwidth(bytes), [&] {
          halfway::attention(heads_of(q, 1), heads_of(k, tokens), heads_of(v, tokens),
                             heads_of(out, 1), {.scale = 0.01f});
        });
      };
      benchmark::RegisterBenchmark(name("attention_decode/", types<TQ, TKV>(), "/tokens:", tokens,
                                        "/size:", size, "/group:", group)
                                       .c_str(),
                                   run);
    }
  }
}

template <class T>
void add_rotary() {
  for (const bool interleaved : {false, true}) {
    const std::size_t tokens = 512, size = 128;
    const auto run = [=](benchmark::State& state) {
      matrix<T> x(heads * tokens, size), y(heads * tokens, size);
      fill(x);
      const std::vector<double> frequencies = halfway::rotary_frequencies(size);
      const std::size_t bytes = x.bytes() + y.bytes();
      report_bytes(state, bytes, copy_bandwidth(bytes), [&] {
        halfway::rotary_embedding(heads_of(x, tokens), heads_of(y, tokens), frequencies,
                                  {.interleaved = interleaved});
      });
    };
    benchmark::RegisterBenchmark(name(interleaved ? "rotary_interleaved/" : "rotary/",
                                      short_name<T>(), "/tokens:", tokens, "/size:", size)
                                     .c_str(),
                                 run);
  }
}

template <class TQ, class TKV>
void add_attention() {
  add_prefill<TQ, TKV>();
  add_decode<TQ, TKV>();
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
  add_rotary<float>();
  add_rotary<bfloat16>();
}

}  // namespace halfway_bench
