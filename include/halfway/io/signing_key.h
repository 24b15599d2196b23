// SPDX-License-Identifier: Apache-2.0
// Ed25519 keys and detached signatures, in the files of minisign.
//
//   const halfway::signing_key key = halfway::signing_key::generate();
//   key.save("release.key");                    // for its owner alone, without a password
//   key.public_half().save("release.pub");      // minisign's, and signify's too
//   const std::string signature = key.sign(text, "file:model.safetensors.sha256");
//   halfway::verifying_key::load("release.pub").verify(text, "text", signature_bytes, "signature");
//
// The formats: https://jedisct1.github.io/minisign/, "Signature format" to "Secret key format". Not
// in halfway.h, and in no other header but integrity.h, since it needs libsodium
// (find_package(Sodium), here cmake/find/FindSodium.cmake).
#ifndef HALFWAY_IO_SIGNING_KEY_H_
#define HALFWAY_IO_SIGNING_KEY_H_

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "halfway/core/error.h"
#include "halfway/io/atomic_file.h"
#include "halfway/io/mapped_file.h"
#include "halfway/io/safetensors_header.h"

namespace halfway {

namespace detail {

inline void need_sodium() {
  static const int ready = sodium_init();
  if (ready < 0) fail("halfway: libsodium could not be started");
}

inline const unsigned char* as_chars(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Memory for a secret: wiped at the end.
template <std::size_t n>
struct secret_bytes : std::array<unsigned char, n> {
  secret_bytes() : std::array<unsigned char, n>{} {}
  secret_bytes(const secret_bytes&) = delete;
  secret_bytes& operator=(const secret_bytes&) = delete;
  ~secret_bytes() { sodium_memzero(this->data(), n); }
};

// Base64 of exactly n bytes, with padding and nothing else; false if it is not that. libsodium
// 1.0.18 takes some characters past ASCII for others.
inline bool decode_base64(std::string_view text, unsigned char* to, std::size_t n) {
  std::size_t size = 0;
  const char* end = nullptr;
  const bool ascii =
      std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return ascii &&
         sodium_base642bin(to, n, text.data(), text.size(), nullptr, &size, &end,
                           sodium_base64_VARIANT_ORIGINAL) == 0 &&
         size == n && end == text.data() + text.size();
}

template <std::size_t n>
std::string base64(const std::array<unsigned char, n>& bytes) {
  std::array<char, sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_ORIGINAL)> text{};
  return sodium_bin2base64(text.data(), text.size(), bytes.data(), n,
                           sodium_base64_VARIANT_ORIGINAL);
}

// The lines of a small text file, each with its newline; false if it is not n such lines.
template <std::size_t n>
bool split_lines(std::string_view text, std::array<std::string_view, n>& lines) {
  for (std::string_view& line : lines) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) return false;
    line = text.substr(0, end);
    text.remove_prefix(end + 1);
  }
  return text.empty();
}

inline constexpr std::string_view untrusted_comment = "untrusted comment: ";
inline constexpr std::string_view trusted_comment = "trusted comment: ";

// A file of minisign's: a comment and n bytes. Error: anything else.
template <std::size_t n>
void read_key_file(std::string_view where, const std::string& path,
                   std::array<unsigned char, n>& bytes) {
  const mapped_file file(path);
  std::array<std::string_view, 2> lines;
  if (!split_lines(as_text(file.bytes()), lines) || !lines[0].starts_with(untrusted_comment) ||
      !decode_base64(lines[1], bytes.data(), n)) {
    fail(concat(where, ": ", printable_path(path), " is not a comment and ", n,
                " bytes in base64, as minisign writes keys of this kind"));
  }
}

// As minisign prints a key's id.
inline std::string key_id_text(const unsigned char* id) {
  std::string text;
  for (int i = 7; i >= 0; --i) {
    text += "0123456789ABCDEF"[id[i] >> 4];
    text += "0123456789ABCDEF"[id[i] & 15];
  }
  return text;
}

}  // namespace detail

/// The public half of a key. In a file, minisign's and signify's.
class verifying_key {
 public:
  /// Error: not such a file.
  static verifying_key load(const std::string& path) {
    detail::need_sodium();
    verifying_key key;
    std::array<unsigned char, 42> bytes{};  // algorithm, id, key
    detail::read_key_file(where, path, bytes);
    if (bytes[0] != 'E' || bytes[1] != 'd') {
      fail(detail::concat(where, ": ", detail::printable_path(path), " is not of an Ed25519 key"));
    }
    std::copy_n(bytes.data() + 2, 8, key.id_.data());
    std::copy_n(bytes.data() + 10, 32, key.key_.data());
    return key;
  }
  /// Error: atomic_file's.
  void save(const std::string& path) const {
    std::array<unsigned char, 42> bytes{'E', 'd'};
    std::copy(id_.begin(), id_.end(), bytes.data() + 2);
    std::copy(key_.begin(), key_.end(), bytes.data() + 10);
    const std::string text = detail::concat(detail::untrusted_comment, "minisign public key ", id(),
                                            "\n", detail::base64(bytes), "\n");
    atomic_file file(path);
    file.write(std::as_bytes(std::span(text)));
    file.commit();
  }

  /// Eight bytes that tell keys apart, as minisign prints them.
  std::string id() const { return detail::key_id_text(id_.data()); }

  /// Of a text that `signature`, the content of a file of minisign's, is to be of. `name` and
  /// `signature_name` are for messages. Errors: not such a file; of another key; of another text.
  void verify(std::span<const std::byte> text, const std::string& name,
              std::span<const std::byte> signature, const std::string& signature_name) const {
    const auto refuse = [&](const auto&... problem) {
      fail(detail::concat(where, ": ", detail::printable_path(signature_name), " ", problem...));
    };
    detail::need_sodium();
    std::array<std::string_view, 4> lines;
    std::array<unsigned char, 74> bytes{};  // algorithm, id, signature
    std::array<unsigned char, 64> global{};
    if (!detail::split_lines(detail::as_text(signature), lines) ||
        !lines[0].starts_with(detail::untrusted_comment) ||
        !lines[2].starts_with(detail::trusted_comment)) {
      refuse("is not the four lines of a minisign signature");
    }
    if (!detail::decode_base64(lines[1], bytes.data(), bytes.size())) {
      refuse("has something else than ", bytes.size(), " bytes of signature in base64");
    }
    if (!detail::decode_base64(lines[3], global.data(), global.size())) {
      refuse("has something else than ", global.size(), " bytes of global signature in base64");
    }
    const bool hashed = bytes[0] == 'E' && bytes[1] == 'D';  // minisign's own choice today
    if (!hashed && !(bytes[0] == 'E' && bytes[1] == 'd')) refuse("is not of Ed25519");
    if (!std::equal(id_.begin(), id_.end(), bytes.data() + 2)) {
      refuse("is of key ", detail::key_id_text(bytes.data() + 2), ", not ", id());
    }
    std::array<unsigned char, 64> hash{};
    const unsigned char* message = detail::as_chars(text);
    std::size_t size = text.size();
    if (hashed) {
      crypto_generichash(hash.data(), hash.size(), message, size, nullptr, 0);
      message = hash.data();
      size = hash.size();
    }
    if (crypto_sign_verify_detached(bytes.data() + 10, message, size, key_.data()) != 0) {
      refuse("does not fit ", detail::printable_path(name), ": one of them has been changed");
    }
    std::string all(reinterpret_cast<const char*>(bytes.data() + 10), 64);
    all += lines[2].substr(detail::trusted_comment.size());
    if (crypto_sign_verify_detached(global.data(),
                                    reinterpret_cast<const unsigned char*>(all.data()), all.size(),
                                    key_.data()) != 0) {
      refuse("has a trusted comment that was not signed with it");
    }
  }

 private:
  friend class signing_key;
  static constexpr std::string_view where = "halfway::verifying_key";

  verifying_key() = default;

  std::array<unsigned char, 8> id_{};
  std::array<unsigned char, crypto_sign_PUBLICKEYBYTES> key_{};
};

/// Wiped from memory when it is destroyed. Neither copied nor moved: pass it by reference.
class signing_key {
 public:
  /// A new one, of the operating system's random numbers.
  static signing_key generate() { return signing_key(); }

  /// From a file of minisign's. Errors: not such a file; with a password (minisign -G -W makes
  /// those without); damaged.
  static signing_key load(const std::string& path) { return signing_key(path); }

  /// To a file that only its owner may read. Error: atomic_file's.
  void save(const std::string& path) const {
    detail::secret_bytes<file_bytes> bytes;
    std::memcpy(bytes.data(), "Ed\0\0B2", 6);  // no password: salt and limits are 0
    std::copy(public_.id_.begin(), public_.id_.end(), bytes.data() + 54);
    std::copy(secret_.begin(), secret_.end(), bytes.data() + 62);
    checksum(bytes, bytes.data() + 126);
    constexpr std::size_t size =
        sodium_base64_ENCODED_LEN(file_bytes, sodium_base64_VARIANT_ORIGINAL);
    detail::secret_bytes<size> text;
    sodium_bin2base64(reinterpret_cast<char*>(text.data()), size, bytes.data(), file_bytes,
                      sodium_base64_VARIANT_ORIGINAL);
    text.back() = '\n';  // instead of the NUL
    const std::string comment =
        detail::concat(detail::untrusted_comment, "minisign unencrypted secret key\n");
    atomic_file file(path, atomic_file::private_mode);
    file.write(std::as_bytes(std::span(comment)));
    file.write(std::as_bytes(std::span(text)));
    file.commit();
  }

  /// What others check signatures with.
  const verifying_key& public_half() const { return public_; }

  /// The content of a signature file. It is not of the text's hash, so minisign -V and signify -V
  /// both take it.
  std::string sign(std::span<const std::byte> text, std::string_view comment) const {
    std::array<unsigned char, 74> bytes{'E', 'd'};
    std::copy(public_.id_.begin(), public_.id_.end(), bytes.data() + 2);
    crypto_sign_detached(bytes.data() + 10, nullptr, detail::as_chars(text), text.size(),
                         secret_.data());
    std::string all(reinterpret_cast<const char*>(bytes.data() + 10), 64);
    all += comment;
    std::array<unsigned char, 64> global{};
    crypto_sign_detached(global.data(), nullptr, reinterpret_cast<const unsigned char*>(all.data()),
                         all.size(), secret_.data());
    return detail::concat(detail::untrusted_comment, "signature from minisign secret key ",
                          public_.id(), "\n", detail::base64(bytes), "\n", detail::trusted_comment,
                          comment, "\n", detail::base64(global), "\n");
  }

 private:
  // Two bytes each of algorithm, key derivation, checksum; salt 32, limits 8 + 8; id 8, key 64,
  // checksum 32.
  static constexpr std::size_t file_bytes = 158;
  static constexpr std::string_view where = "halfway::signing_key";

  signing_key() {
    detail::need_sodium();
    randombytes_buf(public_.id_.data(), public_.id_.size());
    crypto_sign_keypair(public_.key_.data(), secret_.data());
  }
  explicit signing_key(const std::string& path) {
    detail::need_sodium();
    detail::secret_bytes<file_bytes> bytes;
    detail::read_key_file(where, path, bytes);
    if (bytes[0] != 'E' || bytes[1] != 'd' || bytes[4] != 'B' || bytes[5] != '2') {
      fail(detail::concat(where, ": ", detail::printable_path(path), " is not of an Ed25519 key"));
    }
    if (bytes[2] != 0 || bytes[3] != 0) {
      fail(detail::concat(where, ": ", detail::printable_path(path),
                          " has a password, which is not asked for here; minisign -G -W makes "
                          "keys without"));
    }
    std::copy_n(bytes.data() + 54, 8, public_.id_.data());
    // The second half of the secret key is the public one, which follows from the first. minisign
    // 0.11 leaves the checksum of a key without a password 0.
    detail::secret_bytes<crypto_sign_SEEDBYTES> seed;
    std::copy_n(bytes.data() + 62, seed.size(), seed.data());
    crypto_sign_seed_keypair(public_.key_.data(), secret_.data(), seed.data());
    std::array<unsigned char, 32> expected{};
    checksum(bytes, expected.data());
    if (sodium_memcmp(secret_.data(), bytes.data() + 62, secret_.size()) != 0 ||
        (sodium_memcmp(expected.data(), bytes.data() + 126, expected.size()) != 0 &&
         sodium_is_zero(bytes.data() + 126, expected.size()) == 0)) {
      fail(detail::concat(where, ": ", detail::printable_path(path), " is damaged"));
    }
  }

  static void checksum(const detail::secret_bytes<file_bytes>& bytes, unsigned char* to) {
    crypto_generichash_state state;
    crypto_generichash_init(&state, nullptr, 0, 32);
    crypto_generichash_update(&state, bytes.data(), 2);
    crypto_generichash_update(&state, bytes.data() + 54, 8 + 64);
    crypto_generichash_final(&state, to, 32);
    sodium_memzero(&state, sizeof(state));
  }

  verifying_key public_;
  detail::secret_bytes<crypto_sign_SECRETKEYBYTES> secret_;
};

}  // namespace halfway

#endif  // HALFWAY_IO_SIGNING_KEY_H_
