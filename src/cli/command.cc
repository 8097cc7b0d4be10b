// Shared parts of the sub-commands: model options, number formats, the progress line.
#include "cli/command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <map>
#include <nlohmann/json.hpp>

#include "base/printable.h"
#include "cli/print.h"

namespace mw::cli {
namespace {

volatile std::sig_atomic_t g_interrupted = 0;
volatile std::sig_atomic_t g_unanswered = 0;

void watch(std::initializer_list<int> signals) {
  for (const int signal : signals) {
    struct sigaction before = {};
    // nohup has the terminal's end ignored: that stays.
    if (signal == SIGHUP && sigaction(signal, nullptr, &before) == 0 &&
        before.sa_handler == SIG_IGN) {
      continue;
    }
    struct sigaction action = {};
    action.sa_handler = [](int caught) { g_interrupted = caught; };
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigaction(signal, &action, nullptr);
  }
}

}  // namespace

void watch_interrupts() { watch({SIGINT, SIGTERM, SIGHUP}); }

void watch_interrupts_of_turns() {
  watch({SIGTERM, SIGHUP});
  struct sigaction action = {};
  action.sa_handler = [](int caught) {
    if (g_interrupted == 0) g_interrupted = caught;
    g_unanswered = g_unanswered + 1;
    if (g_unanswered < 3) return;
    std::signal(caught, SIG_DFL);
    std::raise(caught);
  };
  sigaction(SIGINT, &action, nullptr);
}

bool take_interrupt() {
  g_unanswered = 0;
  if (g_interrupted != SIGINT) return false;
  g_interrupted = 0;
  return true;
}

bool is_interrupted() { return g_interrupted != 0; }
int interrupt_exit_code() { return 128 + static_cast<int>(g_interrupted); }

void stop_if_interrupted() {
  if (is_interrupted()) throw Interrupted();
}

void ModelOptions::add_to(CLI::App& command, bool with_tokenizer) {
  command
      .add_option("model", model,
                  "a .mlmodelc or .mlpackage folder, a folder of parts, or an .mlmodel file")
      ->required();
  settings.add_load_to(command, [&](const std::string& name) {
    if (name == "tokenizer") return with_tokenizer;
    return name != "adapter" && name != "module_names" && name != "profile";
  });
}

void ModelOptions::add_adapter_to(CLI::App& command) {
  settings.add_load_to(
      command, [](const std::string& name) { return name == "adapter" || name == "module_names"; });
}

LoadOptions ModelOptions::load_options() const {
  LoadOptions options;
  settings.apply(options);
  return options;
}

CoreMLModelWrapper ModelOptions::load() const {
  return CoreMLModelWrapper::load(model, load_options());
}

void print_json(const nlohmann::json& value) {
  const auto text = value.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
  answer_bytes(printable_json(text) + "\n");
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Progress::Progress(std::string what, int64_t total)
    : what_(std::move(what)),
      total_(total),
      started_(now_seconds()),
      terminal_(isatty(STDERR_FILENO) != 0) {}

void Progress::update(int64_t done) {
  constexpr int kWidth = 28;
  const double elapsed = now_seconds() - started_;
  if (!terminal_ || elapsed < 1 || total_ <= 0 || (elapsed - drawn_ < 0.1 && done < total_)) return;
  drawn_ = elapsed;
  visible_ = true;
  const double share = static_cast<double>(done) / static_cast<double>(total_);
  const int filled = static_cast<int>(share * kWidth);
  const double left = done > 0 ? elapsed / share - elapsed : 0;
  redraw(fmt::format("{} [{}{}] {:3.0f} %  {}/{}  {:.0f} s left ", what_,
                     std::string(static_cast<size_t>(filled), '='),
                     std::string(static_cast<size_t>(kWidth - filled), ' '), share * 100, done,
                     total_, left));
}

Progress::~Progress() {
  if (visible_) redraw("");
}

}  // namespace mw::cli
