// Reading adapter_config.json key by key: what is known is ranged, what is not is refused.
#include "adapters/peft_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "adapters/modules.h"
#include "base/error.h"

namespace mw::adapters {
namespace {

using Json = nlohmann::ordered_json;

// Keys without bearing on the result of a trained adapter: how it came about, or which modules it
// has, which the tensors tell.
constexpr auto kSilent =
    std::to_array<std::string_view>({"auto_mapping",        "base_model_name_or_path",
                                     "corda_config",        "eva_config",
                                     "exclude_modules",     "fan_in_fan_out",
                                     "inference_mode",      "layers_pattern",
                                     "layers_to_transform", "loftq_config",
                                     "lora_dropout",        "lora_ga_config",
                                     "megatron_core",       "peft_version",
                                     "qalora_group_size",   "revision",
                                     "runtime_config",      "target_modules",
                                     "task_type",           "velora_config"});
constexpr auto kRead =
    std::to_array<std::string_view>({"alpha_pattern", "bias", "init_lora_weights", "lora_alpha",
                                     "peft_type", "r", "rank_pattern", "use_dora", "use_rslora"});
constexpr auto kRefused = std::to_array<std::pair<std::string_view, std::string_view>>(
    {{"modules_to_save", "modules trained as a whole"},
     {"lora_bias", "a bias beside the factors"},
     {"trainable_token_indices", "tokens trained by themselves"},
     {"target_parameters", "factors of parameters that are no module's weight"},
     {"layer_replication", "layers that stand several times"},
     {"use_qalora", "inputs averaged in groups (QALoRA)"},
     {"alora_invocation_tokens", "an adapter that begins at a token (aLoRA)"},
     {"arrow_config", "several adapters routed by token (Arrow)"},
     {"kasa_config", "numbers between the factors (KaSA)"},
     {"megatron_config", "layers of Megatron"},
     {"use_bdlora", "block-diagonal factors"}});
// Ways to begin that leave the base weights as they are; others store the adapter of changed ones.
constexpr auto kBeginnings =
    std::to_array<std::string_view>({"gaussian", "eva", "mica", "orthogonal"});

template <size_t N>
bool is_in(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string shown(const Json& value) {
  const std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

// Whether a setting says anything at all.
bool is_set(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  return !value.is_null() && !value.empty() && value != "none";
}

int64_t rank_in(const Json& value, std::string_view key) {
  const bool whole = value.is_number_integer();
  if (whole && value >= 1 && value <= kMostRank) return value.get<int64_t>();
  fail(ErrorCode::kInvalidArgument, "'{}': expected a whole number from 1 to {}, got {}", key,
       kMostRank, shown(value));
}

double alpha_in(const Json& value, std::string_view key) {
  const double alpha = value.is_number() ? value.get<double>() : 0;
  if (std::isfinite(static_cast<float>(alpha)) && static_cast<float>(alpha) > 0) return alpha;
  fail(ErrorCode::kInvalidArgument, "'{}': expected a number above 0, got {}", key, shown(value));
}

// Keys may be regular expressions; those that are names, as PEFT itself writes them, are taken.
void check_pattern(std::string_view key, std::string_view pattern) {
  const std::string_view name = pattern.substr(pattern.starts_with('^') ? 1 : 0);
  const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-';
  });
  if (plain) return;
  fail(ErrorCode::kUnsupported,
       "'{}': expected the names of modules as keys, got '{}'; regular expressions are not taken",
       key, pattern);
}

template <class T, class Read>
void read_patterns(const Json& config, const char* key, std::vector<std::pair<std::string, T>>& to,
                   const Read& read) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return;
  if (!found->is_object()) {
    fail(ErrorCode::kInvalidArgument, "'{}': expected names and numbers, got {}", key,
         shown(*found));
  }
  for (const auto& [pattern, value] : found->items()) {
    check_pattern(key, pattern);
    to.emplace_back(pattern, read(value, key));
  }
}

bool names_end_of(const std::string& pattern, const std::string& module) {
  if (pattern.starts_with('^')) return module == pattern.substr(1);
  return module == pattern || module.ends_with("." + pattern);
}

template <class T>
T found_in(const std::vector<std::pair<std::string, T>>& patterns, const std::string& module,
           T otherwise) {
  for (const auto& [pattern, value] : patterns) {
    if (names_end_of(pattern, module)) return value;
  }
  return otherwise;
}

void check_keys(const Json& config) {
  for (const auto& [key, value] : config.items()) {
    const auto* refused = std::find_if(kRefused.begin(), kRefused.end(),
                                       [&k = key](const auto& row) { return row.first == k; });
    if (!is_set(value) || is_in(kSilent, key) || is_in(kRead, key)) continue;
    if (refused != kRefused.end()) {
      fail(ErrorCode::kUnsupported, "'{}': {} cannot be computed here", key, refused->second);
    }
    fail(ErrorCode::kUnsupported,
         "'{}': {}: what this setting means is not known here; remove it if it changes nothing in "
         "the result",
         key, shown(value));
  }
}

void check_kind(const Json& config) {
  const Json type = config.value("peft_type", Json());
  if (type != "LORA") {
    fail(ErrorCode::kUnsupported, "'peft_type': expected LORA, got {}",
         type.is_null() ? "none" : shown(type));
  }
  const Json bias = config.value("bias", Json());
  if (is_set(bias)) {
    fail(ErrorCode::kUnsupported, "'bias': expected none, got {}; biases are not in an adapter",
         shown(bias));
  }
  const Json begun = config.value("init_lora_weights", Json());
  if (begun.is_string() && !is_in(kBeginnings, begun.get<std::string>())) {
    fail(ErrorCode::kUnsupported,
         "'init_lora_weights': {} changes the weights that the adapter stands beside; have PEFT "
         "convert it to a plain one",
         shown(begun));
  }
}

bool flag_in(const Json& config, const char* key) {
  const Json flag = config.value(key, Json(false));
  if (!flag.is_boolean() && !flag.is_null()) {
    fail(ErrorCode::kInvalidArgument, "'{}': expected true or false, got {}", key, shown(flag));
  }
  return flag.is_boolean() && flag.get<bool>();
}

PeftConfig parse(std::string_view text) {
  const Json config = Json::parse(text.begin(), text.end(), nullptr, false);
  if (!config.is_object()) fail(ErrorCode::kInvalidArgument, "expected a JSON object");
  check_kind(config);
  check_keys(config);
  PeftConfig read;
  read.rank = rank_in(config.value("r", Json()), "r");
  read.alpha = alpha_in(config.value("lora_alpha", Json()), "lora_alpha");
  read.by_root = flag_in(config, "use_rslora");
  read.has_magnitudes = flag_in(config, "use_dora");
  read_patterns(config, "rank_pattern", read.ranks, rank_in);
  read_patterns(config, "alpha_pattern", read.alphas, alpha_in);
  return read;
}

}  // namespace

int64_t PeftConfig::rank_of(const std::string& module) const {
  return found_in(ranks, module, rank);
}

double PeftConfig::scale_of(const std::string& module) const {
  const auto r = static_cast<double>(rank_of(module));
  return found_in(alphas, module, alpha) / (by_root ? std::sqrt(r) : r);
}

PeftConfig read_peft_config(const std::filesystem::path& path) {
  return in_context([&] { return path.string(); }, [&] { return parse(config_text(path)); });
}

std::string peft_config_text(const PeftConfig& config, const std::vector<std::string>& modules) {
  Json alpha = config.alpha;
  if (config.alpha == std::floor(config.alpha) && config.alpha < 1e15) {
    alpha = static_cast<int64_t>(config.alpha);
  }
  const Json json = {{"peft_type", "LORA"},
                     {"task_type", nullptr},
                     {"base_model_name_or_path", nullptr},
                     {"inference_mode", true},
                     {"r", config.rank},
                     {"lora_alpha", alpha},
                     {"use_rslora", false},
                     {"use_dora", config.has_magnitudes},
                     {"lora_dropout", 0.0},
                     {"bias", "none"},
                     {"fan_in_fan_out", false},
                     {"init_lora_weights", true},
                     {"modules_to_save", nullptr},
                     {"rank_pattern", Json::object()},
                     {"alpha_pattern", Json::object()},
                     {"target_modules", modules}};
  return json.dump(2, ' ', true, Json::error_handler_t::replace) + "\n";
}

}  // namespace mw::adapters
