// Configurations of mlx-lm (`mlx_lm.lora --config`), as options of `train`.
#pragma once

#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace mw::cli {

// An option by its setting's name, with the values that a key gives it.
struct OptionValue {
  std::string option;
  std::vector<std::string> values;
  std::string where;  // "FILE:LINE: KEY", for errors
};

// Whether one of the keys is mlx-lm's and no option of `train`: then the file is mlx-lm's. Keys
// that both have (model, data, seed, batch_size, learning_rate, optimizer, mask_prompt) decide
// nothing.
bool is_mlx_config(const YAML::Node& root);

// All that the file says, and where it is silent what mlx-lm takes then. What stands on the command
// line counts more. Throws with FILE:LINE for a key of ours or of nobody, and for what is not done
// here, with the reason.
std::vector<OptionValue> options_of_mlx(const YAML::Node& root, const std::string& path,
                                        const CLI::App& command);

// Every key that is known, those within others as "lora_parameters.rank".
std::vector<std::string> mlx_keys();

}  // namespace mw::cli
