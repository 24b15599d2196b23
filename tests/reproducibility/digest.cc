// SPDX-License-Identifier: Apache-2.0
// Prints a digest of the bits that each operation gives: the same line on every CPU.
//
//   digest                     lines "<case> <digest>" on the best target of this CPU
//   digest <expected file>     compares on every target compiled in that this CPU can run; exit status
//                              1 names the cases that differ
//
// The data are made of integers and powers of two, so that they too are the same everywhere.
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <map>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "digest.h"
#include "halfway/halfway.h"

namespace {

using halfway::bfloat16;
using halfway::half;
using halfway::matrix;

// Lengths around vectors, virtual vectors and blocks of them.
constexpr std::size_t lengths[] = {1, 7, 33, 64, 100, 1000, 5000};

// One digest of what `run(x, y, d)` adds for all lengths; y has the shape of x.
template <class T, class Run>
void add_rows_case(digests& all, const std::string& op, const Run& run) {
  digest d;
  for (const std::size_t n : lengths) {
    const matrix<T> x = random_matrix<T>(3, n, n);
    matrix<T> y(3, n);
    run(x, y, d);
  }
  all[op + "/" + std::string(type_name<T>())] = d.text();
}

// The operations with kernels of their own for each storage type.
template <class T>
void add_row_operations(digests& all, halfway::executor_ref on) {
  const auto gamma = random_matrix<float>(1, 5000, 1000);
  const auto add = [&](const char* op, const auto& run) { add_rows_case<T>(all, op, run); };
  add("sum", [&](const auto& x, auto&, digest& d) { d.add(halfway::sum(x.elements(), on)); });
  add("dot", [&](const auto& x, auto& y, digest& d) {
    d.add(halfway::dot(x.elements(), y.elements(), on));
  });
  add("softmax", [&](const auto& x, auto& y, digest& d) {
    halfway::softmax(x, y, on);
    d.add_all(y.elements());
  });
  add("layernorm", [&](const auto& x, auto& y, digest& d) {
    const auto parameters = gamma.elements().first(x.cols());
    halfway::layernorm(x, parameters, parameters, y, 1e-5f, on);
    d.add_all(y.elements());
  });
  add("silu", [&](const auto& x, auto& y, digest& d) {
    halfway::silu(x.elements(), y.elements(), on);
    d.add_all(y.elements());
  });
}

// The others, which differ between storage types only in how these are read and written.
void add_float_operations(digests& all, halfway::executor_ref on) {
  const auto gamma = random_matrix<float>(1, 5000, 1000);
  const auto add = [&](const char* op, const auto& run) { add_rows_case<float>(all, op, run); };
  using row_matrix = matrix<float>;

  add("reductions", [&](const row_matrix& x, row_matrix&, digest& d) {
    d.add(halfway::sum_of_squares(x.elements(), on));
    d.add(halfway::max(x.elements(), on));
    const auto moments = halfway::mean_variance(x.elements());
    d.add(moments.mean);
    d.add(moments.variance);
    std::vector<float> sums(x.cols());
    halfway::column_sums(x, sums, on);
    d.add_all(sums);
  });
  add("log_softmax", [&](const row_matrix& x, row_matrix& y, digest& d) {
    halfway::log_softmax(x, y, on);
    d.add_all(y.elements());
  });
  add("softmax_cross_entropy", [&](const row_matrix& x, row_matrix& y, digest& d) {
    const std::vector<std::int32_t> labels(3, static_cast<std::int32_t>(x.cols() / 2));
    d.add(halfway::softmax_cross_entropy(x, labels, y, 7.0f));
    d.add_all(y.elements());
  });
  add("rmsnorm", [&](const row_matrix& x, row_matrix& y, digest& d) {
    halfway::rmsnorm(x, gamma.elements().first(x.cols()), y, 1e-5f, on);
    d.add_all(y.elements());
  });
  add("norms_backward", [&](const row_matrix& x, row_matrix& y, digest& d) {
    std::vector<float> dgamma(x.cols()), dbeta(x.cols());
    const auto parameters = gamma.elements().first(x.cols());
    halfway::layernorm_backward(x, parameters, random_matrix<float>(3, x.cols(), 6), y, dgamma,
                                dbeta);
    d.add_all(y.elements());
    d.add_all(dgamma);
    d.add_all(dbeta);
    halfway::rmsnorm_backward(x, parameters, random_matrix<float>(3, x.cols(), 6), y, dgamma);
    d.add_all(y.elements());
    d.add_all(dgamma);
  });

  // Each activation with its derivative.
  const auto activation = [&](const char* op, const auto& forward, const auto& backward) {
    add(op, [&](const row_matrix& x, row_matrix& y, digest& d) {
      const matrix<float> dy = random_matrix<float>(3, x.cols(), 6);
      forward(x.elements(), y.elements());
      d.add_all(y.elements());
      backward(x.elements(), dy.elements(), y.elements());
      d.add_all(y.elements());
    });
  };
  using in = std::span<const float>;
  using out = std::span<float>;
  activation(
      "gelu", [](in x, out y) { halfway::gelu(x, y); },
      [](in x, in dy, out dx) { halfway::gelu_backward(x, dy, dx); });
  activation(
      "gelu_tanh", [](in x, out y) { halfway::gelu_tanh(x, y); },
      [](in x, in dy, out dx) { halfway::gelu_tanh_backward(x, dy, dx); });
  activation(
      "silu_backward", [](in x, out y) { halfway::silu(x, y); },
      [](in x, in dy, out dx) { halfway::silu_backward(x, dy, dx); });
  activation(
      "tanh", [](in x, out y) { halfway::tanh(x, y); },
      [](in x, in dy, out dx) { halfway::tanh_backward(x, dy, dx); });
  activation(
      "softplus_backward", [](in x, out y) { halfway::softplus(x, y); },
      [](in x, in dy, out dx) { halfway::softplus_backward(x, dy, dx); });
  activation(
      "sigmoid", [](in x, out y) { halfway::sigmoid(x, y); },
      [](in x, in dy, out dx) { halfway::sigmoid_backward(x, dy, dx); });
}

// Gradients, dropout, and rows and windows of which elements are chosen.
void add_gradients(digests& all, halfway::executor_ref on) {
  const auto add = [&](const char* op, const auto& run) { add_rows_case<half>(all, op, run); };
  add("softmax_backward", [&](const auto& x, auto& y, digest& d) {
    const auto dy = random_matrix<float>(3, x.cols(), 6);
    halfway::softmax_backward(x, dy, y, 0.125f, on);
    d.add_all(y.elements());
    halfway::log_softmax_backward(x, dy, y, on);
    d.add_all(y.elements());
  });
  add("dropout", [&](const auto& x, auto& y, digest& d) {
    halfway::dropout(x.elements(), y.elements(), {.probability = 0.3f, .seed = 7, .first = 5}, on);
    d.add_all(y.elements());
  });
  add("embedding_backward", [&](const auto& x, auto&, digest& d) {
    matrix<float> table(4, x.cols());
    halfway::embedding_backward(std::vector<std::int32_t>{2, 0, 2}, x, table.view(),
                                halfway::no_index, on);
    d.add_all(table.elements());
  });
  add("windows", [&](const auto& x, auto&, digest& d) {
    const halfway::image_shape shape{1, 3, 1, x.cols()};
    const halfway::window_2d window{.kernel = {2, 1}, .padding = {1, 0}};
    const std::size_t n = halfway::window_output(shape, window).size();
    std::vector<half> y(n), dx(x.size());
    const auto dy = random_matrix<half>(1, n, 6);
    halfway::max_pool(x.elements(), shape, window, y, on);
    d.add_all(y);
    halfway::max_pool_backward(x.elements(), dy.elements(), shape, window, dx, on);
    d.add_all(dx);
    halfway::average_pool(x.elements(), shape, window, y, halfway::pool_count::inside, on);
    d.add_all(y);
    halfway::average_pool_backward(dy.elements(), shape, window, dx, halfway::pool_count::inside,
                                   on);
    d.add_all(dx);
    const auto cols = random_matrix<half>(4, 2 * x.cols(), 8);
    halfway::col2im(cols, shape, window, dx, on);
    d.add_all(dx);
  });
}

// Longer than the parts in which threads share a reduction.
void add_long_reductions(digests& all, halfway::executor_ref on) {
  const matrix<float> x = random_matrix<float>(1, 700'001, 9),
                      y = random_matrix<float>(1, 700'001, 10);
  const auto add = [&](const char* op, double value) {
    digest d;
    d.add(std::bit_cast<std::uint64_t>(value));
    all[std::string("long/") + op] = d.text();
  };
  add("sum", halfway::sum(x.elements(), on));
  add("dot", halfway::dot(x.elements(), y.elements(), on));
  add("sum_pairwise", halfway::sum_pairwise(x.elements(), on));
  add("dot_pairwise", halfway::dot_pairwise(x.elements(), y.elements(), on));
  add("sum_compensated", halfway::sum_compensated(x.elements(), on));
  add("dot_compensated", halfway::dot_compensated(x.elements(), y.elements(), on));
  halfway::moments_accumulator moments;
  moments.add(x.elements(), on);
  moments.add(y.elements(), on);
  add("mean", moments.mean());
  add("variance", moments.variance());
}

void add_elementary_functions(digests& all, halfway::executor_ref on) {
  const auto add = [&](const char* op, const auto& run) {
    add_rows_case<float>(all, op, [&](const matrix<float>& x, matrix<float>& y, digest& d) {
      run(x.elements(), y.elements());
      d.add_all(y.elements());
    });
  };
  using in = std::span<const float>;
  using out = std::span<float>;
  add("exp", [&](in x, out y) { halfway::exp(x, y, on); });
  add("exp2", [&](in x, out y) { halfway::exp2(x, y, on); });
  add("log", [&](in x, out y) { halfway::log(x, y, on); });
  add("log2", [&](in x, out y) { halfway::log2(x, y, on); });
  add("erf", [&](in x, out y) { halfway::erf(x, y, on); });
  add("softplus", [&](in x, out y) { halfway::softplus(x, y, on); });
  add("rsqrt", [&](in x, out y) { halfway::rsqrt(x, y, on); });
  add("reciprocal", [&](in x, out y) { halfway::reciprocal(x, y, on); });
  add("sqrt", [&](in x, out y) { halfway::sqrt(x, y, on); });
  add("sin", [&](in x, out y) { halfway::sin(x, y, on); });
  add("cos", [&](in x, out y) { halfway::cos(x, y, on); });
}

template <class To>
void add_conversions(digests& all) {
  digest d;
  for (const std::size_t n : lengths) {
    const matrix<float> x = random_matrix<float>(3, n, n);
    matrix<To> y(3, n);
    matrix<float> back(3, n);
    halfway::convert(x, y);
    halfway::convert(y, back);
    d.add_all(back.elements());
    halfway::convert_saturating(x, y);
    halfway::convert(y, back);
    d.add_all(back.elements());
    halfway::convert(x, y, halfway::round_stochastically{7, 1000});
    halfway::convert(y, back);
    d.add_all(back.elements());
  }
  all["convert/" + std::string(type_name<To>())] = d.text();
}

// All ways of cutting and packing the same product.
template <class TA, class TB, class TC>
void add_product(digests& all, halfway::executor_ref on) {
  digest d;
  const std::size_t shapes[][3] = {{1, 130, 1100}, {5, 64, 33}, {17, 70, 301}, {70, 100, 2100}};
  for (const auto& [m, n, k] : shapes) {
    const matrix<TA> a = random_matrix<TA>(m, k, k);
    const matrix<TB> b = random_matrix<TB>(k, n, k + 1);
    const halfway::packed_matrix packed(b);
    matrix<TC> c(m, n), of_packed(m, n);
    if constexpr (std::is_integral_v<TA>) {
      halfway::gemm(a, b, c, on);
      halfway::gemm(a, packed, of_packed, on);
    } else {
      const matrix<float> bias = random_matrix<float>(1, n, 8);
      const halfway::gemm_options options{
          .alpha = 0.3f, .bias = bias.elements(), .reproducible = true};
      halfway::gemm(a, b, c, options, on);
      halfway::gemm(a, packed, of_packed, options, on);
    }
    d.add_all(c.elements());
    d.add_all(of_packed.elements());
  }
  all["gemm/" + std::string(type_name<TA>()) + "," + std::string(type_name<TB>())] = d.text();
}

digests of_everything(halfway::executor_ref on) {
  digests all;
  add_row_operations<float>(all, on);
  add_row_operations<bfloat16>(all, on);
  add_float_operations(all, on);
  add_gradients(all, on);
  add_long_reductions(all, on);
  add_elementary_functions(all, on);
  add_conversions<half>(all);
  add_conversions<bfloat16>(all);
  add_conversions<halfway::float8_e4m3fn>(all);
  add_conversions<halfway::float4_e2m1fn>(all);
  add_product<float, float, float>(all, on);
  add_product<bfloat16, bfloat16, bfloat16>(all, on);
  add_product<std::uint8_t, std::int8_t, std::int32_t>(all, on);
  return all;
}

// How many cases differ from what is expected.
int compare(const digests& got, const digests& expected, const std::string& where) {
  int different = 0;
  for (const auto& [name, value] : expected) {
    const auto found = got.find(name);
    const std::string here = found == got.end() ? "no such case" : found->second;
    if (here != value) {
      std::cerr << where << ": " << name << " is " << here << ", expected " << value << "\n";
      ++different;
    }
  }
  for (const auto& [name, value] : got) {
    if (!expected.contains(name)) {
      std::cerr << where << ": " << name << " is not expected\n";
      ++different;
    }
  }
  return different;
}

// With one thread and with three.
int compare_here(const digests& expected) {
  const std::string target = halfway::simd_target_name();
  halfway::thread_pool pool(3);
  const int different = compare(of_everything({}), expected, target) +
                        compare(of_everything(pool), expected, target + ", 3 threads");
  std::cout << target << ": " << expected.size() << " digests, " << different << " differ\n";
  return different;
}

int compare_on_every_target(const digests& expected) {
#if defined(HALFWAY_STATIC_DISPATCH)
  return compare_here(expected);
#else
  int different = 0;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    different += compare_here(expected);
  }
  return different;
#endif
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 1) {
    for (const auto& [name, value] : of_everything({})) std::cout << name << " " << value << "\n";
    return 0;
  }
  std::ifstream file(argv[1]);
  digests expected;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name, value;
    if (words >> name >> value) expected[name] = value;
  }
  if (expected.empty()) {
    std::cerr << "digest: no digests in " << argv[1] << "\n";
    return 2;
  }
  return compare_on_every_target(expected) == 0 ? 0 : 1;
}
