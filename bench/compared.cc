// SPDX-License-Identifier: Apache-2.0
#include "compared.h"

#include <exception>

namespace halfway_bench {

void add_compared(bench_case c, std::function<problem()> make,
                  std::function<solution(const problem&)> own) {
  c.prepare = [make = std::move(make), own = std::move(own)] {
    const problem p = make();
    const reference expected(p);
    std::vector<contender> all;
    const auto add = [&](const std::string& name, solution s) {
      if (s.run) all.push_back({name, s.run, expected.check(s)});
    };
    add("halfway", own(p));
    for (const peer& each : all_peers()) {
      try {
        add(each.name, each.make(p));
      } catch (const std::exception& e) {
        all.push_back({each.name, {}, e.what()});
      }
    }
    return all;
  };
  register_case(std::move(c));
}

}  // namespace halfway_bench
