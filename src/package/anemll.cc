// meta.yaml, as ANEMLL writes it beside the parts of a model.
#include <yaml-cpp/yaml.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "package/part_files.h"

namespace mw::package {
namespace fs = std::filesystem;
namespace {

constexpr size_t kMaxBytes = size_t{1} << 20;
constexpr int64_t kMostChunks = 99;  // two digits in the files' names

class MetaYaml {
 public:
  explicit MetaYaml(const fs::path& path)
      : name_(path.filename().string()), folder_(path.parent_path(), name_) {
    const YAML::Node root = parse(path);
    const auto map_in = [](const YAML::Node& map, const char* key) {
      return map.IsMap() && map[key].IsDefined() ? map[key] : YAML::Node();
    };
    info_ = map_in(root, "model_info");
    parameters_ = map_in(info_, "parameters");
    if (!parameters_.IsMap()) {
      fail(ErrorCode::kInvalidModel,
           "{}: expected model_info with parameters, as ANEMLL writes them, got none", name_);
    }
  }

  PartList list() const {
    PartList list{.folder = folder_.path(), .described_by = name_};
    list.claims.context_length = number("context_length");
    list.claims.batch_size = number("batch_size");
    list.claims.vocab_size = number("vocab_size");
    if (is_monolithic()) {
      list.files = {folder_.part("monolithic_model", needed("monolithic_model"), "")};
      return list;
    }
    list.claims.split_head = number("split_lm_head");
    list.files.push_back(part("embeddings", "lut_embeddings"));
    add_chunks(list.files);
    list.files.push_back(part("lm_head", "lut_lmhead"));
    return list;
  }

 private:
  YAML::Node parse(const fs::path& path) const {
    const auto file = MappedFile::open(path);
    const auto bytes = file->bytes();
    if (bytes.size() > kMaxBytes) {
      fail(ErrorCode::kInvalidModel, "{}: expected at most {} bytes, got {}", name_, kMaxBytes,
           bytes.size());
    }
    const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    file->check_intact();
    try {
      return YAML::Load(text);
    } catch (const YAML::Exception& e) {
      fail(ErrorCode::kInvalidModel, "{}:{}: expected YAML, got text that breaks its rules: {}",
           name_, e.mark.line + 1, e.msg);
    }
  }

  [[nodiscard]] std::optional<std::string> text(const YAML::Node& map, const char* key) const {
    const YAML::Node value = map[key];
    if (!value.IsDefined() || value.IsNull()) return std::nullopt;
    if (!value.IsScalar()) {
      fail(ErrorCode::kInvalidModel, "{}: {}: expected one value, got a list or a map", name_, key);
    }
    return value.Scalar();
  }
  [[nodiscard]] std::string needed(const char* key) const {
    if (auto found = text(parameters_, key); found && !found->empty()) return *found;
    fail(ErrorCode::kInvalidModel, "{}: {}: expected a value, got none", name_, key);
  }
  [[nodiscard]] std::optional<int64_t> number(const char* key) const {
    const auto found = text(parameters_, key);
    if (!found) return std::nullopt;
    return whole_number(name_, key, *found);
  }
  [[nodiscard]] bool is_monolithic() const {
    return text(info_, "model_type") == "monolithic" ||
           text(parameters_, "model_type") == "monolithic";
  }

  // The name that the file states, or what a converter calls it by prefix and palettes.
  [[nodiscard]] std::string stated(const std::string& key, const char* lut,
                                   const std::string& usual) const {
    if (auto found = text(parameters_, key.c_str()); found && !found->empty()) return *found;
    const std::string bits = text(parameters_, lut).value_or("none");
    const std::string suffix = bits == "none" ? "" : "_lut" + bits.substr(0, bits.find(','));
    return needed("model_prefix") + "_" + usual + suffix;
  }
  [[nodiscard]] PartFile part(const std::string& key, const char* lut) const {
    return folder_.part(key, stated(key, lut, key), key);
  }

  void add_chunks(std::vector<PartFile>& files) const {
    const int64_t count = whole_number(name_, "num_chunks", needed("num_chunks"));
    if (count > kMostChunks) {
      fail(ErrorCode::kInvalidModel, "{}: num_chunks: expected at most {}, got {}", name_,
           kMostChunks, count);
    }
    const std::string name = stated("ffn", "lut_ffn", "FFN_PF");
    const std::string stem = chunk_name(part_stem(name)).stem;
    const std::string form = name.substr(part_stem(name).size());
    for (int64_t i = 1; i <= count; ++i) {
      const std::string key = fmt::format("ffn: chunk {} of {} (num_chunks)", i, count);
      files.push_back(
          folder_.part(key, chunk_stem(stem, i, count) + form, fmt::format("chunk_{:02}", i)));
    }
  }

  std::string name_;
  PartFolder folder_;
  YAML::Node info_, parameters_;
};

}  // namespace

PartList anemll_parts(const fs::path& meta_yaml) { return MetaYaml(meta_yaml).list(); }

}  // namespace mw::package
