// SPDX-License-Identifier: Apache-2.0
// The search for the cheapest types of the transformer's products and attention.
#ifndef HALFWAY_EXAMPLES_PRECISION_SEARCH_SEARCHING_H_
#define HALFWAY_EXAMPLES_PRECISION_SEARCH_SEARCHING_H_

#include <cstddef>
#include <span>

#include "halfway/precision/assignment.h"
#include "halfway/precision/search.h"
#include "data/fortunes.h"

namespace language {

struct found_types {
  halfway::search_result result;
  halfway::precision_assignment assignment;  // of result.best()
  double seconds = 0;                        // that the search took
};

// `calibration`: text apart from what the result is judged by. `turns`: to time each assignment.
found_types search_types(std::span<const float> parameters, std::span<const windows> calibration,
                         const halfway::search_options& options, int turns);

}  // namespace language

#endif  // HALFWAY_EXAMPLES_PRECISION_SEARCH_SEARCHING_H_
