// SPDX-License-Identifier: Apache-2.0
// halfway's floats for MPI's own functions: a datatype, and the operations sum, max and min.
//
//   const halfway::mpi::element_type<halfway::bfloat16> bf16;   // until MPI_Finalize
//   MPI_Allreduce(MPI_IN_PLACE, x.data(), n, bf16.datatype(), bf16.sum(), MPI_COMM_WORLD);
//
// What MPI makes of it: each application of `sum` adds in float, which is exact up to one rounding,
// and rounds to the format again, since that is what the datatype can hold. So a sum over P ranks
// is rounded P - 1 times, in an order that MPI chooses and that may depend on the number of ranks,
// their placement and the size; bfloat16 sums of many equal numbers stop growing at 256 of them.
// For gradients use mpi::all_reduce, which sums in FP32 and rounds once. Here max and min are
// exact.
#ifndef HALFWAY_INTEROP_MPI_DATATYPE_H_
#define HALFWAY_INTEROP_MPI_DATATYPE_H_

#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/interop/mpi_wire.h"
#include "halfway/ops/convert.h"
#include "halfway/types/dtype.h"

namespace halfway {
namespace detail {

// inout[i] = f(in[i], inout[i]) in float, as MPI_User_function.
template <class T, class F>
void mpi_apply(void* in, void* inout, int* size, MPI_Datatype*) {
  const std::span<const T> x(static_cast<const T*>(in), static_cast<std::size_t>(*size));
  const std::span<T> y(static_cast<T*>(inout), x.size());
  float a[wire_block], b[wire_block];
  for (std::size_t i = 0; i < x.size(); i += wire_block) {
    const std::size_t n = std::min(wire_block, x.size() - i);
    convert(x.subspan(i, n), std::span(a, n));
    convert(y.subspan(i, n), std::span(b, n));
    for (std::size_t k = 0; k < n; ++k) b[k] = F()(a[k], b[k]);
    convert(std::span<const float>(b, n), y.subspan(i, n));
  }
}

struct mpi_add {
  float operator()(float a, float b) const { return a + b; }
};
// NaN if one is NaN; of zeros with two signs +0 (max) or -0 (min), whatever their order.
struct mpi_max {
  float operator()(float a, float b) const {
    if (a == b) return std::signbit(a) ? b : a;
    return a > b || a != a ? a : b;
  }
};
struct mpi_min {
  float operator()(float a, float b) const {
    if (a == b) return std::signbit(a) ? a : b;
    return a < b || a != a ? a : b;
  }
};

}  // namespace detail

namespace mpi {

/// T for MPI: elements are copied byte for byte, so ranks must have one byte order. Made after
/// MPI_Init, destroyed before MPI_Finalize. Sums that pass T's range become what T has for them:
/// infinity, or NaN. The operations take this datatype only.
template <wire_format T>
class element_type {
 public:
  /// Error: what MPI reports.
  element_type() {
    check(MPI_Type_contiguous(static_cast<int>(sizeof(T)), MPI_BYTE, &type_));
    check(MPI_Type_commit(&type_));
    // Rounded addition commutes, though it does not associate.
    check(MPI_Op_create(&detail::mpi_apply<T, detail::mpi_add>, 1, &sum_));
    check(MPI_Op_create(&detail::mpi_apply<T, detail::mpi_max>, 1, &max_));
    check(MPI_Op_create(&detail::mpi_apply<T, detail::mpi_min>, 1, &min_));
  }
  element_type(const element_type&) = delete;
  element_type& operator=(const element_type&) = delete;
  ~element_type() {
    int finalized = 0;
    MPI_Finalized(&finalized);
    if (finalized != 0) return;
    for (MPI_Op* op : {&sum_, &max_, &min_}) {
      if (*op != MPI_OP_NULL) MPI_Op_free(op);
    }
    if (type_ != MPI_DATATYPE_NULL) MPI_Type_free(&type_);
  }

  MPI_Datatype datatype() const { return type_; }  ///< one element; until this is destroyed
  MPI_Op sum() const { return sum_; }  ///< added in float, rounded to T once for each application
  MPI_Op max() const { return max_; }  ///< NaN if an element is NaN; +0 is above -0
  MPI_Op min() const { return min_; }  ///< NaN if an element is NaN; -0 is below +0

 private:
  static void check(int code) {
    if (code == MPI_SUCCESS) return;
    char text[MPI_MAX_ERROR_STRING];
    int length = 0;
    MPI_Error_string(code, text, &length);
    fail(detail::concat("halfway::mpi::element_type: ",
                        std::string_view(text, static_cast<std::size_t>(length))));
  }

  MPI_Datatype type_ = MPI_DATATYPE_NULL;
  MPI_Op sum_ = MPI_OP_NULL, max_ = MPI_OP_NULL, min_ = MPI_OP_NULL;
};

}  // namespace mpi
}  // namespace halfway

#endif  // HALFWAY_INTEROP_MPI_DATATYPE_H_
