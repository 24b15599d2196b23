// SPDX-License-Identifier: Apache-2.0
#include "source.h"

#include <filesystem>
#include <utility>

#include "halfway/io/npy.h"
#include "halfway/io/safetensors.h"
#include "halfway/io/safetensors_shards.h"

namespace conversion {

namespace {

using halfway::tensor_info;

class npy_source : public source {
 public:
  npy_source(const std::string& path, std::optional<halfway::dtype> void_type)
      : file_(path, {.void_type = void_type}), tensors_{file_.info()} {
    tensors_[0].name = std::filesystem::path(path).stem().string();
  }
  const std::vector<tensor_info>& tensors() const override { return tensors_; }
  const std::map<std::string, std::string, std::less<>>& metadata() const override {
    return metadata_;
  }
  std::vector<std::byte> bytes(const tensor_info& t) const override {
    std::vector<std::byte> bytes(static_cast<std::size_t>(t.end - t.begin));
    file_.copy_bytes(bytes);
    return bytes;
  }
  std::vector<float> floats(const tensor_info& t) const override {
    std::vector<float> values(static_cast<std::size_t>(t.elements));
    file_.read(values);
    return values;
  }
  std::vector<double> doubles(const tensor_info&) const override {
    return file_.load_exact<double>();
  }

 private:
  halfway::npy_file file_;
  std::vector<tensor_info> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

// One file or several.
class safetensors_source : public source {
 public:
  explicit safetensors_source(const std::string& path) {
    if (path.ends_with(".json")) {
      shards_.emplace(path);
      for (const auto& [name, file] : shards_->files()) add(file);
    } else {
      file_.emplace(path);
      add(*file_);
    }
  }
  const std::vector<tensor_info>& tensors() const override { return tensors_; }
  const std::map<std::string, std::string, std::less<>>& metadata() const override {
    return metadata_;
  }
  std::vector<std::byte> bytes(const tensor_info& t) const override {
    const auto bytes = file_of(t).bytes(t.name);
    return {bytes.begin(), bytes.end()};
  }
  std::vector<float> floats(const tensor_info& t) const override {
    std::vector<float> values(static_cast<std::size_t>(t.elements));
    file_of(t).read(t.name, values);
    return values;
  }
  std::vector<double> doubles(const tensor_info& t) const override {
    return file_of(t).load_exact<double>(t.name);
  }

 private:
  void add(const halfway::safetensors_file& file) {
    tensors_.insert(tensors_.end(), file.tensors().begin(), file.tensors().end());
    metadata_.insert(file.metadata().begin(), file.metadata().end());  // the first of several
  }
  const halfway::safetensors_file& file_of(const tensor_info& t) const {
    return shards_ ? shards_->file_of(t.name) : *file_;
  }

  std::optional<halfway::safetensors_file> file_;
  std::optional<halfway::safetensors_shards> shards_;
  std::vector<tensor_info> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

}  // namespace

std::unique_ptr<source> open_source(const std::string& path,
                                    std::optional<halfway::dtype> void_type) {
  if (path.ends_with(".npy")) return std::make_unique<npy_source>(path, void_type);
  return std::make_unique<safetensors_source>(path);
}

}  // namespace conversion
