// The files that a model is linked of.
#include "cli/inspect_parts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "base/printable.h"
#include "base/quantity_text.h"
#include "cli/describe.h"
#include "cli/print.h"
#include "package/link.h"

namespace mw::cli {
namespace {

std::vector<std::string> functions_of(const package::Model& model) {
  std::vector<std::string> names;
  names.reserve(model.functions.size());
  for (const auto& function : model.functions) names.push_back(function.name);
  return names;
}

}  // namespace

std::string form_of(const package::Model& model) {
  if (model.parts == nullptr) return std::string(package::name_of(model.container));
  const size_t count = model.parts->models.size();
  return fmt::format("{} part{}", count, count == 1 ? "" : "s");
}

void print_parts(const package::Parts& parts) {
  Table table("  ");
  for (size_t i = 0; i < parts.models.size(); ++i) {
    const package::Model& part = *parts.models[i];
    table.row({parts.list.files[i].label, parts.list.files[i].name,
               fmt::format("{}", fmt::join(functions_of(part), ", ")),
               memory_text(part.weight_bytes())});
  }
  answer("\nparts{}\n{}",
         parts.list.described_by.empty() ? "" : "  named by " + printable(parts.list.described_by),
         table.str());
}

nlohmann::json parts_json(const package::Parts& parts) {
  nlohmann::json rows = nlohmann::json::array();
  for (size_t i = 0; i < parts.models.size(); ++i) {
    rows.push_back({{"file", parts.list.files[i].name},
                    {"label", parts.list.files[i].label},
                    {"functions", functions_of(*parts.models[i])},
                    {"weight_bytes", parts.models[i]->weight_bytes()}});
  }
  return rows;
}

}  // namespace mw::cli
