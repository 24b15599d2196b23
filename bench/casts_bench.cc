// SPDX-License-Identifier: Apache-2.0
// cast/<from>_<to>/n: against a copy of as many bytes.
#include <cstddef>

#include "benches.h"
#include "compared.h"
#include "halfway/ops/convert.h"

namespace halfway_bench {
namespace {

template <class From, class To>
void add_cast() {
  for (std::size_t n :
       {std::size_t{1} << 14, std::size_t{1} << 17, std::size_t{1} << 20, std::size_t{1} << 24}) {
    const double elements = static_cast<double>(n);
    add_compared(
        copying(name("cast/", short_name<From>(), "_", short_name<To>(), "/n:", n), elements,
                elements * (sizeof(From) + sizeof(To))),
        [n] { return make_problem(operation::cast, element_of<From>(), element_of<To>(), 1, n); },
        own_rows<From, To>(
            [](const auto& x, auto& y) { halfway::convert(x.elements(), y.elements()); }));
  }
}

template <class T>
void add_both_ways() {
  add_cast<float, T>();
  add_cast<T, float>();
}

}  // namespace

void register_casts() {
  add_both_ways<halfway::bfloat16>();
  add_both_ways<halfway::half>();
  add_both_ways<halfway::float8_e4m3fn>();
  add_both_ways<halfway::float8_e5m2>();
  add_cast<halfway::half, halfway::bfloat16>();
}

}  // namespace halfway_bench
