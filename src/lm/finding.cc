// Sentences of a few words each.
#include "lm/finding.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <limits>

#include "base/quantity_text.h"

namespace mw::lm {
namespace {

constexpr int64_t kUsualCall = 16;  // tokens, of a model that takes as many

std::string tokens_text(int64_t count) { return fmt::format("{} tokens", with_commas(count)); }

}  // namespace

Finding finding_of(const LanguageModel& lm) {
  Finding finding{.inputs = lm.roles().names(), .tokens_per_call = lm.shapes().times_text()};
  for (const FeatureDescription& state : lm.entry().model().states()) {
    finding.caches.push_back(state.name);
  }
  for (const Cache& cache : lm.roles().caches()) finding.caches.push_back(cache.input);
  if (lm.has_cache() && lm.max_total() < std::numeric_limits<int64_t>::max()) {
    finding.places = lm.max_total();
  }
  const Target& target = lm.entry().target();
  const CallShape call = lm.largest_call(kUsualCall);
  for (const TargetPart& part : target.parts) finding.outputs.push_back(part.name);
  finding.classes = lm.classes(call);
  finding.last_only = lm.entry().last_only(call);
  const int64_t vocabulary = lm.entry().model().vocabulary();
  const bool logits = target.is_logits || (vocabulary > 0 && finding.classes >= vocabulary);
  finding.gives = target.best ? Finding::Gives::kLikeliest
                  : logits    ? Finding::Gives::kLogits
                              : Finding::Gives::kNumbers;
  return finding;
}

std::vector<std::string> Finding::lines() const {
  std::string takes;
  for (const auto& [name, role] : inputs) {
    takes += fmt::format("{}{} {}", takes.empty() ? "" : ", ", role, name);
  }
  std::vector<std::string> lines = {fmt::format("{}; {} token{} a call", takes, tokens_per_call,
                                                tokens_per_call == "exactly 1" ? "" : "s")};
  if (!caches.empty()) {
    // Of many layers the first and the last one.
    const bool many = caches.size() > 4;
    lines.push_back(fmt::format("cache{} in {}", places > 0 ? " of " + tokens_text(places) : "",
                                many ? fmt::format("{} to {}", caches.front(), caches.back())
                                     : fmt::format("{}", fmt::join(caches, ", "))));
  }
  static constexpr const char* kGives[] = {"logits of {}", "{} numbers", "the likeliest of {}"};
  const auto which = static_cast<size_t>(gives);
  const std::string what =
      fmt::format(fmt::runtime(kGives[which]),
                  gives == Gives::kNumbers ? with_commas(classes) : tokens_text(classes));
  lines.push_back(
      fmt::format("{} at {} in {}", what, last_only ? "the last position" : "every position",
                  outputs.size() > 2 ? fmt::format("{} to {}", outputs.front(), outputs.back())
                                     : fmt::format("{}", fmt::join(outputs, ", "))));
  return lines;
}

}  // namespace mw::lm
