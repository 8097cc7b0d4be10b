// Factors of mlx-lm's modules to adapters of our weights, and back.
#include "adapters/mlx.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/error.h"
#include "base/paths.h"
#include "base/tensor_file.h"

namespace mw::adapters {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Config {
  bool has_magnitudes = false;
  int64_t rank = 0;
  double scale = 0;
};

bool is_of_mlx(const Json& config) {
  return config.is_object() && !config.contains("peft_type") &&
         (config.contains("lora_parameters") || config.contains("fine_tune_type"));
}

bool config_says_mlx(const fs::path& path) {
  if (!is_there(path)) return false;
  return in_context([&] { return path.string(); },
                    [&] { return is_of_mlx(Json::parse(config_text(path), nullptr, false)); });
}

std::string shown(const Json& value) {
  const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

double scale_in(const Json& parameters) {
  const Json scale = parameters.value("scale", Json());
  const double number = scale.is_number() ? scale.get<double>() : 0;
  if (std::isfinite(static_cast<float>(number)) && static_cast<float>(number) > 0) return number;
  fail(ErrorCode::kInvalidArgument, "'lora_parameters': 'scale': expected a number above 0, got {}",
       scale.is_null() ? "none" : shown(scale));
}

int64_t rank_in(const Json& parameters) {
  const Json rank = parameters.value("rank", Json());
  if (rank.is_number_integer() && rank >= 1 && rank <= kMostRank) return rank.get<int64_t>();
  fail(ErrorCode::kInvalidArgument,
       "'lora_parameters': 'rank': expected a whole number from 1 to {}, got {}", kMostRank,
       rank.is_null() ? "none" : shown(rank));
}

// Beside these three mlx-lm writes all settings of the training, without bearing on the result.
Config parse_config(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) fail(ErrorCode::kInvalidArgument, "expected a JSON object");
  const Json type = json.value("fine_tune_type", Json("lora"));
  if (type != "lora" && type != "dora") {
    fail(ErrorCode::kUnsupported, "'fine_tune_type': expected lora or dora, got {}{}", shown(type),
         type == "full" ? ": weights trained as a whole are no adapter" : "");
  }
  const Json parameters = json.value("lora_parameters", Json());
  if (!parameters.is_object()) {
    fail(ErrorCode::kInvalidArgument, "'lora_parameters': expected rank and scale, got {}",
         parameters.is_null() ? "none" : shown(parameters));
  }
  const Json old = json.value("use_dora", Json(false));
  return {type == "dora" || old == true, rank_in(parameters), scale_in(parameters)};
}

struct Part {
  std::string module;
  Tensor ModuleParts::*place;
};

Part part_of(const std::string& name) {
  const std::pair<std::string_view, Tensor ModuleParts::*> kinds[] = {
      {".lora_a", &ModuleParts::a}, {".lora_b", &ModuleParts::b}, {".m", &ModuleParts::magnitude}};
  for (const auto& [suffix, place] : kinds) {
    if (name.ends_with(suffix)) return {name.substr(0, name.size() - suffix.size()), place};
  }
  fail(ErrorCode::kUnsupported,
       "tensor '{}': expected a factor of a module, lora_a or lora_b, or of DoRA its m", name);
}

Tensor turned(const std::string& name, const Tensor& factor) {
  if (factor.rank() != 2) {
    fail(ErrorCode::kUnsupported,
         "tensor '{}': expected a matrix, got shape {}; adapters of experts are not taken", name,
         to_string(factor.shape()));
  }
  const int64_t rows = factor.dim(0), columns = factor.dim(1);
  const Tensor from = factor.to(DType::kF32);
  Tensor to(DType::kF32, {columns, rows});
  const auto* read = from.data<float>();
  auto* write = to.mutable_data<float>();
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) write[j * rows + i] = read[i * columns + j];
  }
  return to;
}

void expect_all(const std::string& module, const ModuleParts& parts, const Config& config) {
  if (parts.a.empty() || parts.b.empty()) {
    fail(ErrorCode::kInvalidArgument, "module '{}': expected both factors, got {} alone", module,
         !parts.a.empty()   ? "lora_a"
         : !parts.b.empty() ? "lora_b"
                            : "m");
  }
  if (parts.magnitude.empty() == config.has_magnitudes) {
    fail(ErrorCode::kInvalidArgument,
         "module '{}': expected {} m, as the configuration says, got {}", module,
         config.has_magnitudes ? "an" : "no", config.has_magnitudes ? "none" : "one");
  }
}

AdapterSet parse(const TensorMap& tensors, const Config& config,
                 const std::vector<AdaptableWeight>& weights, const ModuleMap& map) {
  std::map<std::string, ModuleParts> modules;
  for (const auto& [name, tensor] : tensors) {
    const Part part = part_of(name);
    const bool is_factor = part.place != &ModuleParts::magnitude;
    ModuleParts& parts = modules[part.module];
    if (is_factor && !is_float(tensor.dtype())) {
      fail(ErrorCode::kInvalidArgument, "tensor '{}': expected floats, got {}", name,
           name_of(tensor.dtype()));
    }
    parts.*part.place = is_factor ? turned(name, tensor) : tensor;
    parts.rank = config.rank;
    parts.scale = config.scale;
  }
  for (const auto& [module, parts] : modules) expect_all(module, parts, config);
  if (modules.empty()) fail(ErrorCode::kInvalidArgument, "it holds no factors");
  AdapterSet set = matched_adapters(modules, weights, map);
  set.rank = config.rank;
  set.alpha = config.scale * static_cast<double>(config.rank);
  return set;
}

// --- writing -----------------------------------------------------------------------------------

bool is_number(const std::string& part) {
  return !part.empty() && std::all_of(part.begin(), part.end(),
                                      [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == at) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// Names of modules in a decoder's layer that have underscores themselves.
constexpr auto kWords = std::to_array<std::string_view>(
    {"self_attn", "linear_attn", "q_proj",        "k_proj",          "v_proj",
     "o_proj",    "qkv_proj",    "out_proj",      "in_proj",         "gate_proj",
     "up_proj",   "down_proj",   "gate_up_proj",  "query_key_value", "c_attn",
     "c_proj",    "c_fc",        "shared_expert", "shared_experts",  "q_a_proj",
     "q_b_proj",  "kv_b_proj",   "dense_h_to_4h", "dense_4h_to_h"});
// And those without; others cannot be told from parts of a longer name.
constexpr auto kPlain =
    std::to_array<std::string_view>({"mlp", "attention", "attn", "feed_forward", "w1", "w2", "w3",
                                     "dense", "fc1", "fc2", "wq", "wk", "wv", "wo"});

// The longest known word at the beginning of parts[at..]; 0: none.
size_t word_at(const std::vector<std::string>& parts, size_t at, std::string& word) {
  size_t taken = 0;
  std::string text;
  for (size_t i = at; i < parts.size(); ++i) {
    text += (i == at ? "" : "_") + parts[i];
    const bool known = std::find(kWords.begin(), kWords.end(), text) != kWords.end() ||
                       std::find(kPlain.begin(), kPlain.end(), text) != kPlain.end();
    if (!known) continue;
    taken = i - at + 1;
    word = text;
  }
  return taken;
}

// The module within its layer, for a path like model.layers.3.self_attn.q_proj.
std::string within_layer(const std::string& module) {
  const std::vector<std::string> parts = split(module, '.');
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    if (!is_number(parts[i + 1]) || is_number(parts[i])) continue;
    std::string rest;
    for (size_t k = i + 2; k < parts.size(); ++k) rest += (rest.empty() ? "" : ".") + parts[k];
    return rest;
  }
  return module;
}

std::string config_text_of(const AdapterSet& set, const std::vector<Module>& modules) {
  std::set<std::string> keys;
  for (const Module& module : modules) keys.insert(within_layer(module.name));
  const Json json = {{"fine_tune_type", has_magnitudes(set) ? "dora" : "lora"},
                     {"num_layers", -1},
                     {"lora_parameters",
                      {{"rank", set.rank},
                       {"scale", set.alpha / static_cast<double>(set.rank)},
                       {"dropout", 0.0},
                       {"keys", keys}}}};
  return json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

Tensor as_matrix(const Adapter& adapter, const Tensor& factor) {
  const int64_t width = factor.rank() < 2 ? 1 : factor.dim(1);
  if (factor.count() != factor.dim(0) * width) {
    fail(ErrorCode::kInvalidArgument,
         "'{}': expected a matrix or a kernel of width 1, got factors of shape {}; mlx-lm has no "
         "adapters of other convolutions",
         adapter.weight, to_string(factor.shape()));
  }
  return factor.reshaped({factor.dim(0), width});
}

std::vector<Module> modules_for(const AdapterSet& set, const fs::path& module_names) {
  std::vector<Module> modules = modules_of(set, module_names);
  if (!module_names.empty()) return modules;
  for (size_t i = 0; i < modules.size(); ++i) {
    const std::string name = mlx_module(modules[i].name);
    if (name.empty()) {
      fail(ErrorCode::kInvalidArgument,
           "'{}': how mlx-lm calls its module cannot be told from this name; {} says it",
           set.adapters[i].weight, setting("adapter_names"));
    }
    modules[i].name = name;
  }
  return modules;
}

}  // namespace

bool is_mlx(const fs::path& path) {
  if (!is_folder(path)) {
    return path.extension() == ".safetensors" &&
           config_says_mlx(path.parent_path() / kAdapterConfig);
  }
  if (!is_there(path / kMlxTensors)) return false;
  return !is_there(path / kPeftTensors) || config_says_mlx(path / kAdapterConfig);
}

AdapterSet read_mlx(const fs::path& path, const std::vector<AdaptableWeight>& weights,
                    const ModuleMap& map) {
  const bool folder = is_folder(path);
  const fs::path tensors_path = folder ? path / kMlxTensors : path;
  const fs::path config_path = tensors_path.parent_path() / kAdapterConfig;
  if (!is_there(config_path)) {
    fail(ErrorCode::kIo, "{}: expected {} beside the factors, found none", path.string(),
         kAdapterConfig);
  }
  const Config config = in_context([&] { return config_path.string(); },
                                   [&] { return parse_config(config_text(config_path)); });
  const TensorMap tensors = read_tensors(tensors_path);
  return in_context([&] { return tensors_path.string(); },
                    [&] { return parse(tensors, config, weights, map); });
}

std::string mlx_module(const std::string& plain) {
  const std::vector<std::string> parts = split(plain, '_');
  if (plain == "lm_head" || plain.ends_with("_lm_head")) return "lm_head";
  for (size_t i = 0; i + 2 < parts.size(); ++i) {
    if (parts[i] != "layers" || !is_number(parts[i + 1])) continue;
    std::string name = "model.layers." + parts[i + 1], word;
    for (size_t at = i + 2; at < parts.size();) {
      const size_t taken = word_at(parts, at, word);
      if (taken == 0) return "";
      name += "." + word;
      at += taken;
    }
    return name;
  }
  return "";
}

void write_mlx(const fs::path& folder, const AdapterSet& set, const fs::path& module_names) {
  in_context([&] { return folder.string(); },
             [&] {
               const std::vector<Module> modules = modules_for(set, module_names);
               expect_distinct(modules);
               TensorMap tensors;
               for (size_t i = 0; i < modules.size(); ++i) {
                 const Adapter& adapter = set.adapters[i];
                 const std::string& name = modules[i].name;
                 tensors[name + ".lora_a"] = turned(name, as_matrix(adapter, adapter.a));
                 tensors[name + ".lora_b"] = turned(name, as_matrix(adapter, adapter.b));
                 if (!adapter.magnitude.empty()) tensors[name + ".m"] = adapter.magnitude;
               }
               write_adapter_folder(folder, config_text_of(set, modules), kMlxTensors, tensors,
                                    {{"format", "mlx"}});
             });
}

}  // namespace mw::adapters
