// SPDX-License-Identifier: Apache-2.0
// Norms, attention and the logarithm of softmax as a program computes them that takes half for every
// variable: what not to do. Each step is rounded to half, sums too.
#ifndef HALFWAY_EXAMPLES_PRECISION_SEARCH_HALF_OPERATIONS_H_
#define HALFWAY_EXAMPLES_PRECISION_SEARCH_HALF_OPERATIONS_H_

#include <cstddef>
#include <span>

#include "halfway/core/matrix.h"

namespace language {

using floats = halfway::matrix_view<const float>;

void layernorm_by_half(floats x, floats gamma, floats beta, float epsilon,
                       halfway::matrix_view<float> y);
// Causal, of sequences of `sequence` rows.
void attention_by_half(floats query, floats key, floats value, std::size_t heads,
                       std::size_t sequence, halfway::matrix_view<float> y);
void log_of_softmax_by_half(floats x, halfway::matrix_view<float> y);

}  // namespace language

#endif  // HALFWAY_EXAMPLES_PRECISION_SEARCH_HALF_OPERATIONS_H_
