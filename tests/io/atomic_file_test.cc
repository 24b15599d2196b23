// SPDX-License-Identifier: Apache-2.0
// A writer that is killed at any moment, a full disk, and two writers at once.
#include "halfway/io/atomic_file.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace {

using halfway::atomic_file;
using halfway::testing::expect_error;
using halfway::testing::temporary_folder;

void write(const std::string& path, const std::string& content, std::size_t pieces = 1) {
  atomic_file file(path);
  const std::size_t piece = content.size() / pieces + 1;
  for (std::size_t i = 0; i < content.size(); i += piece) {
    file.write(std::as_bytes(std::span(content).subspan(i, std::min(piece, content.size() - i))));
  }
  file.commit();
}

std::string content_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::size_t files_in(const std::string& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST(AtomicFile, IsSeenWhole) {
  const temporary_folder folder;
  const std::string path = folder.file("f");
  write(path, "first");
  EXPECT_EQ(content_of(path), "first");
  {
    atomic_file file(path);
    file.write(std::as_bytes(std::span("second")));
    EXPECT_EQ(content_of(path), "first");
  }  // not committed
  EXPECT_EQ(content_of(path), "first");
  write(path, "the third, which is longer", 5);
  EXPECT_EQ(content_of(path), "the third, which is longer");
  write(path, "");
  EXPECT_EQ(content_of(path), "");
  EXPECT_EQ(files_in(folder.path()), 1u);
  atomic_file file(path);
  file.commit();
  expect_error([&] { file.commit(); }, {"has been committed already"});
  expect_error([&] { file.write({}); }, {"has been committed already"});
}

TEST(AtomicFile, HasOneWriterAtATime) {
  const temporary_folder folder;
  const std::string path = folder.file("f");
  {
    atomic_file file(path);
    expect_error([&] { atomic_file second(path); }, {"another writer is at work on", path});
    file.write(std::as_bytes(std::span("1", 1)));
    file.commit();
  }
  write(path, "2");
  EXPECT_EQ(content_of(path), "2");
}

TEST(AtomicFile, TakesOverWhatAKilledWriterLeft) {
  const temporary_folder folder;
  std::ofstream(folder.file("f.part")) << "much longer than what comes";
  write(folder.file("f"), "short");
  EXPECT_EQ(content_of(folder.file("f")), "short");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

// Children write one of these, again and again, until they are killed: the files are of another
// length, and each is one character throughout.
std::string version(int i) {
  return std::string(200000 + 1000 * static_cast<std::size_t>(i % 7),
                     static_cast<char>('a' + i % 7));
}

TEST(AtomicFile, OldOrNewWhenKilledAtAnyMoment) {
  const temporary_folder folder;
  const std::string path = folder.file("f");
  // Kills come while the first few files are written, however long this disk takes for one.
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 4; ++i) write(path, version(i), 20);
  const auto one = (std::chrono::steady_clock::now() - start) / 4;
  write(path, version(0));
  std::mt19937 random(1);
  std::uniform_int_distribution<std::int64_t> delay(
      0, std::max<std::int64_t>(
             6000, std::chrono::duration_cast<std::chrono::microseconds>(3 * one).count()));
  int changed = 0, left = 0;
  std::string last = content_of(path);
  for (int round = 0; round < 200; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (int i = round;; ++i) write(path, version(i), 20);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(delay(random)));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    const std::string content = content_of(path);
    ASSERT_FALSE(content.empty());
    ASSERT_EQ(content, version(content[0] - 'a')) << "round " << round;
    ASSERT_LE(files_in(folder.path()), 2u);
    changed += content == last ? 0 : 1;
    left += files_in(folder.path()) == 2 ? 1 : 0;
    last = content;
  }
  // The kills hit: writers at work, and writers that had been successful.
  EXPECT_GT(changed, 10);
  EXPECT_GT(left, 10);
}

// A limit on the file's size stands for a full disk.
TEST(AtomicFile, KeepsTheOldFileWhenTheDiskIsFull) {
  const temporary_folder folder;
  const std::string path = folder.file("f");
  write(path, "old");
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{100000, before.rlim_max};
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error([&] { write(path, version(1), 3); }, {"cannot write to", path + ".part"});
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_EQ(content_of(path), "old");
  EXPECT_EQ(files_in(folder.path()), 1u);
}

}  // namespace
