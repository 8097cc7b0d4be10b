// What tells a loaded model from others.
#include <algorithm>
#include <set>

#include "api/impl.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/mapped_file.h"
#include "base/paths.h"
#include "package/link.h"
#include "train/settings.h"

namespace mw {
namespace {

namespace fs = std::filesystem;

void add(Checksum& sum, const std::string& name, const MappedFile& file) {
  sum.add(name).add(file.bytes().data(), file.bytes().size());
  file.check_intact();
}

// The files of a folder, in the order of their names, or the file itself.
void add_files(Checksum& sum, const fs::path& path, const std::set<std::string>& extensions) {
  if (!is_folder(path)) return add(sum, "", *MappedFile::open(path));
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(path)) {
    if (entry.is_regular_file() && extensions.contains(entry.path().extension().string())) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    add(sum, file.lexically_relative(path).string(), *MappedFile::open(file));
  }
}

}  // namespace

std::map<std::string, std::string> CoreMLModelWrapper::Impl::identity() const {
  Checksum sum;
  const std::set<std::string> programs = {".mil", ".mlmodel"};
  if (model.parts == nullptr) {
    add_files(sum, path, programs);
  } else {
    for (const auto& part : model.parts->models) add_files(sum, part->path, programs);
  }
  for (const auto& file : model.weight_files) add(sum, "", *file);
  if (!options.adapter.empty()) add_files(sum, options.adapter, {".safetensors", ".json"});
  return {{"model", fmt::format("{:016x}", sum.value())},
          {"function", description->name},
          {"compute", training::text_of(options.compute)}};
}

}  // namespace mw
