// SPDX-License-Identifier: Apache-2.0
#include "training-inl.h"

namespace demo {

template class network<halfway::half>;
template run_result train_in<halfway::half>(const run_settings&, const training_settings&,
                                            const fashion_mnist&, progress&);

}  // namespace demo
