// SPDX-License-Identifier: Apache-2.0
// A layer of an engine that decides at run time which type to compute in: the place where an engine
// of your own calls the library.
//
//   demo::dense_layer hidden(net.hidden);
//   const halfway::matrix<float> y = hidden(x, halfway::dtype::bfloat16);
#ifndef HALFWAY_EXAMPLES_CLASSIFIER_DENSE_H_
#define HALFWAY_EXAMPLES_CLASSIFIER_DENSE_H_

#include <vector>

#include "classifier.h"
#include "halfway/core/matrix.h"
#include "halfway/precision/parameter.h"
#include "halfway/types/dtype.h"

namespace demo {

class dense_layer {
 public:
  explicit dense_layer(const dense_weights& from);

  // x * weight + bias, x and weight rounded to `type` (float32, bfloat16 or float16), the sums in
  // FP32. In an autocast scope the weight is rounded once, at the first call. Error: another type.
  halfway::matrix<float> operator()(const halfway::matrix<float>& x, halfway::dtype type) const;

  const halfway::parameter& weight() const { return weight_; }

 private:
  template <class T>
  halfway::matrix<float> run(const halfway::matrix<float>& x) const;

  halfway::parameter weight_;  // FP32, as trained
  std::vector<float> bias_;
};

// max(x, 0), in place.
void relu(halfway::matrix<float>& x);

}  // namespace demo

#endif  // HALFWAY_EXAMPLES_CLASSIFIER_DENSE_H_
