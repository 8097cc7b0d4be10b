// A JSON file that names the components of a model, as candle-coreml has them.
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "package/json_file.h"
#include "package/part_files.h"

namespace mw::package {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

class Components {
 public:
  Components(const fs::path& path, const Json& json)
      : name_(path.filename().string()), folder_(path.parent_path(), name_), json_(json) {}

  [[nodiscard]] PartList list() const {
    PartList list{.folder = folder_.path(), .described_by = name_};
    list.claims.context_length = number("context_length");
    list.claims.batch_size = number("batch_size");
    list.claims.hidden_size = number("hidden_size");
    list.claims.vocab_size = number("vocab_size");
    list.files.push_back(part("embeddings"));
    add_layers(list.files);
    list.files.push_back(part("lm_head"));
    return list;
  }

 private:
  [[nodiscard]] std::optional<int64_t> number(const char* key) const {
    const auto shapes = json_.find("shapes");
    if (shapes == json_.end() || !shapes->is_object() || !shapes->contains(key)) {
      return std::nullopt;
    }
    return whole_number(name_, fmt::format("shapes.{}", key), (*shapes)[key].dump());
  }
  [[nodiscard]] std::optional<std::string> file_of(const std::string& component) const {
    const Json& all = json_["components"];
    const auto found = all.find(component);
    if (found == all.end() || found->is_null()) return std::nullopt;
    if (!found->is_object() || !found->contains("file_path") ||
        !(*found)["file_path"].is_string()) {
      fail(ErrorCode::kInvalidModel, "{}: components.{}: expected an object with file_path", name_,
           component);
    }
    return (*found)["file_path"].get<std::string>();
  }
  [[nodiscard]] std::string needed(const std::string& component) const {
    if (auto found = file_of(component)) return *found;
    fail(ErrorCode::kInvalidModel, "{}: components.{}: expected an object with file_path, got none",
         name_, component);
  }
  [[nodiscard]] PartFile part(const std::string& component) const {
    return folder_.part("components." + component, needed(component), component);
  }

  // One file, or all chunks where it is the name of one.
  void add(std::vector<PartFile>& files, const std::string& component, const std::string& file,
           const std::string& function) const {
    const std::string key = "components." + component;
    const ChunkName chunk = chunk_name(part_stem(file));
    const std::string form = file.substr(part_stem(file).size());
    for (int64_t i = 1; i <= std::max<int64_t>(chunk.count, 1); ++i) {
      const std::string name =
          chunk.number == 0 ? file : chunk_stem(chunk.stem, i, chunk.count) + form;
      files.push_back(folder_.part(key, name, fmt::format("chunk_{:02}", i)));
      files.back().function = function;
    }
  }

  void add_layers(std::vector<PartFile>& files) const {
    const std::string infer = needed("ffn_infer");
    const std::optional<std::string> prefill = file_of("ffn_prefill");
    const bool apart = prefill && *prefill != infer;
    const auto stated = json_.find("ffn_execution");
    if (stated != json_.end() && stated->is_string()) {
      const auto how = stated->get<std::string>();
      if ((how != "unified" && how != "split") || (how == "split") != apart) {
        fail(ErrorCode::kInvalidModel,
             "{}: ffn_execution: expected '{}', since ffn_infer and ffn_prefill are {}, got '{}'; "
             "mend the file",
             name_, apart ? "split" : "unified", apart ? "two files" : "one file", how);
      }
    }
    add(files, "ffn_infer", infer, apart ? "infer" : "");
    if (apart) add(files, "ffn_prefill", *prefill, "prefill");
  }

  std::string name_;
  PartFolder folder_;
  const Json& json_;
};

}  // namespace

std::optional<PartList> candle_parts(const fs::path& json) {
  const auto parsed = parse_json_file(json);
  if (!parsed || !parsed->is_object()) return std::nullopt;
  const auto components = parsed->find("components");
  if (components == parsed->end() || !components->is_object() ||
      !(components->contains("ffn_infer") || components->contains("ffn_prefill"))) {
    return std::nullopt;
  }
  return Components(json, *parsed).list();
}

}  // namespace mw::package
