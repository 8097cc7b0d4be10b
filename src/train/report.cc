// The page of a training run: its style, its charts, its tables.
#include "train/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "train/chart.h"

namespace mw::training {
namespace {

constexpr const char* kStyle = R"(
:root {
  color-scheme: light dark;
  --paper: #f7f6f2; --card: #ffffff; --ink: #1d2129; --soft: #666d7a; --rule: #e4e2db;
  --series-0: #2f6fd6; --series-1: #2f6fd6; --series-2: #d9622b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --card: #1d2026; --ink: #e8e9ec; --soft: #9aa1ae; --rule: #31353d;
    --series-0: #6ea3ff; --series-1: #6ea3ff; --series-2: #ff9a62;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0; font-weight: 600; }
.subtitle { color: var(--soft); margin: .3rem 0 1.6rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem;
  margin: 0 0 1.2rem; }
.facts div, figure, section { background: var(--card); border: 1px solid var(--rule);
  border-radius: 10px; }
.facts div { padding: .7rem .95rem; }
.facts dt { color: var(--soft); font-size: .82rem; }
.facts dd { margin: 0; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
figure, section { margin: 0 0 1.2rem; padding: 1rem 1.1rem; }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: .2rem 1.2rem; }
.legend { margin: 0; display: flex; gap: 1.1rem; color: var(--soft); font-size: .85rem; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 3px;
  margin-right: .4rem; vertical-align: -1px; }
.legend i.faint { opacity: .35; }
svg { display: block; width: 100%; height: auto; margin-top: .5rem; }
.rule { stroke: var(--rule); }
.tick { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
@media (max-width: 40rem) { .wide .tick { font-size: 17px; } }
.end { text-anchor: end; }
.mid { text-anchor: middle; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.faint { stroke-width: 1; opacity: .35; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1.2rem; }
.pair figure, .pair section { margin: 0; }
.pair { margin: 0 0 1.2rem; }
blockquote { margin: .6rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere;
  font: .95rem/1.55 ui-serif, Georgia, "Times New Roman", serif; }
blockquote b { font-weight: 400; color: var(--soft); }
table { border-collapse: collapse; width: 100%; font-size: .92rem; margin-top: .5rem; }
td { padding: .28rem .5rem .28rem 0; border-top: 1px solid var(--rule); vertical-align: top;
  overflow-wrap: anywhere; }
td:first-child { color: var(--soft); width: 14rem; white-space: nowrap; }
)";

using Field = std::optional<double> StepRecord::*;

Series series_of(const std::string& name, const std::vector<StepRecord>& records, Field field) {
  Series series{name, {}};
  for (const StepRecord& record : records) {
    if (const auto& value = record.*field) {
      series.points.emplace_back(static_cast<double>(record.step), *value);
    }
  }
  return series;
}

// A running mean over about a fiftieth of the run.
Series smoothed(const std::string& name, const Series& raw) {
  Series series{name, {}};
  const double weight = 2 / (1 + std::max(1.0, static_cast<double>(raw.points.size()) / 50));
  double mean = 0, mass = 0;
  for (const auto& [x, y] : raw.points) {
    if (!std::isfinite(y)) continue;
    mean += weight * (y - mean);
    mass += weight * (1 - mass);
    series.points.emplace_back(x, mean / mass);
  }
  return series;
}

// Of a short run the mean would be the line itself.
std::string loss_chart(const std::vector<StepRecord>& records, const std::string& name) {
  constexpr size_t kShort = 100;
  Series each = series_of("each step", records, &StepRecord::loss);
  each.faint = true;
  Series training = smoothed(name, each);
  if (each.points.size() < kShort) {
    training.points = std::exchange(each.points, {});
  }
  Series valid = series_of("validation", records, &StepRecord::valid_loss);
  valid.dots = valid.points.size() <= 200;
  return chart("Loss", {each, training, valid}, true);
}

std::string samples_of(const std::vector<Report::Sample>& samples) {
  if (samples.empty()) return "";
  std::string html = "<div class=\"pair\">\n";
  for (const auto& sample : samples) {
    html += fmt::format("<section><h2>{}</h2><blockquote><b>{}</b>{}</blockquote></section>\n",
                        escaped(sample.heading), escaped(sample.prompt), escaped(sample.text));
  }
  return html + "</div>\n";
}

std::string settings_of(const std::vector<std::pair<std::string, std::string>>& settings) {
  std::string rows;
  for (const auto& [name, value] : settings) {
    rows += fmt::format("<tr><td>{}</td><td>{}</td></tr>\n", escaped(name), escaped(value));
  }
  return "<section><h2>Settings</h2><table>\n" + rows + "</table></section>\n";
}

}  // namespace

std::string html_of(const Report& report) {
  std::string facts;
  for (const auto& [name, value] : report.facts) {
    facts += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", escaped(name), escaped(value));
  }
  const auto& records = report.records;
  return "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>" +
         escaped(report.title) + "</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n<h1>" +
         escaped(report.title) + "</h1>\n<p class=\"subtitle\">" + escaped(report.subtitle) +
         "</p>\n<dl class=\"facts\">\n" + facts + "</dl>\n" +
         loss_chart(records, report.loss_name) + samples_of(report.samples) +
         "<div class=\"pair\">\n" +
         chart("Learning rate", {series_of("", records, &StepRecord::learning_rate)}, false) +
         chart("Gradient norm", {series_of("", records, &StepRecord::grad_norm)}, false) +
         "</div>\n" + settings_of(report.settings) + "</body>\n</html>\n";
}

}  // namespace mw::training
