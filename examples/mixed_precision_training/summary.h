// SPDX-License-Identifier: Apache-2.0
// The experiment as JSON, for other programs to read.
#ifndef HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_SUMMARY_H_
#define HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_SUMMARY_H_

#include <string>

#include "experiment.h"

namespace demo {

// Indented, with a line end. What does not exist (the SQNR of infinite logits, the steps of the
// quantized model) is null.
std::string to_json(const experiment& e);

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_MIXED_PRECISION_TRAINING_SUMMARY_H_
