// SPDX-License-Identifier: Apache-2.0
// gemm/<a>_<c>/m:/n:/k: packs b in each call, gemm_packed/... once before; <a><b>_<c> where the two
// operands differ.
#include "halfway/ops/gemm.h"

#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>

#include "benches.h"
#include "compared.h"
#include "halfway/core/thread_pool.h"
#include "halfway/ops/packed_matrix.h"
#include "shapes.h"

namespace halfway_bench {
namespace {

template <class TA, class TB, class TC>
std::string types() {
  std::string text(short_name<TA>());
  if constexpr (!std::is_same_v<TA, TB>) text += short_name<TB>();
  return text + "_" + std::string(short_name<TC>());
}

template <class TA, class TB, class TC>
bench_case product_case(const std::string& kind, unit u, const gemm_shape& s, double threads = 1) {
  const std::size_t bytes =
      s.m * s.k * sizeof(TA) + s.k * s.n * sizeof(TB) + s.m * s.n * sizeof(TC);
  return products(name(kind, "/", types<TA, TB, TC>(), "/m:", s.m, "/n:", s.n, "/k:", s.k), u,
                  2.0 * static_cast<double>(s.m * s.n * s.k), static_cast<double>(bytes), threads);
}

template <class TA, class TB, class TC>
void add_cases(operation what, unit u) {
  for (const gemm_shape s : gemm_shapes) {
    const auto make = [=] {
      return make_product(what, element_of<TA>(), element_of<TB>(), element_of<TC>(), s.m, s.n,
                          s.k);
    };
    const auto own = [](const problem& p) {
      struct operands {
        halfway::matrix<TA> a;
        halfway::matrix<TB> b;
        halfway::packed_matrix<TB> packed;
        halfway::matrix<TC> c;
      };
      auto b = to_matrix<TB>(p.w, p.depth, p.cols);
      auto packed = halfway::packed_matrix<TB>(b);
      const auto o = std::make_shared<operands>(operands{to_matrix<TA>(p.x, p.rows, p.depth),
                                                         std::move(b), std::move(packed),
                                                         halfway::matrix<TC>(p.rows, p.cols)});
      solution result;
      if (p.what == operation::gemm_packed) {
        result.run = [o] { halfway::gemm(o->a, o->packed, o->c); };
      } else {
        result.run = [o] { halfway::gemm(o->a, o->b, o->c); };
      }
      result.output = [o](std::size_t i) { return static_cast<double>(o->c.data()[i]); };
      return result;
    };
    add_compared(product_case<TA, TB, TC>(std::string(short_name(what)), u, s), make, own);
  }
}

template <class TA, class TB, class TC>
void add_one_call(unit u) {
  add_cases<TA, TB, TC>(operation::gemm, u);
}
template <class TA, class TB, class TC>
void add_packed(unit u) {
  add_cases<TA, TB, TC>(operation::gemm_packed, u);
}

// gemm_threads/...: the whole machine, against one core's ceiling times the number of threads.
template <class T>
void add_threads(unit u) {
  static constexpr std::size_t size = 1024;
  for (const std::size_t threads : {1u, 2u}) {
    bench_case c = product_case<T, T, float>("gemm_threads", u, {size, size, size},
                                             static_cast<double>(threads));
    c.name += name("/threads:", threads);
    c.prepare = [threads] {
      const auto a = std::make_shared<halfway::matrix<T>>(random_matrix<T>(size, size, 1));
      const auto b = std::make_shared<halfway::packed_matrix<T>>(random_matrix<T>(size, size, 2));
      const auto y = std::make_shared<halfway::matrix<float>>(size, size);
      const auto pool = std::make_shared<halfway::thread_pool>(threads);
      return std::vector{contender{"halfway", [=] { halfway::gemm(*a, *b, *y, {}, *pool); }}};
    };
    register_case(std::move(c));
  }
}

}  // namespace

void register_gemm() {
  using halfway::bfloat16;
  using halfway::half;
  add_packed<float, float, float>(unit::f32);
  add_packed<bfloat16, bfloat16, float>(unit::bf16);
  add_packed<bfloat16, bfloat16, bfloat16>(unit::bf16);
  add_packed<half, half, float>(unit::f32);  // no f16 arithmetic: widened
  add_packed<halfway::float8_e4m3fn, halfway::float8_e4m3fn, float>(unit::f32);
  add_packed<std::uint8_t, std::int8_t, std::int32_t>(unit::i8);
  add_packed<std::int8_t, std::int8_t, std::int32_t>(unit::i8);
  add_one_call<float, float, float>(unit::f32);
  add_one_call<bfloat16, bfloat16, float>(unit::bf16);
  add_one_call<half, half, float>(unit::f32);
  add_one_call<std::uint8_t, std::int8_t, std::int32_t>(unit::i8);
  add_threads<float>(unit::f32);
  add_threads<bfloat16>(unit::bf16);
}

}  // namespace halfway_bench
