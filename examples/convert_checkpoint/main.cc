// SPDX-License-Identifier: Apache-2.0
// Writes a file of tensors with its floats in other types, and says what each tensor lost:
//
//   convert_checkpoint in.safetensors out.safetensors --to bf16 --rule '.*norm.*=keep' --min-sqnr 40
//
// In: safetensors, the index of a checkpoint in several files (*.json), or *.npy. Out: safetensors, or
// *.npy of one tensor. One tensor at a time is in memory, so each is converted anew for what is written
// of it, after it was measured.
//
//   0  written
//   1  a limit was missed: a table says which and where; nothing is written
//   2  bad input; nothing is written
#include <CLI/CLI.hpp>
#include <cstdint>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conversion.h"
#include "halfway/io/npy.h"
#include "halfway/io/safetensors.h"
#include "halfway/io/safetensors_writer.h"
#include "program.h"
#include "report.h"
#include "rules.h"
#include "source.h"

namespace {

using namespace conversion;
using halfway::tensor_info;

struct options {
  std::string in, out, to = "keep", report = "table", void_type;
  std::vector<std::string> rules;
  bool saturate = false;
  std::optional<double> min_sqnr, max_flushed;
  std::optional<std::uint64_t> max_overflowed;
};

// What an optimizer remembers in a checkpoint of halfway's: bits that only it understands.
bool is_optimizer_state(const source& from, const tensor_info& t) {
  const std::size_t at = t.name.rfind(".optimizer.");
  return at != std::string::npos &&
         from.metadata().contains("halfway.optimizer." + t.name.substr(0, at));
}

// Nothing: it is to stay as it is.
std::optional<target> target_of(const source& from, const tensor_info& t, const rules& r,
                                const std::optional<target>& otherwise) {
  const rules::rule* const rule = r.find(t.name);
  const std::optional<target> to = rule != nullptr               ? rule->to
                                   : is_optimizer_state(from, t) ? std::nullopt
                                                                 : otherwise;
  if (!is_convertible(t)) return std::nullopt;
  if (to && to->how == scheme::plain) {
    const auto* const type = halfway::detail::find_safetensors_type(t.type);
    if (type->type == to->type) return std::nullopt;
  }
  return to;
}

std::string missed_by(const tensor_loss& loss, std::uint64_t elements, const options& o) {
  if (elements == 0) return "";
  std::string missed;
  const auto miss = [&](const std::string& what) { missed += (missed.empty() ? "" : ", ") + what; };
  if (o.min_sqnr && !(loss.sqnr_db() >= *o.min_sqnr)) miss("min-sqnr");  // NaN misses
  if (o.max_flushed && loss.flushed_share() > *o.max_flushed) miss("max-flushed");
  if (o.max_overflowed && loss.overflowed() + loss.saturated() > *o.max_overflowed) {
    miss("max-overflowed");
  }
  return missed;
}

bool run_program(const options& o) {
  std::optional<halfway::dtype> void_type;
  if (!o.void_type.empty()) {
    void_type = halfway::parse_dtype(o.void_type);
    if (!void_type) halfway::fail("--void-type \"" + o.void_type + "\" is no type");
  }
  const rules tensor_rules(o.rules);
  const std::optional<target> otherwise = parse_target(o.to);
  const auto from = open_source(o.in, void_type);

  halfway::safetensors_writer out;
  for (const auto& [key, value] : from->metadata()) out.set_metadata(key, value);
  std::vector<tensor_report> reports;
  bool good = true;
  for (const tensor_info& t : from->tensors()) {
    tensor_report r{t.name,          t.type, t.type, t.elements, t.end - t.begin,
                    t.end - t.begin, false,  {},     ""};
    const std::optional<target> to = target_of(*from, t, tensor_rules, otherwise);
    if (!to) {
      out.add_promise(t.name, t.type, t.shape, t.end - t.begin,
                      [&from, &t] { return from->bytes(t); });
    } else {
      const converted c = convert_tensor(*from, t, *to, o.saturate);
      for (const auto& [key, value] : c.metadata) out.set_metadata(key, value);
      r.to = to->name;
      r.converted = true;
      r.bytes_after = 0;
      r.loss = c.loss;
      r.missed = missed_by(c.loss, t.elements, o);
      good = good && r.missed.empty();
      for (std::size_t i = 0; i != c.parts.size(); ++i) {
        const part& p = c.parts[i];
        r.bytes_after += p.bytes.size();
        out.add_promise(p.name, p.type, p.shape, p.bytes.size(),
                        [&from, &t, i, to, saturate = o.saturate] {
                          return convert_tensor(*from, t, *to, saturate).parts[i].bytes;
                        });
      }
    }
    reports.push_back(std::move(r));
  }
  const auto print = [&] {
    if (o.report == "table") std::cout << to_table(reports);
    if (o.report == "json") std::cout << to_json(reports);
  };
  if (!good) {
    print();
    std::cerr << "A limit was missed; nothing was written\n";
    return false;
  }
  if (o.out.ends_with(".npy")) {
    const auto bytes = out.to_bytes();
    const halfway::safetensors_file file(bytes, o.out);
    if (file.tensors().size() != 1) {
      halfway::fail(halfway::detail::concat(o.out, ": a .npy file holds one tensor, not ",
                                            file.tensors().size()));
    }
    const tensor_info& t = file.tensors()[0];
    halfway::write_npy_bytes(o.out, t.type, file.bytes(t.name), t.shape);
  } else {
    out.write(o.out);
  }
  print();
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Writes a file of tensors with its floats in other types, and says what each lost.",
               "convert_checkpoint");
  app.add_option("in", o.in, "safetensors, an index of them (*.json), or *.npy")->required();
  app.add_option("out", o.out, "safetensors, or *.npy of one tensor")->required();
  app.add_option("--to", o.to,
                 "f32, f16, bf16, float8_e4m3fn, float8_e5m2, float8_e4m3fnuz, float8_e5m2fnuz, "
                 "int8, int4, mxfp8, mxfp4 or keep")
      ->capture_default_str();
  app.add_option("--rule", o.rules,
                 "pattern=type: for tensors whose whole name matches this POSIX extended regular "
                 "expression; the first rule that matches counts")
      ->allow_extra_args(false);
  app.add_flag("--saturate", o.saturate,
               "The largest finite value instead of infinity or NaN past it");
  app.add_option("--min-sqnr", o.min_sqnr, "Decibels that each converted tensor must reach");
  app.add_option("--max-flushed", o.max_flushed,
                 "Share of a tensor's values that may become 0, from 0 to 1")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--max-overflowed", o.max_overflowed,
                 "How many values of a tensor may overflow or saturate");
  app.add_option("--report", o.report, "What is printed")
      ->check(CLI::IsMember({"table", "json", "none"}))
      ->capture_default_str();
  app.add_option(
      "--void-type", o.void_type,
      "What the elements of a .npy file are that NumPy takes for bytes: float8_e4m3fn...");
  return examples::run(app, argc, argv, [&] { return run_program(o); });
}
