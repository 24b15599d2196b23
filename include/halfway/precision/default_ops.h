// SPDX-License-Identifier: Apache-2.0
// The operations of the library and of common models, with the category each has by default and a
// sentence why.
//
//   for (const auto& o : halfway::default_ops) std::cout << o.name << ": " << o.why << '\n';
#ifndef HALFWAY_PRECISION_DEFAULT_OPS_H_
#define HALFWAY_PRECISION_DEFAULT_OPS_H_

#include <array>
#include <ostream>
#include <string_view>

namespace halfway {

/// What autocast does to an operation's inputs under a policy.
enum class op_category {
  lower_precision,  ///< inputs are cast to the policy's compute type
  float32,          ///< inputs are cast to float32
  promote_widest,   ///< inputs are cast to the widest type among them; one input keeps its type
  refused,          ///< an error in low precision, which names the safe alternative; else float32
};

/// Every category, in the order of the enumeration.
inline constexpr std::array<op_category, 4> all_op_categories = {
    op_category::lower_precision, op_category::float32, op_category::promote_widest,
    op_category::refused};

/// The enumerator's name, which parse_precision_choice() reads.
constexpr std::string_view name(op_category category) {
  switch (category) {
    case op_category::lower_precision:
      return "lower_precision";
    case op_category::float32:
      return "float32";
    case op_category::promote_widest:
      return "promote_widest";
    case op_category::refused:
      return "refused";
  }
  return "";
}

/// As name().
inline std::ostream& operator<<(std::ostream& out, op_category category) {
  return out << name(category);
}

/// Names of operations, so that the compiler finds a misspelt one. An operation of the user's is
/// just another name.
namespace op {
// clang-format off
/// The name of one of default_ops, where its category stands and why.
/// @{
inline constexpr std::string_view
    gemm = "gemm", gemm_requantized = "gemm_requantized", matmul = "matmul",
    batch_matmul = "batch_matmul", linear = "linear",
    bilinear = "bilinear", dot = "dot", conv1d = "conv1d", conv2d = "conv2d", conv3d = "conv3d",
    conv_transpose1d = "conv_transpose1d", conv_transpose2d = "conv_transpose2d",
    conv_transpose3d = "conv_transpose3d", attention = "attention", rnn = "rnn", gru = "gru",
    lstm = "lstm", prelu = "prelu",

    softmax = "softmax", log_softmax = "log_softmax", layernorm = "layernorm", rmsnorm = "rmsnorm",
    batchnorm = "batchnorm", groupnorm = "groupnorm", instancenorm = "instancenorm", sum = "sum",
    sum_of_squares = "sum_of_squares", mean_variance = "mean_variance", column_sums = "column_sums",
    norm = "norm", prod = "prod", cumsum = "cumsum", cumprod = "cumprod", trace = "trace",
    cdist = "cdist", cosine_similarity = "cosine_similarity", quantile = "quantile", exp = "exp",
    exp2 = "exp2", expm1 = "expm1", log = "log", log2 = "log2", log10 = "log10", log1p = "log1p",
    logsumexp = "logsumexp", log_sigmoid = "log_sigmoid", sin = "sin", cos = "cos", amax = "amax",
    unscale = "unscale", optimizer_step = "optimizer_step",
    layernorm_backward = "layernorm_backward", rmsnorm_backward = "rmsnorm_backward", pow = "pow", reciprocal = "reciprocal", rsqrt = "rsqrt", softplus = "softplus",
    softmax_cross_entropy = "softmax_cross_entropy", cross_entropy = "cross_entropy",
    nll_loss = "nll_loss", binary_cross_entropy = "binary_cross_entropy",
    binary_cross_entropy_with_logits = "binary_cross_entropy_with_logits", mse_loss = "mse_loss",
    l1_loss = "l1_loss", huber_loss = "huber_loss", kl_div = "kl_div", ctc_loss = "ctc_loss",
    hinge_loss = "hinge_loss", margin_ranking_loss = "margin_ranking_loss",
    triplet_margin_loss = "triplet_margin_loss", cosine_embedding_loss = "cosine_embedding_loss",
    poisson_nll_loss = "poisson_nll_loss", avg_pool3d = "avg_pool3d", max_pool3d = "max_pool3d",
    adaptive_avg_pool3d = "adaptive_avg_pool3d", grid_sample = "grid_sample", fft = "fft",
    stft = "stft", quantize = "quantize", dequantize = "dequantize",
    fake_quantize = "fake_quantize", cholesky = "cholesky", inverse = "inverse",
    solve = "solve", qr = "qr", svd = "svd", eig = "eig", lstsq = "lstsq",

    relu = "relu", leaky_relu = "leaky_relu", gelu = "gelu", gelu_tanh = "gelu_tanh", silu = "silu",
    tanh = "tanh", sigmoid = "sigmoid", dropout = "dropout", embedding = "embedding",
    max_pool2d = "max_pool2d", avg_pool2d = "avg_pool2d", max = "max", min = "min",
    argmax = "argmax", convert = "convert", add = "add", sub = "sub", mul = "mul",
    add_bias = "add_bias", concat = "concat", stack = "stack", index_copy = "index_copy",
    scatter_add = "scatter_add", where = "where", div = "div", neg = "neg", abs = "abs",
    sqrt = "sqrt", erf = "erf", clamp = "clamp", hardswish = "hardswish", elu = "elu",
    rotary_embedding = "rotary_embedding", relu_backward = "relu_backward",
    gelu_backward = "gelu_backward", gelu_tanh_backward = "gelu_tanh_backward",
    silu_backward = "silu_backward", tanh_backward = "tanh_backward",
    sigmoid_backward = "sigmoid_backward", identity = "identity", reshape = "reshape",
    flatten = "flatten", transpose = "transpose", permute = "permute", slice = "slice",
    split = "split", gather = "gather", pad = "pad", index_select = "index_select",
    masked_fill = "masked_fill";
/// @}
// clang-format on
}  // namespace op

/// An operation of the library or of common models, as a new op_table has it.
struct default_op {
  std::string_view name;              ///< one of namespace op
  op_category category;               ///< unless the user sets another one
  std::string_view why;               ///< a sentence, for plans and messages
  std::string_view alternative = {};  ///< refused: what to do instead
};

namespace detail {

inline constexpr std::string_view
    why_product =
        "its terms are exact products of narrow inputs and its sums are kept in FP32, so only the "
        "inputs are rounded",
    why_recurrent = "its cost is in matrix products, whose sums are kept in FP32",
    why_exponential =
        "exp of half overflows beyond 11.09, and a narrow result loses the small probabilities",
    why_norm =
        "squares overflow half from 256 on, and the variance is a small difference of large sums",
    why_sum = "a long sum overflows half at 65504, and bfloat16 stops counting at 256",
    why_product_of_many = "a product of many factors leaves the range of half at once",
    why_steep =
        "its result or its slope is far larger than its input, so rounding of the input shows",
    why_loss = "losses are small differences of sums, and every gradient starts from them",
    why_position = "coordinates need more than the 8 to 11 bits of a narrow significand",
    why_angle =
        "an angle above 256 keeps no fraction of a turn in bfloat16, nor one above 2048 in half",
    why_quantize = "its scale and zero point are chosen for float32 values",
    why_linear_algebra =
        "factorizations amplify the rounding of their inputs by the condition number",
    why_elementwise =
        "each result depends on one element and is rounded once, so it costs no more than storing "
        "the input did",
    why_selects = "it moves or selects elements and rounds nothing",
    why_mixed = "it joins several inputs, and the widest keeps what each of them carries";

}  // namespace detail

/// Every operation that a new op_table knows, products first.
inline constexpr auto default_ops = std::to_array<default_op>({
    {op::gemm, op_category::lower_precision, detail::why_product},
    {op::matmul, op_category::lower_precision, detail::why_product},
    {op::batch_matmul, op_category::lower_precision, detail::why_product},
    {op::linear, op_category::lower_precision, detail::why_product},
    {op::dot, op_category::lower_precision, detail::why_product},
    {op::conv1d, op_category::lower_precision, detail::why_product},
    {op::conv2d, op_category::lower_precision, detail::why_product},
    {op::conv3d, op_category::lower_precision, detail::why_product},
    {op::conv_transpose1d, op_category::lower_precision, detail::why_product},
    {op::conv_transpose2d, op_category::lower_precision, detail::why_product},
    {op::conv_transpose3d, op_category::lower_precision, detail::why_product},
    {op::attention, op_category::lower_precision,
     "its cost is in two matrix products; the softmax between them is computed in FP32 inside"},
    {op::rnn, op_category::lower_precision, detail::why_recurrent},
    {op::gru, op_category::lower_precision, detail::why_recurrent},
    {op::lstm, op_category::lower_precision, detail::why_recurrent},
    {op::prelu, op_category::lower_precision,
     "each result is one product, and its slope is a parameter stored in float32"},

    {op::softmax, op_category::float32, detail::why_exponential},
    {op::log_softmax, op_category::float32, detail::why_exponential},
    {op::exp, op_category::float32, detail::why_exponential},
    {op::exp2, op_category::float32, detail::why_exponential},
    {op::expm1, op_category::float32, detail::why_exponential},
    {op::logsumexp, op_category::float32, detail::why_exponential},
    {op::log_sigmoid, op_category::float32, detail::why_exponential},
    {op::softplus, op_category::float32, detail::why_exponential},
    {op::layernorm, op_category::float32, detail::why_norm},
    {op::rmsnorm, op_category::float32, detail::why_norm},
    {op::batchnorm, op_category::float32, detail::why_norm},
    {op::groupnorm, op_category::float32, detail::why_norm},
    {op::instancenorm, op_category::float32, detail::why_norm},
    {op::layernorm_backward, op_category::float32, detail::why_norm},
    {op::rmsnorm_backward, op_category::float32, detail::why_norm},
    {op::norm, op_category::float32, detail::why_norm},
    {op::sum_of_squares, op_category::float32, detail::why_norm},
    {op::mean_variance, op_category::float32, detail::why_norm},
    {op::cosine_similarity, op_category::float32, detail::why_norm},
    {op::cdist, op_category::float32, detail::why_norm},
    {op::sum, op_category::float32, detail::why_sum},
    {op::column_sums, op_category::float32, detail::why_sum},
    {op::cumsum, op_category::float32, detail::why_sum},
    {op::trace, op_category::float32, detail::why_sum},
    {op::prod, op_category::float32, detail::why_product_of_many},
    {op::cumprod, op_category::float32, detail::why_product_of_many},
    {op::quantile, op_category::float32,
     "it interpolates between neighbours that a narrow type makes equal"},
    {op::log, op_category::float32, detail::why_steep},
    {op::log2, op_category::float32, detail::why_steep},
    {op::log10, op_category::float32, detail::why_steep},
    {op::log1p, op_category::float32, detail::why_steep},
    {op::pow, op_category::float32, detail::why_steep},
    {op::sin, op_category::float32, detail::why_angle},
    {op::cos, op_category::float32, detail::why_angle},
    {op::reciprocal, op_category::float32, detail::why_steep},
    {op::rsqrt, op_category::float32, detail::why_steep},
    {op::softmax_cross_entropy, op_category::float32, detail::why_loss},
    {op::cross_entropy, op_category::float32, detail::why_loss},
    {op::nll_loss, op_category::float32, detail::why_loss},
    {op::binary_cross_entropy, op_category::refused,
     "a probability above 1 - 2^-9 rounds to 1 in bfloat16 and one below 2^-25 to 0 in half, where "
     "its log is infinite",
     "binary_cross_entropy_with_logits"},
    {op::binary_cross_entropy_with_logits, op_category::float32, detail::why_loss},
    {op::mse_loss, op_category::float32, detail::why_loss},
    {op::l1_loss, op_category::float32, detail::why_loss},
    {op::huber_loss, op_category::float32, detail::why_loss},
    {op::kl_div, op_category::float32, detail::why_loss},
    {op::ctc_loss, op_category::float32, detail::why_loss},
    {op::hinge_loss, op_category::float32, detail::why_loss},
    {op::margin_ranking_loss, op_category::float32, detail::why_loss},
    {op::triplet_margin_loss, op_category::float32, detail::why_loss},
    {op::cosine_embedding_loss, op_category::float32, detail::why_loss},
    {op::poisson_nll_loss, op_category::float32, detail::why_loss},
    {op::avg_pool3d, op_category::float32, detail::why_sum},
    {op::adaptive_avg_pool3d, op_category::float32, detail::why_sum},
    {op::grid_sample, op_category::float32, detail::why_position},
    {op::fft, op_category::float32,
     "its sums grow with the length and its stages round one after the other"},
    {op::stft, op_category::float32,
     "its sums grow with the length and its stages round one after the other"},
    {op::quantize, op_category::float32, detail::why_quantize},
    {op::dequantize, op_category::float32, detail::why_quantize},
    {op::fake_quantize, op_category::float32, "it imitates one rounding and must not add another"},
    {op::cholesky, op_category::float32, detail::why_linear_algebra},
    {op::inverse, op_category::float32, detail::why_linear_algebra},
    {op::solve, op_category::float32, detail::why_linear_algebra},
    {op::qr, op_category::float32, detail::why_linear_algebra},
    {op::svd, op_category::float32, detail::why_linear_algebra},
    {op::eig, op_category::float32, detail::why_linear_algebra},
    {op::lstsq, op_category::float32, detail::why_linear_algebra},

    {op::amax, op_category::float32,
     "it decides scales, which a rounded maximum would set too small"},
    {op::unscale, op_category::float32,
     "gradients of true size may lie below what a narrow type holds"},
    {op::optimizer_step, op_category::float32,
     "a step is often below half an ulp of a narrow weight and would round away"},

    {op::gemm_requantized, op_category::promote_widest,
     "its inputs are integers, which casting leaves alone"},
    {op::relu, op_category::promote_widest, detail::why_selects},
    {op::leaky_relu, op_category::promote_widest, detail::why_elementwise},
    {op::gelu, op_category::promote_widest, detail::why_elementwise},
    {op::gelu_tanh, op_category::promote_widest, detail::why_elementwise},
    {op::silu, op_category::promote_widest, detail::why_elementwise},
    {op::tanh, op_category::promote_widest, detail::why_elementwise},
    {op::sigmoid, op_category::promote_widest, detail::why_elementwise},
    {op::hardswish, op_category::promote_widest, detail::why_elementwise},
    {op::elu, op_category::promote_widest, detail::why_elementwise},
    {op::erf, op_category::promote_widest, detail::why_elementwise},
    {op::sqrt, op_category::promote_widest, detail::why_elementwise},
    {op::clamp, op_category::promote_widest, detail::why_selects},
    {op::neg, op_category::promote_widest, detail::why_selects},
    {op::abs, op_category::promote_widest, detail::why_selects},
    {op::relu_backward, op_category::promote_widest, detail::why_mixed},
    {op::gelu_backward, op_category::promote_widest, detail::why_mixed},
    {op::gelu_tanh_backward, op_category::promote_widest, detail::why_mixed},
    {op::silu_backward, op_category::promote_widest, detail::why_mixed},
    {op::tanh_backward, op_category::promote_widest, detail::why_mixed},
    {op::sigmoid_backward, op_category::promote_widest, detail::why_mixed},
    {op::rotary_embedding, op_category::promote_widest,
     "it turns pairs of elements by angles that are computed in float64, and rounds once"},
    {op::dropout, op_category::promote_widest, detail::why_elementwise},
    {op::embedding, op_category::promote_widest, detail::why_selects},
    {op::max_pool2d, op_category::promote_widest, detail::why_selects},
    {op::avg_pool2d, op_category::promote_widest,
     "its window is small, and its sums are kept in FP32"},
    {op::max_pool3d, op_category::promote_widest, detail::why_selects},
    {op::max, op_category::promote_widest, detail::why_selects},
    {op::min, op_category::promote_widest, detail::why_selects},
    {op::argmax, op_category::promote_widest, detail::why_selects},
    {op::identity, op_category::promote_widest, detail::why_selects},
    {op::reshape, op_category::promote_widest, detail::why_selects},
    {op::flatten, op_category::promote_widest, detail::why_selects},
    {op::transpose, op_category::promote_widest, detail::why_selects},
    {op::permute, op_category::promote_widest, detail::why_selects},
    {op::slice, op_category::promote_widest, detail::why_selects},
    {op::split, op_category::promote_widest, detail::why_selects},
    {op::gather, op_category::promote_widest, detail::why_selects},
    {op::index_select, op_category::promote_widest, detail::why_selects},
    {op::pad, op_category::promote_widest, detail::why_selects},
    {op::masked_fill, op_category::promote_widest, detail::why_selects},
    {op::convert, op_category::promote_widest, "its types are its purpose"},
    {op::add, op_category::promote_widest, detail::why_mixed},
    {op::sub, op_category::promote_widest, detail::why_mixed},
    {op::mul, op_category::promote_widest, detail::why_mixed},
    {op::div, op_category::promote_widest, detail::why_mixed},
    {op::add_bias, op_category::promote_widest, detail::why_mixed},
    {op::bilinear, op_category::promote_widest, detail::why_mixed},
    {op::concat, op_category::promote_widest, detail::why_mixed},
    {op::stack, op_category::promote_widest, detail::why_mixed},
    {op::index_copy, op_category::promote_widest, detail::why_mixed},
    {op::scatter_add, op_category::promote_widest, detail::why_mixed},
    {op::where, op_category::promote_widest, detail::why_mixed},
});

/// Two operations that are each fine but must not follow each other where the values between them
/// are of low precision.
struct refused_chain {
  std::string_view first;        ///< whose result the other reads
  std::string_view then;         ///< the one that reads it
  std::string_view alternative;  ///< what to use instead
  std::string_view why;          ///< a sentence, for messages
};

/// The chains that a new op_table refuses.
inline constexpr auto default_refused_chains = std::to_array<refused_chain>({
    {op::softmax, op::log, "log_softmax, followed by nll_loss for a cross entropy",
     "small probabilities round to 0, whose log is infinite, and those near 1 to 1, whose log is "
     "0"},
    {op::softmax, op::cross_entropy, "cross_entropy of the logits, or log_softmax and nll_loss",
     "small probabilities round to 0, whose log is infinite"},
    {op::sigmoid, op::log, "log_sigmoid, or binary_cross_entropy_with_logits for a loss",
     "small probabilities round to 0, whose log is infinite, and those near 1 to 1, whose log is "
     "0"},
    {op::sigmoid, op::binary_cross_entropy, "binary_cross_entropy_with_logits",
     "small probabilities round to 0, whose log is infinite, and those near 1 to 1, whose log is "
     "0"},
    {op::exp, op::log, "logsumexp, which never leaves the logarithmic domain",
     "exp of half overflows beyond 11.09 and is 0 below -17.33"},
});

}  // namespace halfway

#endif  // HALFWAY_PRECISION_DEFAULT_OPS_H_
