// SPDX-License-Identifier: Apache-2.0
// A file's bytes in memory, read by the operating system as they are touched.
//
//   const halfway::mapped_file file("model.safetensors");
//   std::span<const std::byte> bytes = file.bytes();      // valid while `file` lives
//
// POSIX systems only, as everything in io/ that opens files.
#ifndef HALFWAY_IO_MAPPED_FILE_H_
#define HALFWAY_IO_MAPPED_FILE_H_

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "halfway/core/error.h"

namespace halfway {
namespace detail {

// "where: cannot open "path": No such file or directory", of errno.
[[noreturn]] inline void fail_with_errno(std::string_view where, std::string_view what,
                                         const std::string& path) {
  const int code = errno;
  fail(
      concat(where, ": cannot ", what, " \"", path, "\": ", std::generic_category().message(code)));
}

// Closes a file descriptor.
class descriptor {
 public:
  explicit descriptor(int fd = -1) : fd_(fd) {}
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

 private:
  int fd_;
};

}  // namespace detail

/// Read-only. A file that another process makes shorter while it is mapped kills this one at the
/// next touch (SIGBUS): replace files by renaming, as atomic_file does, instead of writing into
/// them.
class mapped_file {
 public:
  /// No bytes.
  mapped_file() = default;
  /// Errors: no such file, no permission, not a regular file, no address space.
  explicit mapped_file(const std::string& path) : mapped_file(path, false) {}
  /// A copy in memory of its own, which a change of the file no longer reaches, whoever makes it.
  /// Errors: the same, no memory, a file that becomes shorter meanwhile.
  static mapped_file copy_of(const std::string& path) { return mapped_file(path, true); }
  /// The other is left without bytes.
  mapped_file(mapped_file&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  /// Swaps the files, so that views of either stay valid as long as both objects live.
  mapped_file& operator=(mapped_file&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~mapped_file() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }

  /// Valid while this lives; moving keeps their place.
  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  mapped_file(const std::string& path, bool copy) {
    constexpr std::string_view where = "halfway::mapped_file";
    const detail::descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file.is_open()) detail::fail_with_errno(where, "open", path);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) detail::fail_with_errno(where, "look at", path);
    if (!S_ISREG(status.st_mode)) {
      fail(detail::concat(where, ": \"", path, "\" is not a regular file"));
    }
    const auto size = static_cast<std::uintmax_t>(status.st_size);
    if (size > std::numeric_limits<std::size_t>::max() / 2) {
      fail(detail::concat(where, ": \"", path, "\" has ", size, " bytes, too many to map"));
    }
    if (size == 0) return;  // which can't be mapped
    void* const at =
        ::mmap(nullptr, static_cast<std::size_t>(size), copy ? PROT_READ | PROT_WRITE : PROT_READ,
               copy ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE, copy ? -1 : file.get(), 0);
    if (at == MAP_FAILED) detail::fail_with_errno(where, "map", path);
    bytes_ = {static_cast<const std::byte*>(at), static_cast<std::size_t>(size)};
    if (!copy) return;
    const std::span<std::byte> to(static_cast<std::byte*>(at), bytes_.size());
    for (std::size_t have = 0; have != to.size();) {
      const ssize_t n = ::read(file.get(), to.data() + have, to.size() - have);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) {
        const int code = errno;
        ::munmap(at, to.size());  // the destructor does not run
        if (n == 0)
          fail(detail::concat(where, ": \"", path, "\" became shorter while it was read"));
        errno = code;
        detail::fail_with_errno(where, "read", path);
      }
      have += static_cast<std::size_t>(n);
    }
  }

  std::span<const std::byte> bytes_;
};

}  // namespace halfway

#endif  // HALFWAY_IO_MAPPED_FILE_H_
