// adapter_config.json of an adapter of Hugging Face PEFT: what of it bears on the result.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mw::adapters {

struct PeftConfig {
  int64_t rank = 0;
  double alpha = 0;
  bool has_magnitudes = false;  // each module has one (DoRA)
  bool by_root = false;  // alpha counts by the square root of the rank (rank-stabilised LoRA)
  // Other ranks and alphas for the modules that a key names, by the end of their names; the first
  // one that does counts.
  std::vector<std::pair<std::string, int64_t>> ranks;
  std::vector<std::pair<std::string, double>> alphas;

  [[nodiscard]] int64_t rank_of(const std::string& module) const;
  // What the product of the factors of a module counts.
  [[nodiscard]] double scale_of(const std::string& module) const;
};

// Throws for another kind of adapter, for every setting that changes the result in a way we do not
// compute, and for one we do not know.
PeftConfig read_peft_config(const std::filesystem::path& path);
// For factors of the modules named.
std::string peft_config_text(const PeftConfig& config, const std::vector<std::string>& modules);

}  // namespace mw::adapters
