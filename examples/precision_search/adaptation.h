// SPDX-License-Identifier: Apache-2.0
// A stream of text that changes for a while, run with fixed types and with types that adapt.
#ifndef HALFWAY_EXAMPLES_PRECISION_SEARCH_ADAPTATION_H_
#define HALFWAY_EXAMPLES_PRECISION_SEARCH_ADAPTATION_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evaluation.h"
#include "halfway/precision/adaptive.h"
#include "data/fortunes.h"

namespace language {

struct stream_settings {
  std::size_t usual = 16;    // batches of usual text,
  std::size_t shifted = 8;   // then batches with unknown characters,
  std::size_t after = 64;    // then usual ones again
  std::size_t windows = 16;  // a batch
};

// The figures of one part of the stream.
struct stream_part {
  std::string name;
  fidelity fixed;     // FP16 everywhere
  fidelity adaptive;  // FP8, where a layer has it and it does
};

struct stream_result {
  std::vector<stream_part> parts;
  std::vector<halfway::precision_switch> log;
  std::size_t layers = 0;
  std::uint64_t runs = 0, shadow_runs = 0, redone_runs = 0;
  halfway::precision_assignment settled;  // before the shift
};

halfway::adaptive_options adaptation_options();

// `parameters` with what an unknown character brings; see with_loud_unknown. A shifted batch has an
// unknown character in each window. Text from `held_out` from the start, again and again.
stream_result run_stream(std::span<const float> parameters, std::span<const std::int32_t> held_out,
                         const stream_settings& settings);

// The types after the stream's first part.
halfway::precision_assignment settled_types(std::span<const float> parameters,
                                            std::span<const std::int32_t> held_out,
                                            stream_settings settings);

// The parts as a table, then the log.
std::string to_text(const stream_result& r);
std::string to_json(const stream_result& r);

}  // namespace language

#endif  // HALFWAY_EXAMPLES_PRECISION_SEARCH_ADAPTATION_H_
