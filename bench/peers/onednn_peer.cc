// SPDX-License-Identifier: Apache-2.0
// oneDNN, version 2.6 or later: whatever its CPU primitives take.
#include <dlfcn.h>

#include <algorithm>
#include <dnnl.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include "peer.h"

namespace halfway_bench {
namespace {

using dnnl::memory;
using type = memory::data_type;
using tag = memory::format_tag;
constexpr auto inference = dnnl::prop_kind::forward_inference;

const dnnl::engine& cpu() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

// Version 3 has done away with descriptors of operations.
template <class Primitive, class... Args>
auto describe(const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(cpu(), args...);
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(args...), cpu());
#endif
}

// nothing where this version lacks the type
std::optional<type> type_of(element e) {
  switch (e) {
    case element::f32:
      return type::f32;
    case element::bf16:
      return type::bf16;
    case element::f16:
      return type::f16;
    case element::u8:
      return type::u8;
    case element::s8:
      return type::s8;
    case element::s32:
      return type::s32;
#if DNNL_VERSION_MAJOR > 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 5)
    case element::e4m3:
      return type::f8_e4m3;
    case element::e5m2:
      return type::f8_e5m2;
#endif
    default:
      return std::nullopt;
  }
}

void reorder(memory& from, memory& to) {
  dnnl::stream stream(cpu());
  dnnl::reorder(from, to).execute(stream, from, to);
  stream.wait();
}

// `values` in the type and layout of `to`.
memory load(const std::vector<float>& values, const memory::dims& dims, const memory::desc& to) {
  memory floats({dims, type::f32, tag::ab}, cpu(), const_cast<float*>(values.data()));
  memory loaded(to, cpu());
  reorder(floats, loaded);
  return loaded;
}

using arguments = std::unordered_map<int, memory>;

solution solve(const dnnl::primitive& primitive, const arguments& args, element to) {
  const memory result = args.at(DNNL_ARG_DST);
  return {[primitive, args, stream = dnnl::stream(cpu())]() mutable {
            primitive.execute(stream, args);
            stream.wait();
          },
          [result, to](std::size_t i) { return element_at(to, result.get_data_handle(), i); }};
}

memory::dims dims(std::size_t rows, std::size_t cols) {
  return {static_cast<memory::dim>(rows), static_cast<memory::dim>(cols)};
}

solution product(const problem& p, type from, type weights, type to) {
  const memory::dims x_dims = dims(p.rows, p.depth), w_dims = dims(p.depth, p.cols);
  const memory::desc x_layout(x_dims, from, tag::ab), y_layout(dims(p.rows, p.cols), to, tag::ab);
  // `any`: the layout that the kernel likes best.
  const memory::desc w_layout(w_dims, weights,
                              p.what == operation::gemm_packed ? tag::any : tag::ab);
  const auto d = describe<dnnl::matmul>(x_layout, w_layout, y_layout);
  return solve(dnnl::matmul(d),
               {{DNNL_ARG_SRC, load(p.x, x_dims, x_layout)},
                {DNNL_ARG_WEIGHTS, load(p.w, w_dims, d.weights_desc())},
                {DNNL_ARG_DST, memory(y_layout, cpu())}},
               p.to);
}

// x and y of the same layout.
arguments rows_of(const problem& p, const memory::desc& layout) {
  return {{DNNL_ARG_SRC, load(p.x, dims(p.rows, p.cols), layout)},
          {DNNL_ARG_DST, memory(layout, cpu())}};
}

solution softmax(const problem& p, const memory::desc& layout) {
#if DNNL_VERSION_MAJOR >= 3
  using softmax_forward = dnnl::softmax_forward;
#else
  using softmax_forward = dnnl::softmax_v2_forward;
#endif
  const auto algorithm = p.what == operation::softmax ? dnnl::algorithm::softmax_accurate
                                                      : dnnl::algorithm::softmax_log;
  const auto d = describe<softmax_forward>(inference, algorithm, layout, layout, 1);
  solution s = solve(softmax_forward(d), rows_of(p, layout), p.to);
  s.roundings = 2;  // version 2.6 keeps what is between its passes in the result
  return s;
}

solution elementwise(const problem& p, const memory::desc& layout, dnnl::algorithm algorithm,
                     float alpha) {
#if DNNL_VERSION_MAJOR >= 3
  const auto d = describe<dnnl::eltwise_forward>(inference, algorithm, layout, layout, alpha, 0.0f);
#else
  const auto d = describe<dnnl::eltwise_forward>(inference, algorithm, layout, alpha, 0.0f);
#endif
  return solve(dnnl::eltwise_forward(d), rows_of(p, layout), p.to);
}

memory repeated(float value, std::size_t n) {
  memory m({{static_cast<memory::dim>(n)}, type::f32, tag::a}, cpu());
  std::fill_n(static_cast<float*>(m.get_data_handle()), n, value);
  return m;
}

solution norm(const problem& p, const memory::desc& layout) {
  using flags = dnnl::normalization_flags;
  flags which = flags::use_scale | flags::use_shift;
  if (p.what == operation::rmsnorm) {
#if DNNL_VERSION_MAJOR > 3 || (DNNL_VERSION_MAJOR == 3 && DNNL_VERSION_MINOR >= 6)
    which = flags::use_scale | flags::rms_norm;
#else
    return {};
#endif
  }
#if DNNL_VERSION_MAJOR >= 3
  const auto d =
      describe<dnnl::layer_normalization_forward>(inference, layout, layout, norm_epsilon, which);
#else
  const auto d =
      describe<dnnl::layer_normalization_forward>(inference, layout, norm_epsilon, which);
#endif
  arguments args = rows_of(p, layout);
  args.emplace(DNNL_ARG_SCALE, repeated(norm_gamma, p.cols));
  if (p.what == operation::layernorm) args.emplace(DNNL_ARG_SHIFT, repeated(norm_beta, p.cols));
  return solve(dnnl::layer_normalization_forward(d), args, p.to);
}

solution cast(const problem& p, const memory::desc& from, const memory::desc& to) {
  const arguments args = {{DNNL_ARG_FROM, load(p.x, dims(p.rows, p.cols), from)},
                          {DNNL_ARG_TO, memory(to, cpu())}};
  return solve(dnnl::reorder(args.at(DNNL_ARG_FROM), args.at(DNNL_ARG_TO)), args, p.to);
}

solution make_known(const problem& p, type from, type weights, type to) {
  const memory::dims shape = dims(p.rows, p.cols);
  const memory::desc layout(shape, from, tag::ab);
  switch (p.what) {
    case operation::gemm:
    case operation::gemm_packed:
      return product(p, from, weights, to);
    case operation::softmax:
    case operation::log_softmax:
      return softmax(p, layout);
    case operation::layernorm:
    case operation::rmsnorm:
      return norm(p, layout);
    case operation::gelu:
      return elementwise(p, layout, dnnl::algorithm::eltwise_gelu_erf, 0.0f);
    case operation::gelu_tanh:
      return elementwise(p, layout, dnnl::algorithm::eltwise_gelu_tanh, 0.0f);
    case operation::silu:
      return elementwise(p, layout, dnnl::algorithm::eltwise_swish, 1.0f);
    case operation::cast:
      return cast(p, layout, memory::desc(shape, to, tag::ab));
    default:
      return {};
  }
}

solution make(const problem& p) {
  const std::optional<type> from = type_of(p.from), weights = type_of(p.weights),
                            to = type_of(p.to);
  if (!from || !weights || !to) return {};
  try {
    return make_known(p, *from, *weights, *to);
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_unimplemented) return {};
    throw;
  }
}

// oneDNN brings its own OpenMP runtime, which need not be that of the compiler at work here.
void use_one_openmp_thread() {
  const auto set = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "omp_set_num_threads"));
  const auto get = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "omp_get_max_threads"));
  if (set != nullptr) set(1);
  if (get != nullptr && get() != 1)
    throw std::runtime_error("oneDNN's OpenMP refuses to work on one thread");
}

}  // namespace

peer onednn_peer() {
  use_one_openmp_thread();
  const dnnl_version_t* v = dnnl_version();
  return {
      "oneDNN",
      std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch),
      make};
}

}  // namespace halfway_bench
