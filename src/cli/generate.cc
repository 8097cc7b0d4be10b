// millwright generate MODEL --prompt TEXT: streams a continuation to stdout, facts to stderr.
#include <memory>

#include "api/generate.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/generation_facts.h"
#include "cli/print.h"

namespace mw::cli {
namespace {

struct Options {
  ModelOptions model;
  SettingOptions settings;
  std::string prompt;
};

void run(const Options& o) {
  watch_interrupts();
  GenerationSettings settings;
  o.settings.apply(settings);
  const CoreMLModelWrapper model = o.model.load();
  const std::vector<int32_t> prompt = model.tokenizer().encode(o.prompt);
  if (prompt.empty()) {
    fail(ErrorCode::kInvalidArgument, "--prompt: expected at least one token, got none");
  }
  bool told = false;
  lm::GeneratorHooks hooks;
  hooks.before = lm::TextBefore::kTold;
  const Generation said =
      said_aloud(hooks, told, [&] { return generated(model, prompt, settings, hooks); });
  if (told) answer_said("\n");
  inform_of(said);
  stop_if_interrupted();
}

}  // namespace

void add_generate(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("generate", "Continue a prompt; the text streams to stdout");
  options->model.add_to(*command, true);
  options->model.add_adapter_to(*command);
  command->add_option("--prompt", options->prompt, "the text to continue")->required();
  options->settings.add_generation_to(*command, {});
  command->callback([options] { run(*options); });
}

}  // namespace mw::cli
