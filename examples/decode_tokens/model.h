// SPDX-License-Identifier: Apache-2.0
// A small language model of today's build: norms by root mean square, rotary positions, no more.
// Its sizes, and its weights by name as a checkpoint has them; training.h makes them.
#ifndef HALFWAY_EXAMPLES_DECODE_TOKENS_MODEL_H_
#define HALFWAY_EXAMPLES_DECODE_TOKENS_MODEL_H_

#include <cstddef>
#include <map>
#include <string>

#include "data/fortunes.h"
#include "halfway/core/matrix.h"

namespace decoding {

using language::vocabulary;
inline constexpr std::size_t context = 96;  // tokens of a window that it is trained on
inline constexpr std::size_t width = 96;
inline constexpr std::size_t heads = 4;
inline constexpr std::size_t head_size = width / heads;
inline constexpr std::size_t blocks = 2;

inline std::string block_name(std::size_t block) { return "block" + std::to_string(block) + "."; }

// tokens.weight (vocabulary x width); for each block norm1, qkv, out, norm2, fc1, fc2; then norm
// and head. Norms have .weight (1 x width), the others .weight (inputs x outputs) and .bias (1 x
// outputs).
using weights = std::map<std::string, halfway::matrix<float>>;

}  // namespace decoding

#endif  // HALFWAY_EXAMPLES_DECODE_TOKENS_MODEL_H_
