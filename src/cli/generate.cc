// millwright generate MODEL --prompt TEXT: streams a continuation to stdout, facts to stderr.
#include <unistd.h>

#include <memory>

#include "api/impl.h"
#include "base/error.h"
#include "cli/command.h"
#include "cli/numbers.h"
#include "cli/print.h"
#include "lm/language_model.h"
#include "lm/sampler.h"

namespace mw::cli {
namespace {

struct Options {
  ModelOptions model;
  std::string prompt, target;
  int64_t max_tokens = 100;
  lm::SamplerOptions sampler;
  bool ignore_end = false;
};

// A model may have learnt to say anything, also what a terminal takes for orders.
void print(const std::string& text) {
  static const bool kTerminal = isatty(STDOUT_FILENO) != 0;
  if (kTerminal) {
    answer_text(text);
  } else {
    answer_bytes(text);
  }
  flush_answers();
}

void run(const Options& o) {
  watch_interrupts();
  const CoreMLModelWrapper model = o.model.load();
  const Tokenizer& tokenizer = model.tokenizer();
  const lm::LanguageModel lm =
      in_context([&] { return model.path().string(); },
                 [&] { return lm::LanguageModel(model.impl(), o.target); });
  const std::vector<int32_t> prompt = tokenizer.encode(o.prompt);
  if (prompt.empty()) {
    fail(ErrorCode::kInvalidArgument, "--prompt: expected at least one token, got none");
  }
  lm::Sampler sampler(o.sampler);
  lm::LanguageModel::Stream stream(lm);
  StreamDecoder decoder(tokenizer);

  const double started = now_seconds();
  std::vector<float> logits = stream.extend(prompt);
  stop_if_interrupted();
  tokenizer.check_fits(static_cast<int64_t>(logits.size()));
  const double prefilled = now_seconds();
  for (const int32_t id : prompt) print(decoder.push(id));
  int64_t count = 0;
  std::string why = "reached --max-tokens";
  const auto go_on = [&] {
    while (count < o.max_tokens) {
      const int32_t id = sampler.next(logits);
      if (!o.ignore_end && tokenizer.is_end_of_text(id)) {
        why = "end of text";
        break;
      }
      print(decoder.push(id));
      ++count;
      if (is_interrupted()) {
        why = "interrupted";
        break;
      }
      if (count == o.max_tokens) break;
      if (const std::string obstacle = stream.obstacle(); !obstacle.empty()) {
        why = obstacle;
        break;
      }
      logits = stream.extend({id});
    }
  };
  try {
    go_on();
  } catch (const Error&) {
    print(decoder.flush() + "\n");  // what was said so far is a whole line
    throw;
  }
  print(decoder.flush() + "\n");
  const double seconds = now_seconds() - prefilled;
  inform("prompt {} tokens in {:.3f} s; {} tokens in {:.3f} s, {:.1f} tokens/s; {}\n",
         prompt.size(), prefilled - started, count, seconds,
         count > 0 ? static_cast<double>(count) / seconds : 0.0, why);
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
  command->add_option("--max-tokens", options->max_tokens, "tokens to generate at most")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  command->add_option("--temperature", options->sampler.temperature, "0: greedy")
      ->check(number_in(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--top-k", options->sampler.top_k, "sample among the k likeliest (0: all)")
      ->check(CLI::Range(0, 1 << 24))
      ->capture_default_str();
  command
      ->add_option("--top-p", options->sampler.top_p,
                   "sample among the likeliest that hold this probability")
      ->check(number_in(1e-9, 1.0))
      ->capture_default_str();
  command->add_option("--seed", options->sampler.seed, "seed of the sampling")
      ->check(seed_number())
      ->capture_default_str();
  command->add_option("--target", options->target, "name of the logits output");
  command->add_flag("--ignore-end", options->ignore_end, "go on after the end token");
  command->callback([options] { run(*options); });
}

}  // namespace mw::cli
