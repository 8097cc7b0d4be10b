// summary_of(): parameters counted by what becomes of them.
#include "train/summary.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/quantity_text.h"

namespace mw::training {
namespace {

using Count = TrainingSummary::Count;

constexpr size_t kMostReasons = 6;

void add(Count& count, const mw::Parameter& parameter) {
  ++count.parameters;
  count.numbers += count_of(parameter.shape);
}

bool is_known(const mw::Parameter& parameter) {
  return is_float(parameter.stored) && std::all_of(parameter.shape.begin(), parameter.shape.end(),
                                                   [](int64_t extent) { return extent >= 0; });
}

std::string counted(const Count& count) {
  return fmt::format("{} parameter{} of {} numbers", with_commas(count.parameters),
                     count.parameters == 1 ? "" : "s", with_commas(count.numbers));
}

// The reasons with the most numbers first.
std::string frozen_text(const TrainingSummary& summary) {
  std::vector<std::pair<std::string, Count>> rows(summary.frozen.begin(), summary.frozen.end());
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return a.second.numbers > b.second.numbers;
  });
  std::string text;
  for (size_t i = 0; i < std::min(rows.size(), kMostReasons); ++i) {
    text +=
        fmt::format("{}{} ({})", text.empty() ? "" : "; ", counted(rows[i].second), rows[i].first);
  }
  if (rows.size() > kMostReasons) text += "; and others";
  return text;
}

}  // namespace

TrainingSummary summary_of(const std::vector<mw::Parameter>& parameters) {
  TrainingSummary summary;
  for (const mw::Parameter& parameter : parameters) {
    if (!is_known(parameter) || parameter.role == mw::Parameter::Role::kTie) continue;
    if (parameter.role == mw::Parameter::Role::kAdapter) {
      add(summary.adapters, parameter);
      continue;
    }
    add(summary.all, parameter);
    if (parameter.trained) {
      add(summary.trained, parameter);
      continue;
    }
    add(summary.frozen[parameter.reason], parameter);
    if (parameter.role == mw::Parameter::Role::kCompressed) add(summary.compressed, parameter);
  }
  return summary;
}

std::vector<std::string> lines_of(const TrainingSummary& summary) {
  std::vector<std::string> lines;
  const bool adapts = summary.adapters.parameters > 0;
  std::string first =
      adapts ? fmt::format("trains adapters of {} numbers beside {}",
                           with_commas(summary.adapters.numbers), counted(summary.all))
             : fmt::format("trains {} of {} parameters: {} of {} numbers",
                           with_commas(summary.trained.parameters),
                           with_commas(summary.all.parameters),
                           with_commas(summary.trained.numbers), with_commas(summary.all.numbers));
  if (adapts && summary.trained.parameters > 0) {
    first += fmt::format(", and {} of these", counted(summary.trained));
  }
  lines.push_back(std::move(first));
  if (!summary.frozen.empty()) lines.push_back("not trained: " + frozen_text(summary));
  if (summary.compressed.parameters > 0 && !adapts) {
    lines.push_back(
        fmt::format("{} of the model's numbers are compressed and stay as they are; "
                    "{} trains adapters beside them",
                    with_commas(summary.compressed.numbers), setting("lora_rank")));
  }
  return lines;
}

}  // namespace mw::training
