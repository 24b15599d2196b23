// SPDX-License-Identifier: Apache-2.0
#include "float_engine-inl.h"
#include "halfway/types/half.h"

namespace trade_off {

engine_ptr make_float16(const model& m, std::size_t batch) {
  return make_packed_engine<halfway::half>(m, batch);
}

}  // namespace trade_off
