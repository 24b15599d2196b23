// SPDX-License-Identifier: Apache-2.0
#include "training-inl.h"

namespace demo {

template class network<halfway::bfloat16>;
template run_result train_in<halfway::bfloat16>(const run_settings&, const training_settings&,
                                                const fashion_mnist&, progress&);

}  // namespace demo
