// Run: the page about it.
#include <fmt/format.h>

#include "base/atomic_write.h"
#include "base/quantity_text.h"
#include "train/run.h"

namespace mw::training {
namespace {

namespace fs = std::filesystem;

std::string loss_text(const std::optional<double>& loss) {
  return loss ? fmt::format("{:.4f}", *loss) : "–";
}

}  // namespace

// Decoration: where it fails, the run does not.
void Run::write_report(const std::string& subtitle) {
  try {
    write_report_now(subtitle);
  } catch (const std::exception& e) {
    observer_.note(fmt::format("no report: {}", e.what()));
  }
}

void Run::write_report_now(const std::string& subtitle) {
  Report report;
  report.title = files_.title();
  report.subtitle = subtitle;
  const double per_second =
      position_.seconds > 0 ? static_cast<double>(position_.tokens) / position_.seconds : 0;
  report.facts = {{"training loss", loss_text(report_.loss)}};
  if (report_.valid_loss) {
    report.facts.emplace_back("validation loss", loss_text(report_.valid_loss));
  }
  if (position_.best_loss) {
    report.facts.emplace_back(fmt::format("best, at step {}", position_.best_step),
                              loss_text(position_.best_loss));
  }
  report.facts.emplace_back("time", seconds_text(position_.seconds));
  report.facts.emplace_back(data_.seq_len > 0 ? "tokens/s" : "labels/s",
                            fmt::format("{:.0f}", per_second));
  if (report_.step_bytes > 0) {
    report.facts.emplace_back("memory of a step", memory_text(report_.step_bytes));
  }
  if (report_.test_loss) report.facts.emplace_back("test loss", loss_text(report_.test_loss));
  report.loss_name = plan_.loss_name;
  report.settings = plan_.shown;
  if (!report_.objective.empty()) {
    report.settings.emplace(report.settings.begin(), "minimises", report_.objective);
  }
  report.records = metrics_->records();
  report.samples = samples_;
  const fs::path path = folder_ / "report.html";
  write_file_atomically(path, html_of(report));
  report_.html = path;
}

}  // namespace mw::training
