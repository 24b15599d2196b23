// SPDX-License-Identifier: Apache-2.0
#include "halfway/interop/dlpack.h"

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/expect_error.h"

namespace halfway {
namespace {

using testing::expect_error;
using testing::message_of;

// A 2 x 3 tensor of half that each test spoils in its own way.
struct foreign_tensor {
  std::array<half, 24> memory{};
  std::int64_t shape[2] = {2, 3};
  std::int64_t strides[2] = {8, 2};
  DLTensor tensor{memory.data(), {kDLCPU, 0}, 2, {2, 16, 1}, shape, strides, 4};
};

TEST(Dlpack, NamesTypesAsTheSpecificationDoes) {
  struct expectation {
    dtype type;
    int code, bits;
  };
  for (const auto [type, code, bits] : {expectation{dtype::float64, 2, 64},
                                        {dtype::float32, 2, 32},
                                        {dtype::float16, 2, 16},
                                        {dtype::bfloat16, 4, 16},
                                        {dtype::float8_e4m3fn, 10, 8},
                                        {dtype::float8_e4m3fnuz, 11, 8},
                                        {dtype::float8_e5m2, 12, 8},
                                        {dtype::float8_e5m2fnuz, 13, 8},
                                        {dtype::float8_e8m0fnu, 14, 8},
                                        {dtype::float6_e2m3fn, 15, 6},
                                        {dtype::float6_e3m2fn, 16, 6},
                                        {dtype::float4_e2m1fn, 17, 4},
                                        {dtype::int32, 0, 32},
                                        {dtype::int8, 0, 8},
                                        {dtype::uint8, 1, 8},
                                        {dtype::int4, 0, 4},
                                        {dtype::uint4, 1, 4}}) {
    EXPECT_EQ(int{dlpack_type(type).code}, code) << name(type);
    EXPECT_EQ(int{dlpack_type(type).bits}, bits) << name(type);
    EXPECT_EQ(int{dlpack_type(type).lanes}, 1) << name(type);
  }
}

TEST(DlpackImport, IsTheSameMemoryWithItsOffsetAndStrides) {
  foreign_tensor f;
  const matrix_view<half> m = from_dlpack<half>(f.tensor);
  EXPECT_EQ(m.rows(), 2u);
  EXPECT_EQ(m.cols(), 3u);
  EXPECT_EQ(&m(0, 0), &f.memory[2]);
  EXPECT_EQ(&m(1, 2), &f.memory[2 + 8 + 4]);
  f.tensor.strides = nullptr;
  EXPECT_EQ(&from_dlpack<const half>(f.tensor)(1, 2), &f.memory[2 + 3 + 2]);
  // A vector is a row, strided or not.
  f.tensor.ndim = 1;
  EXPECT_EQ(from_dlpack<half>(f.tensor).rows(), 1u);
  EXPECT_EQ(&from_dlpack<half>(f.tensor)(0, 1), &f.memory[2 + 1]);
  f.tensor.strides = f.strides;
  EXPECT_EQ(&from_dlpack<half>(f.tensor)(0, 1), &f.memory[2 + 8]);
  // Strides that lead nowhere may be anything, here what NumPy has of x[:1, ::-1][:, :1].
  f.tensor.ndim = 2;
  f.shape[0] = 1, f.strides[0] = -77;
  EXPECT_EQ(&from_dlpack<half>(f.tensor)(0, 2), &f.memory[2 + 4]);
  // Without elements data may be null.
  f.shape[0] = 0, f.tensor.data = nullptr;
  EXPECT_EQ(from_dlpack<half>(f.tensor).cols(), 3u);
}

TEST(DlpackImport, RefusesWhatAMatrixViewIsNot) {
  const auto refuses = [](const std::function<void(foreign_tensor&)>& spoil,
                          std::initializer_list<std::string_view> parts) {
    foreign_tensor f;
    spoil(f);
    expect_error([&] { from_dlpack<half>(f.tensor); }, parts);
  };
  using F = foreign_tensor;
  refuses([](F& f) { f.tensor.device.device_type = kDLCUDA; }, {"device type 2", "kDLCPU (1)"});
  refuses([](F& f) { f.tensor.dtype.code = 4; }, {"dtype (bfloat16) must be float16"});
  refuses([](F& f) { f.tensor.dtype.bits = 32; }, {"dtype (float32) must be float16"});
  refuses([](F& f) { f.tensor.dtype.lanes = 2; }, {"code 2, 16 bits, 2 lanes"});
  refuses([](F& f) { f.tensor.ndim = 0; }, {"ndim (0) must be 1 or 2"});
  refuses([](F& f) { f.tensor.ndim = 3; }, {"ndim (3)"});
  refuses([](F& f) { f.tensor.ndim = -1; }, {"ndim (-1)"});
  refuses([](F& f) { f.tensor.shape = nullptr; }, {"shape is null"});
  refuses([](F& f) { f.shape[1] = -3; }, {"shape (2, -3)"});
  refuses([](F& f) { f.strides[0] = -8; }, {"strides (-8, 2)", "shape (2, 3)"});
  refuses([](F& f) { f.strides[0] = 0; }, {"strides 0 and 2", "in one place"});
  refuses([](F& f) { f.strides[0] = 2; }, {"strides 2 and 2", "in one place"});
  refuses([](F& f) { f.tensor.data = nullptr; }, {"data is null", "(2, 3)"});
  refuses([](F& f) { f.tensor.byte_offset = 3; }, {"multiple of 2 bytes"});
  refuses([](F& f) { f.tensor.byte_offset = std::numeric_limits<std::uint64_t>::max() - 1; },
          {"byte_offset", "address space"});
  refuses([](F& f) { f.shape[0] = f.strides[0] = std::int64_t{1} << 40; },
          {"does not fit the address space"});
}

TEST(DlpackImport, ReadOnlyVersionsAndPaddingAreChecked) {
  foreign_tensor f;
  DLManagedTensorVersioned v{{1, 0}, nullptr, nullptr, DLPACK_FLAG_BITMASK_READ_ONLY, f.tensor};
  EXPECT_EQ(from_dlpack<const half>(v).rows(), 2u);
  expect_error([&] { from_dlpack<half>(v); }, {"read-only", "const float16"});
  v.flags = 0;
  EXPECT_EQ(from_dlpack<half>(v).rows(), 2u);
  v.version.major = 2;
  expect_error([&] { from_dlpack<half>(v); }, {"version.major (2)", "(1)"});

  std::array<float4_e2m1fn, 6> small{};
  std::int64_t shape[2] = {2, 3};
  DLManagedTensorVersioned s{{1, 1},
                             nullptr,
                             nullptr,
                             DLPACK_FLAG_BITMASK_IS_SUBBYTE_TYPE_PADDED,
                             {small.data(), {kDLCPU, 0}, 2, {17, 4, 1}, shape, nullptr, 0}};
  EXPECT_EQ(&from_dlpack<float4_e2m1fn>(s)(1, 1), &small[4]);
  s.flags = 0;
  expect_error([&] { from_dlpack<float4_e2m1fn>(s); }, {"float4_e2m1fn is packed"});
  expect_error([&] { from_dlpack<float4_e2m1fn>(s.dl_tensor); }, {"float4_e2m1fn is packed"});
}

void negate(DLManagedTensor* x) {
  const matrix_view<half> m = from_dlpack<half>(*x);
  for (std::size_t i = 0; i < m.rows(); ++i) {
    for (std::size_t j = 0; j < m.cols(); ++j) m(i, j) = -m(i, j);
  }
}

DLManagedTensor* ones(std::size_t rows, std::size_t cols) {
  matrix<float> m(rows, cols);
  for (float& x : m.elements()) x = 1.0f;
  return to_dlpack(std::move(m)).release();
}

TEST(Dlpack, OfTheGuide) {
  foreign_tensor f;
  DLManagedTensor managed{f.tensor, nullptr, nullptr};
  f.memory[2] = half(2.0f);
  negate(&managed);
  EXPECT_EQ(f.memory[2], -2.0f);
  const dlpack_handle<DLManagedTensor> handle(ones(2, 3));
  EXPECT_EQ(from_dlpack<float>(*handle)(1, 2), 1.0f);
}

// Under the address sanitizer these also show that nothing is used after or freed twice, or leaks.
TEST(DlpackExport, OutlivesWhoMadeIt) {
  DLManagedTensor* given = nullptr;
  {
    matrix<half> m(2, 3);
    m(1, 2) = half(0.5f);
    const half* const memory = m.data();
    given = to_dlpack(std::move(m)).release();
    EXPECT_EQ(given->dl_tensor.data, memory);  // moved, not copied
  }
  EXPECT_EQ(from_dlpack<const half>(*given)(1, 2), half(0.5f));
  EXPECT_EQ(given->dl_tensor.strides[0], 3);
  std::thread([given] { given->deleter(given); }).join();  // whoever ends it, wherever
}

TEST(DlpackExport, SharesTheMatrixAndFreesItOnce) {
  auto shared = std::make_shared<matrix<float>>(4, 5);
  const std::weak_ptr<matrix<float>> watch = shared;
  auto first = to_dlpack(shared);
  auto second = to_dlpack<DLManagedTensorVersioned>(shared);
  EXPECT_EQ(watch.use_count(), 3);
  (*shared)(3, 4) = 7.0f;
  shared.reset();
  dlpack_handle<DLManagedTensor> taken(first.release());  // by another library, with its own handle
  EXPECT_EQ(first, nullptr);
  EXPECT_EQ(from_dlpack<float>(*taken)(3, 4), 7.0f);
  taken.reset();
  EXPECT_EQ(watch.use_count(), 1);
  EXPECT_EQ(from_dlpack<float>(*second)(3, 4), 7.0f);
  second.reset();
  EXPECT_TRUE(watch.expired());
  static_assert(!std::is_copy_constructible_v<dlpack_handle<DLManagedTensor>>);
  expect_error([] { to_dlpack(std::shared_ptr<matrix<float>>()); }, {"matrix is null"});
}

TEST(DlpackExport, SaysWhatIsReadOnlyAndWhatIsPadded) {
  const auto constant = std::make_shared<const matrix<bfloat16>>(1, 2);
  const auto tensor = to_dlpack<DLManagedTensorVersioned>(constant);
  EXPECT_EQ(tensor->flags, DLPACK_FLAG_BITMASK_READ_ONLY);
  EXPECT_EQ(tensor->version.major, 1u);
  expect_error([&] { from_dlpack<bfloat16>(*tensor); }, {"read-only"});
  EXPECT_EQ(from_dlpack<const bfloat16>(*tensor).data(), constant->data());

  const auto small = to_dlpack<DLManagedTensorVersioned>(matrix<int4>(3, 4));
  EXPECT_EQ(small->flags, DLPACK_FLAG_BITMASK_IS_SUBBYTE_TYPE_PADDED);
  EXPECT_EQ(from_dlpack<int4>(*small).rows(), 3u);
  EXPECT_EQ(from_dlpack<float>(*to_dlpack(matrix<float>(0, 3))).cols(), 3u);
}

TEST(DlpackHandle, LeavesATensorWithoutDeleterAlone) {
  foreign_tensor f;
  DLManagedTensor managed{f.tensor, nullptr, nullptr};
  EXPECT_EQ(message_of([&] { dlpack_handle<DLManagedTensor> handle(&managed); }), "no error");
}

}  // namespace
}  // namespace halfway
