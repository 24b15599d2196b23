// SPDX-License-Identifier: Apache-2.0
// Every optimizer. Each is an update rule (sgd.h, adam.h, lion.h) that works on any storage of the
// weights (weight_storage.h) and reads gradients of any type, in one pass over memory.
//
//   halfway::adam optimizer({.learning_rate = 1e-3});
//   halfway::adam_state state;                         // one for each tensor
//   optimizer.step(state, master, gradient, model);    // model: half, bfloat16, float8_*...
//   optimizer.step(state, master, gradient);           // no copy: the model is float
//   optimizer.step(state, halfway::split_weights{model, low}, gradient16,
//                  {.gradient_factor = scaler.inverse_scale() * clip});
//
// Why more than 16 bits are kept of a weight: a step is often below half an ulp of a 16-bit weight
// and would round away.
#ifndef HALFWAY_TRAINING_OPTIMIZER_H_
#define HALFWAY_TRAINING_OPTIMIZER_H_

#include "halfway/training/adam.h"            // IWYU pragma: export
#include "halfway/training/lion.h"            // IWYU pragma: export
#include "halfway/training/sgd.h"             // IWYU pragma: export
#include "halfway/training/weight_storage.h"  // IWYU pragma: export

#endif  // HALFWAY_TRAINING_OPTIMIZER_H_
