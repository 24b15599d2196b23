// SPDX-License-Identifier: Apache-2.0
// One tensor in another format.
#ifndef HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_CONVERSION_H_
#define HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_CONVERSION_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "loss.h"
#include "rules.h"
#include "source.h"

namespace conversion {

// What is written of it, as safetensors spells types.
struct part {
  std::string name, type;
  std::vector<std::uint64_t> shape;
  std::vector<std::byte> bytes;
};

struct converted {
  std::vector<part> parts;                      // the tensor itself first
  std::map<std::string, std::string> metadata;  // docs/checkpoints.md has the keys
  tensor_loss loss;
};

// F64 is rounded once, too, but for formats with scales, which are made of F32. Past the largest value a
// plain format has infinity, or what is in its place, unless `saturate`. Errors: not a float; infinities
// or NaN for int8 and int4; an odd number of elements for mxfp4, which puts two in a byte.
converted convert_tensor(const source& from, const halfway::tensor_info& t, const target& to,
                         bool saturate);

// A float type but F8_E8M0, which is for scales.
bool is_convertible(const halfway::tensor_info& t);

}  // namespace conversion

#endif  // HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_CONVERSION_H_
