// WeightFiles: resolves the blob references of a program to memory-mapped tensors.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/constant.h"
#include "package/blob.h"

namespace mw::package {

class WeightFiles : public ir::BlobResolver {
 public:
  // `folder` is what @model_path stands for. With `may_leave`, paths may go up to its parent, no
  // further. `items` are further folders that the package names; a file missing from `folder` is
  // looked for in the item of the same name. No symbolic link leads out of `boundary`, by default
  // `folder` or, for paths that go up, its parent.
  WeightFiles(std::filesystem::path folder, bool may_leave,
              std::vector<std::filesystem::path> items = {}, std::filesystem::path boundary = {});

  // Checks path, record, dtype and size, and that no two blobs of one file overlap.
  Tensor resolve(const ir::Type& type, const ir::BlobRef& ref) override;
  [[nodiscard]] const std::vector<std::shared_ptr<const MappedFile>>& files() const {
    return mapped_;
  }

 private:
  struct Entry {
    BlobFile blobs;
    std::map<uint64_t, uint64_t> ranges;  // record offset -> end of data, of the blobs seen so far
  };
  Entry& entry(const std::string& path);
  [[nodiscard]] std::filesystem::path locate(const std::string& path) const;

  std::filesystem::path folder_;
  bool may_leave_;
  std::vector<std::filesystem::path> items_;
  std::filesystem::path boundary_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;  // by the path as written
  std::map<std::string, std::shared_ptr<Entry>> by_file_;  // by the file it means
  std::vector<std::shared_ptr<const MappedFile>> mapped_;
};

// The parts of a path written inside a model, without "." and with ".." resolved; throws
// invalid_model when it is absolute or leaves its folder by more than `levels_up`.
std::vector<std::string> safe_parts(std::string_view path, int levels_up);

}  // namespace mw::package
