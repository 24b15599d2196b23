// SPDX-License-Identifier: Apache-2.0
// Which tensor goes to which format.
#ifndef HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_RULES_H_
#define HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_RULES_H_

#include <regex.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "halfway/types/dtype.h"

namespace conversion {

enum class scheme {
  plain,  // each value rounded to the type
  int8,   // one scale for the tensor, symmetric
  int4,   // a scale for 32 values of a row
  mx,     // OCP microscaling: a power of two for 32 values of a row
};

struct target {
  scheme how = scheme::plain;
  halfway::dtype type = halfway::dtype::float32;  // of the codes
  std::string name;                               // "bfloat16", "mxfp4"
};

// "bf16", "float8_e5m2", ...; "int8", "int4", "mxfp8", "mxfp4"; none for "keep". Error: others.
std::optional<target> parse_target(std::string_view text);

class rules {
 public:
  // Each "regular expression=target", POSIX extended, which has to match the whole name; the first that
  // matches counts. Error: not that.
  explicit rules(const std::vector<std::string>& texts);

  struct rule {
    std::shared_ptr<regex_t> pattern;
    std::optional<target> to;
  };
  // Null if none matches.
  const rule* find(const std::string& tensor) const;

 private:
  std::vector<rule> rules_;
};

}  // namespace conversion

#endif  // HALFWAY_EXAMPLES_CONVERT_CHECKPOINT_RULES_H_
