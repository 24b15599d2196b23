// SPDX-License-Identifier: Apache-2.0
// Logits against the right choices: whether the candidate is wrong more often than it may be.
#ifndef HALFWAY_EXAMPLES_VALIDATE_PRECISION_ACCURACY_H_
#define HALFWAY_EXAMPLES_VALIDATE_PRECISION_ACCURACY_H_

#include <string>

#include "halfway/core/matrix.h"
#include "validation.h"

namespace validate {

// Row by row until halfway::canary is sure; met only if it is proven that the candidate's share of
// mistakes is at most the rule's accuracy_drop above the baseline's. A row with NaN is a mistake.
//
// `data` holds a tensor `name` of integers: each row's right choice. Errors (std::exception): no such
// tensor, not one for each row, another type than I64, I32 or U8, a choice that there is not.
verdict judge_accuracy(const std::string& name, const halfway::matrix<float>& baseline,
                       const halfway::matrix<float>& candidate,
                       const halfway::safetensors_file& data, const tensor_rule& rule);

}  // namespace validate

#endif  // HALFWAY_EXAMPLES_VALIDATE_PRECISION_ACCURACY_H_
