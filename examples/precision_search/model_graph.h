// SPDX-License-Identifier: Apache-2.0
// The trained transformer's forward pass as a graph, whose types are open.
#ifndef HALFWAY_EXAMPLES_PRECISION_SEARCH_MODEL_GRAPH_H_
#define HALFWAY_EXAMPLES_PRECISION_SEARCH_MODEL_GRAPH_H_

#include <cstddef>
#include <string_view>

#include "halfway/precision/graph.h"

namespace language {

// Operations of our own (half_operations.h): what becomes of norms and softmax when a program takes
// 16-bit floats for all its variables.
inline constexpr std::string_view layernorm_in_half = "layernorm_in_half";
inline constexpr std::string_view attention_in_half = "attention_in_half";
inline constexpr std::string_view log_of_softmax_in_half = "log_of_softmax_in_half";

// Input: tokens (rows x 1), `windows` of them one after the other. Parameters: those of model_layout.
// Outputs: head, the logits, and log_probabilities; rows x vocabulary. `in_half`: with the operations
// above in place of the library's.
halfway::graph model_graph(std::size_t windows, bool in_half = false);

}  // namespace language

#endif  // HALFWAY_EXAMPLES_PRECISION_SEARCH_MODEL_GRAPH_H_
