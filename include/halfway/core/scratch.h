// SPDX-License-Identifier: Apache-2.0
// Working memory that a thread keeps between calls, so that an operation does not pay for fresh
// pages each time.
//
//   void* p = halfway::detail::thread_scratch(bytes);     // 64-byte aligned, valid until this
//   thread asks again
#ifndef HALFWAY_CORE_SCRATCH_H_
#define HALFWAY_CORE_SCRATCH_H_

#include <cstddef>
#include <new>

namespace halfway::detail {

class scratch_buffer {
 public:
  scratch_buffer() = default;
  scratch_buffer(const scratch_buffer&) = delete;
  scratch_buffer& operator=(const scratch_buffer&) = delete;
  ~scratch_buffer() { ::operator delete(data_, alignment); }

  // Never shrinks: the operations bound what they ask for by their blocking, not by the size of the
  // problem.
  void* at_least(std::size_t bytes) {
    if (bytes > bytes_) {
      ::operator delete(data_, alignment);
      data_ = nullptr;
      bytes_ = 0;
      data_ = ::operator new(bytes, alignment);
      bytes_ = bytes;
    }
    return data_;
  }

 private:
  static constexpr std::align_val_t alignment{64};
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

inline void* thread_scratch(std::size_t bytes) {
  thread_local scratch_buffer buffer;
  return buffer.at_least(bytes);
}

}  // namespace halfway::detail

#endif  // HALFWAY_CORE_SCRATCH_H_
