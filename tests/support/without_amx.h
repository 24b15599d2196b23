// SPDX-License-Identifier: Apache-2.0
// While an object lives, products take the way of CPUs without AMX.
#ifndef HALFWAY_TESTS_SUPPORT_WITHOUT_AMX_H_
#define HALFWAY_TESTS_SUPPORT_WITHOUT_AMX_H_

#include "halfway/simd/cpu.h"

namespace halfway::testing {

class without_amx {
 public:
  without_amx() : was_wanted_(detail::amx_is_wanted.exchange(false)) {}
  without_amx(const without_amx&) = delete;
  without_amx& operator=(const without_amx&) = delete;
  ~without_amx() { detail::amx_is_wanted = was_wanted_; }

 private:
  bool was_wanted_;
};

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_WITHOUT_AMX_H_
