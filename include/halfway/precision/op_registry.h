// SPDX-License-Identifier: Apache-2.0
// Operations of the user's. One that has only an FP32 kernel runs on half and bfloat16 too: its
// inputs are widened, which is exact, and its result is rounded once. Casts are counted.
//
//   halfway::op_registry registry;
//   registry.add("swish", [](auto inputs, halfway::matrix_view<float> y) { ... inputs[0](i, j) ... });
//   registry.run("swish", y, x);              // y, x: matrices or ranges of float, half, bfloat16, ...
//   registry.counters("swish").fallbacks;     // calls that needed casts
//   registry.add_kernel<halfway::bfloat16>("swish", kernel);   // no casts in bfloat16 from now on
#ifndef HALFWAY_PRECISION_OP_REGISTRY_H_
#define HALFWAY_PRECISION_OP_REGISTRY_H_

#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/ops/convert.h"
#include "halfway/precision/autocast.h"
#include "halfway/precision/text.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// What happened to an operation so far.
struct op_counters {
  std::uint64_t calls = 0;          ///< of either kind of kernel
  std::uint64_t fallbacks = 0;      ///< calls of the FP32 kernel that needed a cast
  std::uint64_t widened = 0;        ///< inputs that were cast to float
  std::uint64_t narrowed = 0;       ///< results that were rounded from float
  std::uint64_t elements_cast = 0;  ///< of both

  bool operator==(const op_counters&) const = default;  ///< number by number
};

/// Reads `inputs` and writes every element of `output`, of which it must not read any.
template <class T>
using op_kernel =
    std::function<void(std::span<const matrix_view<const T>> inputs, matrix_view<T> output)>;

namespace detail {

template <class R>
concept float_range = std::ranges::contiguous_range<R> && std::ranges::sized_range<R> &&
    float_storage<std::ranges::range_value_t<R>>;

// A matrix as it is, a range as one row.
template <matrix_like M>
auto operand_view(M& m) {
  return as_view(m);
}
template <float_range R>
requires(!matrix_like<R>) auto operand_view(R& r) {
  using T = std::remove_reference_t<std::ranges::range_reference_t<R>>;
  return matrix_view<T>(std::ranges::data(r), 1, std::ranges::size(r));
}

template <class X>
using operand_type =
    std::remove_const_t<std::remove_pointer_t<decltype(operand_view(std::declval<X&>()).data())>>;

template <class X>
concept float_operand = requires(X& x) {
  operand_view(x);
}
&&float_storage<operand_type<X>>;

// An input in FP32: where it is, or widened.
template <class T>
struct widened_input {
  matrix<float> copy;
  matrix_view<const float> view;

  explicit widened_input(matrix_view<const T> x) {
    if constexpr (std::same_as<T, float>) {
      view = x;
    } else {
      copy = matrix<float>(x.rows(), x.cols());
      convert(x, copy);
      view = std::as_const(copy).view();
    }
  }
};

}  // namespace detail

/// From names to kernels. Run from any number of threads once all are added.
class op_registry {
 public:
  /// Registers an operation by its FP32 kernel. Errors: an empty name or kernel; the operation
  /// exists.
  void add(std::string_view op_name, op_kernel<float> kernel) {
    constexpr std::string_view where = "halfway::op_registry::add";
    if (op_name.empty()) fail(detail::concat(where, ": op_name is empty"));
    check_kernel(where, op_name, kernel != nullptr);
    auto added = std::make_unique<entry>();
    added->float_kernel = std::move(kernel);
    if (!entries_.try_emplace(std::string(op_name), std::move(added)).second) {
      fail(detail::concat(where, ": operation ", detail::quoted(op_name), " exists"));
    }
  }

  /// Adds a kernel for calls all of whose operands are of type T, to an operation that exists.
  /// Errors: an unknown operation, with the nearest names; an empty kernel; a second one for the
  /// same type.
  template <float_storage T>
  requires(!std::same_as<T, float>) void add_kernel(std::string_view op_name, op_kernel<T> kernel) {
    constexpr std::string_view where = "halfway::op_registry::add_kernel";
    entry& e = at(where, op_name);
    check_kernel(where, op_name, kernel != nullptr);
    if (!e.others.try_emplace(dtype_of<T>, std::make_shared<const op_kernel<T>>(std::move(kernel)))
             .second) {
      fail(detail::concat(where, ": operation ", detail::quoted(op_name), " has a kernel for ",
                          name(dtype_of<T>)));
    }
  }

  /// Whether an FP32 kernel was added under this name.
  bool contains(std::string_view op_name) const { return entries_.find(op_name) != entries_.end(); }

  /// Sorted by name.
  std::vector<std::string_view> names() const {
    std::vector<std::string_view> all;
    for (const auto& [op_name, e] : entries_) all.push_back(op_name);
    return all;
  }

  /// Runs the operation: y = op(x...), each operand a matrix or a contiguous range (one row) of
  /// float or any minifloat, in any mix. The kernel for their type, if all have one type and there
  /// is such a kernel, unless an autocast scope puts the operation, which its table must know for
  /// that, into another type. Else the FP32 kernel: inputs are widened exactly, the result is
  /// rounded once, to nearest even. If it throws, y is as before where it isn't float. y may share
  /// memory with an input that is widened or where it is rounded itself; else it is for the kernel
  /// to allow. Errors: an unknown operation, with the nearest names; what a scope refuses; what the
  /// kernel finds.
  template <class Y, class... X>
  requires(detail::float_operand<std::remove_reference_t<Y>> &&
           (detail::float_operand<const X> && ...)) void run(std::string_view op_name, Y&& y,
                                                             const X&... x) const {
    const entry& e = at("halfway::op_registry::run", op_name);
    using Out = detail::operand_type<std::remove_reference_t<Y>>;
    const std::optional<dtype> asked = asked_type(
        op_name, std::array<dtype, sizeof...(X)>{dtype_of<detail::operand_type<const X>>...});
    e.calls.fetch_add(1, std::memory_order_relaxed);
    const auto out = detail::operand_view(y);
    if constexpr (!std::same_as<Out, float> &&
                  (std::same_as<detail::operand_type<const X>, Out> && ...)) {
      const auto found = e.others.find(dtype_of<Out>);
      if (found != e.others.end() && asked.value_or(dtype_of<Out>) == dtype_of<Out>) {
        const std::array<matrix_view<const Out>, sizeof...(X)> inputs = {
            detail::operand_view(x)...};
        (*static_cast<const op_kernel<Out>*>(found->second.get()))(inputs, out);
        return;
      }
    }
    run_in_float(e, out,
                 std::tuple(detail::widened_input<detail::operand_type<const X>>(
                     detail::operand_view(x))...));
  }

  /// Error: an unknown operation, with the nearest names.
  op_counters counters(std::string_view op_name) const {
    const entry& e = at("halfway::op_registry::counters", op_name);
    return {e.calls.load(), e.fallbacks.load(), e.widened.load(), e.narrowed.load(),
            e.elements_cast.load()};
  }

  /// A line for each operation: "swish: 3 calls, 2 in fallback, 4 casts of 96 elements".
  std::string report() const {
    std::string text;
    for (const auto& [op_name, e] : entries_) {
      const op_counters c = counters(op_name);
      text += detail::concat(op_name, ": ", c.calls, " calls, ", c.fallbacks, " in fallback, ",
                             c.widened + c.narrowed, " casts of ", c.elements_cast, " elements\n");
    }
    return text;
  }

 private:
  struct entry {
    op_kernel<float> float_kernel;
    std::map<dtype, std::shared_ptr<const void>> others;  // op_kernel of that type
    mutable std::atomic<std::uint64_t> calls{0}, fallbacks{0}, widened{0}, narrowed{0},
        elements_cast{0};
  };

  static void check_kernel(std::string_view where, std::string_view op_name, bool given) {
    if (!given)
      fail(detail::concat(where, ": the kernel of ", detail::quoted(op_name), " is empty"));
  }

  entry& at(std::string_view where, std::string_view op_name) const {
    const auto found = entries_.find(op_name);
    if (found == entries_.end()) {
      fail(entries_.empty()
               ? detail::concat(where, ": unknown operation ", detail::quoted(op_name),
                                "; none is registered")
               : detail::concat(where, ": unknown operation ", detail::quoted(op_name),
                                "; did you mean ", detail::nearest_names(op_name, names()), "?"));
    }
    return *found->second;
  }

  // What the scope says of operations that it knows.
  static std::optional<dtype> asked_type(std::string_view op_name, std::span<const dtype> inputs) {
    const autocast_state& state = autocast::current();
    if (!state.enabled || inputs.empty() || !state.table->contains(op_name)) return std::nullopt;
    return state.compute_dtype(op_name, inputs);
  }

  template <class Out, class... In>
  void run_in_float(const entry& e, matrix_view<Out> y,
                    const std::tuple<detail::widened_input<In>...>& inputs) const {
    constexpr std::size_t wide = (std::size_t{0} + ... + (std::same_as<In, float> ? 0u : 1u));
    constexpr bool narrow_result = !std::same_as<Out, float>;
    if constexpr (wide != 0 || narrow_result) {
      std::size_t elements = narrow_result ? y.size() : 0;
      std::apply([&](const auto&... in) { ((elements += in.copy.size()), ...); }, inputs);
      e.fallbacks.fetch_add(1, std::memory_order_relaxed);
      e.widened.fetch_add(wide, std::memory_order_relaxed);
      e.narrowed.fetch_add(narrow_result ? 1 : 0, std::memory_order_relaxed);
      e.elements_cast.fetch_add(elements, std::memory_order_relaxed);
    }
    const auto views = std::apply(
        [](const auto&... in) {
          return std::array<matrix_view<const float>, sizeof...(In)>{in.view...};
        },
        inputs);
    if constexpr (narrow_result) {
      matrix<float> result(y.rows(), y.cols());
      e.float_kernel(views, result.view());
      convert(result, y);
    } else {
      e.float_kernel(views, y);
    }
  }

  std::map<std::string, std::unique_ptr<entry>, std::less<>> entries_;
};

}  // namespace halfway

#endif  // HALFWAY_PRECISION_OP_REGISTRY_H_
