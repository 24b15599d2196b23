// SPDX-License-Identifier: Apache-2.0
// Writes a file so that at any moment, whatever dies, its name leads to the old content or to the
// new one, each whole.
//
//   halfway::atomic_file file("run.safetensors");
//   file.write(header);
//   file.write(data);
//   file.commit();         // without it, "run.safetensors" stays as it was
//
// The content goes to "run.safetensors.part" in the same folder, then fsync of the file, rename,
// fsync of the folder: after commit() it is on the disk, also if the power fails. A process that is
// killed leaves at most this one file behind, and the next writer takes it over.
#ifndef HALFWAY_IO_ATOMIC_FILE_H_
#define HALFWAY_IO_ATOMIC_FILE_H_

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/io/mapped_file.h"

namespace halfway {

/// A file that is written aside and takes its name when it is whole.
class atomic_file {
 public:
  /// Of a file for its owner alone.
  static constexpr mode_t private_mode = 0600;

  /// Begins to write; nothing is seen at `path` yet. A symbolic link at `path` will be replaced,
  /// not what it points to. Errors: the folder does not exist or can't be written to; another
  /// atomic_file writes to this path now, here or in another process. `mode` is that of a new file,
  /// of which the process's umask takes bits away.
  explicit atomic_file(const std::string& path, mode_t mode = 0666)
      : path_(path), part_(path + ".part") {
    // The lock belongs to the file, not to its name: between open and flock another writer may have
    // renamed it away.
    for (;;) {
      file_ = detail::descriptor(
          ::open(part_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode));
      if (!file_.is_open()) detail::fail_with_errno(where, "create", part_);
      if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
          fail(detail::concat(where, ": another writer is at work on \"", path_, "\""));
        }
        detail::fail_with_errno(where, "lock", part_);
      }
      struct stat locked {
      }, named{};
      if (::fstat(file_.get(), &locked) != 0) detail::fail_with_errno(where, "look at", part_);
      if (::stat(part_.c_str(), &named) == 0 && named.st_ino == locked.st_ino &&
          named.st_dev == locked.st_dev) {
        break;
      }
    }
    if (::ftruncate(file_.get(), 0) != 0) detail::fail_with_errno(where, "empty", part_);
    // What a killed writer left may have been open to others.
    if (mode == private_mode && ::fchmod(file_.get(), mode) != 0) {
      detail::fail_with_errno(where, "set the permissions of", part_);
    }
  }
  atomic_file(const atomic_file&) = delete;
  atomic_file& operator=(const atomic_file&) = delete;
  /// Discards what was not committed.
  ~atomic_file() {
    if (file_.is_open()) ::unlink(part_.c_str());  // while locked: it is still this object's
  }

  /// Appends. Errors: the disk is full or fails; committed already.
  void write(std::span<const std::byte> bytes) {
    check_open();
    constexpr std::size_t most = std::size_t{1} << 30;  // Linux takes less than 2^31 at once
    while (!bytes.empty()) {
      const ssize_t n = ::write(file_.get(), bytes.data(), std::min(bytes.size(), most));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) detail::fail_with_errno(where, "write to", part_);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  /// Makes it the content of `path`. Errors: as write, and a folder at `path`; then the old content
  /// is still there. If only the last step fails, fsync of the folder, the error says so: the new
  /// content is there, but may not survive a power failure.
  void commit() {
    check_open();
    if (::fsync(file_.get()) != 0) detail::fail_with_errno(where, "sync", part_);
    if (std::rename(part_.c_str(), path_.c_str()) != 0) {
      detail::fail_with_errno(where, "rename to", path_);
    }
    file_ = detail::descriptor();
    const std::size_t slash = path_.rfind('/');
    const std::string name = slash == std::string::npos ? "."
                             : slash == 0               ? "/"
                                                        : path_.substr(0, slash);
    const detail::descriptor folder(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
    if (!folder.is_open() || ::fsync(folder.get()) != 0) {
      detail::fail_with_errno(where, "sync the folder of (written and renamed)", path_);
    }
  }

 private:
  static constexpr std::string_view where = "halfway::atomic_file";

  void check_open() const {
    if (!file_.is_open()) {
      fail(detail::concat(where, ": \"", path_, "\" has been committed already"));
    }
  }

  std::string path_, part_;
  detail::descriptor file_;
};

}  // namespace halfway

#endif  // HALFWAY_IO_ATOMIC_FILE_H_
