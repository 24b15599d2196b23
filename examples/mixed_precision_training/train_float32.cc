// SPDX-License-Identifier: Apache-2.0
#include "training-inl.h"

namespace demo {

template class network<float>;
template run_result train_in<float>(const run_settings&, const training_settings&,
                                    const fashion_mnist&, progress&);

std::string simd_target() { return halfway::simd_target_name(); }

}  // namespace demo
