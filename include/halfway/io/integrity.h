// SPDX-License-Identifier: Apache-2.0
// Files that are what was written, and by whom: SHA-256 of every file, Ed25519 signatures.
//
//   const halfway::signing_key key = halfway::signing_key::load("release.key");
//   halfway::write_sealed(out, "model.safetensors", &key);  // out: a safetensors_writer
//
//   const halfway::verifying_key release = halfway::verifying_key::load("release.pub");
//   const halfway::safetensors_file file = halfway::open_sealed("model.safetensors", {.key = &release});
//
// Beside "model.safetensors" stand "model.safetensors.sha256", as sha256sum writes it and checks it
// (sha256sum -c), and its signature "model.safetensors.sha256.minisig", as minisign does (minisign
// -V -p release.pub -m model.safetensors.sha256). Of a checkpoint in several files, the names and
// digests of the index and of every shard stand in "model.safetensors.index.json.sha256". Keys are
// minisign's too, without a password.
//
// What is given out are the bytes that were hashed: one mapping, or copy, of the file serves both.
// Not in halfway.h, and in no other header, since it needs libsodium (find_package(Sodium), here
// cmake/find/FindSodium.cmake) and nlohmann/json.
#ifndef HALFWAY_IO_INTEGRITY_H_
#define HALFWAY_IO_INTEGRITY_H_

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "halfway/core/error.h"
#include "halfway/io/atomic_file.h"
#include "halfway/io/mapped_file.h"
#include "halfway/io/safetensors.h"
#include "halfway/io/safetensors_shards.h"
#include "halfway/io/safetensors_writer.h"
#include "halfway/io/signing_key.h"

namespace halfway {

/// FIPS 180-4's SHA-256, 32 bytes.
using sha256_digest = std::array<unsigned char, crypto_hash_sha256_BYTES>;

/// Of memory.
inline sha256_digest sha256(std::span<const std::byte> bytes) {
  sha256_digest digest{};
  crypto_hash_sha256(digest.data(), detail::as_chars(bytes), bytes.size());
  return digest;
}

namespace detail {

inline constexpr std::size_t max_manifest_bytes = std::size_t{16} << 20;

inline std::string hex(const sha256_digest& digest) {
  std::array<char, 2 * sizeof(sha256_digest) + 1> text{};
  return sodium_bin2hex(text.data(), text.size(), digest.data(), digest.size());
}

// Files of one folder and their digests.
using manifest = std::map<std::string, sha256_digest, std::less<>>;

inline std::string file_of_path(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// The name as it stands in a manifest. Error: one that sha256sum would escape.
inline void check_manifest_name(std::string_view where, const std::string& file) {
  if (!is_plain_name(file) || file.find_first_of("\n\r") != std::string::npos) {
    fail(concat(where, ": ", detail::printable_path(file), " is not the plain name of a file"));
  }
}

inline void write_manifest(std::string_view where, const std::string& path, const manifest& files,
                           const signing_key* key) {
  std::string text;
  for (const auto& [file, digest] : files) {
    check_manifest_name(where, file);
    text += concat(hex(digest), "  ", file, "\n");
  }
  const auto write = [](const std::string& to, const std::string& content) {
    atomic_file file(to);
    file.write(std::as_bytes(std::span(content)));
    file.commit();
  };
  const std::string sums = path + ".sha256";
  write(sums, text);
  if (key != nullptr) {
    write(sums + ".minisig",
          key->sign(std::as_bytes(std::span(text)), concat("file:", file_of_path(sums))));
  }
}

// The manifest of `path`, whose signature is verified first if there is a key. Errors: no such
// file, a bad signature, a line that is not a digest and a plain name, a name twice.
inline manifest read_manifest(std::string_view where, const std::string& path,
                              const verifying_key* key) {
  need_sodium();
  const std::string sums = path + ".sha256";
  // A copy: it is read twice, to be verified and to be understood.
  const auto copy_of = [&](const std::string& name) {
    const std::size_t size = mapped_file(name).bytes().size();
    if (size > max_manifest_bytes) {
      fail(concat(where, ": ", detail::printable_path(name), " has ", size, " bytes, more than ",
                  max_manifest_bytes));
    }
    return mapped_file::copy_of(name);
  };
  const mapped_file file = copy_of(sums);
  if (key != nullptr) {
    const mapped_file signature = copy_of(sums + ".minisig");
    key->verify(file.bytes(), sums, signature.bytes(), sums + ".minisig");
  }
  manifest files;
  std::string_view text = as_text(file.bytes());
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    constexpr std::size_t digits = 2 * sizeof(sha256_digest);
    sha256_digest digest{};
    const std::string name(line.substr(std::min(line.size(), digits + 2)));
    // Small letters, two blanks: what sha256sum writes, and nothing that means the same.
    if (end == std::string_view::npos || !is_plain_name(name) || line.substr(digits, 2) != "  " ||
        sodium_hex2bin(digest.data(), digest.size(), line.data(), digits, nullptr, nullptr,
                       nullptr) != 0 ||
        hex(digest) != line.substr(0, digits)) {
      fail(concat(where, ": line ", number, " of ", detail::printable_path(sums),
                  " is not a SHA-256 and the plain name of a file, as sha256sum writes them"));
    }
    if (!files.emplace(name, digest).second) {
      fail(concat(where, ": ", detail::printable_path(sums), " has ", detail::printable_path(name),
                  " twice"));
    }
    text.remove_prefix(end + 1);
  }
  return files;
}

}  // namespace detail

/// What open_sealed asks of files.
struct sealed_options {
  /// Whose signature there has to be. Without it only damage is found: whoever can change the file
  /// can change its digest.
  const verifying_key* key = nullptr;
  /// Read the whole file into memory and hash that, instead of mapping it. A mapped file is read
  /// from the disk again when memory is short, so a program that may write into the very file (not
  /// just replace it) could still change what has been verified.
  bool copy = false;
  safetensors_options format{};  ///< how strictly the files are read
};

namespace detail {

// The file's bytes, once they have the digest that the manifest says.
inline mapped_file open_verified(std::string_view where, const std::string& path,
                                 const manifest& files, bool copy) {
  const auto entry = files.find(file_of_path(path));
  if (entry == files.end()) {
    fail(concat(where, ": ", detail::printable_path(path),
                " is not among the files that were sealed"));
  }
  mapped_file file = copy ? mapped_file::copy_of(path) : mapped_file(path);
  const sha256_digest digest = sha256(file.bytes());
  if (digest != entry->second) {
    fail(concat(where, ": ", detail::printable_path(path), " has been changed: its SHA-256 is ",
                hex(digest), ", not ", hex(entry->second)));
  }
  return file;
}

}  // namespace detail

/// Writes a file with its digest and, with a key, its signature. The digest is of the bytes on
/// their way to the disk. A process that dies between the files leaves a new one with an old
/// digest, which open_sealed refuses. Errors: atomic_file's, safetensors_writer's; a name with a
/// newline or a backslash.
inline void write_sealed(const safetensors_writer& out, const std::string& path,
                         const signing_key* key = nullptr) {
  constexpr std::string_view where = "halfway::write_sealed";
  detail::need_sodium();
  detail::check_manifest_name(where, detail::file_of_path(path));
  crypto_hash_sha256_state state;
  crypto_hash_sha256_init(&state);
  atomic_file file(path);
  out.for_each_piece([&](std::span<const std::byte> piece) {
    crypto_hash_sha256_update(&state, detail::as_chars(piece), piece.size());
    file.write(piece);
  });
  file.commit();
  sha256_digest digest{};
  crypto_hash_sha256_final(&state, digest.data());
  detail::write_manifest(where, path, {{detail::file_of_path(path), digest}}, key);
}

/// Opens a file that write_sealed wrote, or beside which sha256sum and minisign wrote the same.
/// Nothing is made of its bytes before they are verified. Errors: the digest or, with a key, the
/// signature is missing or does not fit; the manifest has another file in it; safetensors_file's.
inline safetensors_file open_sealed(const std::string& path, const sealed_options& options = {}) {
  constexpr std::string_view where = "halfway::open_sealed";
  const detail::manifest files = detail::read_manifest(where, path, options.key);
  if (files.size() != 1) {
    fail(detail::concat(where, ": ", detail::printable_path(path + ".sha256"), " has ",
                        files.size(), " files instead of 1"));
  }
  mapped_file file = detail::open_verified(where, path, files, options.copy);
  return safetensors_file(std::move(file), path, options.format);
}

/// Seals a checkpoint that is in several files: the index and every file that it names, as they are
/// now on the disk. Errors: atomic_file's, safetensors_shards's.
inline void seal_shards(const std::string& index_path, const signing_key* key = nullptr) {
  constexpr std::string_view where = "halfway::seal_shards";
  detail::need_sodium();
  const mapped_file index(index_path);
  detail::manifest files = {{detail::file_of_path(index_path), sha256(index.bytes())}};
  const safetensors_shards shards(index.bytes(), index_path, {}, [&](const std::string& file) {
    mapped_file shard(detail::folder_of(index_path) + file);
    files.emplace(file, sha256(shard.bytes()));
    return safetensors_file(std::move(shard), file);
  });
  detail::write_manifest(where, index_path, files, key);
}

/// Opens such a checkpoint. Errors also: a file that the manifest has and the index has not, or the
/// other way round; a .safetensors file in the folder that was not sealed.
inline safetensors_shards open_sealed_shards(const std::string& index_path,
                                             const sealed_options& options = {}) {
  constexpr std::string_view where = "halfway::open_sealed_shards";
  const std::string folder = detail::folder_of(index_path);
  const detail::manifest files = detail::read_manifest(where, index_path, options.key);
  std::error_code problem;
  for (std::filesystem::directory_iterator at(folder.empty() ? "." : folder, problem), end;
       !problem && at != end; at.increment(problem)) {
    const std::string name = at->path().filename().string();
    if (name.ends_with(".safetensors") && !files.contains(name)) {
      fail(detail::concat(where, ": ", detail::printable_path(folder + name),
                          " is not among the files that were sealed"));
    }
  }
  if (problem) {
    fail(detail::concat(where, ": cannot list \"", folder, "\": ", problem.message()));
  }
  const mapped_file index = detail::open_verified(where, index_path, files, options.copy);
  std::set<std::string> used = {detail::file_of_path(index_path)};
  safetensors_shards shards(
      index.bytes(), index_path, options.format, [&](const std::string& file) {
        used.insert(file);
        return safetensors_file(detail::open_verified(where, folder + file, files, options.copy),
                                folder + file, options.format);
      });
  for (const auto& [file, digest] : files) {
    if (!used.contains(file)) {
      fail(detail::concat(where, ": ", detail::printable_path(index_path + ".sha256"), " has ",
                          detail::printable_path(file), ", which the index does not name"));
    }
  }
  return shards;
}

}  // namespace halfway

#endif  // HALFWAY_IO_INTEGRITY_H_
