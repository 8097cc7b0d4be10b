// millwright diff A B: programs, weights and metadata of two models; exit code 1 when they differ.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/printable.h"
#include "cli/command.h"
#include "cli/compare.h"
#include "cli/describe.h"
#include "cli/print.h"
#include "ops/catalog.h"
#include "package/link.h"

namespace mw::cli {
namespace {

struct Options {
  std::string a, b;
  int64_t limit = 20;
  bool json = false;
};

std::string weight_text(const WeightChange& change) {
  std::string text = change.text;
  if (change.changed > 0) {
    text +=
        fmt::format("{}max difference {:.4g}, {} of {} numbers", text.empty() ? "" : ", ",
                    change.max_difference, with_commas(change.changed), with_commas(change.count));
  } else if (change.count > 0) {
    text += text.empty() ? "equal numbers, other bits" : ", equal numbers";
  }
  return text;
}

void print_list(const char* title, const std::vector<std::string>& lines, int64_t limit) {
  if (lines.empty()) return;
  answer("{}\n", title);
  const auto shown = std::min(lines.size(), static_cast<size_t>(limit));
  for (size_t i = 0; i < shown; ++i) answer("  {}\n", printable(lines[i]));
  if (shown < lines.size()) answer("  and {} more; --limit shows them\n", lines.size() - shown);
}

void print_human(Differences& found, int64_t limit) {
  print_list("interface", found.interface, limit);
  print_list("operations", found.operations, limit);
  std::stable_sort(found.weights.begin(), found.weights.end(), [](const auto& x, const auto& y) {
    return x.max_difference > y.max_difference;
  });
  Table table("  ");
  const auto shown = std::min(found.weights.size(), static_cast<size_t>(limit));
  for (size_t i = 0; i < shown; ++i) {
    const WeightChange& change = found.weights[i];
    table.row({change.function, change.name, weight_text(change)});
  }
  if (shown > 0) answer("weights  {} differ\n{}", found.weights.size(), table.str());
  if (shown < found.weights.size()) {
    answer("  and {} more; --limit shows them\n", found.weights.size() - shown);
  }
  print_list("metadata", found.metadata, limit);
  if (found.none()) {
    answer("equal{}\n",
           found.renamed > 0 ? fmt::format(", {} values named otherwise", found.renamed) : "");
  }
}

nlohmann::json to_json(const Differences& found) {
  nlohmann::json weights = nlohmann::json::array();
  for (const WeightChange& change : found.weights) {
    nlohmann::json row = {{"function", change.function},
                          {"name", change.name},
                          {"max_difference", change.max_difference},
                          {"changed", change.changed},
                          {"count", change.count}};
    if (!change.text.empty()) row["type"] = change.text;
    weights.push_back(std::move(row));
  }
  return {{"equal", found.none()}, {"interface", found.interface}, {"operations", found.operations},
          {"weights", weights},    {"metadata", found.metadata},   {"renamed", found.renamed}};
}

package::Model corrected(package::Model model) {
  try {
    (void)package::correct(model, ops::catalog());
  } catch (const Error&) {
    // What cannot be run is compared as it is written.
  }
  return model;
}

// What is compared with what: the models, or each part of the one with that part of the other.
struct Pair {
  std::string part;  // its name; empty: there are none
  package::Model a, b;
};

bool have_same_parts(const package::Model& a, const package::Model& b) {
  if (a.parts == nullptr || b.parts == nullptr) return false;
  return std::ranges::equal(a.parts->list.files, b.parts->list.files, {}, &package::PartFile::name,
                            &package::PartFile::name);
}

std::vector<Pair> pairs_of(package::Model a, package::Model b) {
  std::vector<Pair> pairs;
  if (!have_same_parts(a, b)) {
    pairs.push_back({"", corrected(std::move(a)), corrected(std::move(b))});
    return pairs;
  }
  for (size_t i = 0; i < a.parts->models.size(); ++i) {
    pairs.push_back({a.parts->list.files[i].name, corrected(a.parts->models[i]->clone()),
                     corrected(b.parts->models[i]->clone())});
  }
  return pairs;
}

void diff(const Options& o) {
  bool is_equal = true;
  nlohmann::json parts = nlohmann::json::array();
  for (const Pair& pair : pairs_of(package::read(o.a), package::read(o.b))) {
    Differences found = compare(pair.a, pair.b);
    is_equal = is_equal && found.none();
    if (o.json && pair.part.empty()) {
      print_json(to_json(found));
    } else if (o.json) {
      parts.push_back(to_json(found));
      parts.back()["part"] = pair.part;
    } else {
      if (!pair.part.empty()) answer("part {}\n", printable(pair.part));
      print_human(found, o.limit);
    }
  }
  if (!parts.empty()) print_json({{"equal", is_equal}, {"parts", parts}});
  if (!is_equal) throw CLI::RuntimeError(1);
}

}  // namespace

void add_diff(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "diff", "Compare programs, weights and metadata; exit code 0 when equal, 1 when not");
  command->add_option("a", options->a, "a model")->required();
  command->add_option("b", options->b, "another model")->required();
  command->add_option("--limit", options->limit, "lines shown of each kind")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  command->add_flag("--json", options->json, "print all differences as JSON");
  command->callback([options] { diff(*options); });
}

}  // namespace mw::cli
