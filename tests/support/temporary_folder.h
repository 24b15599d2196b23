// SPDX-License-Identifier: Apache-2.0
// A folder that a test has for itself.
//
//   const temporary_folder folder;
//   std::ofstream(folder.file("data.json")) << "{}";
#ifndef HALFWAY_TESTS_SUPPORT_TEMPORARY_FOLDER_H_
#define HALFWAY_TESTS_SUPPORT_TEMPORARY_FOLDER_H_

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <system_error>

namespace halfway::testing {

// Exists while this object lives.
class temporary_folder {
 public:
  temporary_folder() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(::testing::TempDir()) /
            (std::string("halfway_") + test->test_suite_name() + '_' + test->name());
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~temporary_folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;

  std::string path() const { return path_.string(); }
  std::string file(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace halfway::testing

#endif  // HALFWAY_TESTS_SUPPORT_TEMPORARY_FOLDER_H_
