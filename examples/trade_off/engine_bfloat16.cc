// SPDX-License-Identifier: Apache-2.0
#include "float_engine-inl.h"
#include "halfway/types/bfloat16.h"

namespace trade_off {

engine_ptr make_bfloat16(const model& m, std::size_t batch) {
  return make_packed_engine<halfway::bfloat16>(m, batch);
}

}  // namespace trade_off
