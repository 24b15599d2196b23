// SPDX-License-Identifier: Apache-2.0
// Trains a small language model on the sayings of Debian's fortunes, then lets it write, token by
// token, with a cache of keys and values: in FP32, in bfloat16, and in int8. Prints what each
// writes, whether the cache changes anything, what becomes of the predictions, and the bytes that a
// token reads. Bytes decide the speed of models that are larger than the CPU's caches; this one is
// not, so that here int8 costs its decoding and gains nothing.
//
//   cmake --preset demo && cmake --build build/demo --target decode_tokens
//   build/demo/examples/decode_tokens/decode_tokens
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iostream>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "decoder.h"
#include "halfway/fidelity/comparison.h"
#include "halfway/fidelity/logit_comparison.h"
#include "halfway/types/philox.h"
#include "program.h"
#include "report/page.h"
#include "training.h"

namespace {

using namespace decoding;
using halfway::matrix;
using tokens = std::vector<std::int32_t>;

std::string number(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string text_of(std::span<const std::int32_t> from) {
  std::string text;
  for (const std::int32_t t : from) text += t == 0 ? '\n' : static_cast<char>(' ' + t - 1);
  return text;
}

std::int32_t likeliest(std::span<const float> logits) {
  return static_cast<std::int32_t>(std::ranges::max_element(logits) - logits.begin());
}

// By the share of the probability that softmax gives each token, less where it is small (a
// temperature of 1/2): `uniform`, from 0 to 1, decides.
std::int32_t drawn(std::span<const float> logits, double uniform) {
  const double largest = static_cast<double>(*std::ranges::max_element(logits));
  std::vector<double> shares;
  for (const float logit : logits)
    shares.push_back(std::exp(2 * (static_cast<double>(logit) - largest)));
  double left = uniform * std::accumulate(shares.begin(), shares.end(), 0.0);
  for (std::size_t j = 0; j < shares.size(); ++j)
    if ((left -= shares[j]) < 0) return static_cast<std::int32_t>(j);
  return likeliest(logits);
}

// The prompt, and what the model writes after it until the context is full: the likeliest token
// each time, or one that is drawn by random numbers, the same in every way. `see`: called with the
// tokens so far and the logits of what follows.
template <class Way, class See>
tokens write(const weights& w, const tokens& prompt, bool draws, const See& see) {
  decoder<Way> model(w, context);
  tokens all = prompt;
  matrix<float> logits = model.append(prompt);
  while (all.size() < context) {
    const std::span<const float> last = logits.row(logits.rows() - 1);
    see(all, last);
    const double uniform = 0x1p-32 * halfway::random_word(/*seed=*/1, all.size());
    all.push_back(draws ? drawn(last, uniform) : likeliest(last));
    logits = model.append(std::span(all).last(1));
  }
  return all;
}

// In FP32, with the cache and by computing the whole prefix anew for each token. The sums of the
// two are of another order, so that their logits differ in the last places; tokens may differ only
// where the runner-up is as near as two such differences.
void compare_with_recomputing(const weights& w, const tokens& prompt) {
  std::size_t count = 0, same = 0;
  float difference = 0, margin = std::numeric_limits<float>::infinity();
  write<in_float32>(w, prompt, false, [&](const tokens& all, std::span<const float> cached) {
    decoder<in_float32> anew(w, context);
    const matrix<float> logits = anew.append(all);
    const std::span<const float> last = logits.row(all.size() - 1);
    ++count;
    same += likeliest(cached) == likeliest(last);
    for (std::size_t j = 0; j < vocabulary; ++j)
      difference = std::max(difference, std::abs(cached[j] - last[j]));
    std::vector<float> order(last.begin(), last.end());
    std::ranges::sort(order, std::greater());
    margin = std::min(margin, order[0] - order[1]);
  });
  std::printf(
      "with the cache %zu of %zu tokens as without; logits differ by up to %.2g, the nearest "
      "runner-up is %.2g behind\n",
      same, count, static_cast<double>(difference), static_cast<double>(margin));
}

struct reading {
  matrix<float> logits;  // a row for each token read
  double seconds = 0;
};

// Each window from an empty cache, one token at a time, whatever the model would have written.
template <class Way>
reading read(const weights& w, const language::windows& text) {
  decoder<Way> model(w, context);
  reading result{matrix<float>(text.tokens.size(), vocabulary)};
  const auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < text.tokens.size(); ++i) {
    if (i % context == 0) model.clear();
    const matrix<float> logits = model.append(std::span(text.tokens).subspan(i, 1));
    std::ranges::copy(logits.row(0), result.logits.row(i).begin());
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  result.seconds = took.count();
  return result;
}

double perplexity(const reading& r, const language::windows& text) {
  double nats = 0;
  for (std::size_t i = 0; i < text.next.size(); ++i) {
    double sum = 0;
    for (const float logit : r.logits.row(i)) sum += std::exp(static_cast<double>(logit));
    nats +=
        std::log(sum) - static_cast<double>(r.logits(i, static_cast<std::size_t>(text.next[i])));
  }
  return std::exp(nats / static_cast<double>(text.next.size()));
}

template <class Way>
void add_row(report::table& table, const std::string& name, const weights& w,
             const language::windows& text, const reading& exact) {
  const reading r = read<Way>(w, text);
  halfway::comparison values;
  values.add(exact.logits.elements(), r.logits.elements());
  halfway::logit_comparison choices;
  choices.add(exact.logits, r.logits);
  table.push_back({name, std::to_string(decoder<Way>(w, 1).weight_bytes()),
                   std::to_string(decoder<Way>::cache_bytes()), number(values.sqnr_db(), 1),
                   number(100 * choices.top1_agreement(), 2) + "%", number(perplexity(r, text), 3),
                   number(static_cast<double>(text.tokens.size()) / r.seconds, 0)});
}

void run_program(const std::string& folder, std::size_t steps, std::size_t windows) {
  const language::corpus text = language::read_fortunes(folder);
  const trained_model model = train(text.train, steps);
  std::cout << steps << " steps of training: " << number(model.loss, 3) << " nats a character\n\n";

  const tokens prompt = language::tokens_of("The only ");
  const auto nothing = [](const tokens&, std::span<const float>) {};
  const tokens by_fp32 = write<in_float32>(model.values, prompt, true, nothing);
  const auto show = [&](const char* name, const tokens& written) {
    const auto differs = std::ranges::mismatch(written, by_fp32).in1;
    std::cout << name << ", " << differs - written.begin() << " of " << written.size()
              << " characters as FP32:\n"
              << text_of(written) << "\n\n";
  };
  show("FP32", by_fp32);
  show("bfloat16", write<in_bfloat16>(model.values, prompt, true, nothing));
  show("int8", write<in_int8>(model.values, prompt, true, nothing));
  compare_with_recomputing(model.values, prompt);

  const language::windows held_out = language::windows_in_order(text.held_out, 0, windows, context);
  const reading exact = read<in_float32>(model.values, held_out);
  report::table table = {{"", "bytes of weights a token", "of cache, for each before", "SQNR dB",
                          "same next token", "perplexity", "tokens/s"}};
  add_row<in_float32>(table, "FP32", model.values, held_out, exact);
  add_row<in_bfloat16>(table, "bfloat16", model.values, held_out, exact);
  add_row<in_int8>(table, "int8", model.values, held_out, exact);
  std::cout << "\n"
            << held_out.tokens.size() << " characters of held-out text, one at a time:\n\n"
            << report::to_text(table);
}

}  // namespace

int main(int argc, char** argv) {
  std::string data = "/usr/share/games/fortunes";
  std::size_t steps = 300, windows = 64;
  CLI::App app("Decodes tokens with a cache of keys and values in several types.", "decode_tokens");
  app.add_option("--steps", steps, "Of training")
      ->check(CLI::Range(std::size_t{1}, std::size_t{1000000}))
      ->capture_default_str();
  app.add_option("--windows", windows, "Of held-out text to judge by")
      ->check(CLI::Range(std::size_t{1}, std::size_t{10000}))
      ->capture_default_str();
  app.add_option("--data", data, "Folder of the collections of sayings")->capture_default_str();
  return examples::run(app, argc, argv, [&] { run_program(data, steps, windows); });
}
