// SPDX-License-Identifier: Apache-2.0
// What one core does at most: arithmetic from register to register, and bytes from each cache.
#ifndef HALFWAY_EXAMPLES_HALFWAY_INFO_MEASUREMENT_H_
#define HALFWAY_EXAMPLES_HALFWAY_INFO_MEASUREMENT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "formats.h"
#include "machine.h"

namespace info {

// In 1e9 operations a second, of which a multiply-add is two; the instruction that products of the
// format are made of.
struct arithmetic_ceiling {
  std::string
      name;  // "f32", "f16", "bf16", "int8"; "bf16_dot": an instruction that no product uses
  double gflops = 0;
  std::string instruction;
};

// In 1e9 bytes a second.
struct bandwidth {
  std::string level;      // "L1", "L2", "L3", "memory"
  std::size_t bytes = 0;  // read again and again
  double read = 0;
  double copy = 0;  // read plus written, of as many bytes in all
  // Of memory: whether so many bytes are known to be more than the largest cache. If not, it may help.
  bool exceeds_caches = true;
};

struct measurement {
  std::vector<arithmetic_ceiling> arithmetic;
  std::vector<bandwidth> bandwidths;
};

// Takes below two seconds.
measurement measure(const machine& m, const target_facts& t);

}  // namespace info

#endif  // HALFWAY_EXAMPLES_HALFWAY_INFO_MEASUREMENT_H_
