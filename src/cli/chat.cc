// millwright chat MODEL: a conversation, a line a turn; answers to stdout, facts to stderr.
#include <memory>

#include "api/impl.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/generation_facts.h"
#include "cli/line_reader.h"
#include "cli/print.h"
#include "cli/spelling.h"
#include "lm/chat.h"

namespace mw::cli {
namespace {

constexpr const char* kCommands =
    "/system TEXT  another text before all turns; without TEXT none\n"
    "/reset        forgets the conversation\n"
    "/exit         ends the session, as the end of the input and Ctrl-C do\n"
    "A message that begins with a slash is written with two.\n";

GenerationSettings usual_settings() {
  GenerationSettings settings;
  settings.max_tokens = 1024;
  return settings;
}

struct Options {
  ModelOptions model;
  SettingOptions settings;
  std::string system, chat_template;
};

text::ChatTemplate template_of(const Options& o, const Tokenizer& tokenizer) {
  const auto folder = std::filesystem::path(tokenizer.path()).parent_path();
  if (!o.chat_template.empty()) return text::ChatTemplate::from_file(o.chat_template, folder);
  if (auto found = text::ChatTemplate::find(folder)) return std::move(*found);
  fail(ErrorCode::kInvalidArgument,
       "tokenizer '{}': expected a chat template beside it, got none; give one as --chat-template "
       "FILE, or continue a text with millwright generate",
       tokenizer.path());
}

class Session {
 public:
  Session(lm::Chat& chat, bool is_terminal) : chat_(chat), is_terminal_(is_terminal) {}

  void run() {
    if (is_terminal_) inform("/help lists what else may be typed\n");
    while (!is_over_) {
      if (is_terminal_) inform("> ");
      const auto line = lines_.next();
      if (!line) break;
      take(*line);
    }
    if (is_terminal_ && !is_over_) inform("\n");
    stop_if_interrupted();
  }

 private:
  void take(const std::string& line) {
    if (line.find_first_not_of(" \t") == std::string::npos) return;
    try {
      if (line[0] != '/') return answer_to(line);
      if (line.starts_with("//")) return answer_to(line.substr(1));
      command(line);
    } catch (const Error& e) {
      // Whoever types can type something else; a script is to know.
      const bool is_of_turn = e.code() == ErrorCode::kInvalidArgument;
      if (!is_terminal_ || !is_of_turn) throw;
      inform("{}\n", told(e));
    }
  }

  void answer_to(const std::string& message) {
    lm::GeneratorHooks hooks;
    bool told = false;
    const Generation said = said_aloud(hooks, told, [&] { return chat_.ask(message, hooks); });
    answer_said("\n");
    inform_of(said);
    (void)take_interrupt();
    stop_if_interrupted();
  }

  void command(const std::string& line) {
    const size_t end = line.find_first_of(" \t");
    const std::string name = line.substr(0, end);
    const size_t begin = line.find_first_not_of(" \t", end);
    const std::string rest = begin == std::string::npos ? "" : line.substr(begin);
    if (name == "/exit" || name == "/quit") {
      is_over_ = true;
    } else if (name == "/help") {
      inform("{}", kCommands);
    } else if (name == "/reset") {
      chat_.forget_turns();
      inform("the conversation is forgotten\n");
    } else if (name == "/system") {
      chat_.set_system(rest);
      inform("{}\n", rest.empty() ? "no system text" : "system text: " + rest);
    } else {
      fail(ErrorCode::kInvalidArgument,
           "'{}': expected /system, /reset, /exit, /help or a message; one that begins with a "
           "slash is written with two",
           name);
    }
  }

  lm::Chat& chat_;
  bool is_terminal_;
  bool is_over_ = false;
  LineReader lines_;
};

void run(const Options& o) {
  watch_interrupts_of_turns();
  GenerationSettings settings = usual_settings();
  o.settings.apply(settings);
  const CoreMLModelWrapper model = o.model.load();
  const text::ChatTemplate chat_template = template_of(o, model.tokenizer());
  const lm::LanguageModel lm =
      in_context([&] { return model.path().string(); },
                 [&] { return lm::LanguageModel(model.impl(), settings.target); });
  lm::Chat chat(lm, model.impl(), chat_template, settings, o.system);
  Session(chat, LineReader::is_terminal()).run();
}

}  // namespace

void add_chat(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "chat", "Talk with a model: a line a turn, from a terminal or a pipe; answers to stdout");
  options->model.add_to(*command, true);
  options->model.add_adapter_to(*command);
  command->add_option("--system", options->system, "a text before all turns");
  command->add_option("--chat-template", options->chat_template,
                      "a template, or JSON that holds one (default: the tokenizer's)");
  options->settings.add_generation_to(*command, usual_settings());
  command->callback([options] { run(*options); });
}

}  // namespace mw::cli
