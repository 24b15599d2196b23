// SPDX-License-Identifier: Apache-2.0
#include "training.h"

#include "halfway/core/error.h"
#include "halfway/precision/autocast.h"

namespace demo {

std::size_t step_count(const training_settings& settings, std::size_t images) {
  return settings.epochs * (images / settings.batch);
}

void check_policy(const halfway::cast_policy& policy) {
  using halfway::dtype;
  const bool trainable = policy.compute == dtype::float32 || policy.compute == dtype::float16 ||
                         policy.compute == dtype::bfloat16;
  if (!trainable || policy.params != dtype::float32 || policy.output != dtype::float32) {
    halfway::fail(halfway::detail::concat(
        "this program trains with params=float32, output=float32 and compute=float32, float16 or "
        "bfloat16, not with ",
        to_string(policy)));
  }
}

run_result train(const run_settings& run, const training_settings& settings,
                 const fashion_mnist& data, progress& display) {
  check_policy(run.policy);
  // The scope decides, here and in whatever the run calls, what type an operation computes in.
  const halfway::autocast scope(run.policy);
  switch (halfway::compute_dtype(halfway::op::linear)) {
    case halfway::dtype::float16:
      return train_in<halfway::half>(run, settings, data, display);
    case halfway::dtype::bfloat16:
      return train_in<halfway::bfloat16>(run, settings, data, display);
    default:
      return train_in<float>(run, settings, data, display);
  }
}

}  // namespace demo
