// SPDX-License-Identifier: Apache-2.0
// The tensors of a file, whichever kind it is of; one is in memory at a time.
#ifndef HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_SOURCE_H_
#define HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_SOURCE_H_

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "halfway/io/safetensors_header.h"
#include "halfway/types/dtype.h"

namespace conversion {

class source {
 public:
  virtual ~source() = default;

  virtual const std::vector<halfway::tensor_info>& tensors() const = 0;
  virtual const std::map<std::string, std::string, std::less<>>& metadata() const = 0;
  // As they are, row after row.
  virtual std::vector<std::byte> bytes(const halfway::tensor_info& t) const = 0;
  // Exact: of every float type but F64.
  virtual std::vector<float> floats(const halfway::tensor_info& t) const = 0;
  virtual std::vector<double> doubles(const halfway::tensor_info& t) const = 0;  // of F64
};

// *.npy (with one tensor, called as the file), *.json (the index of a checkpoint in several files), or
// safetensors. Errors: the readers'.
std::unique_ptr<source> open_source(const std::string& path,
                                    std::optional<halfway::dtype> void_type);

}  // namespace conversion

#endif  // HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_SOURCE_H_
