// SPDX-License-Identifier: Apache-2.0
// Sealed files with every byte changed, cut, swapped, renamed, and signed by somebody else; and what
// sha256sum, minisign and signify say of them.
#include "halfway/io/integrity.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "examples/run_command.h"
#include "halfway/io/checkpoint.h"
#include "support/expect_error.h"
#include "support/guide.h"
#include "support/temporary_folder.h"

namespace {

using halfway::open_sealed;
using halfway::open_sealed_shards;
using halfway::safetensors_file;
using halfway::safetensors_writer;
using halfway::signing_key;
using halfway::verifying_key;
using halfway::testing::expect_error;
using halfway::testing::message_of;
using halfway::testing::run_command;
using halfway::testing::temporary_folder;
using halfway::testing::text_of_file;

void write_text(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// In its place: to write a file anew takes a journal's time.
void put_byte(const std::string& path, std::size_t at, char byte) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(byte);
}

// Of one number.
safetensors_writer small_file(const float& x) {
  safetensors_writer out;
  out.add("x", std::span<const float>(&x, 1));
  return out;
}

TEST(Integrity, HashesAsTheStandardSays) {
  // FIPS 180-4's examples: "abc", and the empty message.
  const std::string abc = "abc";
  EXPECT_EQ(halfway::detail::hex(halfway::sha256(std::as_bytes(std::span(abc)))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(halfway::detail::hex(halfway::sha256({})),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Integrity, SealsAndOpens) {
  const temporary_folder folder;
  // The guide's, in docs/checkpoints.md.
  signing_key::generate().save(folder.file("release.key"));
  signing_key::load(folder.file("release.key")).public_half().save(folder.file("release.pub"));
  std::filesystem::current_path(folder.path());
  const float x = 1.5f;
  const safetensors_writer out = small_file(x);
  {
    const halfway::signing_key key = halfway::signing_key::load("release.key");
    halfway::write_sealed(out, "model.safetensors", &key);
  }
  {
    const halfway::verifying_key release = halfway::verifying_key::load("release.pub");
    const halfway::safetensors_file file =
        halfway::open_sealed("model.safetensors", {.key = &release});
    EXPECT_EQ(file.view<float>("x")[0], 1.5f);
  }
  EXPECT_EQ(open_sealed("model.safetensors").view<float>("x")[0], 1.5f);  // the digest alone
  EXPECT_EQ(open_sealed("./model.safetensors", {.copy = true}).view<float>("x")[0], 1.5f);
  // As sha256sum has it, which checks it if there is one.
  EXPECT_EQ(text_of_file("model.safetensors.sha256"),
            halfway::detail::hex(halfway::sha256(out.to_bytes())) + "  model.safetensors\n");
  EXPECT_EQ(run_command({"sha256sum", "-c", "model.safetensors.sha256"}).status, 0);
  // Without a key only the digest is written.
  halfway::write_sealed(out, "plain.safetensors");
  EXPECT_EQ(open_sealed("plain.safetensors").view<float>("x")[0], 1.5f);
  const verifying_key release = verifying_key::load("release.pub");
  expect_error([&] { open_sealed("plain.safetensors", {.key = &release}); },
               {"cannot open \"plain.safetensors.sha256.minisig\""});
  expect_error([&] { halfway::write_sealed(out, "a\nb"); }, {"not the plain name of a file"});
  // A checkpoint is such a file.
  halfway::checkpoint_writer run;
  run.note("who", "a test");
  halfway::write_sealed(run.file(), "run.safetensors");
  const halfway::checkpoint_reader in(open_sealed("run.safetensors"), "run.safetensors");
  EXPECT_EQ(in.note("who"), "a test");
  std::filesystem::current_path("/");
}

// A sealed file, its key, and what opening it says.
class Sealed : public ::testing::Test {
 protected:
  Sealed() : key_(signing_key::generate()) { halfway::write_sealed(small_file(x_), path_, &key_); }

  std::string message(bool with_key = true) {
    return message_of(
        [&] { open_sealed(path_, {.key = with_key ? &key_.public_half() : nullptr}); });
  }

  // Each byte of a file, changed in turn.
  void expect_each_change_refused(const std::string& path, std::size_t begin,
                                  const std::vector<unsigned>& changes, bool with_key) {
    const std::string good = text_of_file(path);
    for (std::size_t i = begin; i < good.size(); ++i) {
      for (const unsigned change : changes) {
        put_byte(path, i, static_cast<char>(static_cast<unsigned char>(good[i]) ^ change));
        ASSERT_NE(message(with_key), "no error") << path << ", byte " << i << " ^ " << change;
      }
      put_byte(path, i, good[i]);
    }
    ASSERT_EQ(message(), "no error");
  }

  temporary_folder folder_;
  std::string path_ = folder_.file("model.safetensors");
  std::string sums_ = path_ + ".sha256", signature_ = sums_ + ".minisig";
  float x_ = 1.5f;
  signing_key key_;
};

TEST_F(Sealed, EveryChangeOfEveryByteIsRefused) {
  std::vector<unsigned> every;
  for (unsigned change = 1; change < 256; ++change) every.push_back(change);
  expect_each_change_refused(path_, 0, every, false);
  // Bits that make a capital letter a small one, another digit, another sort of byte.
  expect_each_change_refused(sums_, 0, {0x01, 0x20, 0x80}, true);
  // The untrusted comment, which says so, can be anything.
  const std::size_t comment = text_of_file(signature_).find('\n');
  expect_each_change_refused(signature_, comment, {0x01, 0x20, 0x80}, true);
  write_text(path_, "x" + text_of_file(path_).substr(1));
  EXPECT_NE(message().find("model.safetensors\" has been changed: its SHA-256 is"),
            std::string::npos);
}

TEST_F(Sealed, EveryLengthButTheRightOneIsRefused) {
  for (const std::string& path : {path_, sums_, signature_}) {
    const std::string good = text_of_file(path);
    for (std::size_t n = good.size(); n-- > 0;) {
      std::filesystem::resize_file(path, n);
      ASSERT_NE(message(), "no error") << path << " to " << n;
    }
    for (const char more : {'\0', '\n', 'x'}) {
      write_text(path, good + more);
      ASSERT_NE(message(), "no error") << path << " and " << static_cast<int>(more);
    }
    std::filesystem::remove(path);
    EXPECT_NE(message().find("cannot open \"" + path), std::string::npos) << message();
    write_text(path, good);
  }
  EXPECT_EQ(message(), "no error");
}

TEST_F(Sealed, OtherKeysAndSignaturesAreRefused) {
  const signing_key other = signing_key::generate();
  const auto key_of_other = other.public_half().id(), key_of_this = key_.public_half().id();
  expect_error([&] { open_sealed(path_, {.key = &other.public_half()}); },
               {"model.safetensors.sha256.minisig\" is of key " + key_of_this, key_of_other});
  // Another key that calls itself this one.
  const std::string text = text_of_file(sums_);
  std::string forged = other.sign(std::as_bytes(std::span(text)), "file:model.safetensors.sha256");
  const std::string good = text_of_file(signature_);
  const auto line = [](const std::string& file, int n) {
    std::size_t at = 0;
    for (int i = 0; i < n; ++i) at = file.find('\n', at) + 1;
    return file.substr(at, file.find('\n', at) - at);
  };
  const std::string bytes = line(good, 1);
  std::string mixed = line(forged, 1);
  mixed.replace(0, 12, bytes.substr(0, 12));  // algorithm, id, but for its last byte
  std::string id = good;
  id.replace(id.find(bytes), bytes.size(), mixed);
  write_text(signature_, id);
  EXPECT_NE(message(), "no error");
  // Signatures of other lengths, all of them base64.
  for (const int remove : {4, 40, 96}) {
    std::string cut = good;
    const std::size_t at = cut.find(bytes);
    cut.erase(at + 4, static_cast<std::size_t>(remove));
    write_text(signature_, cut);
    EXPECT_NE(message().find("something else than 74 bytes of signature"), std::string::npos);
  }
  std::string longer = good;
  longer.insert(longer.find(bytes) + 4, "AAAA");
  write_text(signature_, longer);
  EXPECT_NE(message().find("something else than 74 bytes of signature"), std::string::npos);
  // This key's signature, of an earlier file.
  write_text(signature_, key_.sign(std::as_bytes(std::span("earlier")), "file:earlier"));
  EXPECT_NE(message().find("one of them has been changed"), std::string::npos);
  // The signature with another's trusted comment.
  std::string comment = good;
  comment.replace(comment.find("file:"), 5, "File:");
  write_text(signature_, comment);
  EXPECT_NE(message().find("trusted comment that was not signed"), std::string::npos);
}

TEST_F(Sealed, ManifestsOfOtherFormsAreRefused) {
  const std::string good = text_of_file(sums_);
  const std::string digest = good.substr(0, 64);
  const auto refuse = [&](const std::string& text, const std::string& part) {
    write_text(sums_, text);
    expect_error([&] { open_sealed(path_); }, {part});
  };
  refuse("", "0 files instead of 1");
  refuse("\n", "line 1 of");
  refuse(digest + "\n", "line 1 of");
  refuse(digest + "  \n", "line 1 of");
  refuse(digest + " *model.safetensors\n", "line 1 of");
  refuse(digest + "  ../model.safetensors\n", "line 1 of");
  refuse("\\" + good, "line 1 of");
  refuse(good.substr(1), "line 1 of");
  refuse("0" + good, "line 1 of");
  refuse(good + good, "has \"model.safetensors\" twice");
  refuse(good + digest + "  other\n", "2 files instead of 1");
  refuse(digest + "  other.safetensors\n", "not among the files that were sealed");
  std::string capitals = good;
  for (char& c : capitals) c = c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c;
  refuse(capitals, "line 1 of");
}

// The bytes that were hashed are those that are read.
TEST_F(Sealed, WhatIsOpenDoesNotChange) {
  const float y = 2.5f;
  const std::string other = folder_.file("other");
  small_file(y).write(other);
  const safetensors_file copied = open_sealed(path_, {.copy = true});
  const safetensors_file mapped = open_sealed(path_);
  std::filesystem::rename(other, path_);  // as atomic_file replaces a file
  EXPECT_EQ(mapped.view<float>("x")[0], 1.5f);
  EXPECT_EQ(copied.view<float>("x")[0], 1.5f);
  EXPECT_NE(message(), "no error");

  halfway::write_sealed(small_file(x_), path_, &key_);
  const safetensors_file copy = open_sealed(path_, {.copy = true});
  std::string bytes = text_of_file(path_);
  bytes.back() = 0;
  std::fstream(path_, std::ios::in | std::ios::out | std::ios::binary)
      << bytes;  // into the very file
  EXPECT_EQ(copy.view<float>("x")[0], 1.5f);
  EXPECT_NE(message(), "no error");
}

// A checkpoint in three files.
class SealedShards : public ::testing::Test {
 protected:
  SealedShards() : key_(signing_key::generate()) {
    for (int i = 0; i < 3; ++i) {
      safetensors_writer out;
      out.add("t" + std::to_string(i),
              std::span<const float>(x_).subspan(static_cast<std::size_t>(i), 1));
      out.write(shard(i));
      map_ += (i == 0 ? "" : ", ") + ("\"t" + std::to_string(i)) + "\": \"s" + std::to_string(i) +
              ".safetensors\"";
    }
    write_text(index_, "{\"weight_map\": {" + map_ + "}}");
    halfway::seal_shards(index_, &key_);
  }
  std::string shard(int i) const { return folder_.file("s" + std::to_string(i) + ".safetensors"); }

  void expect_refused(std::initializer_list<std::string_view> parts) {
    for (const bool copy : {false, true}) {
      expect_error([&] { open_sealed_shards(index_, {.key = &key_.public_half(), .copy = copy}); },
                   parts);
    }
  }

  temporary_folder folder_;
  std::string index_ = folder_.file("model.safetensors.index.json"), map_;
  std::vector<float> x_ = {1.5f, 2.5f, 3.5f};
  signing_key key_;
};

TEST_F(SealedShards, OpensWhole) {
  const auto shards = open_sealed_shards(index_, {.key = &key_.public_half()});
  EXPECT_EQ(shards.file_of("t1").view<float>("t1")[0], 2.5f);
  EXPECT_EQ(shards.files().size(), 3u);
  EXPECT_EQ(run_command({"sh", "-c", "cd " + folder_.path() + " && sha256sum -c *.sha256"}).status,
            0);
}

TEST_F(SealedShards, RefusesAFileThatIsMissing) {
  std::filesystem::remove(shard(1));
  expect_refused({"cannot open", "s1.safetensors"});
}

TEST_F(SealedShards, RefusesAFileThatWasAdded) {
  std::filesystem::copy(shard(1), shard(3));
  expect_refused({"s3.safetensors\" is not among the files that were sealed"});
}

TEST_F(SealedShards, RefusesFilesThatWereSwapped) {
  std::filesystem::rename(shard(0), folder_.file("x"));
  std::filesystem::rename(shard(1), shard(0));
  std::filesystem::rename(folder_.file("x"), shard(1));
  expect_refused({"s0.safetensors\" has been changed"});
}

TEST_F(SealedShards, RefusesAFileThatWasRenamed) {
  std::filesystem::rename(shard(2), shard(4));
  expect_refused({"s4.safetensors\" is not among the files"});
  // And the index with it: that is another index.
  std::string index = text_of_file(index_);
  index.replace(index.find("s2."), 2, "s4");
  write_text(index_, index);
  std::filesystem::rename(shard(4), folder_.file("s4.st"));
  expect_refused({"model.safetensors.index.json\" has been changed"});
}

TEST_F(SealedShards, RefusesAChangedShardAndAnotherIndex) {
  const std::string good = text_of_file(shard(2));
  std::string bad = good;
  bad.back() = static_cast<char>(bad.back() ^ 1);
  write_text(shard(2), bad);
  expect_refused({"s2.safetensors\" has been changed"});
  write_text(shard(2), good);
  const std::string sums = index_ + ".sha256", text = text_of_file(sums);
  // A manifest that somebody without the key made of other files.
  write_text(sums, text.substr(text.find('\n') + 1));
  expect_refused({"one of them has been changed"});
  // Names that only one of manifest and index has, both signed.
  const auto sign = [&] {
    const std::string now = text_of_file(sums);
    write_text(sums + ".minisig", key_.sign(std::as_bytes(std::span(now)), "test"));
  };
  sign();
  expect_refused({"model.safetensors.index.json\" is not among the files that were sealed"});
  write_text(sums, text + text.substr(0, 64) + "  more.bin\n");
  sign();
  expect_refused({"has \"more.bin\", which the index does not name"});
}

TEST(Keys, AreForTheirOwnerAndChecked) {
  const temporary_folder folder;
  const std::string path = folder.file("k");
  write_text(path + ".part", "a killed writer's");
  ::chmod((path + ".part").c_str(), 0644);
  const signing_key key = signing_key::generate();
  key.save(path);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const signing_key again = signing_key::load(path);
  EXPECT_EQ(again.public_half().id(), key.public_half().id());
  const std::string text = "text";
  const auto bytes = std::as_bytes(std::span(text));
  EXPECT_EQ(again.sign(bytes, "c"), key.sign(bytes, "c"));  // Ed25519 has no chance in it
  EXPECT_NE(signing_key::generate().public_half().id(), key.public_half().id());

  // Every single-byte change of a key file is refused but in its comment: a checksum is in it.
  const std::string good = text_of_file(path);
  for (std::size_t i = good.find('\n'); i < good.size(); ++i) {
    put_byte(path, i, static_cast<char>(good[i] ^ 1));
    const std::string message = message_of([&] { signing_key::load(path); });
    put_byte(path, i, good[i]);
    // Salt and limits, which mean nothing without a password, are bytes 6 to 53 of the file.
    const std::size_t byte = (i - good.find('\n') - 1) * 3 / 4;
    if (byte < 5 || byte > 53) {
      EXPECT_NE(message, "no error") << i;
      EXPECT_NE(message.find(path), std::string::npos) << message;
    }
  }
  // Base64 of "Ed" "Sc": scrypt.
  std::string password = good;
  password.replace(password.find('\n') + 1, 8, "RWRTY0Iy");
  write_text(path, password);
  expect_error([&] { signing_key::load(path); }, {"has a password", "minisign -G -W"});
  key.public_half().save(folder.file("p"));
  expect_error([&] { signing_key::load(folder.file("p")); }, {"158 bytes in base64"});
  expect_error([&] { verifying_key::load(path); }, {"42 bytes in base64"});
  expect_error([&] { verifying_key::load(folder.file("none")); }, {"cannot open"});
  std::string other = text_of_file(folder.file("p"));
  other[other.find('\n') + 1] = 'S';  // another algorithm
  write_text(folder.file("p"), other);
  expect_error([&] { verifying_key::load(folder.file("p")); }, {"not of an Ed25519 key"});
}

TEST(Keys, AreWiped) {
  alignas(signing_key) unsigned char memory[sizeof(signing_key)] = {};
  auto* const key = new (memory) signing_key(signing_key::generate());
  // The secret is 64 bytes, the second half of which is the public key: found by that.
  key->public_half().save(::testing::TempDir() + "halfway_wiped.pub");
  const std::vector<unsigned char> before(memory, memory + sizeof(memory));
  key->~signing_key();
  const std::vector<unsigned char> after(memory, memory + sizeof(memory));
  std::filesystem::remove(::testing::TempDir() + "halfway_wiped.pub");
  // What is left is the public half: id and key.
  std::size_t wiped = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (after[i] == before[i]) continue;
    EXPECT_EQ(after[i], 0) << i;
    ++wiped;
  }
  EXPECT_GE(wiped, 56u);  // of 64 random bytes hardly more than a few are 0 to begin with
  EXPECT_LE(wiped, 64u);
}

bool runs(const char* program) {
  return run_command({"sh", "-c", std::string("command -v ") + program}).status == 0;
}

TEST(Minisign, TakesTheseFilesAndMakesThem) {
  if (!runs("minisign")) GTEST_SKIP() << "no minisign (Debian's package minisign)";
  const temporary_folder folder;
  const std::string key = folder.file("k.key"), pub = folder.file("k.pub");
  const std::string path = folder.file("m.safetensors"), sums = path + ".sha256";
  const signing_key ours = signing_key::generate();
  ours.save(key);
  ours.public_half().save(pub);
  const float x = 1.0f;
  halfway::write_sealed(small_file(x), path, &ours);
  const auto run = [](const std::vector<std::string>& words) {
    const auto r = run_command(words);
    EXPECT_EQ(r.status, 0) << r.output;
    return r.output;
  };
  const std::string said = run({"minisign", "-V", "-p", pub, "-m", sums});
  EXPECT_NE(said.find("Trusted comment: file:m.safetensors.sha256"), std::string::npos) << said;
  // Our key in its hands: hashed, which is its habit, and not.
  for (const char* how : {"-S", "-Sl"}) {
    std::filesystem::remove(sums + ".minisig");
    run({"minisign", how, "-s", key, "-m", sums});
    open_sealed(path, {.key = &ours.public_half()});
    std::string changed = text_of_file(sums);
    changed[0] = changed[0] == '0' ? '1' : '0';
    const std::string good = text_of_file(sums);
    write_text(sums, changed);
    expect_error([&] { open_sealed(path, {.key = &ours.public_half()}); }, {"does not fit"});
    write_text(sums, good);
  }
  // Its key in ours.
  const std::string its = folder.file("its.key"), its_pub = folder.file("its.pub");
  run({"minisign", "-G", "-W", "-s", its, "-p", its_pub});
  const signing_key theirs = signing_key::load(its);
  EXPECT_EQ(theirs.public_half().id(), verifying_key::load(its_pub).id());
  halfway::write_sealed(small_file(x), path, &theirs);
  run({"minisign", "-V", "-p", its_pub, "-m", sums});
  EXPECT_NE(run_command({"minisign", "-V", "-p", pub, "-m", sums}).status, 0);
  write_text(path, "changed");
  EXPECT_NE(run_command({"sh", "-c", "cd " + folder.path() + " && sha256sum -c *.sha256"}).status,
            0);
}

TEST(Signify, TakesTheseFiles) {
  const char* const program = runs("signify-openbsd") ? "signify-openbsd" : "signify";
  if (!runs(program)) GTEST_SKIP() << "no signify (Debian's package signify-openbsd)";
  const temporary_folder folder;
  const signing_key ours = signing_key::generate();
  ours.public_half().save(folder.file("k.pub"));
  const float x = 1.0f;
  const std::string sums = folder.file("m.safetensors.sha256");
  halfway::write_sealed(small_file(x), folder.file("m.safetensors"), &ours);
  const auto verify = [&] {
    return run_command(
        {program, "-V", "-p", folder.file("k.pub"), "-x", sums + ".minisig", "-m", sums});
  };
  EXPECT_EQ(verify().status, 0) << verify().output;
  write_text(sums, "x" + text_of_file(sums).substr(1));
  EXPECT_NE(verify().status, 0);
}

}  // namespace
