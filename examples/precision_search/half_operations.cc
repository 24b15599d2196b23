// SPDX-License-Identifier: Apache-2.0
#include "half_operations.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "halfway/types/half.h"

namespace language {

namespace {

using halfway::half;

half exp_of(half x) { return half(std::exp(static_cast<float>(x))); }

// Less the largest, as everyone knows to do; the sum is half's.
void softmax_row(std::span<half> x) {
  const half largest = *std::ranges::max_element(x);
  half sum(0);
  for (half& e : x) {
    e = exp_of(e - largest);
    sum += e;
  }
  for (half& e : x) e /= sum;
}

}  // namespace

void layernorm_by_half(floats x, floats gamma, floats beta, float epsilon,
                       halfway::matrix_view<float> y) {
  std::vector<half> row(x.cols());
  const half cols(static_cast<float>(x.cols()));
  for (std::size_t i = 0; i < x.rows(); ++i) {
    half sum(0), squares(0);
    for (std::size_t j = 0; j < row.size(); ++j) sum += row[j] = half(x(i, j));
    const half mean = sum / cols;
    for (half& e : row) {
      e -= mean;
      squares += e * e;  // infinite from 65520 on
    }
    const half deviation(std::sqrt(static_cast<float>(squares / cols + half(epsilon))));
    for (std::size_t j = 0; j < row.size(); ++j)
      y(i, j) = row[j] / deviation * half(gamma(0, j)) + half(beta(0, j));
  }
}

void attention_by_half(floats query, floats key, floats value, std::size_t heads,
                       std::size_t sequence, halfway::matrix_view<float> y) {
  const std::size_t size = query.cols() / heads;
  const half scale(1 / std::sqrt(static_cast<float>(size)));
  std::vector<half> scores;
  for (std::size_t i = 0; i < query.rows(); ++i) {
    const std::size_t first = i / sequence * sequence;
    for (std::size_t begin = 0; begin < query.cols(); begin += size) {
      scores.assign(i - first + 1, half(0));
      for (std::size_t s = 0; s < scores.size(); ++s) {
        for (std::size_t j = begin; j < begin + size; ++j)
          scores[s] += half(query(i, j)) * half(key(first + s, j));
        scores[s] *= scale;
      }
      softmax_row(scores);
      for (std::size_t j = begin; j < begin + size; ++j) {
        half sum(0);
        for (std::size_t s = 0; s < scores.size(); ++s)
          sum += scores[s] * half(value(first + s, j));
        y(i, j) = sum;
      }
    }
  }
}

void log_of_softmax_by_half(floats x, halfway::matrix_view<float> y) {
  std::vector<half> row(x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = half(x(i, j));
    softmax_row(row);
    // Below 2^-25 a probability is zero, and its logarithm -infinity.
    for (std::size_t j = 0; j < row.size(); ++j)
      y(i, j) = half(std::log(static_cast<float>(row[j])));
  }
}

}  // namespace language
