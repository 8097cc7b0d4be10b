// The finding as a table of a few lines, and as JSON.
#include "cli/inspect_language_model.h"

#include <nlohmann/json.hpp>

#include "api/impl.h"
#include "cli/describe.h"
#include "cli/print.h"

namespace mw::cli {

std::optional<lm::Finding> language_model_of(const std::string& path, const LoadOptions& options) {
  try {
    const auto model = CoreMLModelWrapper::load(path, options);
    return lm::finding_of(lm::LanguageModel(model.impl()));
  } catch (const Error&) {
    if (!options.role.empty()) throw;
    return std::nullopt;
  }
}

nlohmann::json finding_json(const lm::Finding& finding) {
  static constexpr const char* kGives[] = {"logits", "numbers", "likeliest"};
  nlohmann::json json = {{"inputs", nlohmann::json::object()},
                         {"tokens_per_call", finding.tokens_per_call},
                         {"caches", finding.caches},
                         {"outputs", finding.outputs},
                         {"gives", kGives[static_cast<size_t>(finding.gives)]},
                         {"positions", finding.last_only ? "last" : "every"},
                         {"classes", finding.classes}};
  for (const auto& [name, role] : finding.inputs) json["inputs"][name] = role;
  if (finding.places > 0) json["places"] = finding.places;
  return json;
}

void print_finding(const lm::Finding& finding) {
  Table table("  ");
  const char* title = "language model";
  for (const std::string& line : finding.lines()) {
    table.row({title, line});
    title = "";
  }
  answer("\n{}", table.str());
}

}  // namespace mw::cli
