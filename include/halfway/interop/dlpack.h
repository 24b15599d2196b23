// SPDX-License-Identifier: Apache-2.0
// DLPack, the memory protocol of NumPy, PyTorch, JAX and TVM, without a copy: their tensors as
// operands of halfway's operations, and halfway's matrices as tensors that free themselves.
//
//   void product(DLManagedTensor* x, DLManagedTensor* w, DLManagedTensor* y) {   // borrowed
//     using namespace halfway;
//     gemm(from_dlpack<const half>(*x), from_dlpack<const bfloat16>(*w), from_dlpack<float>(*y));
//   }
//   halfway::dlpack_handle<DLManagedTensor> h(x);   // taken over: ends with its deleter
//   DLManagedTensor* y = halfway::to_dlpack(std::move(m)).release();   // given, with its memory
//
// Needs <dlpack/dlpack.h>, of any version; what it calls versioned (DLManagedTensorVersioned) from
// DLPack 1.0 on. Types: float and double, half, bfloat16, the 8-bit floats of DLPack 1.1, int8,
// uint8, int32; floats of 4 and 6 bits and int4 and uint4, which halfway keeps in a byte each,
// where a versioned tensor's flags say so (IS_SUBBYTE_TYPE_PADDED).
#ifndef HALFWAY_INTEROP_DLPACK_H_
#define HALFWAY_INTEROP_DLPACK_H_

#include <dlpack/dlpack.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "halfway/core/error.h"
#include "halfway/core/matrix.h"
#include "halfway/types/dtype.h"

namespace halfway {

/// DLPack's name of an element type: its code, bits and one lane. The codes are DLPack 1.1's,
/// whatever the header's version.
constexpr DLDataType dlpack_type(dtype type) {
  const auto with_code = [type](std::uint8_t code) {
    return DLDataType{code, static_cast<std::uint8_t>(bits_of(type)), 1};
  };
  switch (type) {
    case dtype::int32:
    case dtype::int8:
    case dtype::int4:
      return with_code(0);
    case dtype::uint8:
    case dtype::uint4:
      return with_code(1);
    case dtype::float64:
    case dtype::float32:
    case dtype::float16:
      return with_code(2);
    case dtype::bfloat16:
      return with_code(4);
    case dtype::float8_e4m3fn:
      return with_code(10);
    case dtype::float8_e4m3fnuz:
      return with_code(11);
    case dtype::float8_e5m2:
      return with_code(12);
    case dtype::float8_e5m2fnuz:
      return with_code(13);
    case dtype::float8_e8m0fnu:
      return with_code(14);
    case dtype::float6_e2m3fn:
      return with_code(15);
    case dtype::float6_e3m2fn:
      return with_code(16);
    case dtype::float4_e2m1fn:
      return with_code(17);
  }
  return {};
}

namespace detail {

// "float16", or the three numbers of a type that halfway has not.
inline std::string dlpack_type_name(DLDataType type) {
  for (const dtype d : all_dtypes) {
    const DLDataType known = dlpack_type(d);
    if (known.code == type.code && known.bits == type.bits && known.lanes == type.lanes) {
      return std::string(name(d));
    }
  }
  return concat("code ", int{type.code}, ", ", int{type.bits}, " bits, ", int{type.lanes},
                " lanes");
}

inline std::string dlpack_extents(const std::int64_t* extents, int n) {
  std::string text;
  for (int i = 0; i < n; ++i) text += concat(i == 0 ? "" : ", ", extents[i]);
  return "(" + text + ")";
}

// A stride that is never used (DLPack leaves it open) may be anything.
inline std::size_t dlpack_stride(std::string_view where, const DLTensor& t, int i) {
  const std::int64_t stride = t.strides[i];
  if (t.shape[i] <= 1) return 1;
  if (stride < 0 || std::cmp_greater(stride, std::numeric_limits<std::ptrdiff_t>::max())) {
    fail(concat(where, ": strides ", dlpack_extents(t.strides, t.ndim), " of shape ",
                dlpack_extents(t.shape, t.ndim),
                ": a matrix_view has none below 0 or beyond the address space"));
  }
  return static_cast<std::size_t>(stride);
}

// `padded`: elements below 8 bits have a byte each.
template <class T>
matrix_view<T> view_of_dlpack(const DLTensor& t, bool padded) {
  constexpr std::string_view where = "halfway::from_dlpack";
  constexpr dtype type = dtype_of<T>;
  const DLDataType expected = dlpack_type(type);
  if (t.device.device_type != kDLCPU) {
    fail(concat(where, ": device type ", static_cast<int>(t.device.device_type),
                " must be kDLCPU (1)"));
  }
  if (t.dtype.code != expected.code || t.dtype.bits != expected.bits || t.dtype.lanes != 1) {
    fail(concat(where, ": dtype (", dlpack_type_name(t.dtype), ") must be ", name(type)));
  }
  if (bits_of(type) < 8 && !padded) {
    fail(concat(where, ": ", name(type), " is packed; a matrix_view has a byte for each element"));
  }
  if (t.ndim != 1 && t.ndim != 2) fail(concat(where, ": ndim (", t.ndim, ") must be 1 or 2"));
  if (t.shape == nullptr) fail(concat(where, ": shape is null but ndim is ", t.ndim));
  for (int i = 0; i < t.ndim; ++i) {
    if (t.shape[i] < 0 ||
        std::cmp_greater(t.shape[i], std::numeric_limits<std::ptrdiff_t>::max())) {
      fail(concat(where, ": shape ", dlpack_extents(t.shape, t.ndim),
                  " has an extent below 0 or beyond the address space"));
    }
  }
  const int last = t.ndim - 1;
  const auto rows = last == 0 ? std::size_t{1} : static_cast<std::size_t>(t.shape[0]);
  const auto cols = static_cast<std::size_t>(t.shape[last]);
  if (rows == 0 || cols == 0) return {nullptr, rows, cols};

  const auto address = reinterpret_cast<std::uintptr_t>(t.data);
  if (t.data == nullptr) {
    fail(concat(where, ": data is null but the shape is ", dlpack_extents(t.shape, t.ndim)));
  }
  if (t.byte_offset > std::numeric_limits<std::uintptr_t>::max() - address) {
    fail(concat(where, ": byte_offset (", t.byte_offset, ") leaves the address space"));
  }
  if ((address + t.byte_offset) % alignof(T) != 0) {
    fail(concat(where, ": data + byte_offset (", address, " + ", t.byte_offset,
                ") must be a multiple of ", alignof(T), " bytes, the alignment of ", name(type)));
  }
  auto* const data = reinterpret_cast<T*>(static_cast<char*>(t.data) + t.byte_offset);
  if (t.strides == nullptr) return {data, rows, cols};
  return {data, rows, cols, last == 0 ? cols : dlpack_stride(where, t, 0),
          dlpack_stride(where, t, last)};
}

}  // namespace detail

/// The tensor's memory as a matrix; a tensor of one dimension as a row. Valid as long as the tensor
/// is not deleted. Nothing but the tensor's owner can know whether others write to it.
///
/// Errors: another device than the CPU; a type that is not T's (or not T's storage: sub-byte types,
/// which this form of tensor packs); ndim other than 1 or 2; an extent or a used stride below 0;
/// null data or shape; a misaligned address; strides that put two elements in one place.
template <class T>
matrix_view<T> from_dlpack(const DLTensor& tensor) {
  return detail::view_of_dlpack<T>(tensor, false);
}
/// As above.
template <class T>
matrix_view<T> from_dlpack(const DLManagedTensor& tensor) {
  return detail::view_of_dlpack<T>(tensor.dl_tensor, false);
}

#if defined(DLPACK_MAJOR_VERSION) && DLPACK_MAJOR_VERSION >= 1
namespace detail {
// DLPack's flags; the third is of version 1.1.
inline constexpr std::uint64_t dlpack_read_only = 1, dlpack_padded = 4;
}  // namespace detail

/// As above, of a versioned tensor. More errors: another major version than the header's; a
/// read-only tensor where T is not const.
template <class T>
matrix_view<T> from_dlpack(const DLManagedTensorVersioned& tensor) {
  constexpr std::string_view where = "halfway::from_dlpack";
  detail::check_equal(where, "version.major", tensor.version.major, "DLPACK_MAJOR_VERSION",
                      DLPACK_MAJOR_VERSION);
  if (!std::is_const_v<T> && (tensor.flags & detail::dlpack_read_only) != 0) {
    fail(detail::concat(where, ": the tensor is read-only; take it as const ", name(dtype_of<T>)));
  }
  return detail::view_of_dlpack<T>(tensor.dl_tensor, (tensor.flags & detail::dlpack_padded) != 0);
}
#endif

/// Calls a tensor's own deleter, which may be null.
struct dlpack_deleter {
  /// `tensor` is not null.
  template <class Managed>
  void operator()(Managed* tensor) const {
    if (tensor->deleter != nullptr) tensor->deleter(tensor);
  }
};

/// Owns a DLManagedTensor or DLManagedTensorVersioned: a unique_ptr, so it is deleted once.
/// `release()` gives it to another library; a tensor taken from one is deleted with the handle.
template <class Managed>
using dlpack_handle = std::unique_ptr<Managed, dlpack_deleter>;

namespace detail {

// A tensor and what it needs as long as it lives.
template <class Managed, class Matrix>
struct dlpack_export {
  Managed tensor{};
  std::int64_t shape[2];
  std::int64_t strides[2];
  std::shared_ptr<Matrix> matrix;
};

template <class Managed, class Matrix>
dlpack_handle<Managed> export_dlpack(std::shared_ptr<Matrix> matrix) {
  using T = typename Matrix::value_type;
  constexpr bool versioned = requires(Managed m) { m.flags; };
  static_assert(versioned || !std::is_const_v<Matrix>,
                "only a DLManagedTensorVersioned can say that it is read-only");
  static_assert(
      versioned || bits_of(dtype_of<T>) >= 8,
      "only a DLManagedTensorVersioned can say that elements below 8 bits have a byte each");
  if (matrix == nullptr) fail("halfway::to_dlpack: matrix is null");
  using Export = dlpack_export<Managed, Matrix>;
  auto made = std::make_unique<Export>();
  made->shape[0] = static_cast<std::int64_t>(matrix->rows());
  made->shape[1] = static_cast<std::int64_t>(matrix->cols());
  made->strides[0] = made->shape[1];
  made->strides[1] = 1;
  DLTensor& t = made->tensor.dl_tensor;
  t.data = const_cast<T*>(matrix->data());
  t.device = {kDLCPU, 0};
  t.ndim = 2;
  t.dtype = dlpack_type(dtype_of<T>);
  t.shape = made->shape;
  t.strides = made->strides;
  t.byte_offset = 0;
#if defined(DLPACK_MAJOR_VERSION) && DLPACK_MAJOR_VERSION >= 1
  if constexpr (versioned) {
    made->tensor.version = {DLPACK_MAJOR_VERSION, DLPACK_MINOR_VERSION};
    made->tensor.flags = (std::is_const_v<Matrix> ? dlpack_read_only : 0) |
                         (bits_of(dtype_of<T>) < 8 ? dlpack_padded : 0);
  }
#endif
  made->matrix = std::move(matrix);
  made->tensor.manager_ctx = made.get();
  made->tensor.deleter = [](Managed* self) { delete static_cast<Export*>(self->manager_ctx); };
  return dlpack_handle<Managed>(&made.release()->tensor);
}

}  // namespace detail

/// The matrix as a tensor that keeps it alive: the memory is freed with the last of the shared
/// pointers and the tensors made of it, on whatever thread that is. A matrix of const elements
/// needs DLManagedTensorVersioned, whose flags say so. The matrix must not be assigned to or moved
/// from while a tensor lives. Error: a null pointer.
template <class Managed = DLManagedTensor, class T>
dlpack_handle<Managed> to_dlpack(std::shared_ptr<matrix<T>> matrix) {
  return detail::export_dlpack<Managed>(std::move(matrix));
}
/// As above.
template <class Managed, class T>
dlpack_handle<Managed> to_dlpack(std::shared_ptr<const matrix<T>> matrix) {
  return detail::export_dlpack<Managed>(std::move(matrix));
}
/// The tensor alone keeps the matrix. An lvalue is to be moved or shared.
template <class Managed = DLManagedTensor, class T>
dlpack_handle<Managed> to_dlpack(matrix<T>&& m) {
  return detail::export_dlpack<Managed>(std::make_shared<matrix<T>>(std::move(m)));
}

}  // namespace halfway

#endif  // HALFWAY_INTEROP_DLPACK_H_
